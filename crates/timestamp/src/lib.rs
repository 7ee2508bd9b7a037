//! Time stamps of RFC 3161: what is asked of an authority, and the check of what it answers.
//!
//! A log's own clock proves nothing to somebody who does not believe whoever runs it. A time-stamping
//! authority signs the hash of a checkpoint together with its own time: so the log had this root then,
//! and every record under it is as old as that at least. It sees the hash and nothing else.
//!
//! [`Query`] makes the request, and [`Answer::read`] takes apart what came back. [`Answer::check`]
//! holds it against the bytes it is about and against the authorities that one trusts: the hash; the
//! signature over the attributes, and they over the token; the certificate, which must be for time
//! stamping, valid at that time, and lead to a trusted root. Offline, without a
//! secret, and in pure Rust: RSA (PKCS #1 v1.5) and ECDSA (P-256, P-384) with SHA-256, SHA-384 and
//! SHA-512. What is not checked is whether a certificate was revoked, because that needs a network.

mod algorithms;
mod answer;
mod asn1;
mod query;
mod roots;

pub use answer::{Answer, Stamp};
pub use query::Query;
pub use roots::Roots;

/// Why an answer is no time stamp of what it should be one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not the answer of a time-stamping authority, or use what is not known here.
    #[error("malformed or unknown time stamp")]
    Form,
    /// The authority refused.
    #[error("the authority refused to give a time stamp")]
    Refused,
    /// It is about other bytes.
    #[error("the time stamp is one of something else")]
    Imprint,
    /// It answers another request.
    #[error("the time stamp answers another request")]
    Nonce,
    /// The signature does not belong to it.
    #[error("the signature of the time stamp is false")]
    Signature,
    /// The certificate is not one for time stamps, was not valid then, or leads to no trusted root.
    #[error("the time stamp comes from no authority that is trusted")]
    Untrusted,
    /// The text holds no certificate in PEM, or one that cannot be read.
    #[error("these are no certificates in PEM")]
    Roots,
}
