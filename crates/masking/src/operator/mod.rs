//! What takes the place of a match.
//!
//! Every replacement has a form of its own that is known again: what is masked is masked no
//! further, whatever rules the second pass has. All of them depend on the value, on keys and on
//! nothing else, so that the same request is masked to the same bytes every time: prompt caches
//! keep hitting.
//!
//! | operator | form |
//! |---|---|
//! | redact, block | `[REDACTED:rule]` |
//! | hash | `[REDACTED:rule#` and 13 characters of base32 and `]` |
//! | token | `RULE_` and 16 characters of base32 |
//! | partial | the last four letters and digits, stars for those before, and what separates them |
//! | surrogate | a value from a range that nobody has |
//! | drop | the string that holds it becomes empty; where nothing tells what holds it, as redact |
//! | flag | the value |
//!
//! A secret that stands in base64 or hexadecimal is redacted by all of them but drop, block and flag.

mod base32;
mod digest;
mod key;
mod partial;
mod surrogate;
mod token;

pub use self::key::MaskKey;
pub(crate) use self::{
    digest::{Digests, digest, letters},
    partial::partial,
    surrogate::{Surrogate, surrogate},
    token::{MAX_TOKEN, WIDTH, kind, mint, split},
};
use crate::engine::Rule;

/// The characters of a keyed hash: 65 bits.
const HASH: usize = 13;

/// `[REDACTED:rule#…]`, by which equal values are known to be equal and nothing else is known.
pub(crate) fn hash(key: &MaskKey, rule: &Rule, value: &[u8], out: &mut Vec<u8>) {
    hash_of(key, &rule.id, &canonical(rule, value), out);
}

/// The same, of a value that has one form only, under a rule's id or what stands in its place.
pub(crate) fn hash_of(key: &MaskKey, id: &str, value: &[u8], out: &mut Vec<u8>) {
    let digest = key.digest(&[b"hash", token::subject(id).as_bytes(), value]);
    out.extend_from_slice(b"[REDACTED:");
    out.extend_from_slice(id.as_bytes());
    out.push(b'#');
    out.extend(base32::upper(&digest).take(HASH));
    out.push(b']');
}

/// Whether `text` is `[REDACTED:rule]`, with or without a hash, and nothing else.
pub(crate) fn is_placeholder(text: &[u8]) -> bool {
    let Some(inner) = text
        .strip_prefix(b"[REDACTED:")
        .and_then(|rest| rest.strip_suffix(b"]"))
    else {
        return false;
    };
    let mut parts = inner.split(|byte| *byte == b'#');
    let id = parts.next().unwrap_or_default();
    let is_id = !id.is_empty()
        && id
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte));
    let is_hash =
        |hash: &[u8]| hash.len() == HASH && hash.iter().all(|byte| base32::is_upper(*byte));
    is_id && parts.next().is_none_or(is_hash) && parts.next().is_none()
}

/// One way to write what can be written in several. Secrets have one only.
fn canonical(rule: &Rule, value: &[u8]) -> Vec<u8> {
    if rule.kind == crate::Kind::Secret {
        return value.to_vec();
    }
    value
        .iter()
        .filter(|byte| !b" -()/".contains(byte))
        .map(u8::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known_again_and_nothing_else_is() {
        for text in [
            "[REDACTED:jwt]",
            "[REDACTED:a.b-c1]",
            "[REDACTED:email#ABCDEFGHIJ234]",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
        for text in [
            "[REDACTED:]",
            "[REDACTED:JWT]",
            "[REDACTED:email#]",
            "[REDACTED:email#ABCDEFGHIJ2345]",
            "[REDACTED:email#abcdefghij234]",
            "[REDACTED:email#ABCDEFGHIJ234#ABCDEFGHIJ234]",
            "[REDACTED:jwt] hunter2",
            "x[REDACTED:jwt]",
            "[REDACTED:jwt",
        ] {
            assert!(!is_placeholder(text.as_bytes()), "{text}");
        }
    }
}
