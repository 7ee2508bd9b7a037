//! What a body must be besides its length and class.

use crate::engine::class::WORD;

/// A further condition on the bytes of a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Validator {
    /// It is not what people write where a secret would stand.
    NotPlaceholder,
    /// Bytes of at least two of the kinds: lower case, upper case, digit, anything else.
    Mixed,
    /// At least one letter and one digit.
    LetterAndDigit,
    /// At least one digit.
    Digit,
    /// No white space, unless there is a digit too: prose seldom has both.
    NotProse,
    /// At least this many bits of Shannon entropy per byte.
    Entropy(f64),
    /// It begins like the header of a JWT (RFC 7515 §4), which the literal `eyJ` has led to.
    Jwt,
    /// It is the base64 form of `user:password` (RFC 7617 §2).
    BasicCredentials,
    /// It holds this text.
    Contains(Vec<u8>),
}

impl Validator {
    /// Reads the form used in rules, such as `mixed` or `entropy:3.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            None => match text {
                "not-placeholder" => Self::NotPlaceholder,
                "mixed" => Self::Mixed,
                "letter-and-digit" => Self::LetterAndDigit,
                "digit" => Self::Digit,
                "not-prose" => Self::NotProse,
                "jwt" => Self::Jwt,
                "basic-credentials" => Self::BasicCredentials,
                _ => return None,
            },
            Some(("entropy", bits)) => Self::Entropy(
                bits.parse()
                    .ok()
                    .filter(|bits| (0.0..=8.0).contains(bits))?,
            ),
            Some(("contains", text)) if !text.is_empty() => Self::Contains(text.into()),
            Some(_) => return None,
        })
    }

    /// Whether a body fulfils the condition.
    pub(crate) fn accepts(&self, body: &[u8]) -> bool {
        let any = |test: fn(&u8) -> bool| body.iter().any(test);
        match self {
            Self::NotPlaceholder => !is_placeholder(body),
            Self::Mixed => {
                let kinds = [
                    any(u8::is_ascii_lowercase),
                    any(u8::is_ascii_uppercase),
                    any(u8::is_ascii_digit),
                    any(|byte| !byte.is_ascii_alphanumeric()),
                ];
                kinds.into_iter().filter(|kind| *kind).count() >= 2
            }
            Self::LetterAndDigit => any(u8::is_ascii_alphabetic) && any(u8::is_ascii_digit),
            Self::Digit => any(u8::is_ascii_digit),
            Self::NotProse => !any(u8::is_ascii_whitespace) || any(u8::is_ascii_digit),
            Self::Entropy(bits) => entropy(body) >= *bits,
            Self::Jwt => is_jwt_header(body),
            Self::BasicCredentials => {
                let plain = decode_base64(body);
                plain.len() >= 5
                    && plain[1..].contains(&b':')
                    && plain.iter().all(|byte| matches!(byte, b' '..=b'~'))
            }
            Self::Contains(text) => memchr::memmem::find(body, text).is_some(),
        }
    }
}

/// Shannon entropy of single bytes, in bits.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

/// Whether a value is what people write where a secret would stand.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    /// Values that say what belongs there.
    const WORDS: &[&str] = &[
        "apikey",
        "bearer",
        "changeit",
        "changeme",
        "default",
        "disabled",
        "dummy",
        "enabled",
        "example",
        "false",
        "hidden",
        "mypassword",
        "mysecret",
        "none",
        "notset",
        "null",
        "optional",
        "pass",
        "passwd",
        "password",
        "placeholder",
        "redacted",
        "required",
        "secret",
        "string",
        "test",
        "tbd",
        "todo",
        "token",
        "true",
        "undefined",
        "unset",
    ];
    const STARTS: &[&str] = &[
        "${",
        "$(",
        "{{",
        "%(",
        "<%",
        "#{",
        "yourpass",
        "youracc",
        "yourapi",
        "yourkey",
        "yoursec",
        "yourtok",
        "yourcli",
        "replaceme",
        "replacewith",
        "inserty",
        "process.env",
        "os.environ",
        "os.getenv",
        "env.",
        "changeme",
        "redacted",
        "example",
        "placeholder",
    ];
    let bracketed =
        |open: u8, close: u8| value.first() == Some(&open) && value.last() == Some(&close);
    if bracketed(b'<', b'>') || bracketed(b'%', b'%') {
        return true;
    }
    // A value around something that was masked before is a placeholder of our own making.
    if memchr::memmem::find(value, b"[REDACTED:").is_some() {
        return true;
    }
    if let Some(variable) = value.strip_prefix(b"$")
        && WORD.has_all(variable)
        && !variable.iter().any(u8::is_ascii_lowercase)
    {
        return true;
    }
    if value
        .iter()
        .all(|byte| matches!(byte, b'x' | b'X' | b'*' | b'.' | b'-' | b'_' | b'#'))
    {
        return true;
    }
    if value.windows(2).all(|pair| pair[0] == pair[1]) {
        return true;
    }
    let plain: Vec<u8> = value
        .iter()
        .filter(|byte| !matches!(byte, b'_' | b'-' | b' '))
        .map(u8::to_ascii_lowercase)
        .collect();
    STARTS
        .iter()
        .any(|start| plain.starts_with(start.as_bytes()))
        || WORDS.iter().any(|word| plain == word.as_bytes())
}

/// Whether a text is one placeholder and nothing else.
pub(crate) fn is_masked(text: &[u8]) -> bool {
    text.strip_prefix(b"[REDACTED:")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .is_some_and(|id| {
            id.iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        })
}

/// Whether what follows `eyJ` goes on like the base64url form of a JOSE header.
fn is_jwt_header(body: &[u8]) -> bool {
    /// `eyJhbGciOiJub25lIn0` and the like; nothing shorter names an algorithm.
    const MIN_HEADER: usize = 12;

    let header = memchr::memchr(b'.', body);
    if header.is_some_and(|dot| dot < MIN_HEADER) {
        return false;
    }
    let mut coded = b"eyJ".to_vec();
    coded.extend_from_slice(&body[..header.unwrap_or(body.len())]);
    let plain = decode_base64(&coded);
    let member = |name: &[u8]| memchr::memmem::find(&plain, name).is_some();
    let signed = header.is_some_and(|dot| body.len() > dot + 4);
    (signed || header.is_none())
        && [&b"\"alg\""[..], b"\"typ\"", b"\"enc\"", b"\"kid\""]
            .into_iter()
            .any(member)
}

/// The bytes that base64 or base64url text stands for, as far as it is whole.
fn decode_base64(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            plain.push(u8::try_from(bits >> held & 0xff).unwrap_or(0));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_both_alphabets_is_decoded_up_to_its_end() {
        assert_eq!(decode_base64(b"dXNlcjpwYXNz"), b"user:pass");
        assert_eq!(decode_base64(b"dXNlcjpwYQ=="), b"user:pa");
        assert_eq!(decode_base64(b"-_-_"), decode_base64(b"+/+/"));
    }

    #[test]
    fn entropy_grows_with_variety() {
        assert!(entropy(b"aaaaaaaa") < 0.001);
        assert!((entropy(b"abcdabcd") - 2.0).abs() < 0.001);
    }

    #[test]
    fn placeholders_are_told_from_values() {
        for value in [
            "<password>",
            "${DB_PASSWORD}",
            "$DB_PASSWORD",
            "xxxxxxxx",
            "changeme",
            "your-api-key",
            "********",
            "{{ secret }}",
            "a [REDACTED:x]",
            "CHANGE_ME",
            "aaaaaaaa",
            "example-token",
        ] {
            assert!(is_placeholder(value.as_bytes()), "{value}");
        }
        for value in [
            "hunter2-hunter2",
            "$ecret-42",
            "correct horse 7",
            "tr0ub4dor",
        ] {
            assert!(!is_placeholder(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_jwt_header_names_its_algorithm() {
        // {"alg":"none"}
        assert!(is_jwt_header(b"hbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"));
        // {"page":"1234567890"}: base64 of JSON, but no token.
        assert!(!is_jwt_header(b"wYWdlIjoiMTIzNDU2Nzg5MCJ9"));
    }

    #[test]
    fn an_unknown_validator_is_none() {
        assert_eq!(
            Validator::parse("entropy:3.5"),
            Some(Validator::Entropy(3.5))
        );
        for text in [
            "entropy",
            "entropy:lots",
            "entropy:NaN",
            "contains:",
            "luck",
            "mixed:2",
        ] {
            assert_eq!(Validator::parse(text), None, "{text}");
        }
    }
}
