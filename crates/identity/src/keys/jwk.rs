//! One key of a set (RFC 7517), judged before it is ever used.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::{Algorithm, KeyFingerprint, digest::sha256};

/// A public key fit to verify tokens.
#[derive(Debug)]
pub(crate) struct Key {
    kind: Kind,
    /// The only algorithm that the issuer uses the key with, if it says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
    fingerprint: KeyFingerprint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// RSA moduli below 2048 bits are within reach; above 8192 a verification is a way to burn time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The longest exponent the cryptographic library takes. In practice it is always 65537.
const RSA_EXPONENT_BITS: usize = 33;
/// Members that only a private or a symmetric key has. A private key in a public place is
/// everybody's key.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

impl Key {
    /// The key, or in one stable phrase why it is not used.
    ///
    /// `uses` are the purposes (`use`) that a key for tokens may be published for.
    pub(crate) fn read(jwk: &Map<String, Value>, uses: &[&str]) -> Result<Self, &'static str> {
        let kty = text(jwk, "kty").ok_or("has no type")?;
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err("is not a public key");
        }
        let is_ours = |purpose: &Value| uses.iter().any(|ours| purpose == *ours);
        if jwk.get("use").is_some_and(|purpose| !is_ours(purpose)) {
            return Err("is not for signatures");
        }
        let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| is_for_verification(ops));
        if jwk.get("key_ops").is_some_and(|ops| !verifies(ops)) {
            return Err("is not for verification");
        }
        let (kind, decoding) = match kty {
            "RSA" => (Kind::Rsa, rsa(jwk)?),
            "EC" => elliptic(jwk)?,
            "OKP" => (Kind::Ed25519, edwards(jwk)?),
            _ => return Err("is of a type that is not used here"),
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => name
                .as_str()
                .and_then(Algorithm::from_name)
                .filter(|&algorithm| kind.takes(algorithm))
                .map(Some)
                .ok_or("is for an algorithm that does not fit it")?,
        };
        Ok(Self {
            fingerprint: fingerprint(jwk, kind, algorithm),
            kind,
            algorithm,
            decoding,
        })
    }

    /// Whether a token of this algorithm may be verified with the key.
    pub(crate) fn takes(&self, algorithm: Algorithm) -> bool {
        self.kind.takes(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    pub(crate) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Tells the key from every other, and from itself with another algorithm.
    pub(crate) const fn fingerprint(&self) -> &KeyFingerprint {
        &self.fingerprint
    }
}

impl Kind {
    const fn takes(self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        matches!(
            (self, algorithm),
            (Self::Rsa, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
                | (Self::P256, Es256)
                | (Self::P384, Es384)
                | (Self::Ed25519, EdDsa)
        )
    }
}

/// RFC 7517 §4.3: texts, none of them twice; and one of them is what keys are used for here.
fn is_for_verification(ops: &[Value]) -> bool {
    let once = |(index, op): (usize, &Value)| op.is_string() && !ops[..index].contains(op);
    ops.iter().any(|op| op == "verify") && ops.iter().enumerate().all(once)
}

/// The members that make the key (RFC 7638 §3.2) and those that say how it is used.
fn fingerprint(
    jwk: &Map<String, Value>,
    kind: Kind,
    algorithm: Option<Algorithm>,
) -> KeyFingerprint {
    let members = ["crv", "x", "y", "n", "e"].map(|member| text(jwk, member));
    KeyFingerprint(sha256(
        format!("{kind:?} {algorithm:?} {members:?}").as_bytes(),
    ))
}

fn rsa(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    let modulus = number(jwk, "n").ok_or("has no modulus")?;
    let exponent = number(jwk, "e").ok_or("has no exponent")?;
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !RSA_BITS.contains(&bits(&modulus)) || !is_odd(&modulus) {
        return Err("has a weak modulus");
    }
    if exponent == [1] || !is_odd(&exponent) || bits(&exponent) > RSA_EXPONENT_BITS {
        return Err("has a weak exponent");
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

fn elliptic(jwk: &Map<String, Value>) -> Result<(Kind, DecodingKey), &'static str> {
    let (kind, length) = match text(jwk, "crv") {
        Some("P-256") => (Kind::P256, 32),
        Some("P-384") => (Kind::P384, 48),
        _ => return Err("is on a curve that is not used here"),
    };
    // The uncompressed form of SEC 1 §2.3.3. Whether the point is on the curve is checked by the
    // library with every verification.
    let mut point = vec![4];
    for coordinate in ["x", "y"] {
        let bytes = bytes(jwk, coordinate).filter(|bytes| bytes.len() == length);
        point.extend(bytes.ok_or("has no point of its curve")?);
    }
    Ok((kind, DecodingKey::from_ec_der(&point)))
}

fn edwards(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    if text(jwk, "crv") != Some("Ed25519") {
        return Err("is on a curve that is not used here");
    }
    let point = bytes(jwk, "x")
        .filter(|bytes| bytes.len() == 32)
        .ok_or("has no point of its curve")?;
    Ok(DecodingKey::from_ed_der(&point))
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    jwk.get(member)?.as_str()
}

fn bytes(jwk: &Map<String, Value>, member: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, member)?).ok()
}

/// A positive number, most significant byte first. Some issuers write a leading zero that RFC 7518
/// §6.3.1.1 forbids; it changes nothing, so it is dropped.
fn number(jwk: &Map<String, Value>, member: &str) -> Option<Vec<u8>> {
    let bytes = bytes(jwk, member)?;
    let first = bytes.iter().position(|&byte| byte != 0)?;
    Some(bytes[first..].to_vec())
}

fn bits(number: &[u8]) -> usize {
    let leading = number
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - leading
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(jwk: Value) -> Result<Key, &'static str> {
        Key::read(jwk.as_object().unwrap(), &["sig"])
    }

    fn modulus(bits: usize) -> String {
        let mut bytes = vec![0xff; bits / 8];
        bytes[0] = 0x80;
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn rsa_keys_are_long_enough_and_odd() {
        let rsa = |n: String, e: &str| read(json!({"kty": "RSA", "n": n, "e": e})).map(|_| ());
        assert_eq!(rsa(modulus(2048), "AQAB"), Ok(()));
        assert_eq!(rsa(modulus(8192), "Aw"), Ok(()));
        for weak in [modulus(1024), modulus(2040), modulus(8200)] {
            assert_eq!(rsa(weak, "AQAB"), Err("has a weak modulus"));
        }
        let even = URL_SAFE_NO_PAD.encode([0xfe; 256]);
        assert_eq!(rsa(even, "AQAB"), Err("has a weak modulus"));
        for weak in ["AQ", "Ag", "AQAA", "BAAAAAE"] {
            assert_eq!(
                rsa(modulus(2048), weak),
                Err("has a weak exponent"),
                "{weak}"
            );
        }
        assert_eq!(rsa(modulus(2048), "AA"), Err("has no exponent"));
        assert_eq!(rsa(modulus(2048) + "=", "AQAB"), Err("has no modulus"));
    }

    #[test]
    fn a_leading_zero_does_not_make_a_modulus_longer() {
        let mut bytes = vec![0xff; 129];
        bytes[0] = 0;
        let n = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(
            read(json!({"kty": "RSA", "n": n, "e": "AQAB"})).map(|_| ()),
            Err("has a weak modulus")
        );
    }

    #[test]
    fn keys_for_other_uses_are_left_out() {
        let ed = |more: Value| {
            let mut jwk =
                json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32])});
            jwk.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            read(jwk).map(|_| ())
        };
        assert_eq!(ed(json!({})), Ok(()));
        assert_eq!(
            ed(json!({"use": "sig", "key_ops": ["verify"], "alg": "EdDSA"})),
            Ok(())
        );
        for (more, why) in [
            (json!({"use": "enc"}), "is not for signatures"),
            (json!({"use": null}), "is not for signatures"),
            (json!({"key_ops": ["sign"]}), "is not for verification"),
            (json!({"key_ops": "verify"}), "is not for verification"),
            (json!({"key_ops": []}), "is not for verification"),
            (
                json!({"key_ops": ["verify", "verify"]}),
                "is not for verification",
            ),
            (json!({"key_ops": ["verify", 1]}), "is not for verification"),
            (json!({"use": "jwt-svid"}), "is not for signatures"),
            (json!({"use": ["sig"]}), "is not for signatures"),
            (
                json!({"alg": "ES256"}),
                "is for an algorithm that does not fit it",
            ),
            (
                json!({"alg": "none"}),
                "is for an algorithm that does not fit it",
            ),
            (json!({"d": "AA"}), "is not a public key"),
            (
                json!({"crv": "X25519"}),
                "is on a curve that is not used here",
            ),
            (json!({"x": "AA"}), "has no point of its curve"),
        ] {
            assert_eq!(ed(more.clone()), Err(why), "{more}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_keys_and_its_algorithms() {
        let key = |fill: u8, more: Value| {
            let mut jwk =
                json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([fill; 32])});
            jwk.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            *read(jwk).unwrap().fingerprint()
        };
        let one = key(1, json!({}));
        assert_eq!(one, key(1, json!({"kid": "a", "use": "sig"})));
        assert_ne!(one, key(2, json!({})));
        assert_ne!(one, key(1, json!({"alg": "EdDSA"})));
    }

    #[test]
    fn symmetric_and_unknown_keys_are_never_loaded() {
        assert_eq!(
            read(json!({"kty": "oct", "k": "c2VjcmV0"})).map(|_| ()),
            Err("is not a public key")
        );
        assert_eq!(
            read(json!({"kty": "oct"})).map(|_| ()),
            Err("is of a type that is not used here")
        );
        assert_eq!(read(json!({})).map(|_| ()), Err("has no type"));
    }

    #[test]
    fn a_curve_takes_the_one_algorithm_made_for_it() {
        let coordinate = |length| URL_SAFE_NO_PAD.encode(vec![7; length]);
        let key = |crv: &str, length| {
            let (x, y) = (coordinate(length), coordinate(length));
            read(json!({"kty": "EC", "crv": crv, "x": x, "y": y}))
        };
        assert!(key("P-256", 32).unwrap().takes(Algorithm::Es256));
        assert!(!key("P-256", 32).unwrap().takes(Algorithm::Es384));
        assert!(key("P-384", 48).unwrap().takes(Algorithm::Es384));
        assert!(key("P-256", 31).is_err());
        assert!(key("P-521", 66).is_err());
        assert!(key("secp256k1", 32).is_err());
    }
}
