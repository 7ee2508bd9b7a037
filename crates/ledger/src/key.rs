//! Keys of signed notes, in the text forms that other tools read.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signature, Signer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Error;

/// The key that signs notes: Ed25519, signature type 0x01.
///
/// Its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct SigningKey {
    public: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

/// The public half of a [`SigningKey`], under its name.
///
/// The text form is `name+keyid+base64(0x01 ‖ key)` (<https://c2sp.org/signed-note>, "verifier
/// keys"); the key id is eight hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

impl SigningKey {
    /// The key with this name and secret seed.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] when the name cannot stand in a note.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { public, key })
    }

    /// Reads `PRIVATE+KEY+name+keyid+base64(0x01 ‖ seed)`, the form of Go's `sumdb/note`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when the text has another form, or a key id that is not the key's.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix("PRIVATE+KEY+").ok_or(Error::Key)?;
        let parts = Parts::parse(text, ED25519)?;
        let key = Self::from_seed(parts.name, &parts.bytes)?;
        if key.public.id == parts.id {
            Ok(key)
        } else {
            Err(Error::Key)
        }
    }

    /// The text that [`from_text`](Self::from_text) reads. It *is* the secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(to_text(&self.public, self.key.as_bytes()));
        Zeroizing::new(format!("PRIVATE+KEY+{}", *secret))
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.public.name
    }

    /// The public half.
    pub fn verifier_key(&self) -> VerifierKey {
        self.public.clone()
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.key.sign(text).to_bytes()
    }
}

impl VerifierKey {
    fn new(name: &str, key: ed25519_dalek::VerifyingKey) -> Result<Self, Error> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, ED25519, &key),
            key,
        })
    }

    /// The name of the key. A log's key has the name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over the name, a line feed, 0x01 and the key.
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether this is a signature of the key over the text. Strict: only one signature of a text
    /// is valid, and keys of small order have none.
    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        self.key
            .verify_strict(text, &Signature::from_bytes(signature))
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(self, self.key.as_bytes()))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = Parts::parse(text, ED25519)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&parts.bytes).map_err(|_| Error::Key)?;
        let key = Self::new(parts.name, key)?;
        if key.id == parts.id {
            Ok(key)
        } else {
            Err(Error::Key)
        }
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

fn to_text(public: &VerifierKey, bytes: &[u8; 32]) -> String {
    key_text(&public.name, public.id, ED25519, bytes)
}

/// Refuses a name that cannot stand in a note.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(forbidden) {
        return Err(Error::Name);
    }
    Ok(())
}

/// The first four bytes of SHA-256 over the name, a line feed, the kind of the key and the key.
pub(crate) fn key_id(name: &str, kind: u8, key: &ed25519_dalek::VerifyingKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', kind]);
    hasher.update(key.as_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// `name+keyid+base64(kind ‖ bytes)`.
pub(crate) fn key_text(name: &str, id: [u8; 4], kind: u8, bytes: &[u8; 32]) -> String {
    let mut typed = Zeroizing::new([kind; 33]);
    typed[1..].copy_from_slice(bytes);
    let bytes = Zeroizing::new(BASE64.encode(*typed));
    let [a, b, c, d] = id;
    format!("{name}+{a:02x}{b:02x}{c:02x}{d:02x}+{}", *bytes)
}

/// `name+keyid+base64(kind ‖ bytes)`, taken apart.
pub(crate) struct Parts<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: [u8; 4],
    pub(crate) bytes: Zeroizing<[u8; 32]>,
}

impl<'a> Parts<'a> {
    pub(crate) fn parse(text: &'a str, kind: u8) -> Result<Self, Error> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::Key);
        };
        let well_formed = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if id.len() != 8 || !id.bytes().all(well_formed) {
            return Err(Error::Key);
        }
        let id = u32::from_str_radix(id, 16).map_err(|_| Error::Key)?;
        let bytes = Zeroizing::new(BASE64.decode(bytes).map_err(|_| Error::Key)?);
        let key = match bytes.split_first() {
            Some((found, key)) if *found == kind => key,
            _ => return Err(Error::Key),
        };
        Ok(Self {
            name,
            id: id.to_be_bytes(),
            bytes: Zeroizing::new(key.try_into().map_err(|_| Error::Key)?),
        })
    }
}

/// The signature type of Ed25519 notes.
const ED25519: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn keys_of_the_go_implementation_are_read_and_written() {
        let key = SigningKey::from_text(SECRET).unwrap();
        assert_eq!(*key.to_text(), SECRET);
        assert_eq!(key.verifier_key().to_string(), PUBLIC);
        assert_eq!(PUBLIC.parse(), Ok(key.verifier_key()));
        assert_eq!(key.name(), "PeterNeumann");
    }

    #[test]
    fn a_key_under_another_name_or_id_is_refused() {
        for (from, to) in [
            ("PeterNeumann", "PeterNewmann"),
            ("c74f20a3", "c74f20a4"),
            ("c74f20a3", "C74F20A3"),
            ("+ARpc", "+ABpc"),
            ("TW", "T"),
        ] {
            let changed = PUBLIC.replace(from, to);
            assert_eq!(changed.parse::<VerifierKey>(), Err(Error::Key), "{to}");
        }
    }

    #[test]
    fn names_that_cannot_stand_in_a_note_are_refused() {
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
            assert_eq!(
                SigningKey::from_seed(name, &[1; 32]).err(),
                Some(Error::Name)
            );
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let key = SigningKey::from_text(SECRET).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }
}
