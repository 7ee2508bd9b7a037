//! Signatures, in the form in which `webpki` asks for them.
//!
//! Nothing here handles a secret, so nothing has to take the same time whatever the data.

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use der::Tag;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::asn1::Walk;

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Rsa,
    P256,
    P384,
}

/// How a key signs.
#[derive(Debug)]
pub(crate) struct Algorithm {
    key: Key,
    pub(crate) hash: Hash,
}

const fn algorithm(key: Key, hash: Hash) -> &'static dyn SignatureVerificationAlgorithm {
    match (key, hash) {
        (Key::Rsa, Hash::Sha256) => &RSA_SHA256,
        (Key::Rsa, Hash::Sha384) => &RSA_SHA384,
        (Key::Rsa, Hash::Sha512) => &RSA_SHA512,
        (Key::P256, Hash::Sha256) => &P256_SHA256,
        (Key::P256, Hash::Sha384) => &P256_SHA384,
        (Key::P256, Hash::Sha512) => &P256_SHA512,
        (Key::P384, Hash::Sha256) => &P384_SHA256,
        (Key::P384, Hash::Sha384) => &P384_SHA384,
        (Key::P384, Hash::Sha512) => &P384_SHA512,
    }
}

/// All ways in which keys sign over this hash.
pub(crate) fn over(hash: Hash) -> [&'static dyn SignatureVerificationAlgorithm; 3] {
    [Key::Rsa, Key::P256, Key::P384].map(|key| algorithm(key, hash))
}

/// All ways in which certificates are signed.
pub(crate) const ALL: &[&dyn SignatureVerificationAlgorithm] = &[
    &RSA_SHA256,
    &RSA_SHA384,
    &RSA_SHA512,
    &P256_SHA256,
    &P256_SHA384,
    &P256_SHA512,
    &P384_SHA256,
    &P384_SHA384,
    &P384_SHA512,
];

macro_rules! algorithms {
    ($($name:ident: $key:ident, $hash:ident;)*) => {
        $(static $name: Algorithm = Algorithm { key: Key::$key, hash: Hash::$hash };)*
    };
}

algorithms! {
    RSA_SHA256: Rsa, Sha256;
    RSA_SHA384: Rsa, Sha384;
    RSA_SHA512: Rsa, Sha512;
    P256_SHA256: P256, Sha256;
    P256_SHA384: P256, Sha384;
    P256_SHA512: P256, Sha512;
    P384_SHA256: P384, Sha256;
    P384_SHA384: P384, Sha384;
    P384_SHA512: P384, Sha512;
}

impl Hash {
    /// The hash that has this object identifier.
    pub(crate) fn of(oid: &[u8]) -> Option<Self> {
        let (last, rest) = oid.split_last()?;
        match last {
            1 if rest == SHA2 => Some(Self::Sha256),
            2 if rest == SHA2 => Some(Self::Sha384),
            3 if rest == SHA2 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// What stands before the hash in a "DigestInfo" (RFC 8017 §9.2).
    const fn prefix(self) -> [u8; 19] {
        let (number, bytes) = match self {
            Self::Sha256 => (1, 32),
            Self::Sha384 => (2, 48),
            Self::Sha512 => (3, 64),
        };
        [
            0x30,
            17 + bytes,
            0x30,
            0x0d,
            0x06,
            0x09,
            0x60,
            0x86,
            0x48,
            0x01,
            0x65,
            0x03,
            0x04,
            0x02,
            number,
            0x05,
            0x00,
            0x04,
            bytes,
        ]
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let digest = self.hash.digest(message);
        let holds = match self.key {
            Key::Rsa => rsa(public_key, self.hash, &digest, signature),
            Key::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key);
                let signature = p256::ecdsa::Signature::from_der(signature);
                match (key, signature) {
                    (Ok(key), Ok(signature)) => key.verify_prehash(&digest, &signature).ok(),
                    _ => None,
                }
            }
            Key::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(public_key);
                let signature = p384::ecdsa::Signature::from_der(signature);
                match (key, signature) {
                    (Ok(key), Ok(signature)) => key.verify_prehash(&digest, &signature).ok(),
                    _ => None,
                }
            }
        };
        holds.ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.key {
            Key::Rsa => alg_id::RSA_ENCRYPTION,
            Key::P256 => alg_id::ECDSA_P256,
            Key::P384 => alg_id::ECDSA_P384,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match (self.key, self.hash) {
            (Key::Rsa, Hash::Sha256) => alg_id::RSA_PKCS1_SHA256,
            (Key::Rsa, Hash::Sha384) => alg_id::RSA_PKCS1_SHA384,
            (Key::Rsa, Hash::Sha512) => alg_id::RSA_PKCS1_SHA512,
            (_, Hash::Sha256) => alg_id::ECDSA_SHA256,
            (_, Hash::Sha384) => alg_id::ECDSA_SHA384,
            (_, Hash::Sha512) => alg_id::ECDSA_SHA512,
        }
    }
}

/// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.2): the signature, raised to the public exponent, must be the one
/// encoding of the hash, byte for byte. It is compared and never parsed, so no other passes.
fn rsa(key: &[u8], hash: Hash, digest: &[u8], signature: &[u8]) -> Option<()> {
    let mut numbers = Walk::into_one(key).ok()?;
    let mut number = || {
        let bytes = numbers.take(Tag::Integer).ok()?.value;
        Some(bytes.strip_prefix(&[0]).unwrap_or(bytes))
    };
    let (modulus, exponent) = (number()?, number()?);
    numbers.end().ok()?;
    let length = modulus.len();
    // From 2048 bits to 8192; 3 and 65537 are what is in use.
    if !(256..=1024).contains(&length) || exponent.len() > 4 || signature.len() != length {
        return None;
    }
    let bits = u32::try_from(length * 8).ok()?;
    let modulus = BoxedUint::from_be_slice(modulus, bits).ok()?;
    let signature = BoxedUint::from_be_slice(signature, bits).ok()?;
    let exponent = BoxedUint::from_be_slice(exponent, 32).ok()?;
    if signature >= modulus {
        return None;
    }
    let params = BoxedMontyParams::new_vartime(Option::from(Odd::new(modulus))?);
    let power = BoxedMontyForm::new(signature, &params).pow(&exponent);
    let power = power.retrieve().to_be_bytes();
    let prefix = hash.prefix();
    let padding = length.checked_sub(3 + prefix.len() + digest.len())?;
    let padding = vec![0xff; padding];
    let encoded = [&[0, 1][..], &padding, &[0], &prefix, digest].concat();
    let extra = power.len().checked_sub(encoded.len())?;
    (power[..extra].iter().all(|byte| *byte == 0) && power[extra..] == encoded).then_some(())
}

/// 2.16.840.1.101.3.4.2, the hashes of NIST.
const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
