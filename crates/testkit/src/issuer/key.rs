//! The key that an issuer signs with.

use std::io;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What an issuer signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256. Its keys are made in no time.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits. Its keys take a moment.
    Rs256,
}

/// A private key and the id it is published under.
pub(super) struct SigningKey {
    kid: String,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl SigningKey {
    pub(super) fn generate(algorithm: Algorithm) -> io::Result<Self> {
        let pair = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256)
            }
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rs256),
        }
        .map_err(|_| io::Error::other("cannot make a signing key"))?;
        let public = match &pair {
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::Rs256(pair) => pair.public_key().as_ref(),
        };
        // From the key itself, so that an issuer that is started again never gives an old id to a
        // new key, and a gate that remembers the old one asks again.
        let kid = encode(&digest(&SHA256, public).as_ref()[..12]);
        Ok(Self { kid, pair })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// The public key as it is published (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        let (kid, alg) = (self.kid(), self.algorithm());
        match &self.pair {
            Pair::Es256(pair) => {
                // SEC 1 §2.3.3: one byte for the form, then two coordinates of one length.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({
                    "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y),
                    "kid": kid, "alg": alg, "use": "sig",
                })
            }
            Pair::Rs256(pair) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                    "kid": kid, "alg": alg, "use": "sig",
                })
            }
        }
    }

    /// The compact form of a token with this header and these claims (RFC 7515 §7.1).
    pub(super) fn token(&self, header: &Value, claims: &Value) -> io::Result<String> {
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es256(pair) => pair
                .sign(&random, message.as_bytes())
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    message.as_bytes(),
                    &mut signature,
                )
                .map(|()| signature)
            }
        }
        .map_err(|_| io::Error::other("cannot sign a token"))?;
        Ok(format!("{message}.{}", encode(signature)))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
