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

    /// The rules whose names `name` ends with, in the order in which rules are tried.
    pub(crate) fn find(&self, name: &Name) -> Rules {
        let mut found = Rules::default();
        if name.length == 0 || !self.may_end_in(name.bytes[0]) {
            return found;
        }
        let input = Input::new(name.letters()).anchored(Anchored::Yes);
        let mut state = OverlappingState::start();
        loop {
            self.names.find_overlapping(input.clone(), &mut state);
            let Some(known) = state.get_match() else {
                break;
            };
            found.insert(known.pattern().as_usize());
        }
        for rule in &mut found.rules[..found.length] {
            *rule = self.rules.get(*rule).copied().unwrap_or(usize::MAX);
        }
        found
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
        let mut left = Self::default();
        for rule in self.iter().filter(|rule| stays(*rule)) {
            left.rules[left.length] = rule;
            left.length += 1;
        }
        left
    }

    /// Adds one in the order of numbers.
    fn insert(&mut self, rule: usize) {
        let at = self.rules[..self.length].partition_point(|known| *known < rule);
        if at == MAX_RULES {
            return;
        }
        self.length = (self.length + 1).min(MAX_RULES);
        self.rules[at..self.length].rotate_right(1);
        self.rules[at] = rule;
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
            let found: Vec<usize> = keys.find(&Name::of(name.as_bytes())).iter().collect();
            assert_eq!(found, [7, 9], "{name}");
        }
        for name in ["api_keys", "ke", "", "api_key_id", "schlüssel"] {
            assert!(keys.find(&Name::of(name.as_bytes())).is_empty(), "{name}");
        }
        let mut many = Rules::default();
        (0..30).rev().for_each(|rule| many.insert(rule));
        assert_eq!(
            many.iter().collect::<Vec<_>>(),
            (0..MAX_RULES).collect::<Vec<_>>()
        );
        assert!(keys.may_end_in(b'Y') && keys.may_end_in(b'n') && !keys.may_end_in(b'a'));
    }
}
