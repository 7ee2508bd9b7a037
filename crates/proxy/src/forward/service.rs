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
use http::{HeaderName, Method, Request, Response, StatusCode, Uri, uri::PathAndQuery};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use tokio::time::timeout;
use tollbook_exchange::{
    Code, Decision, Exchange, Outcome, Refusal, Retry,
    http::{Refusable, refuse},
};
use tower_service::Service;

use super::{ForwardBuilder, ResponseBody, body::Relayed, connector::Connector, headers};
use crate::Credential;

/// Forwards allowed requests to one upstream. Cheap to clone; clones share their connections.
///
/// See the [crate documentation](crate) for what it does to a request and what it does not.
#[derive(Clone)]
pub struct Forward(Arc<Upstream>);

pub(super) struct Upstream {
    pub(super) client: Client<Connector, Full<Bytes>>,
    pub(super) base: Uri,
    pub(super) prefix: String,
    pub(super) credential: Option<Credential>,
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
        self.0.credential.as_ref().map(Credential::header)
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
        let request = self.outgoing(request)?;
        match timeout(self.head_timeout, self.client.request(request)).await {
            Ok(Ok(response)) => self.incoming(response, exchange),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Refusal::new(
                Code::UpstreamTimeout,
                "the upstream did not answer in time",
            )
            .retry(Retry::Anytime)),
        }
    }

    /// The request as the upstream is to see it. Without the extensions: they are the gate's.
    fn outgoing(&self, request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        if !head
            .extensions
            .get::<Decision>()
            .is_some_and(Decision::is_allow)
        {
            return Err(Refusal::new(
                Code::Misassembled,
                "the gate does not forward what was not allowed",
            )
            .because("no_decision"));
        }
        let uri = self
            .target(&head.method, &head.uri)
            .ok_or_else(|| Refusal::new(Code::MalformedRequest, "the path cannot be forwarded"))?;
        let length = body.size_hint().exact().unwrap_or_default();
        let mut request = Request::new(body);
        *request.headers_mut() = headers::outgoing(
            &head.headers,
            &head.method,
            length,
            self.credential.as_ref(),
        );
        *request.method_mut() = head.method;
        *request.uri_mut() = uri;
        Ok(request)
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
        let credential = self.credential.clone();
        let body = Relayed::new(body, credential, exchange.cloned(), self.idle_timeout);
        let mut response = Response::new(ResponseBody::new(Refusable::passed(body)));
        *response.status_mut() = head.status;
        *response.headers_mut() = headers::incoming(&head.headers, self.credential.as_ref());
        Ok(response)
    }
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
