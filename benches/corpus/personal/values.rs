//! Made-up values with the check digits of real ones.
//!
//! The check digits are computed here from their public definitions, apart from the engine's own, so that
//! the two hold each other.

use crate::corpus::{form::fill, random::Random};

fn digits(text: &str) -> Vec<u32> {
    text.chars()
        .filter_map(|letter| letter.to_digit(36))
        .collect()
}

fn weighted(text: &str, weights: &[u32]) -> u32 {
    digits(text)
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

pub(super) fn spaced(text: &str, every: usize, by: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let groups: Vec<String> = letters
        .chunks(every)
        .map(|group| group.iter().collect())
        .collect();
    groups.join(by)
}

/// The remainder of a long decimal number.
fn remainder(number: &str, by: u64) -> u64 {
    number
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % by)
}

/// Tries until a check says that it is right.
fn until(mut next: impl FnMut() -> Option<String>) -> String {
    loop {
        if let Some(found) = next() {
            return found;
        }
    }
}

pub(super) fn date(random: &mut Random, order: &str) -> String {
    order
        .chars()
        .map(|part| match part {
            'd' => format!("{:02}", random.within(1, 28)),
            'm' => format!("{:02}", random.within(1, 12)),
            'Y' => random.within(1941, 1999).to_string(),
            _ => random.within(41, 99).to_string(),
        })
        .collect()
}

/// ISO/IEC 7812-1, annex B.
pub(super) fn with_luhn(body: &str) -> String {
    let sum: u32 = digits(body)
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, double) if double > 9 => double - 9,
            (0, double) => double,
            _ => *digit,
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

pub(super) fn card(random: &mut Random) -> String {
    let (start, length) = [
        ("4", 16),
        ("51", 16),
        ("55", 16),
        ("2221", 16),
        ("34", 15),
        ("37", 15),
        ("6011", 16),
        ("3530", 16),
    ][random.below(8)];
    let body = random.digits(length - 1 - start.len());
    with_luhn(&format!("{start}{body}"))
}

pub(super) fn card_spaced(random: &mut Random) -> String {
    let by = random.pick(&[" ", "-"]);
    let body = format!("{}{}", random.pick(&["4", "5"]), random.digits(14));
    // All numbers that begin with 51 to 55 belong to one network; 50 and 56 to 59 do not.
    let body = if body.starts_with('5') {
        format!("53{}", &body[2..])
    } else {
        body
    };
    spaced(&with_luhn(&body), 4, by)
}

/// ISO 13616.
pub(super) fn iban(random: &mut Random) -> String {
    let (country, form) = [
        ("DE", "{d18}"),
        ("GB", "{BARC|NWBK|MIDL}{d14}"),
        ("FR", "{d20}{U1}{d2}"),
        ("NL", "{ABNA|INGB|RABO}{d10}"),
        ("ES", "{d20}"),
        ("IT", "{u1}{d22}"),
        ("AT", "{d16}"),
        ("BE", "{d12}"),
        ("CH", "{d17}"),
        ("PL", "{d24}"),
    ][random.below(10)];
    let body = fill(form, random);
    let number: String = digits(&format!("{body}{country}00"))
        .iter()
        .map(u32::to_string)
        .collect();
    format!("{country}{:02}{body}", 98 - remainder(&number, 97))
}

/// ABA: weights 3, 7, 1.
pub(super) fn routing(random: &mut Random) -> String {
    until(|| {
        let number = format!(
            "{}{}",
            random.pick(&["02", "11", "12", "26", "32"]),
            random.digits(7)
        );
        weighted(&number, &[3, 7, 1, 3, 7, 1, 3, 7, 1])
            .is_multiple_of(10)
            .then_some(number)
    })
}

/// Areas 001 to 899 without 666, no group 00, no serial 0000.
pub(super) fn ssn(random: &mut Random) -> String {
    let area = [random.within(1, 665), random.within(667, 899)][random.below(2)];
    format!(
        "{area:03}-{:02}-{:04}",
        random.within(1, 99),
        random.within(1, 9999)
    )
}

pub(super) fn npi(random: &mut Random) -> String {
    let body = format!("{}{}", random.pick(&["1", "2"]), random.digits(8));
    with_luhn(&format!("80840{body}"))[5..].to_owned()
}

pub(super) fn dea(random: &mut Random) -> String {
    let body = random.digits(6);
    let sum = weighted(&body, &[1, 2, 1, 2, 1, 2]);
    format!(
        "{}{}{body}{}",
        random.pick(&["A", "B", "F", "M"]),
        random.text("ABCDEFGHJKLMNP", 1),
        sum % 10
    )
}

pub(super) fn sin(random: &mut Random) -> String {
    let number = with_luhn(&format!(
        "{}{}",
        random.pick(&["1", "2", "4", "5", "7"]),
        random.digits(7)
    ));
    let by = random.pick(&[" ", "-"]);
    spaced(&number, 3, by)
}

pub(super) fn nhs(random: &mut Random) -> String {
    until(|| {
        let body = random.number(9);
        let check = 11 - weighted(&body, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        let number = format!("{body}{}", if check == 11 { 0 } else { check });
        (check != 10).then(|| format!("{} {} {}", &number[..3], &number[3..6], &number[6..]))
    })
}

/// ISO/IEC 7064 MOD 11,10.
pub(super) fn mod_11_10(body: &str) -> String {
    let product = digits(body).iter().fold(10, |product, digit| {
        let sum = match (digit + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    format!("{body}{}", (11 - product) % 10)
}

/// Of its first ten digits exactly one stands twice, and one is missing.
pub(super) fn steuer_id(random: &mut Random) -> String {
    let mut all: Vec<u32> = (0..10).collect();
    for place in (1..10).rev() {
        all.swap(place, random.below(place + 1));
    }
    let (from, to) = (random.below(9), 9);
    all[to] = all[from];
    if all[0] == 0 {
        all.swap(0, 1);
    }
    mod_11_10(&all.iter().map(u32::to_string).collect::<String>())
}

pub(super) fn nir(random: &mut Random) -> String {
    let body = format!(
        "{}{:02}{:02}{}{}{}",
        random.within(1, 2),
        random.within(41, 99),
        random.within(1, 12),
        random.pick(&["13", "33", "59", "69", "75"]),
        random.digits(3),
        random.digits(3)
    );
    format!("{body}{:02}", 97 - remainder(&body, 97))
}

pub(super) fn codice_fiscale(random: &mut Random) -> String {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3,
        6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let body = format!(
        "{}{}{}{}{}{}",
        random.text("BCDFGLMNPRSTVZ", 6),
        date(random, "y"),
        random.text("ABCDEHLMPRST", 1),
        date(random, "d"),
        random.pick(&["F205", "H501", "L219"]),
        ""
    );
    let sum: u32 = digits(&body)
        .iter()
        .enumerate()
        .map(|(place, value)| match place % 2 {
            0 => ODD[*value as usize],
            _ if *value > 9 => value - 10,
            _ => *value,
        })
        .sum();
    format!("{body}{}", letter(sum % 26))
}

fn letter(number: u32) -> char {
    char::from(b'A' + u8::try_from(number % 26).unwrap_or_default())
}

fn dni_letter(number: u64) -> char {
    char::from(b"TRWAGMYFPDXBNJZSQVHLCKE"[usize::try_from(number % 23).unwrap_or_default()])
}

pub(super) fn dni(random: &mut Random) -> String {
    let number = random.number(8);
    format!("{number}{}", dni_letter(remainder(&number, 23)))
}

pub(super) fn nie(random: &mut Random) -> String {
    let (which, body) = (random.below(3), random.digits(7));
    let number = format!("{which}{body}");
    format!(
        "{}{body}{}",
        ["X", "Y", "Z"][which],
        dni_letter(remainder(&number, 23))
    )
}

pub(super) fn nif(random: &mut Random) -> String {
    let body = format!("{}{}", random.pick(&["1", "2", "5"]), random.digits(7));
    let check = 11 - weighted(&body, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    format!("{body}{}", if check > 9 { 0 } else { check })
}

pub(super) fn bsn(random: &mut Random) -> String {
    until(|| {
        let body = random.number(8);
        let check = weighted(&body, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        (check < 10).then(|| format!("{body}{check}"))
    })
}

pub(super) fn rrn(random: &mut Random) -> String {
    let (day, serial) = (date(random, "ymd"), random.within(1, 997));
    let check = 97 - remainder(&format!("{day}{serial:03}"), 97);
    format!(
        "{}.{}.{}-{serial:03}.{check:02}",
        &day[..2],
        &day[2..4],
        &day[4..]
    )
}

/// EAN-13 under 756.
pub(super) fn ahv(random: &mut Random) -> String {
    let body = format!("756{}", random.digits(9));
    let sum = weighted(&body, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
    let number = format!("{body}{}", (10 - sum % 10) % 10);
    format!(
        "{}.{}.{}.{}",
        &number[..3],
        &number[3..7],
        &number[7..11],
        &number[11..]
    )
}

pub(super) fn pesel(random: &mut Random) -> String {
    let body = format!("{}{}", date(random, "ymd"), random.digits(4));
    let sum = weighted(&body, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    format!("{body}{}", (10 - sum % 10) % 10)
}

pub(super) fn rodne_cislo(random: &mut Random) -> String {
    until(|| {
        let body = format!("{}{}", date(random, "ymd"), random.digits(3));
        let check = remainder(&body, 11);
        (check < 10).then(|| format!("{}/{}{check}", &body[..6], &body[6..]))
    })
}

pub(super) fn personnummer(random: &mut Random) -> String {
    let number = with_luhn(&format!("{}{}", date(random, "ymd"), random.digits(3)));
    format!("{}-{}", &number[..6], &number[6..])
}

pub(super) fn fodselsnummer(random: &mut Random) -> String {
    until(|| {
        let body = format!("{}{}", date(random, "dmy"), random.digits(3));
        let first = 11 - weighted(&body, &[3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11;
        let body = format!("{body}{}", first % 11);
        let second = 11 - weighted(&body, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        (first != 10 && second != 10).then(|| format!("{body}{}", second % 11))
    })
}

pub(super) fn hetu(random: &mut Random) -> String {
    let (day, serial) = (date(random, "dmy"), random.within(2, 899));
    let check = remainder(&format!("{day}{serial:03}"), 31);
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY"[usize::try_from(check).unwrap_or_default()];
    format!("{day}-{serial:03}{}", char::from(check))
}

pub(super) fn tckn(random: &mut Random) -> String {
    let body = random.number(9);
    let all = digits(&body);
    let odd: u32 = all.iter().step_by(2).sum();
    let even: u32 = all.iter().skip(1).step_by(2).sum();
    let tenth = (odd * 7 + 80 - even) % 10;
    format!("{body}{tenth}{}", (odd + even + tenth) % 10)
}

pub(super) fn cnp(random: &mut Random) -> String {
    let body = format!(
        "{}{}{}{}",
        random.within(1, 2),
        date(random, "ymd"),
        random.pick(&["12", "22", "40"]),
        random.digits(3)
    );
    let check = weighted(&body, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    format!("{body}{}", if check == 10 { 1 } else { check })
}

pub(super) fn egn(random: &mut Random) -> String {
    let body = format!("{}{}", date(random, "ymd"), random.digits(3));
    format!(
        "{body}{}",
        weighted(&body, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10
    )
}

fn mod_11(body: &str, weights: &[u32]) -> u32 {
    match weighted(body, weights) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    }
}

pub(super) fn cpf(random: &mut Random) -> String {
    let body = random.digits(9);
    let body = format!("{body}{}", mod_11(&body, &[10, 9, 8, 7, 6, 5, 4, 3, 2]));
    let all = format!("{body}{}", mod_11(&body, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]));
    format!("{}.{}.{}-{}", &all[..3], &all[3..6], &all[6..9], &all[9..])
}

pub(super) fn cnpj(random: &mut Random) -> String {
    let body = format!("{}0001", random.digits(8));
    let body = format!(
        "{body}{}",
        mod_11(&body, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
    );
    let all = format!(
        "{body}{}",
        mod_11(&body, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
    );
    format!(
        "{}.{}.{}/{}-{}",
        &all[..2],
        &all[2..5],
        &all[5..8],
        &all[8..12],
        &all[12..]
    )
}

/// Verhoeff 1969, in the dihedral group of order ten.
fn verhoeff(body: &str) -> usize {
    const FLIP: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    fn times(a: usize, b: usize) -> usize {
        match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => (a + b) % 5 + 5,
            (false, true) => (a - b) % 5 + 5,
            (false, false) => (a + 5 - b) % 5,
        }
    }
    let last = digits(body)
        .iter()
        .rev()
        .enumerate()
        .fold(0, |sum, (place, digit)| {
            let digit = (0..(place + 1) % 8).fold(*digit as usize, |digit, _| FLIP[digit]);
            times(sum, digit)
        });
    if last < 5 { (5 - last) % 5 } else { last }
}

pub(super) fn aadhaar(random: &mut Random) -> String {
    let body = format!("{}{}", random.text("23456789", 1), random.digits(10));
    let check = verhoeff(&body);
    spaced(&format!("{body}{check}"), 4, random.pick(&[" ", ""]))
}

pub(super) fn curp(random: &mut Random) -> String {
    const ORDER: &str = "0123456789ABCDEFGHIJKLMN+OPQRSTUVWXYZ";
    let body = format!(
        "{}{}{}{}{}{}{}{}",
        random.text("BCDGLMPRSTV", 1),
        random.text("AEIOU", 1),
        random.text("BCDGLMPRSTV", 2),
        date(random, "ymd"),
        random.pick(&["H", "M"]),
        random.pick(&["DF", "JC", "NL", "OC"]),
        random.text("BCDGLMPRSTV", 3),
        random.digits(1)
    );
    let sum: usize = body
        .chars()
        .enumerate()
        .map(|(place, letter)| ORDER.find(letter).unwrap_or_default() * (18 - place))
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

pub(super) fn rut(random: &mut Random) -> String {
    let body = format!("{}{}", random.within(5, 25), random.digits(6));
    let weights = [2, 3, 4, 5, 6, 7, 2, 3];
    let sum: u32 = digits(&body)
        .iter()
        .rev()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum();
    let check = match 11 - sum % 11 {
        11 => "0".to_owned(),
        10 => "K".to_owned(),
        check => check.to_string(),
    };
    let (millions, rest) = body.split_at(body.len() - 6);
    format!("{millions}.{}.{}-{check}", &rest[..3], &rest[3..])
}

pub(super) fn cuit(random: &mut Random) -> String {
    until(|| {
        let (kind, body) = (random.pick(&["20", "23", "27", "30"]), random.number(8));
        let check = 11 - weighted(&format!("{kind}{body}"), &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        (check != 10).then(|| format!("{kind}-{body}-{}", check % 11))
    })
}

pub(super) fn tfn(random: &mut Random) -> String {
    until(|| {
        let number = random.number(9);
        weighted(&number, &[1, 4, 3, 7, 5, 8, 6, 9, 10])
            .is_multiple_of(11)
            .then(|| spaced(&number, 3, " "))
    })
}

pub(super) fn abn(random: &mut Random) -> String {
    until(|| {
        let number = random.number(11);
        let weights = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
        let right = (weighted(&number, &weights) - 10).is_multiple_of(89);
        right.then(|| {
            format!(
                "{} {} {} {}",
                &number[..2],
                &number[2..5],
                &number[5..8],
                &number[8..]
            )
        })
    })
}

/// ISO/IEC 7064 MOD 11-2, as GB 11643 has it.
pub(super) fn china_id(random: &mut Random) -> String {
    let body = format!(
        "{}{}{}",
        random.pick(&["110101", "310104", "440305", "510107"]),
        date(random, "Ymd"),
        random.digits(3)
    );
    let sum = weighted(
        &body,
        &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2],
    );
    format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

pub(super) fn korea_rrn(random: &mut Random) -> String {
    let body = format!(
        "{}{}{}",
        date(random, "ymd"),
        random.within(1, 2),
        random.digits(5)
    );
    let sum = weighted(&body, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    format!("{}-{}{}", &body[..6], &body[6..], (11 - sum % 11) % 10)
}

pub(super) fn nric(random: &mut Random) -> String {
    let (start, body) = (random.below(2), random.digits(7));
    let sum = weighted(&body, &[2, 7, 6, 5, 4, 3, 2]) as usize;
    let check = [&b"JZIHGFEDCBA"[sum % 11], &b"XWUTRQPNMLK"[sum % 11]][start];
    format!("{}{body}{}", ["S", "F"][start], char::from(*check))
}

pub(super) fn hkid(random: &mut Random) -> String {
    let (first, body) = (random.text("ABCDEGHKMPRZ", 1), random.digits(6));
    let sum = 36 * 9 + weighted(&format!("{first}{body}"), &[8, 7, 6, 5, 4, 3, 2]);
    let check = match (11 - sum % 11) % 11 {
        10 => "A".to_owned(),
        check => check.to_string(),
    };
    format!("{first}{body}({check})")
}

pub(super) fn taiwan_id(random: &mut Random) -> String {
    const ORDER: &str = "ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let first = random.text("ABCDEFGHJKMNPQT", 1);
    let code = u32::try_from(ORDER.find(&first).unwrap_or_default()).unwrap_or_default() + 10;
    let body = format!("{}{}", random.within(1, 2), random.digits(7));
    let sum = code / 10 + code % 10 * 9 + weighted(&body, &[8, 7, 6, 5, 4, 3, 2, 1]);
    format!("{first}{body}{}", (10 - sum % 10) % 10)
}

pub(super) fn south_africa_id(random: &mut Random) -> String {
    let body = format!(
        "{}{}{}8",
        date(random, "ymd"),
        random.digits(4),
        random.within(0, 1)
    );
    with_luhn(&body)
}

/// ISO 3779 with the check digit of 49 CFR 565.
pub(super) fn vin(random: &mut Random) -> String {
    const LETTERS: &str = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ";
    const VALUES: &[u8] = b"012345678912345678123457923456789";
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let start = format!(
        "{}{}",
        random.pick(&["1HG", "1FT", "5YJ", "2T1"]),
        random.text(LETTERS, 5)
    );
    let end = format!(
        "{}{}",
        random.text("ABCDEFGHJK", 1),
        random.text(LETTERS, 1)
    ) + &random.digits(6);
    let sum: u32 = format!("{start}0{end}")
        .chars()
        .zip(WEIGHTS)
        .map(|(letter, weight)| {
            u32::from(VALUES[LETTERS.find(letter).unwrap_or_default()] - b'0') * weight
        })
        .sum();
    let check = match sum % 11 {
        10 => "X".to_owned(),
        check => check.to_string(),
    };
    format!("{start}{check}{end}")
}

pub(super) fn email(random: &mut Random) -> String {
    let name = fill("{anna|jose|li|m}{.|_|}{l4-9}", random);
    let host = fill(
        "{gmail.com|acme.dev|web.de|mail.acme.co.uk|orange.fr|proton.me}",
        random,
    );
    format!("{name}@{host}")
}

/// A native SegWit address (BIP 173).
pub(super) fn bitcoin(random: &mut Random) -> String {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    fn polymod(values: impl Iterator<Item = u32>) -> u32 {
        const GENERATOR: [u32; 5] = [
            0x3b6a_57b2,
            0x2650_8e6d,
            0x1ea1_19fa,
            0x3d42_33dd,
            0x2a14_62b3,
        ];
        values.fold(1, |sum, value| {
            let top = sum >> 25;
            let sum = (sum & 0x01ff_ffff) << 5 ^ value;
            (0..5)
                .filter(|bit| top >> bit & 1 == 1)
                .fold(sum, |sum, bit| sum ^ GENERATOR[bit])
        })
    }
    // Version 0, then 160 bits in groups of five.
    let data: Vec<u32> = std::iter::once(0)
        .chain((0..32).map(|_| u32::try_from(random.below(32)).unwrap_or_default()))
        .collect();
    let prefix = [3, 3, 0, 2, 3];
    let all = prefix.into_iter().chain(data.iter().copied()).chain([0; 6]);
    let check = polymod(all) ^ 1;
    let check = (0..6).map(|place| check >> (5 * (5 - place)) & 31);
    let body: String = data
        .iter()
        .copied()
        .chain(check)
        .map(|value| char::from(ALPHABET[value as usize]))
        .collect();
    format!("bc1{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_public_examples() {
        assert_eq!(with_luhn("411111111111111"), "4111111111111111");
        assert_eq!(mod_11_10("8609574271"), "86095742719");
        assert_eq!(dni_letter(12_345_678), 'Z');
        assert_eq!(remainder("3214282912345698765432161182", 97), 1);
        // Verhoeff's own example: 236 has the check digit 3.
        assert_eq!(verhoeff("236"), 3);
        assert_eq!(mod_11("111444777", &[10, 9, 8, 7, 6, 5, 4, 3, 2]), 3);
    }
}
