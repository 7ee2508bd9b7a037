//! The names that secrets stand under.

use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, MatchKind, StartKind};

/// A name is compared by at most so many letters and digits at its end.
const MAX_NAME: usize = 32;
/// The shortest name, and how much of the end of each is looked at before the name is.
const MIN_NAME: usize = 3;

/// Which rules go with which names.
pub(crate) struct Keys {
    /// All names backwards, so that a name is told from its end, however long it is.
    names: AhoCorasick,
    /// For each name, the rules that go with it and with names that it ends with; in the order in
    /// which rules are tried.
    rules: Vec<Vec<usize>>,
    /// The last letters of all names, as bits.
    endings: Box<[u64; (ENDINGS / 64) as usize]>,
}

/// A name as it is compared: backwards, in lower case, letters and digits only, so that
/// `DB_PASSWORD`, `db-password` and `dbPassword` are the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Name {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Keys {
    /// Names and the rules they lead to, by the rules' indexes.
    #[expect(
        clippy::expect_used,
        reason = "fails beyond two billion letters of names only"
    )]
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = (&'a [u8], usize)>) -> Self {
        let names = names.into_iter().map(|(name, rule)| (Name::of(name), rule));
        let names: Vec<(Name, usize)> = names.filter(|(name, _)| name.is_usable()).collect();
        let mut known: Vec<&[u8]> = names.iter().map(|(name, _)| name.letters()).collect();
        known.sort_unstable();
        known.dedup();
        let of = |name: &[u8]| {
            let ends = names
                .iter()
                .filter(|(end, _)| name.starts_with(end.letters()));
            ends.map(|(_, rule)| *rule).collect()
        };
        let mut endings = Box::new([0; (ENDINGS / 64) as usize]);
        for name in &known {
            let ending = name
                .iter()
                .take(MIN_NAME)
                .fold(0, |ending, byte| longer(ending, *byte));
            endings[(ending / 64) as usize] |= 1 << (ending % 64);
        }
        Self {
            endings,
            rules: known.iter().map(|name| of(name)).collect(),
            names: AhoCorasick::builder()
                .start_kind(StartKind::Anchored)
                .match_kind(MatchKind::LeftmostLongest)
                .kind(Some(AhoCorasickKind::DFA))
                .build(&known)
                .expect("names are few and short"),
        }
    }

    /// Whether a name may end before `at`, by the few bytes there. What has been masked counts as
    /// if it had not; that can only make more of it.
    pub(crate) fn may_end_before(&self, bytes: &[u8], at: usize) -> bool {
        let mut before = bytes[at.saturating_sub(NEAR)..at].iter().rev();
        let (mut ending, mut letters) = (0, 0);
        for byte in &mut before {
            if byte.is_ascii_alphanumeric() {
                ending = longer(ending, *byte);
                letters = 1;
                break;
            }
        }
        for byte in before {
            match byte {
                b'_' | b'-' | b'.' => {}
                byte if byte.is_ascii_alphanumeric() => {
                    ending = longer(ending, *byte);
                    letters += 1;
                    if letters == MIN_NAME {
                        return self.endings[(ending / 64) as usize] & 1 << (ending % 64) != 0;
                    }
                }
                _ => return false,
            }
        }
        // There may be more of it further away.
        letters > 0 && at > NEAR
    }

    /// The rules whose names `name` ends with.
    pub(crate) fn find(&self, name: &Name) -> &[usize] {
        let input = Input::new(name.letters()).anchored(Anchored::Yes);
        self.names
            .find(input)
            .and_then(|known| self.rules.get(known.pattern().as_usize()))
            .map_or(&[], Vec::as_slice)
    }
}

/// No more rules than this count for one name; the first ones stay.
const MAX_RULES: usize = 12;

/// A few rules, by their indexes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    rules: [usize; MAX_RULES],
    length: usize,
}

impl Rules {
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.rules.into_iter().take(self.length)
    }

    /// Those of which `stays` says so.
    #[must_use]
    pub(crate) fn filter(&self, mut stays: impl FnMut(usize) -> bool) -> Self {
        self.iter().filter(|rule| stays(*rule)).collect()
    }
}

impl FromIterator<usize> for Rules {
    fn from_iter<I: IntoIterator<Item = usize>>(rules: I) -> Self {
        let mut few = Self::default();
        for (slot, rule) in few.rules.iter_mut().zip(rules) {
            *slot = rule;
            few.length += 1;
        }
        few
    }
}

/// How far the last letters of a name are looked for.
const NEAR: usize = 20;
/// The number of endings: three of 36 letters and digits.
const ENDINGS: u32 = 36 * 36 * 36 + 64 - 36 * 36 * 36 % 64;

/// An ending with one letter more.
fn longer(ending: u32, letter: u8) -> u32 {
    let letter = match letter {
        b'0'..=b'9' => letter - b'0',
        _ => (letter | 0x20).wrapping_sub(b'a') % 26 + 10,
    };
    ending * 36 + u32::from(letter)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("names", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Name {
    /// The form in which `name` is compared.
    pub(crate) fn of(name: &[u8]) -> Self {
        let mut short = Self::default();
        for byte in name.iter().rev() {
            if !short.push_front(*byte) && !byte.is_ascii() {
                break;
            }
        }
        short
    }

    /// Whether this is a form that names can be found by.
    pub(crate) fn is_usable(&self) -> bool {
        (MIN_NAME..MAX_NAME).contains(&self.length)
    }

    /// Takes the byte before those taken so far. False at the beginning of the name.
    pub(crate) fn push_front(&mut self, byte: u8) -> bool {
        if matches!(byte, b'_' | b'-' | b'.') {
            return true;
        }
        if !byte.is_ascii_alphanumeric() || self.length == MAX_NAME {
            return false;
        }
        self.bytes[self.length] = byte.to_ascii_lowercase();
        self.length += 1;
        true
    }

    fn letters(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_ends_in_every_spelling() {
        let keys = Keys::new([(&b"token"[..], 3), (b"api_key", 7), (b"key", 9)]);
        for name in [
            "api_key",
            "API-KEY",
            "apiKey",
            "X-Service-Api-Key",
            "config.apikey",
        ] {
            assert_eq!(keys.find(&Name::of(name.as_bytes())), [7, 9], "{name}");
        }
        for name in ["api_keys", "ke", "", "api_key_id", "schlüssel"] {
            assert!(keys.find(&Name::of(name.as_bytes())).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_name_has_few_rules() {
        let many: Rules = (0..30).collect();
        assert!(many.iter().eq(0..MAX_RULES) && !many.is_empty());
        assert!(many.filter(|rule| rule > 9).iter().eq([10, 11]));
    }

    #[test]
    fn the_last_letters_tell_what_is_no_name() {
        let keys = Keys::new([(&b"token"[..], 3), (b"api_key", 7)]);
        for text in ["token", "my_Token ", "api-k.e_y\\\"", "'TOKEN'] "] {
            assert!(keys.may_end_before(text.as_bytes(), text.len()), "{text}");
        }
        for text in ["", "en", "tokens", "to ken", "key]x", "a ey"] {
            assert!(!keys.may_end_before(text.as_bytes(), text.len()), "{text}");
        }
    }
}
