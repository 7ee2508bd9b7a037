//! One request to the upstream, and its answer.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, uri::PathAndQuery};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use tokio::time::timeout;
use tollbook_exchange::{
    Code, Decision, Exchange, Outcome, Refusal, Retry, Verdict,
    http::{Refusable, refuse},
};
use tower_service::Service;

use super::{ForwardBuilder, ResponseBody, body::Relayed, connector::Connector, headers};
use crate::{Credential, ProvideCredential};

/// Forwards allowed requests to one upstream. Cheap to clone; clones share their connections.
///
/// See the [crate documentation](crate) for what it does to a request and what it does not.
#[derive(Clone)]
pub struct Forward(Arc<Upstream>);

pub(super) struct Upstream {
    pub(super) client: Client<Connector, Full<Bytes>>,
    pub(super) base: Uri,
    pub(super) prefix: String,
    pub(super) credential: Option<Arc<dyn ProvideCredential>>,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
}

impl Forward {
    /// Sets up a forwarder to `upstream`: `https://host[:port][/path]`. The path comes before that
    /// of every request.
    pub fn builder(upstream: &str) -> ForwardBuilder {
        ForwardBuilder::new(upstream)
    }

    /// The name of the header that carries the upstream's credential. Callers may send one of their
    /// own under it, so a record must take it for one.
    pub fn credential_header(&self) -> Option<&HeaderName> {
        self.0.credential.as_ref().map(|provider| provider.header())
    }

    pub(super) const fn new(upstream: Arc<Upstream>) -> Self {
        Self(upstream)
    }
}

impl Service<Request<Full<Bytes>>> for Forward {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    // Boxed, because connecting, sending and the time limit have no type that can be named.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The pool opens another connection where it has none to spare.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let upstream = Arc::clone(&self.0);
        Box::pin(async move {
            let exchange = request.extensions().get::<Exchange>().cloned();
            let response = upstream.forward(request, exchange.as_ref()).await;
            Ok(response.unwrap_or_else(|refusal| {
                if let Some(exchange) = &exchange {
                    exchange.refused(&refusal);
                }
                refuse(refusal).map(ResponseBody::new)
            }))
        })
    }
}

impl Upstream {
    async fn forward(
        &self,
        request: Request<Full<Bytes>>,
        exchange: Option<&Exchange>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let request = self.judged(request)?;
        let mut credential = self.credential().await?;
        let mut response = self.send(&request, credential.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(another) = self.another(credential.as_ref()).await?
        {
            // A 401 is no answer to the request: nothing was done for it, and nothing of it has
            // reached the caller.
            response = self.send(&request, Some(&another)).await?;
            credential = Some(another);
        }
        self.incoming(response, credential, exchange)
    }

    /// What policy let pass, without the extensions: they are the gate's.
    fn judged(&self, request: Request<Full<Bytes>>) -> Result<Judged, Refusal> {
        let (head, body) = request.into_parts();
        match head.extensions.get::<Decision>() {
            Some(decision) if decision.is_allow() => {}
            // A stack without a layer that asks people: nobody can approve anything.
            Some(decision) if decision.verdict == Verdict::Approve => {
                let message = "tollbook_policy_denied: this needs approval, and nobody is asked";
                return Err(Refusal::new(Code::PolicyDenied, message).because("nobody_asked"));
            }
            _ => {
                return Err(Refusal::new(
                    Code::Misassembled,
                    "the gate does not forward what was not allowed",
                )
                .because("no_decision"));
            }
        }
        let uri = self
            .target(&head.method, &head.uri)
            .ok_or_else(|| Refusal::new(Code::MalformedRequest, "the path cannot be forwarded"))?;
        Ok(Judged {
            method: head.method,
            uri,
            headers: head.headers,
            body,
        })
    }

    /// The credential to send, where there is to be one.
    async fn credential(&self) -> Result<Option<Credential>, Refusal> {
        let Some(provider) = &self.credential else {
            return Ok(None);
        };
        match provider.current().await {
            // The record takes this header, and no other, for the credential's.
            Ok(credential) if credential.header() == provider.header() => Ok(Some(credential)),
            Ok(_) => {
                tracing::error!("a credential for another header than its provider's");
                Err(no_credential())
            }
            // The provider has told the log.
            Err(_) => Err(no_credential()),
        }
    }

    /// Another credential in place of one that the upstream refused, if there is one.
    async fn another(&self, refused: Option<&Credential>) -> Result<Option<Credential>, Refusal> {
        let (Some(provider), Some(refused)) = (&self.credential, refused) else {
            return Ok(None);
        };
        if !provider.refused(refused) {
            return Ok(None);
        }
        let another = self.credential().await?;
        Ok(another.filter(|another| another.value() != refused.value()))
    }

    async fn send(
        &self,
        request: &Judged,
        credential: Option<&Credential>,
    ) -> Result<Response<Incoming>, Refusal> {
        let request = request.outgoing(credential);
        match timeout(self.head_timeout, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Refusal::new(
                Code::UpstreamTimeout,
                "the upstream did not answer in time",
            )
            .retry(Retry::Anytime)),
        }
    }

    /// The path and query byte for byte behind the upstream's own. Parsed only to be put together:
    /// whatever was judged is what is sent.
    fn target(&self, method: &Method, uri: &Uri) -> Option<Uri> {
        let path = uri.path_and_query()?.as_str();
        // `CONNECT` names an authority and `OPTIONS *` no path.
        if *method == Method::CONNECT || !path.starts_with('/') {
            return None;
        }
        let path: PathAndQuery = match &*self.prefix {
            "" => uri.path_and_query()?.clone(),
            prefix => [prefix, path].concat().parse().ok()?,
        };
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    }

    /// The answer as the caller is to see it. Built anew: version, reason phrase and extensions
    /// are between the gate and the upstream.
    fn incoming(
        &self,
        response: Response<Incoming>,
        credential: Option<Credential>,
        exchange: Option<&Exchange>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(invalid("unasked_upgrade"));
        }
        if let Some(exchange) = exchange
            && (head.status.is_client_error() || head.status.is_server_error())
        {
            exchange.conclude(Outcome::UpstreamError);
        }
        let headers = headers::incoming(&head.headers, credential.as_ref());
        let body = Relayed::new(body, credential, exchange.cloned(), self.idle_timeout);
        let mut response = Response::new(ResponseBody::new(Refusable::passed(body)));
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A request that may be sent.
struct Judged {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Full<Bytes>,
}

impl Judged {
    /// The request as the upstream is to see it. The body is shared, not copied.
    fn outgoing(&self, credential: Option<&Credential>) -> Request<Full<Bytes>> {
        let length = self.body.size_hint().exact().unwrap_or_default();
        let mut request = Request::new(self.body.clone());
        *request.headers_mut() = headers::outgoing(&self.headers, &self.method, length, credential);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        request
    }
}

/// Why there is none is for the operator's log: it may tell of programs and files.
fn no_credential() -> Refusal {
    Refusal::new(
        Code::UpstreamUnreachable,
        "the gate has no credential for the upstream at the moment",
    )
    .because("no_upstream_credential")
    .retry(Retry::Anytime)
}

/// What the caller is told. Addresses and certificates are for the operator's log.
fn failure(error: &legacy::Error) -> Refusal {
    // A connection of the pool that ended before it took the request up.
    let unsent = error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(|source| source.is_canceled() || source.is_closed());
    let refusal = if error.is_connect() || unsent {
        Refusal::new(Code::UpstreamUnreachable, "the upstream cannot be reached")
            .retry(Retry::Anytime)
    } else {
        invalid("no_answer")
    };
    tracing::warn!(
        code = refusal.code.as_str(),
        error = error as &(dyn Error + 'static),
        "the upstream failed"
    );
    refusal
}

fn invalid(reason: &'static str) -> Refusal {
    Refusal::new(
        Code::UpstreamInvalid,
        "the upstream's answer cannot be read",
    )
    .because(reason)
    .retry(Retry::Anytime)
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward")
            .field("upstream", &self.0.base)
            .field("credential", &self.0.credential)
            .finish_non_exhaustive()
    }
}
