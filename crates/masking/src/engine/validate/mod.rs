//! What a body must be besides its length and class.
//!
//! A validator looks at the bytes as they stand, separators included, and at no more than the first
//! [`CAP`](crate::engine::rule::CAP) of them. It never allocates.

mod checksum;
mod crypto;
mod date;
mod digits;
mod entropy;
mod name;
mod national;
mod network;
mod payment;
mod placeholder;
mod shape;
mod token;

pub(crate) use self::placeholder::{is_masked, is_placeholder};

/// A further condition on the bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Validator {
    /// One of [`NAMED`], by its table and its place in there.
    Named(usize, usize),
    /// At least this much Shannon entropy per byte.
    Entropy(entropy::Bits),
    /// It holds this text.
    Contains(Vec<u8>),
}

/// A condition without an argument.
type Accepts = fn(&[u8]) -> bool;

/// The conditions that have a name and no argument. Where one is a checksum, its function tells the
/// source.
static NAMED: &[&[(&str, Accepts)]] = &[
    &[
        ("not-placeholder", |body| !is_placeholder(body)),
        ("mixed", shape::is_mixed),
        ("letter-and-digit", shape::has_letter_and_digit),
        ("digit", |body| body.iter().any(u8::is_ascii_digit)),
        ("not-prose", shape::is_not_prose),
        ("not-uuid", |body| !shape::is_uuid(body)),
        ("not-hex-digest", |body| !shape::is_hex_digest(body)),
        ("not-version", |body| !shape::is_version(body)),
        ("not-date", |body| !date::is_any_date(body)),
        ("not-repeated", |body| !shape::is_repeated(body)),
        ("id-number", shape::is_id_number),
        ("person-name", shape::is_person_name),
        ("free-text", shape::is_free_text),
        ("random", entropy::is_random),
        ("not-name", |body| !name::is_name(body)),
        ("password", name::is_password),
        ("bare-password", name::is_bare_password),
        ("bare-secret", name::is_bare_secret),
        ("three-kinds", name::has_three_kinds),
        ("jwt", token::is_jwt_header),
        ("basic-credentials", token::is_basic_credentials),
        ("crc32-base62", token::has_crc32_base62),
        ("date", date::is_any_date),
        ("birth-date", date::is_birth_date),
    ],
    checksum::NAMED,
    payment::NAMED,
    network::NAMED,
    crypto::NAMED,
    national::AMERICAS,
    national::ASIA,
    national::EUROPE,
    national::NORTH,
];

impl Validator {
    /// Reads the form used in rules, such as `mixed` or `entropy:3.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => NAMED.iter().enumerate().find_map(|(table, named)| {
                let place = named.iter().position(|(name, _)| *name == text)?;
                Some(Self::Named(table, place))
            }),
            Some(("entropy", bits)) => entropy::Bits::parse(bits).map(Self::Entropy),
            Some(("contains", text)) if !text.is_empty() => Some(Self::Contains(text.into())),
            Some(_) => None,
        }
    }

    /// The names of the validators that take no argument.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().copied().flatten().map(|(name, _)| *name)
    }

    /// Whether a body fulfils the condition.
    pub(crate) fn accepts(&self, body: &[u8]) -> bool {
        match self {
            Self::Named(table, place) => (NAMED[*table][*place].1)(body),
            Self::Entropy(bits) => bits.are_in(body),
            // A body is too short for a searcher to be worth its making.
            Self::Contains(text) => text.first().is_none_or(|first| {
                memchr::memchr_iter(*first, body).any(|at| body[at..].starts_with(text))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_validator_is_none() {
        assert!(Validator::parse("entropy:3.5").is_some());
        for text in [
            "entropy",
            "entropy:lots",
            "entropy:NaN",
            "contains:",
            "luck",
            "mixed:2",
        ] {
            assert_eq!(Validator::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_name_is_there_once_and_leads_to_its_own_function() {
        for (table, named) in NAMED.iter().enumerate() {
            for (place, (name, _)) in named.iter().enumerate() {
                assert_eq!(
                    Validator::parse(name),
                    Some(Validator::Named(table, place)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn no_validator_fails_on_any_bytes() {
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize
        };
        let alphabet = b"0123456789 0123456789-./ABCZXYabcdef:()+\xc3\xff";
        for name in Validator::names() {
            let validator = Validator::parse(name).unwrap();
            for _ in 0..400 {
                let length = next() % 40;
                let body: Vec<u8> = (0..length)
                    .map(|_| alphabet[next() % alphabet.len()])
                    .collect();
                validator.accepts(&body);
            }
            validator.accepts(&[b'9'; 112]);
            validator.accepts(b"");
        }
    }
}
