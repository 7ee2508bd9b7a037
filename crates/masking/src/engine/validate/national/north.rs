//! The Nordic and Baltic countries.

use super::{
    Accepts,
    date::{is_day, is_ddmmyy, is_short_day, two},
    is_mod11,
};
use crate::engine::validate::{
    checksum::luhn,
    digits::{digits, number, weighted},
};

/// Validators for these countries.
pub(in crate::engine::validate) static NAMED: &[(&str, Accepts)] = &[
    ("se-personnummer", is_personnummer),
    ("no-fodselsnummer", is_fodselsnummer),
    ("dk-cpr", |body| {
        digits::<10>(body).is_some_and(|found| is_ddmmyy(&found))
    }),
    ("fi-hetu", is_hetu),
    ("ee-isikukood", is_isikukood),
    ("lv-personas-kods", is_personas_kods),
    ("is-kennitala", is_kennitala),
];

/// A Swedish personnummer or samordningsnummer (Skatteverket, SKV 704): a day, with 60 on it for
/// the latter, and Luhn over the last ten digits.
fn is_personnummer(body: &[u8]) -> bool {
    let plain = |byte: &u8| !matches!(byte, b'-' | b'+' | b' ');
    let mut short = [0u8; 12];
    let mut length = 0;
    for byte in body.iter().filter(|byte| plain(byte)) {
        if !byte.is_ascii_digit() || length == short.len() {
            return false;
        }
        short[length] = byte - b'0';
        length += 1;
    }
    let found = &short[..length];
    let moved = |at: usize| match two(found, at) {
        day @ 61.. => day - 60,
        day => day,
    };
    match length {
        10 => is_short_day(two(found, 0), two(found, 2), moved(4)) && luhn(found),
        12 => {
            let year = two(found, 0) * 100 + two(found, 2);
            // Names of files are full of days and times. Who was born lately seldom writes.
            let time = year >= 2012 && two(found, 8) < 24 && two(found, 10) < 60;
            (1890..2050).contains(&year)
                && is_day(year, two(found, 4), moved(6))
                && !time
                && luhn(&found[2..])
        }
        _ => false,
    }
}

/// A Norwegian fødselsnummer or D-nummer (Skatteetaten): a day, with 40 on it for the latter, and
/// two check digits modulo 11.
fn is_fodselsnummer(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let (day, month) = (two(&found, 0), two(&found, 2));
        is_short_day(
            two(&found, 4),
            month % 40,
            if day > 40 { day - 40 } else { day },
        ) && is_mod11(&found[..10], &[3, 7, 6, 1, 8, 9, 4, 5, 2])
            && is_mod11(&found, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
    })
}

/// A Finnish henkilötunnus: a day, a century, a counter, and the remainder by 31 (Digi- ja
/// väestötietovirasto).
fn is_hetu(body: &[u8]) -> bool {
    const CHECKS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

    let Some((date, rest)) = body.split_first_chunk::<6>() else {
        return false;
    };
    let [century, counter @ .., check] = rest else {
        return false;
    };
    let (Some(date), Some(counter)) = (digits::<6>(date), digits::<3>(counter)) else {
        return false;
    };
    let rest = (number(&date) * 1000 + number(&counter)) % 31;
    matches!(century, b'+' | b'-' | b'A'..=b'F' | b'U'..=b'Y')
        && is_ddmmyy(&date)
        && CHECKS.get(usize::try_from(rest).unwrap_or_default())
            == Some(&check.to_ascii_uppercase())
}

/// An Estonian isikukood or a Lithuanian asmens kodas: sex and century, a day, a counter, and two
/// rounds of weights modulo 11 (EVS 585).
fn is_isikukood(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let first = weighted(&found[..10], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
        let second = weighted(&found[..10], &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11;
        let check = match (first, second) {
            (10, 10) => 0,
            (10, second) => second,
            (first, _) => first,
        };
        (1..=8).contains(&found[0])
            && is_short_day(two(&found, 1), two(&found, 3), two(&found, 5))
            && check == u32::from(found[10])
    })
}

/// A Latvian personas kods: a day and a century, or 32 and no day since 2017; 1 and weights less
/// than 11 (Pilsonības un migrācijas lietu pārvalde). The new ones have no check digit.
fn is_personas_kods(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let sum = weighted(&found[..10], &[1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
        let old =
            is_ddmmyy(&found) && found[6] <= 2 && (1101 - sum) % 11 % 10 == u32::from(found[10]);
        old || found.starts_with(&[3, 2])
    })
}

/// An Icelandic kennitala: a day, modulo 11, and a century (Þjóðskrá).
fn is_kennitala(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        // Companies have 40 on the day.
        let day = two(&found, 0);
        let day = if day > 40 { day - 40 } else { day };
        is_short_day(two(&found, 4), two(&found, 2), day)
            && is_mod11(&found[..9], &[3, 2, 7, 6, 5, 4, 3, 2])
            && matches!(found[9], 0 | 8 | 9)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked() {
        super::super::check(
            NAMED,
            &[
                (
                    "se-personnummer",
                    &["850709-9805", "19850709-9805", "8507099805", "701063-2391"],
                    &["850709-9806", "851309-9805", "20240115-1535"],
                ),
                (
                    "no-fodselsnummer",
                    &["15108695088", "151086 95088"],
                    &["15108695089", "32108695088"],
                ),
                ("dk-cpr", &["211062-5629", "070761-4285"], &["321062-5629"]),
                (
                    "fi-hetu",
                    &["131052-308T", "010594Y9032"],
                    &["131052-308U", "131352-308T"],
                ),
                (
                    "ee-isikukood",
                    &["37605030299", "33309240064"],
                    &["37605030298", "97605030299"],
                ),
                (
                    "lv-personas-kods",
                    &["161175-19997", "328673-00679"],
                    &["161375-19997", "161175-19998"],
                ),
                (
                    "is-kennitala",
                    &["450401-3150", "120174-3399"],
                    &["120174-3389"],
                ),
            ],
        );
    }
}
