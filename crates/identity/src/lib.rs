//! Who is asking? Credentials to principals.
//!
//! A caller shows a token that its OIDC issuer signed: a CI job's, a workload's, a person's. This
//! crate checks it against the issuers an operator has named and turns it into a
//! [`Principal`](tollbook_exchange::Principal), or into a [`Rejection`]. There is no third way and no
//! anonymous caller.
//!
//! # What it answers
//!
//! - **Forged tokens**: `none`, an HMAC over a public key, keys that travel in the token, `crit`
//!   and `b64`, JSON that says one thing twice, base64 with two spellings. All refused before a
//!   key is looked up.
//! - **Somebody else's tokens**: issuer and audience are compared byte for byte, and a key speaks
//!   only for the issuer that published it. An unknown issuer never causes a network call.
//! - **Weak keys**: short RSA moduli, symmetric keys, published private keys, keys for encryption
//!   and two keys under one id are dropped when a key set is read.
//! - **A flood of made-up key ids**, or an issuer that is down: one load at a time, at most one in
//!   thirty seconds for ids nobody knows, and keys already known stay in use for a day.
//!
//! Every rejection is the same 401 to the caller. The [`Reason`] goes into the record alone.
//!
//! ```
//! use tollbook_exchange::PrincipalKind;
//! use tollbook_identity::{Authenticate, Credentials, Issuer, OidcAuthenticator, Reason};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let issuer = Issuer::builder("ci", "https://token.actions.githubusercontent.com")
//!     .audience("tollbook")
//!     .kind(PrincipalKind::Ci)
//!     .discover()
//!     .build()?;
//! let authenticator = OidcAuthenticator::builder().issuer(issuer).build()?;
//!
//! let rejection = authenticator
//!     .authenticate(&Credentials::new("not a token"))
//!     .await
//!     .unwrap_err();
//! assert_eq!(rejection, Reason::TokenNotThreeParts.into());
//! # Ok::<(), tollbook_identity::BuildError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where the layer stands
//!
//! [`IdentityLayer`] belongs inside the record layer, so that refusals are in the book, and outside
//! everything that reads a body, so that a stranger costs no more than the head of a request.
//! Nothing outside it may trust a `Principal` extension; everything inside it may.

mod algorithm;
mod authenticate;
mod clock;
mod credentials;
mod error;
mod issuer;
mod keys;
#[cfg(feature = "tower")]
mod layer;
mod oidc;
mod reason;
mod token;

pub use algorithm::Algorithm;
pub use authenticate::Authenticate;
pub use clock::{Clock, SystemClock};
pub use credentials::Credentials;
pub use error::{BuildError, Problem};
pub use issuer::{Issuer, IssuerBuilder};
pub use keys::{Fetch, FetchError, FetchFuture, Fetched};
#[cfg(feature = "tower")]
pub use layer::{Identity, IdentityLayer};
pub use oidc::{OidcAuthenticator, OidcAuthenticatorBuilder};
pub use reason::{Reason, Rejection};
pub use reqwest::Url;
