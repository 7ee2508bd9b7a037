//! North and South America.

use super::{Accepts, date::is_yymmdd, mod11_low};
use crate::engine::validate::{
    checksum::luhn,
    digits::{digits, letters, number, up_to, value, weighted},
};

/// Validators for the Americas.
pub(in crate::engine::validate) static NAMED: &[(&str, Accepts)] = &[
    ("us-ssn", is_ssn),
    ("us-ssn-any", |body| {
        digits::<9>(body).is_some_and(|found| found[..3] != [0; 3])
    }),
    ("us-itin", is_itin),
    ("us-ein", is_ein),
    ("us-npi", is_npi),
    ("us-dea", is_dea),
    ("us-mbi", is_mbi),
    ("ca-sin", is_sin),
    ("br-cpf", is_cpf),
    ("br-cnpj", is_cnpj),
    ("mx-curp", is_curp),
    ("mx-rfc", is_rfc),
    ("cl-rut", is_rut),
    ("ar-cuit", is_cuit),
    ("vin", is_vin),
];

/// A Social Security number: no area 000, 666 or from 900 on, no group 00, no serial 0000
/// (<https://www.ssa.gov/employer/randomization.html>).
fn is_ssn(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        let (area, group, serial) = parts(&found);
        !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0
    })
}

fn parts(found: &[u8; 9]) -> (u64, u64, u64) {
    (
        number(&found[..3]),
        number(&found[3..5]),
        number(&found[5..]),
    )
}

/// An Individual Taxpayer Identification Number: area from 900 on and certain groups (IRS Internal
/// Revenue Manual 3.21.263).
fn is_itin(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        let (area, group, _) = parts(&found);
        area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
    })
}

/// An Employer Identification Number: its first two digits tell the office
/// (<https://www.irs.gov/businesses/small-businesses-self-employed/how-eins-are-assigned-and-valid-ein-prefixes>).
fn is_ein(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        !matches!(number(&found[..2]), 0 | 7..=9 | 17..=19 | 28 | 29 | 49 | 69 | 70 | 78 | 79 | 89 | 96 | 97)
    })
}

/// A National Provider Identifier: Luhn behind 80840 (45 CFR 162.406).
fn is_npi(body: &[u8]) -> bool {
    digits::<10>(body).is_some_and(|found| {
        let mut whole = [8, 0, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        whole[5..].copy_from_slice(&found);
        matches!(found[0], 1 | 2) && luhn(&whole)
    })
}

/// A registration of the Drug Enforcement Administration: the kind of registrant, a letter, six
/// digits and a check digit.
fn is_dea(body: &[u8]) -> bool {
    letters::<9>(body).is_some_and(|found| {
        let (head, rest) = found.split_at(2);
        let digits: [u8; 7] = std::array::from_fn(|at| value(rest[at]));
        let sum = weighted(&digits[..6], &[1, 2, 1, 2, 1, 2]);
        matches!(head[0], b'A'..=b'H' | b'J'..=b'M' | b'P'..=b'U' | b'X')
            && (head[1].is_ascii_uppercase() || head[1] == b'9')
            && rest.iter().all(u8::is_ascii_digit)
            && sum % 10 == u32::from(digits[6])
    })
}

/// A Medicare Beneficiary Identifier: eleven places of digits and letters without S, L, O, I, B, Z
/// (<https://www.cms.gov/medicare/new-medicare-card/understanding-the-mbi>).
fn is_mbi(body: &[u8]) -> bool {
    letters::<11>(body).is_some_and(|found| {
        found.iter().zip(b"1AXNAXNAANN").all(|(byte, kind)| {
            let letter = byte.is_ascii_uppercase() && !b"SLOIBZ".contains(byte);
            match kind {
                b'1' => matches!(byte, b'1'..=b'9'),
                b'N' => byte.is_ascii_digit(),
                b'A' => letter,
                _ => letter || byte.is_ascii_digit(),
            }
        })
    })
}

/// A Canadian Social Insurance Number: Luhn. Numbers with 0 in front are for fiction.
fn is_sin(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| luhn(&found) && found != [0; 9])
}

/// A Brazilian Cadastro de Pessoas Físicas: two check digits modulo 11 (Receita Federal).
fn is_cpf(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        mod11_low(&found[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) == Some(found[9])
            && mod11_low(&found[..10], &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == Some(found[10])
            && found.iter().any(|digit| *digit != found[0])
    })
}

/// A Brazilian Cadastro Nacional da Pessoa Jurídica: two check digits modulo 11. Since July 2026
/// its first twelve places may be letters, which count by their ASCII code less 48 (Receita
/// Federal, IN RFB 2.229/2024).
fn is_cnpj(body: &[u8]) -> bool {
    const WEIGHTS: [u8; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];

    letters::<14>(body).is_some_and(|found| {
        let values: [u8; 14] = std::array::from_fn(|at| found[at] - b'0');
        found[12].is_ascii_digit()
            && found[13].is_ascii_digit()
            && mod11_low(&values[..12], &WEIGHTS[1..]) == Some(values[12])
            && mod11_low(&values[..13], &WEIGHTS) == Some(values[13])
            && found.iter().any(|byte| *byte != found[0])
    })
}

/// A Mexican Clave Única de Registro de Población: letters of the name, the day of birth, sex, state
/// and a check digit (RENAPO, Instructivo normativo).
fn is_curp(body: &[u8]) -> bool {
    const STATES: &[u8] = b"ASBCBSCCCLCMCSCHDFDGGTGRHGJCMCMNMSNTNLOCPLQTQRSPSLSRTCTSTLVZYNZSNE";

    letters::<18>(body).is_some_and(|found| {
        let code = |byte: u8| match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'N' => u32::from(byte - b'A') + 10,
            // Ñ has 24.
            _ => u32::from(byte - b'A') + 11,
        };
        let sum: u32 = found[..17]
            .iter()
            .zip((2..=18).rev())
            .map(|(byte, weight)| code(*byte) * weight)
            .sum();
        let date: [u8; 6] = std::array::from_fn(|at| value(found[4 + at]));
        found[..4].iter().all(u8::is_ascii_uppercase)
            && found[4..10].iter().all(u8::is_ascii_digit)
            && is_yymmdd(&date)
            && matches!(found[10], b'H' | b'M' | b'X')
            && STATES.chunks(2).any(|state| state == &found[11..13])
            && found[13..16].iter().all(u8::is_ascii_uppercase)
            && found[17].is_ascii_digit()
            && (10 - sum % 10) % 10 == u32::from(value(found[17]))
    })
}

/// A Mexican Registro Federal de Contribuyentes: three or four letters, a day, three more places
/// (SAT). Its last place checks, but many that are in use were given out without.
fn is_rfc(body: &[u8]) -> bool {
    let Some(head) = body
        .len()
        .checked_sub(9)
        .filter(|head| matches!(head, 3 | 4))
    else {
        return false;
    };
    let date: [u8; 6] = std::array::from_fn(|at| value(body[head + at]));
    body[..head]
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || *byte == b'&')
        && body[head..head + 6].iter().all(u8::is_ascii_digit)
        && is_yymmdd(&date)
        && body[head + 6..]
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && matches!(body[head + 8], b'0'..=b'9' | b'A')
}

/// A Chilean Rol Único Tributario: weights 2 to 7 from the right, modulo 11, `K` for 10 (Servicio de
/// Impuestos Internos).
fn is_rut(body: &[u8]) -> bool {
    let Some((check, rest)) = body.split_last() else {
        return false;
    };
    let Some((found, length)) = up_to::<8>(rest).filter(|(_, length)| matches!(length, 7 | 8))
    else {
        return false;
    };
    let sum: u32 = found[..length]
        .iter()
        .rev()
        .zip([2u32, 3, 4, 5, 6, 7, 2, 3])
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum();
    let expected = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        digit => b'0' + u8::try_from(digit).unwrap_or_default(),
    };
    check.to_ascii_uppercase() == expected && found != [0; 8]
}

/// An Argentine CUIT or CUIL: the kind of person, weights modulo 11 (AFIP).
fn is_cuit(body: &[u8]) -> bool {
    digits::<11>(body).is_some_and(|found| {
        let rest = weighted(&found[..10], &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        let check = match rest {
            0 => 0,
            1 => 9,
            rest => 11 - rest,
        };
        matches!(
            number(&found[..2]),
            20 | 23 | 24 | 25 | 26 | 27 | 30 | 33 | 34
        ) && check == u32::from(found[10])
    })
}

/// A Vehicle Identification Number with its check digit (49 CFR 565.15): no I, O, Q, and four
/// digits at the end.
fn is_vin(body: &[u8]) -> bool {
    const WEIGHTS: [u8; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];

    if body.len() != 17 {
        return false;
    }
    let mut sum = 0;
    for (byte, weight) in body.iter().zip(WEIGHTS) {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'H' => byte - b'A' + 1,
            b'J'..=b'N' => byte - b'J' + 1,
            b'P' => 7,
            b'R' => 9,
            b'S'..=b'Z' => byte - b'S' + 2,
            _ => return false,
        };
        sum += u32::from(value) * u32::from(weight);
    }
    let check = match sum % 11 {
        10 => b'X',
        digit => b'0' + u8::try_from(digit).unwrap_or_default(),
    };
    body[8] == check
        && body[13..].iter().all(u8::is_ascii_digit)
        && body.iter().filter(|byte| byte.is_ascii_uppercase()).count() >= 3
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
                    "us-ssn",
                    &["123-45-6789", "078 05 1120", "219099999"],
                    &[
                        "000-12-3456",
                        "666-12-3456",
                        "900-12-3456",
                        "123-00-4567",
                        "123-45-0000",
                        "12-345-678",
                    ],
                ),
                ("us-ssn-any", &["666-12-3456"], &["000-12-3456"]),
                (
                    "us-itin",
                    &["912-70-1234", "900701234"],
                    &["912-69-1234", "812-70-1234"],
                ),
                ("us-ein", &["12-3456789"], &["07-1234567"]),
                (
                    "us-npi",
                    &["1234567893", "1245319599"],
                    &["1234567890", "3234567893"],
                ),
                (
                    "us-dea",
                    &["AB1234563", "F91234563"],
                    &["AB1234567", "IB1234563"],
                ),
                (
                    "us-mbi",
                    &["1EG4-TE5-MK73", "1EG4TE5MK73"],
                    &["0EG4-TE5-MK73", "1SG4-TE5-MK73"],
                ),
                ("ca-sin", &["046 454 286", "130-692-544"], &["046 454 287"]),
                (
                    "br-cpf",
                    &["529.982.247-25", "52998224725"],
                    &["529.982.247-26", "111.111.111-11"],
                ),
                (
                    "br-cnpj",
                    &["11.222.333/0001-81", "12ABC34501DE35"],
                    &["11.222.333/0001-82", "00000000000000"],
                ),
                (
                    "mx-curp",
                    &["BOXW310820HNERXN09", "HEGG560427MVZRRL04"],
                    &["HEGG560427MVZRRL05", "HEGG561327MVZRRL04"],
                ),
                (
                    "mx-rfc",
                    &["GODE561231GR8", "ABC680524P76"],
                    &["GODE561331GR8", "GODE561231GRX"],
                ),
                (
                    "cl-rut",
                    &["12.345.678-5", "12345678-5", "7775704-K"],
                    &["12.345.678-6"],
                ),
                (
                    "ar-cuit",
                    &["20-12345678-6"],
                    &["20-12345678-5", "21-12345678-6"],
                ),
                (
                    "vin",
                    &["1HGCM82633A004352", "1M8GDM9AXKP042788"],
                    &[
                        "1HGCM82633A004353",
                        "1M8GDM9A1KP042788",
                        "11111111111111111",
                    ],
                ),
            ],
        );
    }
}
