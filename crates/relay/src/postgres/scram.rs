//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side (RFC 5802, RFC 7677, RFC 5929).
//!
//! The server proves itself too: [`Scram::verify`] has to be asked before anything it says counts.

use std::num::NonZeroU32;

use aws_lc_rs::{
    constant_time, digest, hmac,
    pbkdf2::{self, PBKDF2_HMAC_SHA256},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Without a binding to the TLS connection.
pub(super) const PLAIN: &str = "SCRAM-SHA-256";
/// With one.
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// A conversation.
#[derive(Debug)]
pub(super) struct Scram {
    /// What stands before the messages: whether there is a binding.
    header: Vec<u8>,
    bare: String,
    nonce: String,
    /// The hash of the server's certificate, empty without a binding.
    binding: Vec<u8>,
    /// What the server will have to prove.
    expected: Option<Vec<u8>>,
}

/// What the server says is no answer.
#[derive(Debug, thiserror::Error)]
#[error("the server does not speak SCRAM as it is written")]
pub(super) struct ScramError;

impl Scram {
    /// A conversation that is bound to the server's certificate, if its hash is given.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(super) fn new(binding: Option<Vec<u8>>) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce)?;
        // The server takes the name from the beginning of the session.
        Ok(Self::with("", STANDARD.encode(nonce), binding))
    }

    fn with(user: &str, nonce: String, binding: Option<Vec<u8>>) -> Self {
        let header: &[u8] = match binding {
            Some(_) => b"p=tls-server-end-point,,",
            None => b"n,,",
        };
        Self {
            header: header.to_vec(),
            bare: format!("n={user},r={nonce}"),
            nonce,
            binding: binding.unwrap_or_default(),
            expected: None,
        }
    }

    /// The mechanism it speaks.
    pub(super) fn mechanism(&self) -> &'static str {
        match self.binding.is_empty() {
            true => PLAIN,
            false => PLUS,
        }
    }

    /// What is said first.
    pub(super) fn first(&self) -> Vec<u8> {
        [&self.header, self.bare.as_bytes()].concat()
    }

    /// The answer to the server's first message. This takes a while by design.
    pub(super) fn answer(&mut self, first: &[u8], password: &str) -> Result<Vec<u8>, ScramError> {
        let first = std::str::from_utf8(first).map_err(|_| ScramError)?;
        let mut parts = first.split(',');
        let mut part = |name: &str| parts.next()?.strip_prefix(name);
        let (Some(nonce), Some(salt), Some(count)) = (part("r="), part("s="), part("i=")) else {
            return Err(ScramError);
        };
        // A server that does not go on with our nonce plays back an older conversation.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError);
        }
        let salt = STANDARD.decode(salt).map_err(|_| ScramError)?;
        let count: NonZeroU32 = count.parse().map_err(|_| ScramError)?;
        if count.get() > MOST_ITERATIONS {
            return Err(ScramError);
        }
        let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
        pbkdf2::derive(
            PBKDF2_HMAC_SHA256,
            count,
            &salt,
            prepared(password).as_bytes(),
            &mut *salted,
        );
        let client = Zeroizing::new(mac(&*salted, b"Client Key"));
        let stored = digest::digest(&digest::SHA256, &client);
        let bound = STANDARD.encode([&self.header[..], &self.binding].concat());
        let last = format!("c={bound},r={nonce}");
        let all = format!("{},{first},{last}", self.bare);
        let signature = mac(stored.as_ref(), all.as_bytes());
        let proof: Vec<u8> = (client.iter().zip(&signature))
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server = mac(&*salted, b"Server Key");
        self.expected = Some(mac(&server, all.as_bytes()));
        Ok(format!("{last},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// Whether the server's last message proves that it knows the password as well.
    pub(super) fn verify(&self, last: &[u8]) -> Result<(), ScramError> {
        let proof = last.strip_prefix(b"v=").ok_or(ScramError)?;
        let proof = proof.split(|byte| *byte == b',').next().unwrap_or(proof);
        let proof = STANDARD.decode(proof).map_err(|_| ScramError)?;
        let expected = self.expected.as_ref().ok_or(ScramError)?;
        constant_time::verify_slices_are_equal(&proof, expected).map_err(|_| ScramError)
    }
}

/// The password as servers keep it (RFC 4013). One that cannot be prepared is used as it is, as
/// PostgreSQL does.
fn prepared(password: &str) -> Zeroizing<String> {
    let prepared = match password.is_ascii() {
        true => password.to_owned(),
        false => stringprep::saslprep(password)
            .map_or_else(|_| password.to_owned(), std::borrow::Cow::into_owned),
    };
    Zeroizing::new(prepared)
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// The hash of a server's certificate as `tls-server-end-point` has it (RFC 5929 §4.1): by the hash
/// of its signature, but by SHA-256 for weaker ones. None for signatures that have no such hash.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match signature_of(certificate)? {
        // md5, sha1 and sha256 WithRSAEncryption
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4 | 5 | 11]
        // ecdsa-with-SHA1 and -SHA256
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The object identifier of a certificate's signature algorithm (RFC 5280 §4.1): a sequence of
/// what is signed, the algorithm and the signature.
fn signature_of(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT: u8 = 0x06;
    let (whole, _) = element(SEQUENCE, certificate)?;
    let (_signed, rest) = element(SEQUENCE, whole)?;
    let (algorithm, _) = element(SEQUENCE, rest)?;
    Some(element(OBJECT, algorithm)?.0)
}

/// The content of the DER element with this tag at the beginning, and what stands behind it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let count = usize::from(length & 0x7f);
            if !(1..=4).contains(&count) {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}

/// More than any server asks for; this many take a tenth of a second.
const MOST_ITERATIONS: u32 = 500_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The exchange of RFC 7677 §3.
    #[test]
    fn the_exchange_of_the_specification() {
        let mut scram = Scram::with("user", "rOprNGfwEbeRWgbNEkqO".to_owned(), None);
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let first = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let answer = scram.answer(first.as_bytes(), "pencil").unwrap();
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            format!("c=biws,r={nonce},p={proof}")
        );
        let last = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert!(scram.verify(last).is_ok());
        assert!(scram.verify(b"e=invalid-proof").is_err());
        let other = b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert!(scram.verify(other).is_err());
    }

    #[test]
    fn a_server_that_plays_back_or_asks_too_much_is_left() {
        for first in [
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=nonce,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            "r=nonce1,s=!,i=4096",
            "m=x,r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "",
        ] {
            let mut scram = Scram::with("", "nonce".to_owned(), None);
            assert!(scram.answer(first.as_bytes(), "pencil").is_err(), "{first}");
            assert!(scram.verify(b"v=").is_err());
        }
    }

    #[test]
    fn a_binding_says_which_certificate() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let params = rcgen::CertificateParams::new(["db".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let hash = end_point(certificate.der()).unwrap();
        assert_eq!(hash.len(), 48);
        let mut scram = Scram::with("", "nonce".to_owned(), Some(hash.clone()));
        assert_eq!(scram.mechanism(), PLUS);
        assert!(scram.first().starts_with(b"p=tls-server-end-point,,n=,r="));
        let first = b"r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1";
        let answer = String::from_utf8(scram.answer(first, "x").unwrap()).unwrap();
        let bound = STANDARD.encode([&b"p=tls-server-end-point,,"[..], &hash].concat());
        assert!(answer.starts_with(&format!("c={bound},")), "{answer}");

        // Ed25519 hashes in its own way, and there is no binding for it.
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new(["db".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(end_point(certificate.der()), None);
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_is_an_answer_or_none(said in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut scram = Scram::with("", String::new(), None);
            drop(scram.answer(&said, "x"));
            drop(scram.verify(&said));
            drop(end_point(&said));
        }
    }
}
