//! Asia and Oceania.

use super::{
    Accepts,
    date::{is_yymmdd, is_yyyymmdd},
};
use crate::engine::validate::{
    checksum::{is_mod11_2, luhn, verhoeff},
    date::two,
    digits::{digits, letters, number, up_to, value, weighted},
};

/// Validators for these countries.
pub(in crate::engine::validate) static NAMED: &[(&str, Accepts)] = &[
    ("in-aadhaar", is_aadhaar),
    ("in-aadhaar-like", is_aadhaar_or_like),
    ("in-pan", is_pan),
    ("in-gstin", is_gstin),
    ("cn-resident-id", is_resident_id),
    ("kr-rrn", is_kr_rrn),
    ("jp-my-number", is_my_number),
    ("sg-nric", is_nric),
    ("hk-id", is_hkid),
    ("tw-id", is_taiwan_id),
    ("my-kad", is_mykad),
    ("th-id", is_thai_id),
    ("au-tfn", is_tfn),
    ("au-abn", is_abn),
    ("au-medicare", is_medicare),
    ("nz-ird", is_ird),
];

/// An Indian Aadhaar number: twelve digits, the first of them 2 to 9, Verhoeff (UIDAI). Behind a
/// word that says what it is, the widespread makers of test data count too, which use Luhn.
fn is_aadhaar_or_like(body: &[u8]) -> bool {
    is_aadhaar(body) || digits::<12>(body).is_some_and(|found| luhn(&found) && found != [0; 12])
}

fn is_aadhaar(body: &[u8]) -> bool {
    digits::<12>(body).is_some_and(|found| found[0] >= 2 && verhoeff(&found))
}

/// An Indian Permanent Account Number: its fourth letter tells the kind of holder (Income Tax
/// Department).
fn is_pan(body: &[u8]) -> bool {
    letters::<10>(body).is_some_and(|found| {
        found[..5].iter().all(u8::is_ascii_uppercase)
            && b"ABCEFGHJLPT".contains(&found[3])
            && found[5..9].iter().all(u8::is_ascii_digit)
            && found[5..9] != *b"0000"
            && found[9].is_ascii_uppercase()
    })
}

/// An Indian GSTIN: a state, a PAN, a counter, Z, and a check character of base 36 (GST Network).
fn is_gstin(body: &[u8]) -> bool {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    letters::<15>(body).is_some_and(|found| {
        let code = |byte: u8| {
            let value = if byte.is_ascii_digit() {
                byte - b'0'
            } else {
                byte - b'A' + 10
            };
            u32::from(value)
        };
        let sum: u32 = found[..14]
            .iter()
            .zip([1, 2].into_iter().cycle())
            .map(|(byte, weight)| code(*byte) * weight)
            .map(|product| product / 36 + product % 36)
            .sum();
        let check = usize::try_from((36 - sum % 36) % 36).unwrap_or_default();
        found[0].is_ascii_digit()
            && found[1].is_ascii_digit()
            && is_pan(&found[2..12])
            && DIGITS.get(check) == Some(&found[14])
    })
}

/// A Chinese resident identity number (GB 11643-1999): place, day, counter, ISO/IEC 7064 MOD 11-2.
fn is_resident_id(body: &[u8]) -> bool {
    let Some((head, _)) = body.split_first_chunk::<17>().filter(|_| body.len() == 18) else {
        return false;
    };
    digits::<17>(head).is_some_and(|found| {
        matches!(number(&found[..2]), 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83)
            && is_yyyymmdd(&found[6..])
            && is_mod11_2(body)
    })
}

/// A Korean resident registration number: a day, and sex and century. Since October 2020 the rest
/// is random and has no check digit (행정안전부).
fn is_kr_rrn(body: &[u8]) -> bool {
    digits::<13>(body).is_some_and(|found| is_yymmdd(&found) && (1..=8).contains(&found[6]))
}

/// A Japanese My Number: modulo 11, remainders below 2 give 0 (番号法施行令 第8条, 総務省令第85号).
fn is_my_number(body: &[u8]) -> bool {
    digits::<12>(body).is_some_and(|found| {
        let rest = weighted(&found, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        (if rest < 2 { 0 } else { 11 - rest }) == u32::from(found[11])
            && found.iter().any(|digit| *digit != found[0])
    })
}

/// A Singapore NRIC or FIN: weights, an offset for the century, a letter by the remainder by 11
/// (Immigration & Checkpoints Authority).
fn is_nric(body: &[u8]) -> bool {
    letters::<9>(body).is_some_and(|found| {
        let Some(digits) = digits::<7>(&found[1..8]) else {
            return false;
        };
        let (offset, checks) = match found[0] {
            b'S' => (0, b"JZIHGFEDCBA"),
            b'T' => (4, b"JZIHGFEDCBA"),
            b'F' => (0, b"XWUTRQPNMLK"),
            b'G' => (4, b"XWUTRQPNMLK"),
            b'M' => (3, b"XWUTRQPNJLK"),
            _ => return false,
        };
        let sum = weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]) + offset;
        let at = usize::try_from(sum % 11).unwrap_or_default();
        // The M series counts from the other end.
        let at = if found[0] == b'M' { 10 - at } else { at };
        let turned = found[0] == b'M' && b"KLJNPQRTUWX"[10 - at] == found[8];
        checks.get(at) == Some(&found[8]) || turned
    })
}

/// A Hong Kong identity card: weights 9 to 2 with letters from 10 on and a missing one as 36; 11
/// divides the sum (Immigration Department).
fn is_hkid(body: &[u8]) -> bool {
    let mut plain = [0u8; 9];
    let mut length = 0;
    for byte in body.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
        if length == plain.len() {
            return false;
        }
        plain[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    let found = &plain[..length];
    let letters = found
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    if !matches!((letters, length), (1, 8) | (2, 9)) {
        return false;
    }
    let (body, check) = (&found[..length - 1], found[length - 1]);
    let code = |byte: u8| {
        u32::from(if byte.is_ascii_digit() {
            byte - b'0'
        } else {
            byte - b'A' + 10
        })
    };
    let first = if letters == 1 { 36 * 9 } else { 0 };
    let weights = if letters == 1 { 8u32 } else { 9 };
    let sum: u32 = body
        .iter()
        .zip((2..=weights).rev())
        .map(|(byte, weight)| code(*byte) * weight)
        .sum();
    let last = if check == b'A' {
        10
    } else {
        u32::from(value(check))
    };
    body[letters..].iter().all(u8::is_ascii_digit)
        && (check.is_ascii_digit() || check == b'A')
        && (first + sum + last).is_multiple_of(11)
}

/// A Taiwanese national or resident number: a letter of the place as two digits, sex, weights
/// modulo 10 (內政部).
fn is_taiwan_id(body: &[u8]) -> bool {
    /// By letter, from 10 on.
    const PLACES: [u32; 26] = [
        10, 11, 12, 13, 14, 15, 16, 17, 34, 18, 19, 20, 21, 22, 35, 23, 24, 25, 26, 27, 28, 29, 32,
        30, 31, 33,
    ];
    letters::<10>(body).is_some_and(|found| {
        let Some(digits) = digits::<9>(&found[1..]).filter(|_| found[0].is_ascii_uppercase())
        else {
            return false;
        };
        let place = PLACES[usize::from(found[0] - b'A')];
        let sum = place / 10 + place % 10 * 9 + weighted(&digits, &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
        matches!(digits[0], 1 | 2 | 8 | 9) && sum.is_multiple_of(10)
    })
}

/// A Malaysian MyKad: a day, a place of birth, four digits (Jabatan Pendaftaran Negara).
fn is_mykad(body: &[u8]) -> bool {
    digits::<12>(body).is_some_and(|found| {
        is_yymmdd(&found) && matches!(two(&found, 6), 1..=16 | 21..=59 | 60..=68 | 71 | 72 | 74..=79 | 82..=93 | 98 | 99)
    })
}

/// A Thai citizen's number: weights 13 to 2 modulo 11 (กรมการปกครอง).
fn is_thai_id(body: &[u8]) -> bool {
    digits::<13>(body).is_some_and(|found| {
        let rest = weighted(&found[..12], &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        (1..=8).contains(&found[0]) && (11 - rest) % 10 == u32::from(found[12])
    })
}

/// An Australian Tax File Number: weights modulo 11 (Australian Taxation Office); eight digits are
/// of old.
fn is_tfn(body: &[u8]) -> bool {
    match up_to::<9>(body) {
        Some((found, 9)) => {
            weighted(&found, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11) && found != [0; 9]
        }
        Some((found, 8)) => {
            weighted(&found[..8], &[10, 7, 8, 4, 6, 3, 5, 1]).is_multiple_of(11) && found != [0; 9]
        }
        _ => false,
    }
}

/// An Australian Business Number: 1 less in front, weights, modulo 89 (Australian Business
/// Register).
fn is_abn(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let sum = weighted(&found, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        found[0] > 0 && (sum - 10).is_multiple_of(89)
    })
}

/// An Australian Medicare number: first digit 2 to 6, weights 1, 3, 7, 9, and the issue behind the
/// check digit (Services Australia).
fn is_medicare(body: &[u8]) -> bool {
    up_to::<11>(body).is_some_and(|(found, length)| {
        matches!(length, 10 | 11)
            && (2..=6).contains(&found[0])
            && weighted(&found[..8], &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == u32::from(found[8])
            && found[9] > 0
    })
}

/// A New Zealand IRD number: weights modulo 11, and other weights where that gives 10 (Inland
/// Revenue, Non-resident withholding tax and RWT specification).
fn is_ird(body: &[u8]) -> bool {
    let Some((short, length)) = up_to::<9>(body).filter(|(_, length)| matches!(length, 8 | 9))
    else {
        return false;
    };
    let mut found = [0; 9];
    found[9 - length..].copy_from_slice(&short[..length]);
    let check = |weights: &[u8]| (11 - weighted(&found[..8], weights) % 11) % 11;
    let first = check(&[3, 2, 7, 6, 5, 4, 3, 2]);
    let check = if first == 10 {
        check(&[7, 4, 3, 2, 5, 2, 7, 6])
    } else {
        first
    };
    (10_000_000..150_000_000).contains(&number(&found)) && check == u32::from(found[8])
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
                    "in-aadhaar",
                    &["2341 2341 2346", "4991 1866 5246"],
                    &["2341 2341 2347", "1341 2341 2346"],
                ),
                (
                    "in-aadhaar-like",
                    &["905359722055", "2341 2341 2346"],
                    &["905359722056"],
                ),
                (
                    "in-pan",
                    &["ABCPE1234F", "AAPFU0939F"],
                    &["ABCXE1234F", "ABCPE0000F"],
                ),
                ("in-gstin", &["27AAPFU0939F1ZV"], &["27AAPFU0939F1ZW"]),
                (
                    "cn-resident-id",
                    &["11010519491231002X", "110101199003074610"],
                    &["110105194912310021", "110105194913310020"],
                ),
                (
                    "kr-rrn",
                    &["900101-1234567"],
                    &["901301-1234567", "900101-9234567"],
                ),
                ("jp-my-number", &["1234 5678 9018"], &["1234 5678 9019"]),
                (
                    "sg-nric",
                    &["S1234567D", "T0123456G", "F1234567N", "G1234567X"],
                    &["S1234567E", "A1234567D"],
                ),
                (
                    "hk-id",
                    &["A123456(3)", "C123456(9)", "AB987654(3)"],
                    &["A123456(4)"],
                ),
                ("tw-id", &["A123456789"], &["A123456788", "A323456789"]),
                (
                    "my-kad",
                    &["770101-14-5678"],
                    &["771301-14-5678", "770101-00-5678"],
                ),
                ("th-id", &["1-1014-00001-12-6"], &["1-1014-00001-12-7"]),
                ("au-tfn", &["123 456 782", "876543210"], &["123 456 783"]),
                (
                    "au-abn",
                    &["51 824 753 556", "53 004 085 616"],
                    &["51 824 753 557"],
                ),
                (
                    "au-medicare",
                    &["2123 45670 1"],
                    &["2123 45671 1", "7123 45670 1"],
                ),
                (
                    "nz-ird",
                    &["49-091-850", "136410132"],
                    &["49-091-851", "136410133"],
                ),
            ],
        );
    }
}
