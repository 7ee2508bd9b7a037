//! Tokens that stand for a value and can be turned back: `EMAIL_` and 16 characters.
//!
//! Fourteen characters are made of the value, 70 bits: among a million values in one session, two
//! share a token once in two billion sessions, and the vault notices. With eight characters it
//! would be every third session. The last two are made of the others, so that a token is
//! known to be one without a key, and a model's slip is not taken for another token.

use super::{MaskKey, base32};

/// The characters behind the last `_`.
pub(crate) const WIDTH: usize = 16;
/// Those of them that are made of the value.
const RANDOM: usize = 14;
/// The longest token: a rule's id has at most 40 bytes.
pub(crate) const MAX_TOKEN: usize = 40 + 1 + WIDTH;

/// What tokens of a rule begin with, without the `_`: `us-ssn` gives `US_SSN`. Rules that find the
/// same in other surroundings have the same, so that one value has one token.
pub(crate) fn kind(rule: &str) -> String {
    let rule = subject(rule);
    let letter = |letter: char| match letter {
        '-' | '.' => '_',
        letter => letter.to_ascii_uppercase(),
    };
    rule.chars().map(letter).collect()
}

/// What a rule is about, without where it looks.
pub(super) fn subject(rule: &str) -> &str {
    let rule = rule.strip_prefix("json-").unwrap_or(rule);
    let forms = ["-labelled", "-spaced", "-mixed", "-digits"];
    let mut known = forms.iter().filter_map(|form| rule.strip_suffix(form));
    known.next().unwrap_or(rule)
}

/// The token for a value.
pub(crate) fn mint(key: &MaskKey, kind: &str, value: &[u8]) -> String {
    let digest = key.digest(&[b"token", kind.as_bytes(), value]);
    let mut token = kind.as_bytes().to_vec();
    token.push(b'_');
    token.extend(base32::upper(&digest).take(RANDOM));
    let check = check(&token);
    token.extend(check);
    token.into_iter().map(char::from).collect()
}

/// The kind of a token, if `text` is one and nothing else.
pub(crate) fn split(text: &[u8]) -> Option<&[u8]> {
    let at = text.len().checked_sub(WIDTH)?;
    let (kind, body) = (text[..at].strip_suffix(b"_")?, &text[at..]);
    let is_kind = !kind.is_empty()
        && kind
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    let end = at + RANDOM;
    let is_whole =
        body.iter().all(|byte| base32::is_upper(*byte)) && check(&text[..end]) == text[end..];
    (is_kind && is_whole).then_some(kind)
}

/// Whether `text` is a token of this kind.
pub(super) fn is_token(kind: &str, text: &[u8]) -> bool {
    split(text) == Some(kind.as_bytes())
}

/// Ten bits of FNV-1a, as two characters.
fn check(text: &[u8]) -> [u8; 2] {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = text.iter().fold(0x811c_9dc5, step);
    let [a, b, c, d] = hash.to_be_bytes();
    let folded = u16::from_be_bytes([a ^ c, b ^ d]);
    [base32::character(folded >> 5), base32::character(folded)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P10: the same key and value give the same token, on every machine and for ever.
    #[test]
    fn golden_tokens() {
        let key = MaskKey::new([7; 32]);
        assert_eq!(
            mint(&key, "EMAIL", b"ada@example.com"),
            "EMAIL_KVVTSTDPC4QBAT4S"
        );
        assert_ne!(
            mint(&key, "EMAIL", b"ada@example.com"),
            mint(&MaskKey::new([8; 32]), "EMAIL", b"ada@example.com")
        );
    }

    #[test]
    fn tokens_are_known_again_and_slips_are_not() {
        let token = mint(&MaskKey::new([1; 32]), &kind("us-ssn"), b"219-09-9999");
        assert!(token.starts_with("US_SSN_"));
        assert_eq!(token.len(), "US_SSN_".len() + WIDTH);
        assert_eq!(split(token.as_bytes()), Some(&b"US_SSN"[..]));
        let mut known = 0;
        for at in 0..token.len() {
            let mut slip = token.clone().into_bytes();
            slip[at] = if slip[at] == b'A' { b'B' } else { b'A' };
            known += usize::from(split(&slip).is_some());
        }
        assert!(known <= 1, "{known} slips were taken for tokens");
        assert_eq!(kind("us-ssn-labelled"), "US_SSN");
        for text in ["EMAIL_", "EMAIL", "", "_ABCDEFGHIJKLMNOP", "EMAIL_ABCDEFGH"] {
            assert_eq!(split(text.as_bytes()), None, "{text}");
        }
    }
}
