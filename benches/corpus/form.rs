//! Forms: what a value looks like, in a line.
//!
//! | part | stands for |
//! |---|---|
//! | `{a36}` | 36 characters of class `a` |
//! | `{a20-40}` | 20 to 40 of them |
//! | `{x\|y\|z}` | one of the three |
//! | `{uuid}` | a random UUID |
//! | `«…»` | the part that is secret; without it, all of the value is |
//!
//! Classes: `a` letters and digits, `l` lower case, `L` lower case and digits, `u` upper case, `U`
//! upper case and digits, `d` digits, `h` and `H` hexadecimal, `b` base64, `s` base64url, `w` word,
//! `p` what passwords are made of.

use super::random::Random;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

/// A value and the part of it that must not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text as it stands.
    pub text: String,
    /// Where the secret part begins and ends in it.
    pub secret: (usize, usize),
}

impl Value {
    /// A value all of which is secret.
    pub fn whole(text: String) -> Self {
        let secret = (0, text.len());
        Self { text, secret }
    }

    /// A value with the secret part between `«` and `»`, if they are there.
    pub fn marked(text: &str) -> Self {
        let parts = text
            .split_once('«')
            .and_then(|(before, rest)| Some((before, rest.split_once('»')?)));
        match parts {
            None => Self::whole(text.to_owned()),
            Some((before, (secret, behind))) => Self {
                text: format!("{before}{secret}{behind}"),
                secret: (before.len(), before.len() + secret.len()),
            },
        }
    }
}

/// Makes up a value of this form.
pub(super) fn value(form: &str, random: &mut Random) -> Value {
    Value::marked(&fill(form, random))
}

/// Fills in the parts of a form.
///
/// # Panics
///
/// When the form is written wrongly.
pub(super) fn fill(form: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = form;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let (part, behind) = behind.split_once('}').unwrap_or((behind, ""));
        out.push_str(&one(part, random));
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn one(part: &str, random: &mut Random) -> String {
    if part.contains('|') {
        let all: Vec<&str> = part.split('|').collect();
        return random.pick(&all).to_owned();
    }
    if part == "uuid" {
        return random.uuid();
    }
    let (class, length) = part.split_at(1);
    let (from, to) = length.split_once('-').unwrap_or((length, length));
    let bound = |text: &str| -> usize {
        text.parse()
            .unwrap_or_else(|_| unreachable!("`{part}` is no part of a form"))
    };
    let length = random.within(bound(from), bound(to));
    let alphabet = match class {
        "a" => format!("{LOWER}{UPPER}{DIGITS}"),
        "l" => LOWER.to_owned(),
        "L" => format!("{LOWER}{DIGITS}"),
        "u" => UPPER.to_owned(),
        "U" => format!("{UPPER}{DIGITS}"),
        "d" => DIGITS.to_owned(),
        "h" => format!("{DIGITS}abcdef"),
        "H" => format!("{DIGITS}ABCDEF"),
        "b" => format!("{LOWER}{UPPER}{DIGITS}+/"),
        "s" => format!("{LOWER}{UPPER}{DIGITS}-_"),
        "w" => format!("{LOWER}{UPPER}{DIGITS}_"),
        "p" => format!("{LOWER}{UPPER}{DIGITS}{DIGITS}!*-_+.?^~"),
        _ => unreachable!("`{class}` is no class of a form"),
    };
    let mut text = random.text(&alphabet, length);
    // A value ends in what a person would select with it, and begins so too.
    if matches!(class, "s" | "p" | "b") && length > 2 {
        let inner = text[1..length - 1].to_owned();
        let ends = format!("{LOWER}{UPPER}{DIGITS}");
        text = format!("{}{inner}{}", random.text(&ends, 1), random.text(&ends, 1));
    }
    // Nobody has a password without a digit and a letter.
    if class == "p" && length > 3 {
        let middle = text.split_off(1);
        let pair = format!("{}{}", random.text(UPPER, 1), random.digits(1));
        text = format!("{text}{pair}{}", &middle[2..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_filled_and_the_secret_part_is_known() {
        let mut random = Random::new(1);
        let found = value("x_{d3}-«{h4}»!", &mut random);
        assert_eq!(found.text.len(), 11);
        assert_eq!(found.secret, (6, 10));
        let password = fill("{p12}", &mut random);
        assert_eq!(password.len(), 12);
        assert!(password.bytes().any(|byte| byte.is_ascii_digit()));
    }
}
