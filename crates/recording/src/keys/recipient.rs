//! Keys sealed to somebody who is not here: the gateway that writes the book cannot read what it
//! wrote in sessions that are over.
//!
//! The key pair is one of `age-keygen`: X25519, in the text form of <https://age-encryption.org/v1>.
//! Keys are sealed to it by HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! AES-256-GCM), of the library that does TLS here as well.

use std::{fmt, fs::File, io, path::Path, str::FromStr};

use aws_lc_rs::agreement::{PrivateKey, X25519};
use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use zeroize::Zeroizing;

use super::key::Key;
use crate::{Error, ErrorKind, folder::read_private};

/// Whom the keys of new scopes are sealed to: an X25519 key as `age-keygen` prints it, `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// The other half of a [`Recipient`], which opens what was sealed to it.
pub(super) struct Identity {
    secret: HpkePrivateKey,
    recipient: Recipient,
}

impl Recipient {
    /// Seals a key to the recipient.
    pub(super) fn seal(&self, place: &[u8], key: &Key) -> Result<Vec<u8>, Error> {
        let to = HpkePublicKey(self.0.to_vec());
        let (mut sealed, text) = DH_KEM_X25519_HKDF_SHA256_AES_256
            .seal(INFO, place, key.bytes(), &to)
            .map(|(secret, text)| (secret.0, text))
            .map_err(|_| ErrorKind::Keys)?;
        sealed.extend(text);
        Ok(sealed)
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Identity {
    /// Reads the identity in a file of `age-keygen`, which its owner alone may read. Lines that
    /// begin with `#` are comments.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let unusable = |error: io::Error| Error::because(ErrorKind::Identity, error);
        let text = File::open(path).and_then(read_private).map_err(unusable)?;
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        line.and_then(Self::parse)
            .ok_or_else(|| ErrorKind::Identity.into())
    }

    fn parse(text: &str) -> Option<Self> {
        let secret = Zeroizing::new(decode(text, "age-secret-key-")?);
        let private = PrivateKey::from_private_key(&X25519, &*secret).ok()?;
        let public = private.compute_public_key().ok()?;
        Some(Self {
            secret: HpkePrivateKey::from(secret.to_vec()),
            recipient: Recipient(public.as_ref().try_into().ok()?),
        })
    }

    /// Opens what was [sealed](Recipient::seal). `None` if it was sealed to somebody else, or for
    /// another place.
    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Key> {
        let (secret, text) = sealed.split_at_checked(ENCAPSULATED)?;
        let secret = EncapsulatedSecret(secret.to_vec());
        let opened = DH_KEM_X25519_HKDF_SHA256_AES_256
            .open(&secret, INFO, place, text, &self.secret)
            .ok()?;
        Key::from_bytes(&Zeroizing::new(opened))
    }

    pub(super) const fn recipient(&self) -> &Recipient {
        &self.recipient
    }
}

/// Why a text is no [`Recipient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an X25519 recipient as `age-keygen` prints it, which begins with age1")]
pub struct RecipientError;

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode(text, "age").map(Self).ok_or(RecipientError)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(f, Hrp::parse_unchecked("age"), &self.0)
            .map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("recipient", &self.recipient)
            .finish_non_exhaustive()
    }
}

/// The bytes of a text in Bech32 with this prefix, in either case.
fn decode(text: &str, prefix: &str) -> Option<[u8; 32]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if checked.hrp() != Hrp::parse(prefix).ok()? {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    let mut rest = checked.byte_iter();
    for byte in bytes.iter_mut() {
        *byte = rest.next()?;
    }
    rest.next().is_none().then_some(*bytes)
}

/// The bytes of the sender's public key, which stand before the ciphertext.
const ENCAPSULATED: usize = 32;
const INFO: &[u8] = b"tollbook-scope-v1";

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair that the age specification has as its example.
    fn pair() -> (Recipient, Identity) {
        let secret = concat!(
            "AGE-SECRET-KEY-",
            "1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
        );
        let identity = Identity::parse(secret).unwrap();
        (identity.recipient().clone(), identity)
    }

    #[test]
    fn the_text_form_is_that_of_age() {
        let (recipient, _) = pair();
        let text = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        assert_eq!(recipient.to_string(), text);
        assert_eq!(text.parse::<Recipient>().unwrap(), recipient);
        for wrong in [
            "",
            "age1",
            &text[..60],
            &text.replace("ujwj", "ujwk"),
            "ssh-ed25519 AAAA",
        ] {
            assert_eq!(wrong.parse::<Recipient>(), Err(RecipientError), "{wrong}");
        }
    }

    #[test]
    fn only_the_identity_opens_what_was_sealed_and_only_in_its_place() {
        let (recipient, identity) = pair();
        let key = Key::random().unwrap();
        let sealed = recipient.seal(b"here", &key).unwrap();
        assert_eq!(
            identity.open(b"here", &sealed).unwrap().bytes(),
            key.bytes()
        );
        assert!(identity.open(b"there", &sealed).is_none());
        assert!(identity.open(b"here", &sealed[1..]).is_none());
        assert!(identity.open(b"here", &[]).is_none());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(identity.open(b"here", &changed).is_none(), "{index}");
        }
    }
}
