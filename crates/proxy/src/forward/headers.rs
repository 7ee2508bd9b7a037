//! Which headers pass, in either direction.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::Credential;

/// The headers to send: the caller's, without what concerns only its connection to the gate
/// (RFC 9110 §7.6.1), vouches for it or opens something, and with what the gate adds.
///
/// What the gate adds it adds last, so that no `Connection` header can take it off again.
pub(super) fn outgoing(
    caller: &HeaderMap,
    method: &Method,
    length: u64,
    credential: Option<&Credential>,
) -> HeaderMap {
    let listed = listed_in_connection(caller);
    let mut headers = HeaderMap::with_capacity(caller.keys_len() + 2);
    for (name, value) in caller {
        if !is_hop_by_hop(name) && !listed.contains(name) && !is_taken_off(name, credential) {
            headers.append(name, value.clone());
        }
    }
    // An encoded answer could be neither masked nor searched: the record would be blind.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    // RFC 9110 §8.6: said even when it is zero, where the method expects a body.
    if length > 0 || matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(credential) = credential {
        headers.insert(credential.header(), credential.value().clone());
    }
    headers
}

/// The headers of an answer to pass on.
pub(super) fn incoming(upstream: &HeaderMap, credential: Option<&Credential>) -> HeaderMap {
    let listed = listed_in_connection(upstream);
    let mut headers = HeaderMap::with_capacity(upstream.keys_len() + 1);
    for (name, value) in upstream {
        // `trailer` announces trailers, which pass.
        let passes = *name == header::TRAILER || !is_hop_by_hop(name);
        if passes && !listed.contains(name) && !is_kept_back(name, value, credential) {
            headers.append(name, value.clone());
        }
    }
    let is_stream = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| has_prefix(value.as_bytes(), b"text/event-stream"));
    if is_stream {
        // Proxies of the nginx family buffer a stream unless told.
        headers
            .entry(HeaderName::from_static("x-accel-buffering"))
            .or_insert(HeaderValue::from_static("no"));
    }
    headers
}

/// The trailers of an answer to pass on.
pub(super) fn trailers(upstream: &HeaderMap, credential: Option<&Credential>) -> HeaderMap {
    let passes = |name: &HeaderName, value: &HeaderValue| {
        !is_hop_by_hop(name) && !is_kept_back(name, value, credential)
    };
    upstream
        .iter()
        .filter(|(name, value)| passes(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    ) || name.as_str().starts_with("proxy-")
}

/// The headers that `Connection` declares to concern this connection only.
fn listed_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Whether a caller's header is not for the upstream: credentials, words of proxies about the
/// caller, and what the gate decides itself.
fn is_taken_off(name: &HeaderName, credential: Option<&Credential>) -> bool {
    // Servers that hand headers on as variables take `_` for `-`; a header that was judged under
    // the one name must not come again under the other.
    let given = name;
    let name = dashed(name);
    if name.starts_with("anthropic-") && *name != *given.as_str() {
        return true;
    }
    let own = credential.is_some_and(|credential| dashed(credential.header()) == name);
    own || matches!(
        &*name,
        "accept-encoding"
            | "authorization"
            | "content-length"
            | "cookie"
            | "expect"
            | "forwarded"
            | "host"
            | "x-api-key"
            | "x-forwarded"
            | "x-real-ip"
    ) || [
        "proxy-",
        "x-claude-gateway-",
        "x-forwarded-",
        "x-litellm-",
        "x-tollbook-",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Whether a header of an answer is not for the caller.
fn is_kept_back(name: &HeaderName, value: &HeaderValue, credential: Option<&Credential>) -> bool {
    *name == header::SET_COOKIE
        // The edge believes these to be the gate's own.
        || name.as_str().starts_with("x-tollbook-")
        || credential.is_some_and(|credential| credential.is_in(value.as_bytes()))
}

fn dashed(name: &HeaderName) -> Cow<'_, str> {
    match name.as_str() {
        name if name.contains('_') => name.replace('_', "-").into(),
        name => name.into(),
    }
}

fn has_prefix(value: &[u8], prefix: &[u8]) -> bool {
    value
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[&str]) -> HeaderMap {
        let pairs = lines.iter().map(|line| line.split_once(": ").unwrap());
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .fold(
                HeaderMap::new(),
                |mut map, (name, value): (HeaderName, HeaderValue)| {
                    map.append(name, value);
                    map
                },
            )
    }

    fn lines(map: &HeaderMap) -> Vec<String> {
        map.iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    fn sent(caller: &[&str]) -> Vec<String> {
        let credential = Credential::new("x-api-key", "", "sk-canary").unwrap();
        lines(&outgoing(&map(caller), &Method::POST, 2, Some(&credential)))
    }

    const ADDED: [&str; 3] = [
        "accept-encoding: identity",
        "content-length: 2",
        "x-api-key: sk-canary",
    ];

    #[test]
    fn what_is_not_ours_to_change_passes_in_its_order() {
        let kept = [
            "anthropic-version: 2023-06-01",
            "anthropic-beta: a,b",
            "anthropic-beta: c",
            "user-agent: claude-cli/2",
            "content-type: application/json",
            "x-stainless-retry-count: 0",
            "traceparent: 00-1-2-01",
        ];
        let sent = sent(&kept);
        assert_eq!(sent[..kept.len()], kept);
        assert_eq!(sent[kept.len()..], ADDED);
    }

    #[test]
    fn credentials_and_words_about_the_caller_are_taken_off() {
        for name in [
            "authorization",
            "x-api-key",
            "x_api_key",
            "cookie",
            "proxy-authorization",
            "proxy-anything",
            "forwarded",
            "x-forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-host",
            "x-real-ip",
            "x-tollbook-exchange",
            "x_tollbook-principal",
            "x-claude-gateway-user-id",
            "x-litellm-end-user-id",
            "host",
            "accept-encoding",
            "content-length",
            "expect",
        ] {
            assert_eq!(sent(&[&format!("{name}: sk-ant-oat01-x")]), ADDED, "{name}");
        }
        let other = Credential::new("x-goog-key", "", "sk-canary").unwrap();
        let caller = map(&["x-goog-key: mine", "x_goog_key: mine"]);
        assert_eq!(
            lines(&outgoing(&caller, &Method::GET, 0, Some(&other))),
            ["accept-encoding: identity", "x-goog-key: sk-canary"]
        );
    }

    #[test]
    fn a_connection_header_takes_off_what_it_names_but_nothing_we_add() {
        assert_eq!(
            sent(&[
                "connection: keep-alive, x-one , X-Two,, bad name",
                "connection: x-three, x-api-key, content-length, accept-encoding",
                "keep-alive: timeout=5",
                "x-one: 1",
                "x-two: 2",
                "x-three: 3",
                "x-api-key: mine",
                "te: trailers",
                "trailer: x",
                "transfer-encoding: chunked",
                "upgrade: h2c",
                "http2-settings: AAMAAABkAAQAAP__",
            ]),
            ADDED
        );
    }

    #[test]
    fn answers_lose_cookies_and_echoes_and_nothing_else() {
        let credential = Credential::new("authorization", "Bearer ", "sk-canary").unwrap();
        let kept = [
            "request-id: req_1",
            "retry-after: 3",
            "anthropic-ratelimit-requests-remaining: 5",
            "content-type: application/json",
            "content-length: 2",
            "location: https://elsewhere.example/",
            "trailer: x-sum",
        ];
        let mut answer = kept.to_vec();
        answer.extend([
            "connection: close, x-internal",
            "x-internal: 10.0.0.7",
            "keep-alive: timeout=5",
            "transfer-encoding: chunked",
            "proxy-authenticate: Basic",
            "set-cookie: a=b",
            "set-cookie: c=d",
            "x-tollbook-exchange: forged",
            "x-echo: you sent Bearer sk-canary",
        ]);
        assert_eq!(lines(&incoming(&map(&answer), Some(&credential))), kept);
        let ended = trailers(
            &map(&["x-sum: 1", "x-echo: sk-canary", "set-cookie: a=b"]),
            Some(&credential),
        );
        assert_eq!(lines(&ended), ["x-sum: 1"]);
    }

    #[test]
    fn streams_are_not_to_be_buffered() {
        let answer = map(&["content-type: Text/Event-Stream; charset=utf-8"]);
        assert_eq!(incoming(&answer, None)["x-accel-buffering"], "no");
        let answer = map(&["content-type: text/event-stream", "x-accel-buffering: yes"]);
        assert_eq!(incoming(&answer, None)["x-accel-buffering"], "yes");
        let answer = map(&["content-type: application/json"]);
        assert!(!incoming(&answer, None).contains_key("x-accel-buffering"));
    }
}
