//! Western, southern and eastern Europe.

use super::{
    Accepts,
    date::{is_ddmmyy, is_short_day, is_yymmdd, two},
    is_mod11, is_mod11_low,
};
use crate::engine::validate::{
    checksum::{luhn, mod11_10},
    digits::{digits, letters, number, up_to, value, weighted},
};

/// Validators for these countries.
pub(in crate::engine::validate) static NAMED: &[(&str, Accepts)] = &[
    ("gb-nino", is_nino),
    ("gb-nhs", is_nhs),
    ("gb-utr", is_utr),
    ("gb-driving-licence", is_gb_licence),
    ("ie-pps", is_pps),
    ("de-tax-id", is_steuer_id),
    ("de-id-card", is_personalausweis),
    ("fr-nir", is_nir),
    ("fr-siren", |body| {
        digits::<9>(body).is_some_and(|found| luhn(&found) && found[0] > 0)
    }),
    ("fr-siret", is_siret),
    ("it-codice-fiscale", is_codice_fiscale),
    ("it-partita-iva", |body| {
        digits::<11>(body).is_some_and(|found| luhn(&found) && found != [0; 11])
    }),
    ("es-dni", is_dni),
    ("es-nie", is_nie),
    ("pt-nif", is_nif),
    ("nl-bsn", is_bsn),
    ("be-rrn", is_rrn),
    ("ch-ahv", is_ahv),
    ("at-svnr", is_svnr),
    ("pl-pesel", is_pesel),
    ("pl-nip", is_nip),
    ("pl-regon", is_regon),
    ("cz-birth-number", is_birth_number),
    ("bg-egn", is_egn),
    ("ro-cnp", is_cnp),
    ("hr-oib", |body| {
        digits::<11>(body).is_some_and(|found| mod11_10(&found))
    }),
    ("gr-amka", |body| {
        digits::<11>(body).is_some_and(|found| luhn(&found) && is_ddmmyy(&found))
    }),
    ("gr-afm", is_afm),
    ("tr-tckn", is_tckn),
    ("za-id", is_za_id),
    ("il-id", |body| {
        digits::<9>(body).is_some_and(|found| luhn(&found) && found != [0; 9])
    }),
];

/// A British National Insurance number (HMRC NIM39110). The office's own example begins with QQ,
/// and people use it in examples of theirs.
fn is_nino(body: &[u8]) -> bool {
    letters::<9>(body).is_some_and(|found| {
        let (first, second) = (found[0], found[1]);
        let pair = [first, second];
        let letters = first.is_ascii_uppercase()
            && second.is_ascii_uppercase()
            && !b"DFIQUV".contains(&first)
            && !b"DFIOQUV".contains(&second)
            && ![*b"BG", *b"GB", *b"NK", *b"KN", *b"TN", *b"NT", *b"ZZ"].contains(&pair);
        let suffix = matches!(found[8], b'A'..=b'D');
        // `ZZ 12 34 56 T` is how a widespread maker of test data writes them.
        ((letters || pair == *b"QQ") && suffix || pair == *b"ZZ" && found[8] == b'T')
            && found[2..8].iter().all(u8::is_ascii_digit)
    })
}

/// A number of the National Health Service in England (NHS Data Dictionary): modulo 11.
fn is_nhs(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        is_mod11(&found, &[10, 9, 8, 7, 6, 5, 4, 3, 2])
            && found.iter().any(|digit| *digit != found[0])
    })
}

/// A British Unique Taxpayer Reference: the first digit checks the others (HMRC).
fn is_utr(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        let rest = weighted(&found[1..], &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
        [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1].get(usize::try_from(rest).unwrap_or_default())
            == Some(&found[0])
    })
}

/// A British driving licence (DVLA): five places of the surname, the day of birth spread over six
/// digits, initials, and three more places.
fn is_gb_licence(body: &[u8]) -> bool {
    let Some(found) = body.first_chunk::<16>() else {
        return false;
    };
    let letter = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'9';
    let date: [u8; 6] = std::array::from_fn(|at| value(found[5 + at]));
    let month = two(&date, 1) % 50;
    found[..5].iter().all(letter)
        && found[0] != b'9'
        && found[5..11].iter().all(u8::is_ascii_digit)
        && (1..=12).contains(&month)
        && (1..=31).contains(&two(&date, 3))
        && found[11..13].iter().all(letter)
        && (found[13].is_ascii_digit() || found[13].is_ascii_uppercase())
        && found[14..].iter().all(u8::is_ascii_uppercase)
}

/// An Irish Personal Public Service number: modulo 23, with the second letter at weight 9
/// (Department of Social Protection).
fn is_pps(body: &[u8]) -> bool {
    let Some((head, tail)) = body.split_first_chunk::<7>() else {
        return false;
    };
    let letter = |byte: u8| u32::from(byte.to_ascii_uppercase().wrapping_sub(b'A')) + 1;
    let (check, second) = match tail {
        [check] => (*check, 0),
        [check, b'W' | b'w'] => (*check, 0),
        [check, second] if second.is_ascii_alphabetic() => (*check, letter(*second)),
        _ => return false,
    };
    let Some(found) = digits::<7>(head) else {
        return false;
    };
    check.is_ascii_alphabetic()
        && (weighted(&found, &[8, 7, 6, 5, 4, 3, 2]) + 9 * second) % 23 == letter(check) % 23
        && letter(check) <= 23
}

/// A German tax identification number (§ 139b AO): ISO/IEC 7064 MOD 11,10; of its first ten digits
/// one is there twice or three times.
fn is_steuer_id(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let mut counts = [0u8; 10];
        found[..10]
            .iter()
            .for_each(|digit| counts[usize::from(*digit)] += 1);
        let doubled = counts.iter().filter(|count| **count > 1).count();
        found[0] != 0 && doubled == 1 && counts.iter().all(|count| *count <= 3) && mod11_10(&found)
    })
}

/// A German identity card or passport with its check digit: weights 7, 3, 1 (ICAO Doc 9303-3 §4.9),
/// over digits and some consonants.
fn is_personalausweis(body: &[u8]) -> bool {
    letters::<10>(body).is_some_and(|found| {
        let sum: u32 = found[..9]
            .iter()
            .zip([7u32, 3, 1].into_iter().cycle())
            .map(|(byte, weight)| {
                let value = if byte.is_ascii_digit() {
                    byte - b'0'
                } else {
                    byte - b'A' + 10
                };
                u32::from(value) * weight
            })
            .sum();
        b"CFGHJKLMNPRTVWXYZ".contains(&found[0])
            && found[..9]
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"CFGHJKLMNPRTVWXYZ".contains(byte))
            && found[9].is_ascii_digit()
            && sum % 10 == u32::from(found[9] - b'0')
    })
}

/// A French Numéro d'inscription au répertoire (INSEE): sex, year, month, place of birth, and 97
/// less the remainder by 97. In Corsica, 2A counts as 19 and 2B as 18.
fn is_nir(body: &[u8]) -> bool {
    letters::<15>(body).is_some_and(|mut found| {
        match (found[5], found[6]) {
            (b'2', b'A') => (found[5], found[6]) = (b'1', b'9'),
            (b'2', b'B') => (found[5], found[6]) = (b'1', b'8'),
            _ => {}
        }
        let digits: [u8; 15] = std::array::from_fn(|at| value(found[at]));
        let month = two(&digits, 3);
        found.iter().all(u8::is_ascii_digit)
            && matches!(digits[0], 1 | 2)
            && matches!(month, 1..=12 | 20..=42)
            // Without its groups, the rarer months are left to chance.
            && (month <= 12 || body.len() > 15)
            && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
    })
}

/// A French SIRET: a company's nine digits and five more (INSEE). Luhn over all of them.
fn is_siret(body: &[u8]) -> bool {
    digits::<14>(body).is_some_and(|found| {
        // The postal service had too many branches for Luhn: their digits add up to a multiple of 5.
        let post = found.starts_with(&[3, 5, 6, 0, 0, 0, 0, 0, 0]);
        let sum: u32 = found.iter().map(|digit| u32::from(*digit)).sum();
        found[0] > 0 && (luhn(&found) || (post && sum.is_multiple_of(5)))
    })
}

/// An Italian codice fiscale (Decreto ministeriale 23/12/1976): letters of the name, year, month and
/// day, place, check letter. Digits may be written as letters where two persons would have the same.
fn is_codice_fiscale(body: &[u8]) -> bool {
    const ODD: [u8; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    const OMOCODES: &[u8; 10] = b"LMNPQRSTUV";

    letters::<16>(body).is_some_and(|found| {
        let digit = |byte: u8| {
            let letter = OMOCODES.iter().position(|letter| *letter == byte);
            if byte.is_ascii_digit() {
                Some(byte - b'0')
            } else {
                letter.and_then(|at| u8::try_from(at).ok())
            }
        };
        let sum: u32 = found[..15]
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                let value = if byte.is_ascii_digit() {
                    byte - b'0'
                } else {
                    byte - b'A'
                };
                u32::from(if at % 2 == 0 {
                    ODD[usize::from(value)]
                } else {
                    value
                })
            })
            .sum();
        let day = digit(found[9])
            .zip(digit(found[10]))
            .map(|(tens, ones)| (tens * 10 + ones) % 40);
        found[..6].iter().all(u8::is_ascii_uppercase)
            && digit(found[6]).is_some()
            && digit(found[7]).is_some()
            && b"ABCDEHLMPRST".contains(&found[8])
            && day.is_some_and(|day| (1..=31).contains(&day))
            && found[11].is_ascii_uppercase()
            && found[12..15].iter().all(|byte| digit(*byte).is_some())
            && u32::from(found[15].wrapping_sub(b'A')) == sum % 26
    })
}

/// The letters of Spanish identity numbers, by the remainder by 23 (Ministerio del Interior).
const DNI: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn is_dni(body: &[u8]) -> bool {
    letters::<9>(body).is_some_and(|found| {
        digits::<8>(&found[..8]).is_some_and(|digits| dni_letter(number(&digits)) == Some(found[8]))
    })
}

/// For foreigners: X, Y or Z stands for a 0, 1 or 2.
fn is_nie(body: &[u8]) -> bool {
    letters::<9>(body).is_some_and(|mut found| {
        let foreign = matches!(found[0], b'X'..=b'Z');
        found[0] = found[0].wrapping_sub(b'X').wrapping_add(b'0');
        foreign && is_dni(&found)
    })
}

fn dni_letter(number: u64) -> Option<u8> {
    DNI.get(usize::try_from(number % 23).ok()?).copied()
}

/// A Portuguese Número de identificação fiscal: modulo 11 (Autoridade Tributária).
fn is_nif(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        matches!(found[0], 1..=3 | 5 | 6 | 8 | 9) && is_mod11_low(&found, &[9, 8, 7, 6, 5, 4, 3, 2])
    })
}

/// A Dutch Burgerservicenummer: the eleven test (Rijksdienst voor Identiteitsgegevens).
fn is_bsn(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        weighted(&found[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 == u32::from(found[8])
            && found != [0; 9]
    })
}

/// A Belgian Rijksregisternummer: a day of birth, a counter, and 97 less the remainder by 97, with
/// a 2 in front for those born since 2000.
fn is_rrn(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let (head, check) = (number(&found[..9]), number(&found[9..]));
        // Months from 21 or 41 on are for those who are not residents.
        let (month, day) = (two(&found, 2) % 20, two(&found, 4));
        (month == 0 || is_short_day(two(&found, 0), month, day.max(1)))
            && day <= 31
            && (97 - head % 97 == check || 97 - (2_000_000_000 + head) % 97 == check)
    })
}

/// A Swiss AHV number: an EAN-13 of the country 756 (Zentrale Ausgleichsstelle).
fn is_ahv(body: &[u8]) -> bool {
    digits::<13>(body).is_some_and(|found| {
        found.starts_with(&[7, 5, 6])
            && weighted(&found, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
    })
}

/// An Austrian Sozialversicherungsnummer: a counter, a check digit and the day of birth
/// (Dachverband der Sozialversicherungsträger).
fn is_svnr(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        let month = two(&found, 6);
        found[0] > 0
            && weighted(&found, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == u32::from(found[3])
            && (is_ddmmyy(&found[4..]) || matches!(month, 13..=15))
    })
}

/// A Polish PESEL: the century is in the month; weights 1, 3, 7, 9 (Ministerstwo Cyfryzacji).
fn is_pesel(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        is_short_day(two(&found, 0), two(&found, 2) % 20, two(&found, 4))
            && weighted(&found, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
    })
}

/// A Polish Numer identyfikacji podatkowej: modulo 11.
fn is_nip(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        weighted(&found[..9], &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == u32::from(found[9])
            && found[0] > 0
    })
}

/// A Polish REGON of nine digits: modulo 11, 10 as 0 (Główny Urząd Statystyczny).
fn is_regon(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        weighted(&found[..8], &[8, 9, 2, 3, 4, 5, 6, 7]) % 11 % 10 == u32::from(found[8])
            && found != [0; 9]
    })
}

/// A Czech or Slovak rodné číslo: a day of birth, with 50 on the month of women and 20 more where
/// numbers ran out, and a whole that 11 divides (zákon č. 133/2000 Sb.).
fn is_birth_number(body: &[u8]) -> bool {
    let Some((found, length)) = up_to::<10>(body).filter(|(_, length)| *length >= 9) else {
        return false;
    };
    let month = two(&found, 2) % 50;
    let month = if month > 20 { month - 20 } else { month };
    let head = number(&found[..9]) % 11;
    // Until 1953 there were nine digits and no check digit.
    let checks = match length {
        9 => two(&found, 0) < 54,
        _ => number(&found).is_multiple_of(11) || (head == 10 && found[9] == 0),
    };
    is_short_day(two(&found, 0), month, two(&found, 4)) && checks
}

/// A Bulgarian ЕГН: the century is in the month; weights by powers of 2 modulo 11 (ГРАО).
fn is_egn(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        is_short_day(two(&found, 0), two(&found, 2) % 20, two(&found, 4))
            && two(&found, 2) <= 52
            && weighted(&found[..9], &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == u32::from(found[9])
    })
}

/// A Romanian Cod Numeric Personal: sex and century, day, county, modulo 11 with 10 as 1.
fn is_cnp(body: &[u8]) -> bool {
    digits::<13>(body).is_some_and(|found| {
        let rest = weighted(&found[..12], &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
        found[0] > 0
            && is_yymmdd(&found[1..])
            && matches!(two(&found, 7), 1..=52 | 70)
            && (if rest == 10 { 1 } else { rest }) == u32::from(found[12])
    })
}

/// A Greek Αριθμός Φορολογικού Μητρώου: powers of 2, modulo 11, modulo 10.
fn is_afm(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        let sum: u32 = found[..8]
            .iter()
            .zip((1..=8).rev())
            .map(|(digit, power)| u32::from(*digit) << power)
            .sum();
        sum % 11 % 10 == u32::from(found[8]) && found != [0; 9]
    })
}

/// A Turkish T.C. Kimlik No: two check digits (Nüfus ve Vatandaşlık İşleri).
fn is_tckn(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let odd = weighted(&found[..9], &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
        let even = weighted(&found[..8], &[0, 1, 0, 1, 0, 1, 0, 1]);
        let all: u32 = found[..10].iter().map(|digit| u32::from(*digit)).sum();
        found[0] > 0
            && (odd * 7 + 90 - even) % 10 == u32::from(found[9])
            && all % 10 == u32::from(found[10])
    })
}

/// A South African identity number: day, counter, citizenship, Luhn (Department of Home Affairs).
fn is_za_id(body: &[u8]) -> bool {
    digits::<13>(body).is_some_and(|found| {
        is_yymmdd(&found) && found[10] <= 2 && matches!(found[11], 8 | 9) && luhn(&found)
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
                    "gb-nino",
                    &["AB123456C", "AB 12 34 56 C", "QQ123456C"],
                    &["GB123456C", "AB123456E", "DA123456A", "AO123456A"],
                ),
                (
                    "gb-nhs",
                    &["943 476 5919", "9434765919", "4010232137"],
                    &["943 476 5918", "1111111112"],
                ),
                ("gb-utr", &["1955839661"], &["2955839661"]),
                (
                    "gb-driving-licence",
                    &["MORGA657054SM9IJ", "MORGA753116SM9IJ"],
                    &["MORGA694054SM9IJ", "9ORGA657054SM9IJ"],
                ),
                (
                    "ie-pps",
                    &["1234567T", "1234567FA", "1234567TW"],
                    &["1234567A", "1234567TWX"],
                ),
                (
                    "de-tax-id",
                    &["86 095 742 719", "65929970489"],
                    &["86095742718", "12345678912"],
                ),
                (
                    "de-id-card",
                    &["T220001293", "L01X00T471"],
                    &["T220001294", "A220001293"],
                ),
                (
                    "fr-nir",
                    &["2 55 08 14 168 025 38", "185052A00608435"],
                    &["2 55 08 14 168 025 39"],
                ),
                ("fr-siren", &["732 829 320"], &["732 829 321"]),
                (
                    "fr-siret",
                    &["732 829 320 00074", "35600000049837"],
                    &["732 829 320 00075"],
                ),
                (
                    "it-codice-fiscale",
                    &["RSSMRA85T10A562S", "MRTMTT25D09F205Z"],
                    &["RSSMRA85T10A562T", "RSSMRA85T50A5621"],
                ),
                ("it-partita-iva", &["00743110157"], &["00743110158"]),
                (
                    "es-dni",
                    &["12345678Z", "12345678-Z", "54362315K"],
                    &["12345678A", "X2345678Z"],
                ),
                (
                    "es-nie",
                    &["X1234567L", "Z8327649K"],
                    &["X1234567M", "A1234567L"],
                ),
                (
                    "pt-nif",
                    &["501442600", "123456789"],
                    &["501442601", "401442600"],
                ),
                ("nl-bsn", &["111222333", "123456782"], &["111222334"]),
                (
                    "be-rrn",
                    &["85.07.30-033.28", "17073003384"],
                    &["85.07.30-033.29", "85.13.30-033.28"],
                ),
                (
                    "ch-ahv",
                    &["756.9217.0769.85"],
                    &["756.9217.0769.84", "757.9217.0769.85"],
                ),
                ("at-svnr", &["1237 010180"], &["1238 010180", "1237 320180"]),
                (
                    "pl-pesel",
                    &["44051401359", "02070803628"],
                    &["44051401358", "44132401359"],
                ),
                (
                    "pl-nip",
                    &["123-456-32-18", "5260001246"],
                    &["123-456-32-19"],
                ),
                ("pl-regon", &["123456785"], &["123456786"]),
                (
                    "cz-birth-number",
                    &["736028/5163", "7103192745"],
                    &["736028/5164", "991328/1111"],
                ),
                ("bg-egn", &["7523169263", "8032056031"], &["7523169264"]),
                (
                    "ro-cnp",
                    &["1800101221144"],
                    &["1800101221145", "1801301221144"],
                ),
                ("hr-oib", &["33392005961"], &["33392005962"]),
                ("gr-amka", &["01013099997"], &["01013099998", "32013099997"]),
                ("gr-afm", &["094259216"], &["094259217"]),
                ("tr-tckn", &["10000000146"], &["10000000147"]),
                (
                    "za-id",
                    &["8001015009087"],
                    &["8001015009088", "8013015009087"],
                ),
                ("il-id", &["123456782"], &["123456783"]),
            ],
        );
    }
}
