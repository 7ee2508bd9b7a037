//! Keys, what they are for, and how one is wrapped under another.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// A key of 256 bits. It prints nothing and is wiped.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; 32]>);

/// The name of a scope's keys: random, and of no meaning outside the book.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(pub(crate) [u8; 16]);

/// What one of the keys of a scope is for. Each can be destroyed without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// The envelopes: who asked for what, and how it ended.
    Metadata,
    /// The bodies of requests.
    Request,
    /// The bodies of answers that are no rows.
    Answer,
    /// The bodies of answers that are the rows of a database.
    Rows,
}

/// The keys of one scope: what a principal does in a session, so that a subject and a session can
/// each be erased alone.
#[derive(Clone)]
pub(crate) struct ScopeKeys {
    id: KeyId,
    keys: [Key; CLASSES],
}

/// A key that is wrapped: nonce, ciphertext and tag.
pub(super) type Wrapped = [u8; WRAPPED];

/// What stands in the place of a key that was destroyed. It has the length of a wrapped key, so that
/// it takes its very bytes on the disk.
pub(super) const DESTROYED: Wrapped = [0; WRAPPED];

/// As many keys as a scope has.
pub(crate) const CLASSES: usize = 4;

/// The length of a wrapped key.
pub(super) const WRAPPED: usize = NONCE + 32 + TAG;

impl Key {
    /// A key of random bytes.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|_| ErrorKind::Random)?;
        Ok(Self(key))
    }

    /// The key with these bytes, if they are as many as a key has.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self(Zeroizing::new(*bytes)))
    }

    /// The key with these bytes.
    pub(crate) fn from_array(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key's bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The HMAC-SHA256 of this message under the key.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let mut context = hmac::Context::with_key(&key);
        parts.iter().for_each(|part| context.update(part));
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    /// Wraps a key for one place, which `place` names and which no other key is wrapped for.
    ///
    /// Each place has a key of its own, derived from this one, so that the number of keys that one
    /// key may wrap under random nonces has no bound that matters. What is destroyed is the wrapped
    /// key; it cannot be derived from anything.
    pub(super) fn wrap(&self, place: &[&[u8]], key: &Self) -> Result<Wrapped, Error> {
        let mut wrapped = DESTROYED;
        let (nonce, rest) = wrapped.split_at_mut(NONCE);
        let (text, tag) = rest.split_at_mut(32);
        getrandom::fill(nonce).map_err(|_| ErrorKind::Random)?;
        text.copy_from_slice(key.bytes());
        let sealing = Nonce::try_assume_unique_for_key(nonce).and_then(|nonce| {
            self.of(place)?
                .seal_in_place_separate_tag(nonce, Aad::empty(), text)
        });
        tag.copy_from_slice(sealing.map_err(|_| ErrorKind::Keys)?.as_ref());
        Ok(wrapped)
    }

    /// Unwraps what [`wrap`](Self::wrap) wrapped. `None` if it was not wrapped by this key, or for
    /// another place.
    pub(super) fn unwrap(&self, place: &[&[u8]], wrapped: &[u8]) -> Option<Self> {
        let (nonce, rest) = wrapped.split_at_checked(NONCE)?;
        let mut text = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.of(place).ok()?;
        Self::from_bytes(opened.open_in_place(nonce, Aad::empty(), &mut text).ok()?)
    }

    fn of(&self, place: &[&[u8]]) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
        // Every part has a fixed length but the last, so no two places are the same bytes.
        let mut parts = vec![WRAP];
        parts.extend(place);
        let key = Zeroizing::new(self.mac(&parts));
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key)?))
    }
}

impl KeyId {
    /// The name that is written like this.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let id = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
        (Self(id).to_string() == text).then_some(Self(id))
    }

    /// A name that no other scope has.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| ErrorKind::Random)?;
        Ok(Self(id))
    }
}

impl Class {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; CLASSES] =
        [Self::Metadata, Self::Request, Self::Answer, Self::Rows];

    /// The class of answers in this protocol: what a database answers with are rows.
    pub(crate) fn of_answer(protocol: &str) -> Self {
        match protocol {
            "postgres" | "mysql" => Self::Rows,
            _ => Self::Answer,
        }
    }

    /// The class as configuration and records call it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Rows => "rows",
        }
    }

    /// The class of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// The class as one of eight bits.
    pub(crate) const fn bit(self) -> u8 {
        1 << self.number()
    }

    /// The number of the class.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Metadata => 0,
            Self::Request => 1,
            Self::Answer => 2,
            Self::Rows => 3,
        }
    }
}

impl ScopeKeys {
    /// Fresh keys that nobody has yet.
    pub(super) fn random() -> Result<Self, Error> {
        Ok(Self {
            id: KeyId::random()?,
            keys: [
                Key::random()?,
                Key::random()?,
                Key::random()?,
                Key::random()?,
            ],
        })
    }

    /// Keys that were looked up, by the number of their class.
    pub(crate) const fn of(id: KeyId, keys: [Key; CLASSES]) -> Self {
        Self { id, keys }
    }

    /// Their name.
    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }

    /// The key for a class.
    pub(crate) fn key(&self, class: Class) -> &Key {
        &self.keys[usize::from(class.number())]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Debug for ScopeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeKeys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

const NONCE: usize = 12;
const TAG: usize = 16;
const WRAP: &[u8] = b"tollbook-wrap-v1\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_with_its_key_in_its_place() {
        let (with, key) = (Key::random().unwrap(), Key::random().unwrap());
        let wrapped = with.wrap(&[b"here", &[1]], &key).unwrap();
        let opened = with.unwrap(&[b"here", &[1]], &wrapped).unwrap();
        assert_eq!(opened.bytes(), key.bytes());

        assert!(with.unwrap(&[b"here", &[2]], &wrapped).is_none());
        assert!(
            Key::random()
                .unwrap()
                .unwrap(&[b"here", &[1]], &wrapped)
                .is_none()
        );
        for index in 0..wrapped.len() {
            let mut changed = wrapped;
            changed[index] ^= 1;
            assert!(with.unwrap(&[b"here", &[1]], &changed).is_none());
        }
        assert!(with.unwrap(&[b"here", &[1]], &[]).is_none());
    }

    #[test]
    fn keys_print_nothing() {
        let keys = ScopeKeys::random().unwrap();
        let printed = format!("{keys:?} {:?}", keys.key(Class::Answer));
        assert_eq!(
            printed,
            format!("ScopeKeys {{ id: KeyId({}), .. }} Key(..)", keys.id())
        );
    }
}
