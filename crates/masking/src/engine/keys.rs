//! The names that secrets stand under.

use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, MatchKind, StartKind};

/// A name is compared by at most so many letters and digits at its end.
const MAX_NAME: usize = 32;
/// The shortest name.
const MIN_NAME: usize = 3;

/// Which rules go with which names.
pub(crate) struct Keys {
    /// All names backwards, so that a name is told from its end, however long it is.
    names: AhoCorasick,
    /// For each name, the rules that go with it and with names that it ends with; in the order in
    /// which rules are tried.
    rules: Vec<Vec<usize>>,
    /// Both hashes of the last bytes of all names, as bits.
    endings: Box<[u64; 1 << 10]>,
    tails: Tails,
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
        let mut endings = Box::new([0; 1 << 10]);
        for name in &known {
            for ending in endings_of(name).into_iter().flat_map(hashes) {
                endings[ending / 64] |= 1 << (ending % 64);
            }
        }
        Self {
            endings,
            tails: Tails::new(&known),
            rules: known.iter().map(|name| of(name)).collect(),
            names: AhoCorasick::builder()
                .start_kind(StartKind::Anchored)
                .match_kind(MatchKind::LeftmostLongest)
                .kind(Some(AhoCorasickKind::DFA))
                .build(&known)
                .expect("names are few and short"),
        }
    }

    /// The rules of each name that has any.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &[usize]> {
        self.rules.iter().map(Vec::as_slice)
    }

    /// Whether a name may end before `at`, by the few bytes there. What has been masked counts as
    /// if it had not; that can only make more of it.
    #[inline(always)]
    pub(crate) fn may_end_before(&self, bytes: &[u8], at: usize) -> bool {
        let Some(near) = bytes[..at].last_chunk::<8>() else {
            return true;
        };
        let near = u64::from_be_bytes(*near);
        // Behind the name there may be a quote and a space.
        let is_end =
            |back: u32| (near >> (8 * (back - 1)) & 0xff).to_be_bytes()[7].is_ascii_alphanumeric();
        let skip = if is_end(1) {
            0
        } else if is_end(2) {
            8
        } else {
            16
        };
        let ending = near >> skip | 0x2020_2020;
        let known = |ending: u64| {
            let [one, other] = hashes(ending);
            let has = |hash: usize| self.endings[hash / 64] >> (hash % 64) & 1 != 0;
            has(one) & has(other)
        };
        known(ending & 0xffff_ffff) | known(ending & 0xff_ffff) | !is_end(skip / 8 + 1)
    }

    /// The same by more of its letters.
    #[inline(always)]
    pub(crate) fn may_stand_before(&self, bytes: &[u8], at: usize) -> bool {
        let near = &bytes[at.saturating_sub(MAX_TAIL)..at];
        let name = near.iter().rposition(u8::is_ascii_alphanumeric);
        let Some(name) = name.map(|last| &near[..=last]) else {
            return true;
        };
        let mut tail = Tail::default();
        for byte in name.iter().rev() {
            match byte {
                b'_' | b'-' | b'.' => continue,
                _ if !byte.is_ascii_alphanumeric() => return false,
                _ => tail.add(*byte),
            }
            if self.tails.has(&tail) {
                return true;
            }
            if tail.length == TAIL {
                return false;
            }
        }
        // A name of so many joints, or one that begins before all that is known.
        true
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

/// What the last four bytes of a name may be, or the last three if it is no longer: the name is
/// given backwards. Between its letters there may be what does not count, also more than once; then
/// fewer letters are seen.
fn endings_of(name: &[u8]) -> Vec<u64> {
    const JOINTS: &[u8] = b"_-.";
    const SEEN: usize = 4;

    let mut done = Vec::new();
    // What is seen of it, the letters taken, and the ending as a number.
    let mut open = vec![(1, 1, u64::from(name[0] | 0x20))];
    while let Some((seen, taken, ending)) = open.pop() {
        if seen == SEEN || (taken == name.len() && seen == taken) {
            done.push(ending);
        }
        if seen == SEEN {
            continue;
        }
        let longer = |byte: u8| u64::from(byte | 0x20) << (8 * seen) | ending;
        if let Some(letter) = name.get(taken) {
            open.push((seen + 1, taken + 1, longer(*letter)));
        }
        if taken < name.len() {
            open.extend(JOINTS.iter().map(|joint| (seen + 1, taken, longer(*joint))));
        }
    }
    done
}

/// Two 16-bit hashes of up to four bytes.
#[inline]
fn hashes(ending: u64) -> [usize; 2] {
    // Fibonacci hashing.
    let hash = ending.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [(hash >> 48) as usize, (hash >> 32 & 0xffff) as usize]
}

/// How many letters of a name are looked at before the name is.
const TAIL: usize = 6;
/// Where they are looked for: before a separator there may be spaces and quotes.
const MAX_TAIL: usize = 24;

/// The last letters of a name, backwards.
#[derive(Clone, Copy, Debug, Default)]
struct Tail {
    letters: u64,
    length: usize,
}

/// The last letters of all names, or all of them, by their hashes.
struct Tails(Box<[u64; 1 << 10]>);

impl Tail {
    fn add(&mut self, byte: u8) {
        self.letters = self.letters << 8 | u64::from(byte.to_ascii_lowercase());
        self.length += 1;
    }
}

impl Tails {
    fn new(names: &[&[u8]]) -> Self {
        let mut bits = Box::new([0; 1 << 10]);
        for name in names {
            let mut tail = Tail::default();
            name.iter().take(TAIL).for_each(|byte| tail.add(*byte));
            for hash in hashes(tail.letters) {
                bits[hash / 64] |= 1 << (hash % 64);
            }
        }
        Self(bits)
    }

    #[inline]
    fn has(&self, tail: &Tail) -> bool {
        let [one, other] = hashes(tail.letters);
        let has = |hash: usize| self.0[hash / 64] >> (hash % 64) & 1 != 0;
        has(one) & has(other)
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
    fn the_last_letters_tell_what_is_no_name() {
        let keys = Keys::new([(&b"token"[..], 3), (b"api_key", 7)]);
        for text in ["token", "my_Token ", "api-k.e_y\\\"", "'TOKEN'] "] {
            assert!(keys.may_end_before(text.as_bytes(), text.len()), "{text}");
            assert!(keys.may_stand_before(text.as_bytes(), text.len()), "{text}");
        }
        for text in ["my tokens", "with to kin", "some key]x", "another ea"] {
            assert!(!keys.may_end_before(text.as_bytes(), text.len()), "{text}");
        }
    }
}
