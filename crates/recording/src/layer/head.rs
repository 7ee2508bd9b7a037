//! The heads of requests and responses, as they may be kept.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Method, Request};
use tollbook_exchange::{Exchange, Finding, Masked, Redact};

/// Notes heads in an exchange, each text masked or withheld.
#[derive(Clone, Default)]
pub(super) struct Head {
    pub(super) redactor: Option<Arc<dyn Redact>>,
    /// One more header that carries a credential, in lower case and with dashes.
    pub(super) credential: Option<Arc<str>>,
}

impl Head {
    /// Notes method, target and headers of a request.
    pub(super) fn request<B>(&self, exchange: &Exchange, request: &Request<B>) {
        let mut found = Vec::new();
        let method = if STANDARD.contains(request.method()) {
            request.method().to_string()
        } else {
            self.text("request.method", request.method().as_str(), &mut found)
        };
        let target = request
            .uri()
            .path_and_query()
            .map_or("", |target| target.as_str());
        let target = masked(self.text("request.target", target, &mut found));
        let headers = self.headers("request.header", request.headers(), &mut found);
        exchange.draft(|draft| {
            draft.request.method = method;
            draft.request.target = target;
            draft.request.headers = headers;
            Finding::merge(&mut draft.findings, found);
        });
    }

    /// Notes the headers of a response.
    pub(super) fn response(&self, exchange: &Exchange, headers: &HeaderMap) {
        let mut found = Vec::new();
        let headers = self.headers("response.header", headers, &mut found);
        exchange.draft(|draft| {
            draft.response.headers = headers;
            Finding::merge(&mut draft.findings, found);
        });
    }

    fn headers(
        &self,
        side: &str,
        headers: &HeaderMap,
        found: &mut Vec<Finding>,
    ) -> Masked<Vec<(String, String)>> {
        let headers = headers.iter().map(|(name, value)| {
            let name = name.as_str();
            if self.is_credential(name) || value.is_sensitive() {
                return (name.to_owned(), "[credential]".to_owned());
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            // A name is the sender's text as well, but says where: without a redactor it stays.
            let (kept, place) = match &self.redactor {
                Some(redactor) => {
                    let (kept, in_name) = redactor.redact(side, name);
                    found.extend(in_name);
                    let kept = kept.into_inner();
                    let place = format!("{side}:{kept}");
                    (kept, place)
                }
                None => (name.to_owned(), String::new()),
            };
            (kept, self.text(&place, &value, found))
        });
        masked(headers.collect())
    }

    /// Whether a header of this name, in lower case, carries a credential: one of the known ones,
    /// the connection's own, or one whose name ends like theirs. A key that somebody sends under a
    /// name of its own has no form that a rule could know.
    fn is_credential(&self, name: &str) -> bool {
        // Servers that hand headers on as variables take `_` for `-`.
        let name = name.replace('_', "-");
        CREDENTIALS.contains(&&*name)
            || self.credential.as_deref() == Some(&name)
            || CREDENTIAL_ENDINGS
                .iter()
                .any(|ending| name.ends_with(ending))
    }

    fn text(&self, place: &str, text: &str, found: &mut Vec<Finding>) -> String {
        match &self.redactor {
            Some(redactor) => {
                let (kept, findings) = redactor.redact(place, text);
                found.extend(findings);
                kept.into_inner()
            }
            None => "[withheld]".to_owned(),
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("redactor", &self.redactor.is_some())
            .finish()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "made of what a redactor returned as masked and of constants"
)]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}

const CREDENTIALS: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authenticate",
    "proxy-authorization",
    "set-cookie",
];

const CREDENTIAL_ENDINGS: &[&str] = &[
    "api-key",
    "apikey",
    "-authorization",
    "-credential",
    "-password",
    "-secret",
    "-token",
];

const STANDARD: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];
