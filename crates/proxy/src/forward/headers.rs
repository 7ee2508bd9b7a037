//! Which headers pass, in either direction.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{self, Entry},
};

use crate::{Credential, OAUTH_BETA, credential::Kind};

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

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
    let kind = credential.map_or(Kind::Other, Credential::kind);
    for (name, value) in caller {
        let listed = listed.contains(name) && !is_judged(name);
        if is_hop_by_hop(name) || listed || is_taken_off(name, credential) {
            continue;
        }
        match kind {
            Kind::ApiKey if *name == BETA && has_beta(value) => {
                if let Some(value) = without_beta(value) {
                    headers.append(name, value);
                }
            }
            _ => {
                headers.append(name, value.clone());
            }
        }
    }
    if kind == Kind::OAuth && !headers.get_all(&BETA).iter().any(has_beta) {
        add_beta(&mut headers);
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

/// Whether the list `value` names the word that stands beside bearer tokens.
fn has_beta(value: &HeaderValue) -> bool {
    let mut words = value.as_bytes().split(|&byte| byte == b',');
    words.any(|word| word.trim_ascii() == OAUTH_BETA.as_bytes())
}

/// The list without that word and with every other as it came; nothing when none is left.
fn without_beta(value: &HeaderValue) -> Option<HeaderValue> {
    let words = value.as_bytes().split(|&byte| byte == b',');
    let left: Vec<&[u8]> = words
        .filter(|word| word.trim_ascii() != OAUTH_BETA.as_bytes())
        .collect();
    if left.iter().all(|word| word.trim_ascii().is_empty()) {
        return None;
    }
    HeaderValue::from_bytes(left.join(&b',').trim_ascii()).ok()
}

/// Adds that word at the end of the caller's list: within its last line, since not every server
/// reads more than one.
fn add_beta(headers: &mut HeaderMap) {
    let last = headers.get_all(&BETA).iter().next_back();
    let list = last
        .filter(|value| !value.as_bytes().trim_ascii().is_empty())
        .and_then(|value| {
            let list = [value.as_bytes(), b",", OAUTH_BETA.as_bytes()].concat();
            HeaderValue::from_bytes(&list).ok()
        })
        .unwrap_or(HeaderValue::from_static(OAUTH_BETA));
    match headers.entry(BETA) {
        Entry::Vacant(entry) => {
            entry.insert(list);
        }
        Entry::Occupied(mut entry) => {
            if let Some(last) = entry.iter_mut().next_back() {
                *last = list;
            }
        }
    }
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

/// Whether what was judged and approved depends on the header. Such a header is for the upstream,
/// and no `Connection` header takes it out of what people have seen.
fn is_judged(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || name.as_str().starts_with("anthropic-")
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
    fn the_word_for_bearer_tokens_follows_the_upstreams_credential() {
        let key = Credential::new("x-api-key", "", "sk-canary").unwrap();
        let token = Credential::oauth("sk-canary").unwrap();
        let other = Credential::new("authorization", "Bearer ", "sk-canary").unwrap();
        let sent = |caller: &[&str], credential: Option<&Credential>| -> Vec<String> {
            let caller: HeaderMap = caller
                .iter()
                .map(|value| (BETA, value.parse().unwrap()))
                .fold(
                    HeaderMap::new(),
                    |mut map, (name, value): (_, HeaderValue)| {
                        map.append(name, value);
                        map
                    },
                );
            let headers = outgoing(&caller, &Method::GET, 0, credential);
            let values = headers.get_all(BETA).into_iter();
            values
                .map(|value| value.to_str().unwrap().to_owned())
                .collect()
        };
        for (caller, with_key, with_token) in [
            (&[][..], &[][..], &["oauth-2025-04-20"][..]),
            (&["oauth-2025-04-20"], &[], &["oauth-2025-04-20"]),
            (
                &["a,oauth-2025-04-20,b"],
                &["a,b"],
                &["a,oauth-2025-04-20,b"],
            ),
            (&["oauth-2025-04-20, a"], &["a"], &["oauth-2025-04-20, a"]),
            (&["a , oauth-2025-04-20"], &["a"], &["a , oauth-2025-04-20"]),
            (&["b, a"], &["b, a"], &["b, a,oauth-2025-04-20"]),
            (&["b", "a"], &["b", "a"], &["b", "a,oauth-2025-04-20"]),
            (
                &["b", "oauth-2025-04-20", "a"],
                &["b", "a"],
                &["b", "oauth-2025-04-20", "a"],
            ),
            // The whole word, and none that begins or ends like it.
            (
                &["oauth-2025-04-20b"],
                &["oauth-2025-04-20b"],
                &["oauth-2025-04-20b,oauth-2025-04-20"],
            ),
            (&[""], &[""], &["oauth-2025-04-20"]),
        ] {
            assert_eq!(sent(caller, Some(&key)), with_key, "{caller:?}");
            assert_eq!(sent(caller, Some(&token)), with_token, "{caller:?}");
            // Not the gate's business.
            assert_eq!(sent(caller, Some(&other)), caller);
            assert_eq!(sent(caller, None), caller);
        }
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
    fn a_connection_header_takes_nothing_off_that_was_judged() {
        let kept = [
            "anthropic-beta: a",
            "anthropic-version: 2023-06-01",
            "content-type: application/json",
        ];
        let mut caller = vec!["connection: anthropic-beta, Anthropic-Version, content-type"];
        caller.extend(kept);
        assert_eq!(sent(&caller), [&kept[..], &ADDED].concat());
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
