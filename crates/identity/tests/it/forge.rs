//! Makes tokens, good ones and all the others, and the clock to judge them by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tollbook_exchange::Timestamp;
use tollbook_identity::Clock;

/// The moment at which the tests begin, in seconds since the epoch.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://ci.example";
pub(crate) const AUDIENCE: &str = "tollbook";

/// A clock that moves when it is told to.
#[derive(Clone, Default)]
pub(crate) struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        NOW + self.elapsed()
    }

    fn elapsed(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for VirtualClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.now() * 1_000_000).unwrap())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.elapsed())
    }
}

/// A signing key of an issuer, honest or not.
pub(crate) enum Signer {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn es384() -> Self {
        Self::Es384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Es384(_) => "ES384",
            Self::Rsa(_) => "RS256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// The public key as issuers publish it.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let (mut jwk, coordinates) = match self {
            Self::Es256(pair) => (
                json!({"kty": "EC", "crv": "P-256"}),
                pair.public_key().as_ref()[1..]
                    .chunks(32)
                    .map(encode)
                    .collect::<Vec<_>>(),
            ),
            Self::Es384(pair) => (
                json!({"kty": "EC", "crv": "P-384"}),
                pair.public_key().as_ref()[1..]
                    .chunks(48)
                    .map(encode)
                    .collect(),
            ),
            Self::Ed(pair) => (
                json!({"kty": "OKP", "crv": "Ed25519"}),
                vec![encode(pair.public_key().as_ref())],
            ),
            Self::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                (
                    json!({
                        "kty": "RSA",
                        "n": encode(n.big_endian_without_leading_zero()),
                        "e": encode(e.big_endian_without_leading_zero()),
                    }),
                    vec![],
                )
            }
        };
        for (name, value) in ["x", "y"].into_iter().zip(coordinates) {
            jwk[name] = json!(value);
        }
        jwk["kid"] = json!(kid);
        jwk
    }

    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": kid, "typ": "JWT"});
        self.token_with(&header, claims)
    }

    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// A token of exactly these texts, whatever they are.
    pub(crate) fn token_of(&self, header: &str, claims: &str) -> String {
        self.seal(&encode(header), &encode(claims))
    }

    /// A token of exactly these encoded parts.
    pub(crate) fn seal(&self, header: &str, claims: &str) -> String {
        let message = format!("{header}.{claims}");
        let signature = encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) | Self::Es384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A token with a PSS signature by an RSA key.
    pub(crate) fn pss_token(&self, header: &Value, claims: &Value) -> String {
        let Self::Rsa(pair) = self else {
            panic!("only RSA keys sign with PSS")
        };
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &RSA_PSS_SHA256,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        )
        .unwrap();
        format!("{message}.{}", encode(signature))
    }
}

/// Claims that pass.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "repo:acme/payments:ref:refs/heads/main",
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 300,
    })
}

/// Claims that pass but for these; a null takes one away.
pub(crate) fn claims_but(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

pub(crate) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
