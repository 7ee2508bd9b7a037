//! Which connection a request is for.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, Method, Request, Response, Uri, header,
    uri::{Parts, PathAndQuery},
};
use tower::ServiceExt;
use tower_service::Service;

use crate::stack::{AnswerBody, ConnectionStack};

/// Leads each request to the connection that its first path segment names, and takes that segment
/// off. What follows stays byte for byte as it came: what policy judges is what is sent.
pub(crate) struct Mounts<B> {
    connections: Arc<BTreeMap<String, Mount<B>>>,
    /// Where tokens are exchanged that are not for one connection.
    tokens: ConnectionStack<B>,
    /// Refuses, and records, what is for no connection.
    nowhere: ConnectionStack<B>,
    /// Refuses, and records, what can be read in more than one way.
    ambiguous: ConnectionStack<B>,
}

/// A connection, and where its callers exchange their tokens.
pub(crate) struct Mount<B> {
    pub(crate) stack: ConnectionStack<B>,
    pub(crate) tokens: ConnectionStack<B>,
}

/// The first segment of the path under which tokens are exchanged for no one connection. No
/// connection has this name.
pub(crate) const OAUTH: &str = "oauth";
/// Where clients of the Claude API exchange tokens, under their base address.
const CLAUDE_TOKENS: &str = "/v1/oauth/token";

impl<B> Mounts<B> {
    /// Mounts each connection at `/<name>`, its token exchange where the clients of its protocol
    /// look for it, and `tokens` at `/oauth/token`.
    pub(crate) fn new(
        connections: impl IntoIterator<Item = (String, Mount<B>)>,
        tokens: ConnectionStack<B>,
        nowhere: ConnectionStack<B>,
        ambiguous: ConnectionStack<B>,
    ) -> Self {
        Self {
            connections: Arc::new(connections.into_iter().collect()),
            tokens,
            nowhere,
            ambiguous,
        }
    }

    fn lead(&self, request: &mut Request<B>) -> &ConnectionStack<B> {
        if !has_one_meaning(request.headers()) {
            return &self.ambiguous;
        }
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        let Some((name, rest)) = split(target) else {
            return &self.nowhere;
        };
        let posts = request.method() == Method::POST;
        let path = rest.split('?').next().unwrap_or_default();
        if posts && name == OAUTH && path == "/token" {
            return &self.tokens;
        }
        let Some(connection) = self.connections.get(name) else {
            return &self.nowhere;
        };
        if posts && path == CLAUDE_TOKENS {
            return &connection.tokens;
        }
        let Ok(rest) = PathAndQuery::try_from(rest) else {
            return &self.ambiguous;
        };
        let mut parts = Parts::default();
        parts.path_and_query = Some(rest);
        match Uri::from_parts(parts) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return &self.ambiguous,
        }
        &connection.stack
    }
}

/// `/<name>/rest?query` as `name` and `/rest?query`.
fn split(target: &str) -> Option<(&str, String)> {
    let path = target.strip_prefix('/')?;
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let rest = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    Some((name, rest))
}

/// Whether every server and proxy would read this head in the same way. RFC 9112 §3.2: a request
/// with more than one `Host` is refused. The parser itself refuses the other known ambiguities.
fn has_one_meaning(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().count() <= 1
        && headers.get_all(header::CONTENT_TYPE).iter().count() <= 1
}

impl<B> Clone for Mounts<B> {
    fn clone(&self) -> Self {
        Self {
            connections: Arc::clone(&self.connections),
            tokens: self.tokens.clone(),
            nowhere: self.nowhere.clone(),
            ambiguous: self.ambiguous.clone(),
        }
    }
}

impl<B> std::fmt::Debug for Mounts<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.connections.keys()).finish()
    }
}

impl<B: Send + 'static> Service<Request<B>> for Mounts<B> {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each connection is asked when its request is known.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let connection = self.lead(&mut request).clone();
        Box::pin(connection.oneshot(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_taken_off_and_the_rest_stays() {
        let odd = split("/claude/v1/a%2Fb/../c//d/%7Ex?q='");
        assert_eq!(
            odd,
            Some(("claude", "/v1/a%2Fb/../c//d/%7Ex?q='".to_owned()))
        );
        assert_eq!(split("/claude"), Some(("claude", "/".to_owned())));
        assert_eq!(split("/claude?x=1"), Some(("claude", "/?x=1".to_owned())));
        assert_eq!(split("//claude"), Some(("", "/claude".to_owned())));
        assert_eq!(split("*"), None);
    }

    #[test]
    fn two_hosts_have_no_one_meaning() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, http::HeaderValue::from_static("a"));
        assert!(has_one_meaning(&headers));
        headers.append(header::HOST, http::HeaderValue::from_static("b"));
        assert!(!has_one_meaning(&headers));
    }
}
