//! Ways of authentication: what proves that somebody knows a password.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{self, Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512},
};
use ed25519_dalek::{
    VerifyingKey,
    hazmat::{ExpandedSecretKey, raw_sign},
};
use sha2::Sha512;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Error, greeting::SCRAMBLE};

/// A way of authentication that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// `mysql_clear_password`: the password as it is, inside TLS only.
    Clear,
    /// `mysql_native_password`: that of MySQL 4.1, with SHA-1.
    Native,
    /// `caching_sha2_password`: that of MySQL 8. A server that has not seen the password for a
    /// while asks for it as it is, which is for TLS only: see [`Self::FULL`].
    CachingSha2,
    /// `client_ed25519`: MariaDB's, with a signature.
    Ed25519,
}

/// What a client shows for its password: the password itself, or what was made of it.
///
/// It is wiped when it is dropped, and no `Debug` output shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(Zeroizing<Vec<u8>>);

impl Plugin {
    /// What a server of [`Self::CachingSha2`] says when the proof sufficed: an OK comes next.
    pub const FAST: u8 = 3;
    /// What it says when it wants the password as it is: [`Proof::of_password`] comes next.
    pub const FULL: u8 = 4;

    /// The way of this name; none if it is not spoken.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "mysql_clear_password",
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Ed25519 => "client_ed25519",
        }
    }

    /// Whether whoever reads the proof on its way has the password.
    pub const fn shows_password(self) -> bool {
        matches!(self, Self::Clear)
    }

    /// What a client shows for `password` to a server that said `data`: the bytes of its greeting's
    /// scramble, or what its request to switch to this way holds.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `data` is not as long as the way wants it, [`Error::Zero`] for a
    /// password that holds a zero byte where it is sent as it is.
    pub fn prove(self, password: &[u8], data: &[u8]) -> Result<Proof, Error> {
        if self == Self::Clear {
            return Proof::of_password(password);
        }
        // A zero byte may end it, which is not counted.
        let expected = match self {
            Self::Ed25519 => NONCE,
            _ => SCRAMBLE,
        };
        let data = match data {
            [data @ .., 0] if data.len() == expected => data,
            data if data.len() == expected => data,
            _ => return Err(Error::Length),
        };
        Ok(match self {
            Self::Native | Self::CachingSha2 if password.is_empty() => Proof::new(&[]),
            Self::Native => Proof(native(password, data)),
            Self::CachingSha2 => Proof(caching_sha2(password, data)),
            Self::Ed25519 | Self::Clear => Proof(signed(password, data)),
        })
    }

    const ALL: [Self; 4] = [Self::Clear, Self::Native, Self::CachingSha2, Self::Ed25519];
}

impl Proof {
    /// A proof that was made elsewhere.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The password as it is, for [`Plugin::Clear`] and for a server that said [`Plugin::FULL`]:
    /// inside TLS only.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`].
    pub fn of_password(password: &[u8]) -> Result<Self, Error> {
        if memchr::memchr(0, password).is_some() {
            return Err(Error::Zero);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(password.len() + 1));
        bytes.extend_from_slice(password);
        bytes.push(0);
        Ok(Self(bytes))
    }

    /// The bytes of the proof.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The password in the proof, as [`Self::of_password`] makes it.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] for what has no end or no UTF-8, [`Error::Zero`] for what has two.
    pub fn password(&self) -> Result<&str, Error> {
        let [password @ .., 0] = self.as_bytes() else {
            return Err(Error::Text);
        };
        if memchr::memchr(0, password).is_some() {
            return Err(Error::Zero);
        }
        crate::cursor::utf8(password)
    }

    /// Whether it proves, in the way of [`Plugin::CachingSha2`], to know the secret with this
    /// SHA-256, to whoever sent `scramble`. Only the digest has to be known for that.
    pub fn proves_sha256(&self, scramble: &[u8; SCRAMBLE], sha256: &[u8; 32]) -> bool {
        let mask = sha256_of(&[digest::digest(&SHA256, sha256).as_ref(), scramble]);
        let mut shown = self.0.clone();
        mix(&mut shown, &mask);
        verify_slices_are_equal(&shown, sha256).is_ok()
    }
}

/// `SHA1(password) XOR SHA1(scramble, SHA1(SHA1(password)))`
fn native(password: &[u8], scramble: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = &SHA1_FOR_LEGACY_USE_ONLY;
    let mut once = Zeroizing::new(digest::digest(algorithm, password).as_ref().to_vec());
    let mut context = Context::new(algorithm);
    context.update(scramble);
    context.update(digest::digest(algorithm, &once).as_ref());
    mix(&mut once, &context.finish());
    once
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)), scramble)`
fn caching_sha2(password: &[u8], scramble: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut once = Zeroizing::new(digest::digest(&SHA256, password).as_ref().to_vec());
    let mask = sha256_of(&[digest::digest(&SHA256, &once).as_ref(), scramble]);
    mix(&mut once, &mask);
    once
}

/// Ed25519 as RFC 8032 has it, but with a key of any length: the password.
fn signed(password: &[u8], nonce: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut expanded = [0; 64];
    expanded.copy_from_slice(digest::digest(&SHA512, password).as_ref());
    let key = ExpandedSecretKey::from_bytes(&expanded);
    expanded.zeroize();
    // The public key is the one of this very key, or the signature would give the key away.
    let public = VerifyingKey::from(&key);
    let signature = raw_sign::<Sha512>(&key, nonce, &public);
    Zeroizing::new(signature.to_vec())
}

fn sha256_of(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

fn mix(bytes: &mut [u8], mask: &Digest) {
    for (byte, mask) in bytes.iter_mut().zip(mask.as_ref()) {
        *byte ^= mask;
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// What MariaDB has signed.
const NONCE: usize = 32;

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    /// As the tests of go-sql-driver/mysql have them (`auth_test.go`).
    #[test]
    fn proofs_are_those_of_other_drivers() {
        let scramble = [
            70, 114, 92, 94, 1, 38, 11, 116, 63, 114, 23, 101, 126, 103, 26, 95, 81, 17, 24, 21,
        ];
        let proof = Plugin::Native.prove(b"secret", &scramble).unwrap();
        let expected = [
            53, 177, 140, 159, 251, 189, 127, 53, 109, 252, 172, 50, 211, 192, 240, 164, 26, 48,
            207, 45,
        ];
        assert_eq!(proof.as_bytes(), expected);

        let scramble = [
            10, 47, 74, 111, 75, 73, 34, 48, 88, 76, 114, 74, 37, 13, 3, 80, 82, 2, 23, 21,
        ];
        for (password, expected) in [
            (
                "secret",
                "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c",
            ),
            (
                "secret2",
                "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6",
            ),
        ] {
            let proof = Plugin::CachingSha2.prove(password.as_bytes(), &scramble);
            let proof = proof.unwrap();
            let hex = |byte: &u8| format!("{byte:02x}");
            let told: String = proof.as_bytes().iter().map(hex).collect();
            assert_eq!(told, expected);

            let mut sha256 = [0; 32];
            sha256.copy_from_slice(digest::digest(&SHA256, password.as_bytes()).as_ref());
            assert!(proof.proves_sha256(&scramble, &sha256));
            assert!(!proof.proves_sha256(&[1; 20], &sha256));
            sha256[0] ^= 1;
            assert!(!proof.proves_sha256(&scramble, &sha256));
        }
        assert!(!Proof::new(&[]).proves_sha256(&scramble, &[0; 32]));
    }

    /// The first is in MariaDB's documentation of the plugin; the other is what `ed25519_password`
    /// of MariaDB 10.11 gives.
    #[test]
    fn signatures_are_of_the_keys_that_mariadb_keeps() {
        for (password, key) in [
            ("secret", "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY="),
            ("foo", "vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI="),
        ] {
            let key = UnparsedPublicKey::new(&ED25519, STANDARD.decode(key).unwrap());
            let nonce = [9; 32];
            let proof = Plugin::Ed25519.prove(password.as_bytes(), &nonce).unwrap();
            assert!(key.verify(&nonce, proof.as_bytes()).is_ok(), "{password}");
            assert!(key.verify(&[8; 32], proof.as_bytes()).is_err());
        }
    }

    #[test]
    fn a_scramble_has_its_length() {
        let ended = [[5; 20].as_slice(), b"\0"].concat();
        let plain = Plugin::Native.prove(b"x", &[5; 20]);
        assert_eq!(Plugin::Native.prove(b"x", &ended), plain);
        for (plugin, length) in [
            (Plugin::Native, 8),
            (Plugin::CachingSha2, 22),
            (Plugin::Ed25519, 20),
        ] {
            let proof = plugin.prove(b"x", &vec![5; length]);
            assert_eq!(proof, Err(Error::Length), "{plugin:?}");
        }
        let none = Plugin::CachingSha2.prove(b"", &[5; 20]).unwrap();
        assert_eq!(none.as_bytes(), b"");
    }

    #[test]
    fn a_password_is_shown_to_its_end() {
        let proof = Plugin::Clear.prove(b"tok", b"anything").unwrap();
        assert_eq!(proof.as_bytes(), b"tok\0");
        assert_eq!(proof.password(), Ok("tok"));
        assert_eq!(Proof::new(b"tok").password(), Err(Error::Text));
        assert_eq!(Proof::new(b"").password(), Err(Error::Text));
        assert_eq!(Proof::new(b"t\0k\0").password(), Err(Error::Zero));
        assert_eq!(Plugin::Clear.prove(b"t\0k", b""), Err(Error::Zero));
        assert!(!format!("{proof:?}").contains("116"), "{proof:?}");
    }

    #[test]
    fn ways_have_their_names() {
        for plugin in Plugin::ALL {
            assert_eq!(Plugin::of(plugin.name()), Some(plugin));
        }
        for unknown in ["", "sha256_password", "dialog", "mysql_old_password"] {
            assert_eq!(Plugin::of(unknown), None);
        }
    }
}
