//! What exactly an approval is bound to.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The key under which requests are digested.
///
/// A bare hash of a body would let whoever reads the store guess a secret in it. Every gateway that
/// shares a store needs the same key.
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A key of these 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The HMAC-SHA256 of the parts, in hexadecimal. Each part is preceded by its length, so that
    /// no two lists of parts are one text.
    pub(crate) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0[..]);
        let mut context = hmac::Context::with_key(&key);
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        hex(context.sign().as_ref())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The SHA-256 of a text that holds no secret, in hexadecimal.
pub(crate) fn sha256(text: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, text).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ok = write!(text, "{byte:02x}");
        text
    })
}

/// A request as what it does, before it is digested.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The protocol's words around the body, in a fixed order: for HTTP the method, the path with
    /// its query, and the headers that change what the body does.
    pub head: &'a [&'a [u8]],
    /// The exact bytes.
    pub body: &'a [u8],
    /// The body's meaning, where the protocol has a form for it.
    pub semantic: Option<&'a Semantic>,
}

/// What a body asks for, apart from the way it wants to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semantic {
    /// A canonical form: equal for bodies that ask for the same.
    pub canonical: Vec<u8>,
    /// The most output that is asked for. Left out of the canonical form, because less of it is
    /// approved with more.
    pub max_tokens: Option<i64>,
}

/// The keyed digests of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Of the exact bytes: 64 hexadecimal digits.
    pub exact: String,
    /// Of the meaning, where the protocol has a form for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub semantic: Option<String>,
    /// The most output that is asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_tokens: Option<i64>,
}

impl Digests {
    /// Digests a payload.
    pub(crate) fn of(key: &Key, payload: Payload<'_>) -> Self {
        let with = |purpose: &str, body: &[u8]| {
            let mut parts = payload.head.to_vec();
            parts.push(body);
            key.digest(purpose, &parts)
        };
        Self {
            exact: with("tollbook approval, exact, 1", payload.body),
            semantic: (payload.semantic)
                .map(|semantic| with("tollbook approval, semantic, 1", &semantic.canonical)),
            max_tokens: payload.semantic.and_then(|semantic| semantic.max_tokens),
        }
    }

    /// Whether what is approved by these digests is what `other` asks for.
    pub(crate) fn admit(&self, other: &Self, bind: crate::Bind) -> bool {
        if self.exact == other.exact {
            return true;
        }
        let smaller = match (self.max_tokens, other.max_tokens) {
            (Some(approved), Some(asked)) => asked <= approved,
            (None, None) => true,
            _ => false,
        };
        bind == crate::Bind::Semantic && self.means_the_same(other) && smaller
    }

    /// Whether both mean the same, however much output they ask for.
    pub(crate) fn means_the_same(&self, other: &Self) -> bool {
        self.semantic.is_some() && self.semantic == other.semantic
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bind;

    fn digests(head: &[&[u8]], body: &[u8], semantic: Option<(&[u8], Option<i64>)>) -> Digests {
        let semantic = semantic.map(|(canonical, max_tokens)| Semantic {
            canonical: canonical.to_vec(),
            max_tokens,
        });
        let payload = Payload {
            head,
            body,
            semantic: semantic.as_ref(),
        };
        Digests::of(&Key::new([7; 32]), payload)
    }

    #[test]
    fn parts_do_not_run_together() {
        let one = digests(&[b"POST", b"/v1"], b"x", None);
        let other = digests(&[b"POST/", b"v1"], b"x", None);
        assert_ne!(one.exact, other.exact);
        assert_ne!(one.exact, digests(&[b"POST"], b"/v1x", None).exact);
        assert_eq!(one, digests(&[b"POST", b"/v1"], b"x", None));
        assert_ne!(
            one.exact,
            Key::new([8; 32]).digest("tollbook approval, exact, 1", &[b"POST", b"/v1", b"x"])
        );
    }

    #[test]
    fn the_twin_may_ask_for_less_output_and_not_for_more() {
        let head: &[&[u8]] = &[b"POST"];
        let stream = digests(head, b"stream", Some((b"same", Some(100))));
        for (max_tokens, semantic, exact) in [
            (Some(100), true, false),
            (Some(99), true, false),
            (Some(101), false, false),
            (None, false, false),
        ] {
            let twin = digests(head, b"twin", Some((b"same", max_tokens)));
            assert_eq!(stream.admit(&twin, Bind::Semantic), semantic);
            assert_eq!(stream.admit(&twin, Bind::Exact), exact);
        }
        let other = digests(head, b"other", Some((b"other", Some(1))));
        assert!(!stream.admit(&other, Bind::Semantic));
        // Two requests without a meaning do not mean the same.
        let (a, b) = (digests(head, b"a", None), digests(head, b"b", None));
        assert!(!a.admit(&b, Bind::Semantic));
    }

    #[test]
    fn a_key_prints_nothing() {
        assert_eq!(format!("{:?}", Key::new([7; 32])), "Key(..)");
    }
}
