//! The names that secrets stand under.

/// A name is compared by at most so many letters and digits at its end.
const MAX_NAME: usize = 32;

/// Which rules go with which names.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Names backwards, and the rule; in the order in which rules are tried.
    names: Vec<(Vec<u8>, usize)>,
    /// The last letters of all names, as bits from `a` and from `0`.
    endings: u64,
    /// The last three letters of all names, hashed.
    triples: [u64; 16],
}

/// A name as it is compared: backwards, in lower case, letters and digits only, so that
/// `DB_PASSWORD`, `db-password` and `dbPassword` are the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Name {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Keys {
    /// Adds a name that leads to the rule with this index.
    pub(crate) fn insert(&mut self, name: &[u8], rule: usize) {
        let name = Name::of(name);
        if let Some(last) = name.letters().first() {
            self.endings |= bit(*last);
        }
        let triple = triple(name.letters());
        self.triples[triple >> 6] |= 1 << (triple & 63);
        self.names.push((name.letters().to_vec(), rule));
    }

    /// Whether any name ends in this byte.
    pub(crate) fn may_end_in(&self, last: u8) -> bool {
        self.endings & bit(last) != 0
    }

    /// The rules whose names `name` ends with.
    pub(crate) fn find(&self, name: &Name) -> impl Iterator<Item = usize> {
        let triple = triple(name.letters());
        let may_be = self.triples[triple >> 6] & (1 << (triple & 63)) != 0;
        let names = if may_be { &self.names[..] } else { &[] };
        names
            .iter()
            .filter(move |(known, _)| name.letters().starts_with(known))
            .map(|(_, rule)| *rule)
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

/// A 10-bit hash of the first three bytes.
fn triple(letters: &[u8]) -> usize {
    let letters = letters.iter().take(3);
    letters.fold(0, |sum, letter| (sum * 31 + usize::from(*letter)) & 0x3ff)
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
        let mut keys = Keys::default();
        keys.insert(b"api_key", 7);
        for name in [
            "api_key",
            "API-KEY",
            "apiKey",
            "X-Service-Api-Key",
            "config.apikey",
        ] {
            assert_eq!(
                keys.find(&Name::of(name.as_bytes())).next(),
                Some(7),
                "{name}"
            );
        }
        for name in ["api_keys", "key", "", "api_key_id", "schlüssel"] {
            assert_eq!(keys.find(&Name::of(name.as_bytes())).next(), None, "{name}");
        }
    }
}
