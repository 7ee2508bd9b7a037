//! Who is asking? Credentials to principals.
//!
//! A caller shows a token that its OIDC issuer signed: a CI job's, a workload's, a person's. Or it
//! has exchanged that for a token of the gate, which is opaque, lives for minutes, and can be
//! revoked. This crate checks what is shown against the issuers and rules an operator has named and
//! turns it into a [`Principal`](tollbook_exchange::Principal), or into a [`Rejection`]. There is no
//! third way and no anonymous caller.
//!
//! Three engines build on each other:
//!
//! - [`OidcAuthenticator`] verifies issuers' tokens.
//! - [`GateAuthenticator`] takes gateway tokens too, adds the groups that federation [`Rules`] give,
//!   and ends everything that a [`Revocation`] means. It keeps its tokens in a [`TokenStore`].
//! - [`TokenExchange`] hands gateway tokens out, in the words of Anthropic's API or of RFC 8693.
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
//! - **Stolen or forgotten credentials**: gateway tokens are kept as hashes, can be bound to a client
//!   certificate, and end with their rule or issuer; a revocation ends what is held or streams at
//!   once; an issuer's token is exchanged at most twenty times.
//! - **Other people's jobs**: at an issuer that signs for everybody a rule must name an owner, and a
//!   value matches as a whole unless a `*` says otherwise.
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
//! Nothing outside it may trust a `Principal` extension; everything inside it may. Whatever holds a
//! request, such as approvals, belongs inside it too, where a revocation can end the wait.

mod algorithm;
mod authenticate;
mod clock;
mod credentials;
mod digest;
mod error;
mod federation;
mod gate;
mod gateway_token;
mod grant;
mod issuer;
mod keys;
#[cfg(feature = "tower")]
mod layer;
mod oidc;
mod reason;
mod revocation;
mod token;
mod token_store;

pub use algorithm::Algorithm;
pub use authenticate::{Admitted, Authenticate};
pub use clock::{Clock, SystemClock};
pub use credentials::Credentials;
pub use digest::{AssertionHash, KeyFingerprint, PeerCertificate, TokenHash};
pub use error::{BuildError, Problem};
pub use federation::{Rule, RuleBuilder, RuleProblem, Rules, RulesError};
pub use gate::{GateAuthenticator, GateBuilder};
pub use gateway_token::{GatewayToken, NotATokenId, Revoked, TokenId, TokenRecord};
pub use grant::{
    ExchangeAnswer, ExchangeRecord, ExchangeRefused, Issued, NotAnOrganizationId, OrganizationId,
    TokenExchange, TokenRequest,
};
pub use issuer::{Issuer, IssuerBuilder, Preset};
pub use keys::{Fetch, FetchError, FetchFuture, Fetched, KeyFault, KeyStatus};
#[cfg(feature = "tower")]
pub use layer::{Identity, IdentityLayer, RevocableBody};
pub use oidc::{OidcAuthenticator, OidcAuthenticatorBuilder};
pub use reason::{Reason, Rejection};
pub use reqwest::Url;
pub use revocation::{Revocation, Revocations, Selector, Watch};
pub use token::{SigningKey, Verified};
pub use token_store::{MemoryTokenStore, StoreError, StoreFuture, TokenStore};
