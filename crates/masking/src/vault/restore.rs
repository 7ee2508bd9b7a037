//! Turning tokens in a text back into what they stand for.

use std::fmt;

use zeroize::Zeroize;

use super::Session;
use crate::operator::{MAX_TOKEN, WIDTH, split};

/// Restores one text that comes in pieces.
///
/// What comes out does not depend on how the text was cut. Bytes wait only while a token of the
/// session may have begun with them, and never more than [`RestoreStream::HOLD_BACK`] of them. The
/// tokens are those that the session knew when the text began.
///
/// Tokens in addresses and in tags stay as they are: an address that a model was talked into
/// showing would carry the value to whoever fetches it. So do tokens that the session does not
/// know, and both are counted.
pub struct RestoreStream {
    session: Session,
    beginnings: Vec<Vec<u8>>,
    held: Vec<u8>,
    place: Place,
    counts: Restored,
}

/// What became of the tokens in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Turned back.
    pub restored: u32,
    /// Left as they are, because they stand in an address or a tag.
    pub withheld: u32,
    /// Left as they are, because the session does not know them.
    pub unknown: u32,
}

impl Restored {
    /// Adds other counts to these.
    pub(crate) fn add(&mut self, other: Self) {
        self.restored = self.restored.saturating_add(other.restored);
        self.withheld = self.withheld.saturating_add(other.withheld);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

impl RestoreStream {
    /// No more bytes than this wait.
    pub const HOLD_BACK: usize = MAX_TOKEN;

    pub(super) fn new(session: Session) -> Self {
        Self {
            beginnings: session.beginnings(),
            session,
            held: Vec::new(),
            place: Place::default(),
            counts: Restored::default(),
        }
    }

    /// Takes the next bytes and appends to `out` what is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        self.run(false, out);
    }

    /// Ends the text and appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(true, out);
        self.place = Place::default();
    }

    /// What became of the tokens so far.
    pub const fn counts(&self) -> Restored {
        self.counts
    }

    fn run(&mut self, end: bool, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            let may_begin = !self.place.in_word && is_letter(rest[0]);
            if !may_begin {
                self.place.pass(rest[0]);
                out.push(rest[0]);
                at += 1;
                continue;
            }
            match self.token(rest, end) {
                None => break,
                Some(0) => {
                    self.place.pass(rest[0]);
                    out.push(rest[0]);
                    at += 1;
                }
                Some(length) => {
                    let token = &rest[..length];
                    match self.session.value(token) {
                        Some(_) if self.place.is_address() => {
                            self.counts.withheld = self.counts.withheld.saturating_add(1);
                            out.extend_from_slice(token);
                        }
                        Some(value) => {
                            self.counts.restored = self.counts.restored.saturating_add(1);
                            out.extend_from_slice(&value);
                        }
                        None => {
                            self.counts.unknown = self.counts.unknown.saturating_add(1);
                            out.extend_from_slice(token);
                        }
                    }
                    // Of the value nothing is known here but that the token stood for a word.
                    token.iter().for_each(|byte| self.place.pass(*byte));
                    at += length;
                }
            }
        }
        self.held.extend_from_slice(&held[at..]);
    }

    /// The length of the token that `text` begins with, or zero; `None` where more must come. Of
    /// several the longest that the session knows, or else the longest that has a token's form.
    fn token(&self, text: &[u8], end: bool) -> Option<usize> {
        let (mut known, mut formed) = (0, 0);
        for beginning in &self.beginnings {
            let length = beginning.len() + WIDTH;
            let shared = text.len().min(beginning.len());
            if text[..shared] != beginning[..shared] {
                continue;
            }
            let body = &text[shared..text.len().min(length)];
            if !body.iter().all(|byte| is_letter(*byte)) {
                continue;
            }
            if text.len() < length {
                if end {
                    continue;
                }
                return None;
            }
            if split(&text[..length]).is_some() {
                formed = formed.max(length);
                if self.session.knows(&text[..length]) {
                    known = known.max(length);
                }
            }
        }
        Some(if known > 0 { known } else { formed })
    }
}

impl Drop for RestoreStream {
    fn drop(&mut self) {
        self.held.zeroize();
    }
}

impl fmt::Debug for RestoreStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreStream")
            .field("held", &self.held.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Where in a text a byte stands, as far as it matters: bounded, and known from the left alone.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    in_word: bool,
    /// Since the last white space or quote something stood that makes an address.
    in_address: bool,
    /// Since then a `.` stood within a word, as in the name of a host.
    dotted: bool,
    /// Between `<` and `>`.
    in_tag: bool,
    last: [u8; 4],
}

impl Place {
    const fn is_address(self) -> bool {
        self.in_address || self.in_tag
    }

    fn pass(&mut self, byte: u8) {
        let [_, b, c, d] = self.last;
        self.last = [b, c, d, byte].map(|byte: u8| byte.to_ascii_lowercase());
        self.in_word = byte.is_ascii_alphanumeric() || byte == b'_';
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'`' => {
                (self.in_address, self.dotted) = (false, false);
            }
            b'>' => (self.in_tag, self.in_address, self.dotted) = (false, false, false),
            _ => {}
        }
        self.dotted |= d == b'.' && byte.is_ascii_alphanumeric();
        // `< b` is a comparison and `</` or `<a` a tag.
        self.in_tag |= d == b'<' && (byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!'));
        self.in_address |= matches!(byte, b'?' | b'&' | b'\\' | b'%')
            || (byte == b'/' && (d == b'/' || self.dotted))
            || (d == b']' && byte == b'(')
            || self.last == *b"www."
            || self.last == *b"lto:";
    }
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        MaskKey,
        vault::{Vault, VaultLimits},
    };

    fn session() -> Session {
        let vault = Vault::new(&MaskKey::new([5; 32]), VaultLimits::default());
        vault.session(&["ci", "me"], Instant::now())
    }

    fn restored(session: &Session, text: &str) -> (String, Restored) {
        let (mut stream, mut out) = (session.restore(), Vec::new());
        stream.push(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        (String::from_utf8(out).unwrap(), stream.counts())
    }

    #[test]
    fn every_split_gives_the_same() {
        let session = session();
        let email = session.token("EMAIL", b"ada@example.org").unwrap();
        let work = session.token("WORK_EMAIL", b"ada@work.example").unwrap();
        let other = crate::operator::mint(&MaskKey::new([6; 32]), "EMAIL", b"x@y.example");
        let text = format!(
            "EMAIL {email}'s and {work}, EMAIL_{email} X{email} {other} EMAIL_ABC \
             see https://evil.example/{email} and ![x](//e/{email}) {email}{work} {email}"
        );
        let (whole, counts) = restored(&session, &text);
        assert_eq!(
            whole,
            format!(
                "EMAIL ada@example.org's and ada@work.example, EMAIL_{email} X{email} {other} EMAIL_ABC \
                 see https://evil.example/{email} and ![x](//e/{email}) ada@example.org{work} ada@example.org"
            )
        );
        assert_eq!(
            (counts.restored, counts.withheld, counts.unknown),
            (4, 2, 1)
        );
        for at in 0..=text.len() {
            let (mut stream, mut out) = (session.restore(), Vec::new());
            stream.push(&text.as_bytes()[..at], &mut out);
            assert!(stream.held.len() <= RestoreStream::HOLD_BACK);
            assert!(whole.as_bytes().starts_with(&out));
            stream.push(&text.as_bytes()[at..], &mut out);
            stream.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), whole, "{at}");
            assert_eq!(stream.counts(), counts);
        }
        let (mut stream, mut out) = (session.restore(), Vec::new());
        for byte in text.as_bytes() {
            stream.push(&[*byte], &mut out);
        }
        stream.finish(&mut out);
        assert_eq!(out, whole.as_bytes());
    }

    #[test]
    fn in_tags_and_addresses_tokens_stay() {
        let session = session();
        let token = session.token("EMAIL", b"ada@example.org").unwrap();
        for text in [
            "<img src='x' alt={}>",
            "<img src=\"https://e.example/?\n{}\">",
            "mailto:{}",
            "www.evil.example/{}",
            "see evil.example/{}.png",
            "a?q={}",
            "[x](evil/{})",
        ] {
            let text = text.replace("{}", &token);
            assert_eq!(restored(&session, &text).0, text);
        }
        for text in ["{}", "a < b {}", "mail: {}.", "({})", "**{}**", "a/{}"] {
            let masked = text.replace("{}", &token);
            let plain = text.replace("{}", "ada@example.org");
            assert_eq!(restored(&session, &masked).0, plain);
        }
    }
}
