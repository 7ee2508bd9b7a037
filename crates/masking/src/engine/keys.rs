//! The names that secrets stand under.

use std::fmt;

use aho_corasick::{
    AhoCorasick, AhoCorasickKind, Anchored, Input, StartKind, automaton::OverlappingState,
};

/// A name is compared by at most so many letters and digits at its end.
const MAX_NAME: usize = 32;

/// Which rules go with which names.
pub(crate) struct Keys {
    /// All names backwards, so that a name is told from its end, however long it is.
    names: AhoCorasick,
    /// The rule of each name; in the order in which rules are tried.
    rules: Vec<usize>,
    /// The last letters of all names, as bits from `a` and from `0`.
    endings: u64,
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
        let names: Vec<(Name, usize)> = names.filter(|(name, _)| name.length > 0).collect();
        let backwards = names.iter().map(|(name, _)| name.letters());
        Self {
            endings: backwards.clone().fold(0, |bits, name| bits | bit(name[0])),
            names: AhoCorasick::builder()
                .start_kind(StartKind::Anchored)
                .kind(Some(AhoCorasickKind::DFA))
                .build(backwards)
                .expect("names are few and short"),
            rules: names.iter().map(|(_, rule)| *rule).collect(),
        }
    }

    /// Whether any name ends in this byte.
    pub(crate) fn may_end_in(&self, last: u8) -> bool {
        self.endings & bit(last) != 0
    }

    /// The rules whose names `name` ends with.
    pub(crate) fn find(&self, name: &Name) -> Vec<usize> {
        let input = Input::new(name.letters()).anchored(Anchored::Yes);
        let mut state = OverlappingState::start();
        let mut found = Vec::new();
        loop {
            self.names.find_overlapping(input.clone(), &mut state);
            let Some(known) = state.get_match() else {
                break;
            };
            found.push(known.pattern().as_usize());
        }
        found.sort_unstable();
        found
            .iter()
            .filter_map(|known| self.rules.get(*known).copied())
            .collect()
    }
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
        (3..MAX_NAME).contains(&self.length)
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

fn bit(byte: u8) -> u64 {
    match byte.to_ascii_lowercase() {
        letter @ b'a'..=b'z' => 1 << (letter - b'a'),
        digit @ b'0'..=b'9' => 1 << (digit - b'0' + 26),
        _ => 0,
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
            assert_eq!(keys.find(&Name::of(name.as_bytes())), [0; 0], "{name}");
        }
        assert!(keys.may_end_in(b'Y') && keys.may_end_in(b'n') && !keys.may_end_in(b'a'));
    }
}
