//! What people write where a secret would stand.

use crate::engine::class::WORD;

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
    if bracketed(b'<', b'>') || bracketed(b'%', b'%') || bracketed(b'{', b'}') {
        return true;
    }
    // A value around something that was masked before is a placeholder of our own making.
    if memchr::memchr_iter(b'[', value).any(|at| value[at..].starts_with(b"[REDACTED:")) {
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
    // What is longer than the longest start is told by its start, and is no word.
    let mut letters = [0; 32];
    let mut length = 0;
    let plain = value
        .iter()
        .filter(|byte| !matches!(byte, b'_' | b'-' | b' '));
    for (byte, place) in plain.zip(&mut letters) {
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = &letters[..length];
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

#[cfg(test)]
mod tests {
    use super::*;

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
            "{own}",
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
    fn only_a_placeholder_and_nothing_else_is_masked() {
        assert!(is_masked(b"[REDACTED:aws.key-1]"));
        for text in [
            &b"[REDACTED:x] y"[..],
            b"x [REDACTED:x]",
            b"[REDACTED:a b]",
            b"[REDACTED:",
        ] {
            assert!(!is_masked(text), "{}", text.escape_ascii());
        }
    }
}
