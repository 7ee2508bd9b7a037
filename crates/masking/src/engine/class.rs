//! Sets of bytes.

use std::fmt;

/// A set of bytes that a rule's body may be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class([u64; 4]);

/// The classes that rules may name. `bare` and `quoted` are what people write as a value, without
/// and with quotes around it.
static NAMED: &[(&str, Class)] = &[
    ("alnum", ALNUM),
    ("alnum_", WORD),
    ("any", Class::EMPTY.range(0, 0xff)),
    ("bare", BARE),
    ("base64", ALNUM.with(b"+/=")),
    ("base64url", WORD.with(b"-")),
    ("digit", DIGIT),
    ("hex", DIGIT.range(b'a', b'f').range(b'A', b'F')),
    ("lower_digit", DIGIT.range(b'a', b'z')),
    ("path", WORD.with(b"-./")),
    ("quoted", Class::EMPTY.range(b' ', 0xff).without(&[0x7f])),
    ("token", WORD.with(b"-.~+/=")),
    ("upper_digit", DIGIT.range(b'A', b'Z')),
];

const DIGIT: Class = Class::EMPTY.range(b'0', b'9');
const ALNUM: Class = DIGIT.range(b'a', b'z').range(b'A', b'Z');
/// Letters, digits and the underscore: a token does not begin or end within a run of these.
pub(crate) const WORD: Class = ALNUM.with(b"_");
/// Bytes from 0x80 are in it, so that a value never ends within a character.
pub(crate) const BARE: Class = ALNUM.with(b"+/=_-.~!@#$%^*?|:").range(0x80, 0xff);
/// What stands between `user:` and `@` in an address.
pub(crate) const USERINFO: Class = Class::EMPTY.range(b'!', 0xff).without(b"/@\"'`<>\\[]\x7f");
/// What base64 (RFC 4648 §4) is made of, without white space.
pub(crate) const BASE64: Class = ALNUM.with(b"+/=");

impl Class {
    pub(crate) const EMPTY: Self = Self([0; 4]);

    /// The class of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        NAMED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, class)| class)
    }

    /// The names of all classes.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.has(*byte))
    }

    /// Whether every byte of this class is in the other.
    pub(crate) fn within(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(own, others)| own & !others == 0)
    }

    /// What is in this class or in the other.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let mut both = *self;
        both.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(own, others)| *own |= others);
        both
    }

    /// How many bytes at the start of `bytes` are in the class.
    pub(crate) fn run(&self, bytes: &[u8]) -> usize {
        bytes
            .iter()
            .position(|byte| !self.has(*byte))
            .unwrap_or(bytes.len())
    }

    /// Whether signs in it may be written as addresses need them.
    pub(crate) fn is_written_in_addresses(&self) -> bool {
        !self.has(b'%') && BASE64.within(self)
    }

    /// The same, but that `+`, `/` and `=` may be written as addresses need them (RFC 3986 §2.1), if
    /// all of base64 is in the class; and whether what may be such a sign begins behind the run and
    /// is not all there.
    pub(crate) fn run_in_address(&self, bytes: &[u8]) -> (usize, bool) {
        let mut run = self.run(bytes);
        if !self.is_written_in_addresses() {
            return (run, false);
        }
        while bytes.get(run) == Some(&b'%') {
            let sign = bytes.get(run + 1..).unwrap_or_default();
            match sign {
                [b'2', b'B' | b'b' | b'F' | b'f', ..] | [b'3', b'D' | b'd', ..] => run += 3,
                [] | [b'2' | b'3'] => return (run, true),
                _ => break,
            }
            run += self.run(&bytes[run..]);
        }
        (run, false)
    }

    pub(crate) const fn with(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0[(bytes[at] >> 6) as usize] |= 1 << (bytes[at] & 63);
            at += 1;
        }
        self
    }

    const fn without(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0[(bytes[at] >> 6) as usize] &= !(1 << (bytes[at] & 63));
            at += 1;
        }
        self
    }

    pub(crate) const fn range(mut self, first: u8, last: u8) -> Self {
        let mut byte = first;
        loop {
            self = self.with(&[byte]);
            if byte == last {
                return self;
            }
            byte += 1;
        }
    }
}

/// A body of base64 with the signs that [`Class::run_in_address`] goes over as they are meant.
pub(crate) fn signs_read(body: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(body.len());
    let mut rest = body;
    while let [first, behind @ ..] = rest {
        let sign = match rest {
            [b'%', b'2', b'B' | b'b', ..] => Some(b'+'),
            [b'%', b'2', b'F' | b'f', ..] => Some(b'/'),
            [b'%', b'3', b'D' | b'd', ..] => Some(b'='),
            _ => None,
        };
        read.push(sign.unwrap_or(*first));
        rest = if sign.is_some() { &rest[3..] } else { behind };
    }
    read
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        write!(f, "Class({bytes} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_their_names_say() {
        let hex = Class::named("hex").unwrap();
        assert!(hex.has_all(b"0123456789abcdefABCDEF"));
        assert!(!hex.has(b'g') && !hex.has(b'/') && !hex.has(b':') && !hex.has(0xff));
        assert!(hex.within(&WORD) && !BARE.within(&WORD));
        assert_eq!(WORD.run(b"ab_9-x"), 4);
        assert_eq!(Class::named("anything"), None);
    }

    #[test]
    fn no_class_for_unquoted_text_reaches_into_an_escape_or_a_placeholder() {
        for name in Class::names().filter(|name| !matches!(*name, "quoted" | "any")) {
            let class = Class::named(name).unwrap();
            for byte in b"[]\\\"'` \n\t" {
                assert!(!class.has(*byte), "{name} holds {:?}", char::from(*byte));
            }
        }
    }
}
