//! What a text looks like as a whole.

use crate::engine::{rule::CAP, validate::date::is_any_date};

/// Bytes of at least two of the kinds: lower case, upper case, digit, anything else.
pub(super) fn is_mixed(body: &[u8]) -> bool {
    let any = |test: fn(&u8) -> bool| body.iter().any(test);
    let kinds = [
        any(u8::is_ascii_lowercase),
        any(u8::is_ascii_uppercase),
        any(u8::is_ascii_digit),
        any(|byte| !byte.is_ascii_alphanumeric()),
    ];
    kinds.into_iter().filter(|kind| *kind).count() >= 2
}

/// At least one letter and one digit.
pub(super) fn has_letter_and_digit(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_alphabetic) && body.iter().any(u8::is_ascii_digit)
}

/// No white space, unless there is a digit too: prose seldom has both.
pub(super) fn is_not_prose(body: &[u8]) -> bool {
    !body.iter().any(u8::is_ascii_whitespace) || body.iter().any(u8::is_ascii_digit)
}

/// The text form of a UUID (RFC 9562 §4), with or without its dashes.
pub(super) fn is_uuid(body: &[u8]) -> bool {
    let dashed = body.len() == 36
        && body.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    // Version and variant stand at fixed places; a random key of 32 hex digits seldom has both.
    let compact = body.len() == 32
        && body.iter().all(u8::is_ascii_hexdigit)
        && matches!(body[12], b'1'..=b'8')
        && matches!(body[16], b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
    dashed || compact
}

/// As long as the hex form of MD5, SHA-1, SHA-2 and the like, in one case, and nothing but hex.
pub(super) fn is_hex_digest(body: &[u8]) -> bool {
    let upper = body.iter().any(u8::is_ascii_uppercase);
    let lower = body.iter().any(u8::is_ascii_lowercase);
    matches!(body.len(), 32 | 40 | 48 | 56 | 64 | 96 | 112)
        && !(upper && lower)
        && body.iter().all(u8::is_ascii_hexdigit)
}

/// A number of a version, such as `1.2.3` or `2.0.0-rc.1` (<https://semver.org>), or a date used
/// as one.
pub(super) fn is_version(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"v").unwrap_or(body);
    let mut parts = 0;
    for part in body.splitn(4, |byte| *byte == b'.') {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = &part[digits..];
        if digits == 0
            || digits > 5
            || !(rest.is_empty() || matches!(rest[0], b'-' | b'+' | b'a'..=b'z'))
        {
            return false;
        }
        parts += 1;
    }
    parts >= 2 || is_any_date(body)
}

/// One or two bytes over and over.
pub(super) fn is_repeated(body: &[u8]) -> bool {
    let plain = || body.iter().filter(|byte| byte.is_ascii_alphanumeric());
    plain()
        .zip(plain().skip(1))
        .all(|(first, second)| first == second)
        || plain()
            .zip(plain().skip(2))
            .all(|(first, second)| first == second)
}

/// What a person could be called: words of letters, not a label, an identifier or a path.
pub(super) fn is_person_name(body: &[u8]) -> bool {
    /// What forms, schemas and translations put where a name would stand.
    const LABELS: &[&[u8]] = &[
        b"name",
        b"first",
        b"last",
        b"full",
        b"given",
        b"family",
        b"middle",
        b"maiden",
        b"surname",
        b"user",
        b"username",
        b"string",
        b"str",
        b"text",
        b"varchar",
        b"char",
        b"required",
        b"optional",
        b"null",
        b"none",
        b"nil",
        b"true",
        b"false",
        b"undefined",
        b"unknown",
        b"field",
        b"value",
        b"enter",
        b"your",
        b"please",
        b"the",
        b"of",
        b"test",
        b"example",
        b"default",
        b"number",
        b"integer",
        b"boolean",
        b"object",
        b"array",
        // Types.
        b"option",
        b"some",
        b"any",
        b"list",
        b"type",
        b"types",
        b"column",
        b"schema",
        b"symbol",
        b"unicode",
        b"lpwstr",
        b"lpstr",
        b"bstr",
        b"asc",
        b"desc",
        b"vorname",
        b"nachname",
        b"nombre",
        b"apellido",
        b"nome",
        b"cognome",
        b"nom",
    ];
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
    let mut words = 0;
    // As a space is written in addresses.
    let mut spaced = [b' '; CAP];
    let mut length = 0;
    let mut rest = body;
    while let Some(first) = rest.first()
        && length < CAP
    {
        let (byte, behind) = match rest.strip_prefix(b"%20") {
            Some(behind) => (b' ', behind),
            None => (*first, &rest[1..]),
        };
        spaced[length] = byte;
        length += 1;
        rest = behind;
    }
    let body = &spaced[..length];
    let all = body
        .split(|byte| matches!(byte, b' ' | b'-' | b'\'' | b'.' | b',' | b'+'))
        .filter(|word| !word.is_empty())
        .inspect(|_| words += 1)
        .all(|word| {
            // An initial capital, but no capitals inside, as in `firstName`: `McGee` and `DeWitt` have one.
            let capitals = word.iter().filter(|byte| byte.is_ascii_uppercase()).count();
            let shouted = capitals == word.len();
            word.iter().all(is_letter)
                && (word[0].is_ascii_uppercase()
                    || !word[0].is_ascii()
                    || matches!(
                        word,
                        b"de"
                            | b"von"
                            | b"van"
                            | b"der"
                            | b"den"
                            | b"da"
                            | b"di"
                            | b"del"
                            | b"la"
                            | b"bin"
                            | b"al"
                            | b"el"
                            | b"y"
                            | b"e"
                    ))
                && (capitals <= 2 || shouted)
                && !LABELS.iter().any(|label| word.eq_ignore_ascii_case(label))
        });
    all && (1..=6).contains(&words) && body.iter().filter(|byte| is_letter(byte)).count() >= 2
}

/// What an office could have given to somebody: seven letters and digits or more, four of them
/// digits, no word in small letters and no date.
pub(super) fn is_id_number(body: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let separator = |byte: &u8| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+');
    body.iter().filter(|byte| plain(byte)).count() >= 7
        && body.iter().filter(|byte| byte.is_ascii_digit()).count() >= 4
        && body
            .iter()
            .all(|byte| plain(byte) || separator(byte) || *byte == b'k')
        && !is_any_date(body)
        && !is_repeated(body)
}

/// What could tell something of a person: not the name of a type, of a variable, or a label.
pub(super) fn is_free_text(body: &[u8]) -> bool {
    let has_letter = body
        .iter()
        .any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let is_identifier = body.iter().all(|byte| {
        byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.' | b'-' | b'$' | b'{' | b'}')
    }) || body.contains(&b'_');
    let digits = body.iter().any(u8::is_ascii_digit);
    (digits || has_letter) && !is_identifier && !body.contains(&b'{') && !body.contains(&b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_and_digests_are_told_from_keys() {
        assert!(is_uuid(b"0191e9c4-6d5a-7cc3-98f1-4a6b0c9d2e11"));
        assert!(is_uuid(b"0191e9c46d5a7cc398f14a6b0c9d2e11"));
        assert!(!is_uuid(b"0191e9c46d5a0cc378f14a6b0c9d2e11") && !is_uuid(b"0191e9c4"));
        assert!(is_hex_digest(b"da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!is_hex_digest(b"Da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!is_hex_digest(b"zz39a3ee5e6b4b0d3255bfef95601890afd80709"));
    }

    #[test]
    fn versions_are_told_from_numbers() {
        for text in ["1.2.3", "v2.0.0-rc.1", "10.15", "2024-01-02", "0.1.0+build"] {
            assert!(is_version(text.as_bytes()), "{text}");
        }
        for text in ["123456789", "123-45-6789", "a.b.c", "1.2.x3_", ""] {
            assert!(!is_version(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn repeated_bytes_are_nobodys_number() {
        assert!(is_repeated(b"111-11-1111") && is_repeated(b"1212121212") && is_repeated(b""));
        assert!(!is_repeated(b"123-45-6789") && !is_repeated(b"1122112211"));
    }

    #[test]
    fn names_of_persons_are_told_from_labels_and_identifiers() {
        for name in [
            "Jane",
            "Jane Doe",
            "J. R. R. Tolkien",
            "Anne-Marie O'Neill",
            "Müller",
            "Ludwig van Beethoven",
            "山田太郎",
            "McGee",
            "MUSTERMANN",
        ] {
            assert!(is_person_name(name.as_bytes()), "{name}");
        }
        for text in [
            "First Name",
            "string",
            "octocat/Hello-World",
            "first_name",
            "firstName",
            "Enter your name",
            "${NAME}",
            "user1",
            "{name}",
            "",
            ".",
        ] {
            assert!(!is_person_name(text.as_bytes()), "{text}");
        }
    }
}
