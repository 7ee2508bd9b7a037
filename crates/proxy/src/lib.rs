//! HTTP forwarding, byte for byte: connections, header hygiene, credential injection, refusals in
//! the caller's protocol.
//!
//! [`Forward`] is the innermost service of a stack. It sends what was judged and nothing else: the
//! path and the body byte for byte, the headers without the caller's credentials and with the
//! upstream's. It streams the answer back frame by frame. It follows no redirect, reads no proxy
//! from the environment, and sends nothing without an allowing
//! [`Decision`](tollbook_exchange::Decision). It sends a request once, but for one case: when the
//! upstream answers 401 and its credential is one that can be replaced, the same bytes go out once
//! more with another.
//!
//! Two layers belong to the other end of the stack: [`RefusalLayer`] gives every refusal the form
//! of the caller's protocol, and [`ProbeLayer`] answers the calls by which clients find out
//! whether anybody is there.
//!
//! # What it answers
//!
//! A caller cannot reach the upstream with a credential of its own, spoof the headers by which
//! proxies vouch for callers, or learn the upstream's credential from an answer that echoes it. A
//! path means to the upstream what it meant to the rules, since nothing normalises it in between.
//!
//! ```
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//! use tollbook_exchange::{Decision, Refusal, Verdict};
//! use tollbook_proxy::{Credential, Forward};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tollbook_proxy::BuildError> {
//! // Nothing listens there.
//! let forward = Forward::builder("http://127.0.0.1:9")
//!     .credential(Credential::new("x-api-key", "", "sk-secret")?)
//!     .build()?;
//!
//! let mut request = Request::post("/v1/messages").body(Full::default()).unwrap();
//! let response = forward.clone().oneshot(request.clone()).await.unwrap();
//! assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "nobody judged it");
//!
//! request.extensions_mut().insert(Decision::new(Verdict::Allow, vec![], "sha256:"));
//! let response = forward.oneshot(request).await.unwrap();
//! assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! assert!(response.extensions().get::<Refusal>().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Credentials
//!
//! What opens the upstream is a [`Credential`] that stays, or comes from a [`ProvideCredential`]:
//! a [`CommandCredential`] that a program prints, or a [`Federation`], by which the gate exchanges
//! the identity that its platform gives it for a short-lived token, so that there is no key to
//! keep. Both renew in time, once for all requests that wait.
//!
//! A credential also decides about one word of the caller's. `oauth-2025-04-20` in `anthropic-beta`
//! says that a bearer token is shown, and clients that show one to the gate send it along. Towards
//! an upstream that is shown an API key (in `x-api-key`) it is taken out of the list, and the header
//! with it when nothing else is in it; towards one that is shown a token of [`Federation`] or
//! [`Credential::oauth`] it is added at the end of the list where it is missing. Every other word
//! stays, in its order.
//!
//! # Where the layers stand
//!
//! `RefusalLayer` stands outside everything that may refuse, the record layer included, so that
//! the record holds what the gate said and not how a protocol words it. `ProbeLayer` stands inside
//! the record layer and outside identity: a client probes an address before it shows a credential.

mod credential;
mod error;
mod forward;
mod probe;
mod refusals;

pub use credential::{
    CommandCredential, Credential, CredentialError, CredentialFuture, Federation,
    FederationBuilder, IdentityToken, Program, ProvideCredential,
};
pub use error::BuildError;
pub use forward::{BodyError, Forward, ForwardBuilder, ResponseBody};
pub use probe::{Probe, ProbeFuture, ProbeLayer};
pub use refusals::{
    ClaudeRefusals, RefusalLayer, Refusals, RefusalsBody, RefusalsFuture, RenderRefusal,
    RequestInfo,
};

/// The word in `anthropic-beta` that stands beside bearer tokens of the Claude API.
const OAUTH_BETA: &str = "oauth-2025-04-20";
