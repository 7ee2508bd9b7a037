//! Refusals as the Claude API words its errors.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use tollbook_exchange::{Code, Refusal, Retry};
use tollbook_wire_messages::error;

use super::{RenderRefusal, RequestInfo};

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Renders refusals as errors of the Claude API: its envelope, with `request-id`,
/// `x-should-retry` and `retry-after` as its SDKs read them. The message ends with the id of the
/// exchange, by which an operator finds the record.
#[derive(Clone, Debug)]
pub struct ClaudeRefusals {
    denied: StatusCode,
    denied_for: Vec<DeniedStatus>,
}

/// The status of policy denials for one kind of client.
///
/// Clients show errors differently: one may present a 403 as a failed login, whatever the message
/// says, and a 400 with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedStatus {
    /// How the client's `user-agent` begins.
    pub user_agent: String,
    /// The status it gets.
    pub status: StatusCode,
}

impl ClaudeRefusals {
    /// Policy denials are 403 for everybody.
    pub const fn new() -> Self {
        Self {
            denied: StatusCode::FORBIDDEN,
            denied_for: Vec::new(),
        }
    }

    /// The status of policy denials for clients of which nothing else is said.
    #[must_use]
    pub const fn denied_status(mut self, status: StatusCode) -> Self {
        self.denied = status;
        self
    }

    /// The statuses of policy denials for some clients. The first entry that fits counts.
    #[must_use]
    pub fn denied_status_for(mut self, clients: impl IntoIterator<Item = DeniedStatus>) -> Self {
        self.denied_for.extend(clients);
        self
    }

    fn status(&self, code: Code, request: &RequestInfo<'_>) -> StatusCode {
        if !matches!(code, Code::PolicyDenied | Code::PolicyError) {
            return StatusCode::from_u16(code.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let user_agent = request.user_agent.unwrap_or_default();
        self.denied_for
            .iter()
            .find(|client| user_agent.starts_with(&client.user_agent))
            .map_or(self.denied, |client| client.status)
    }
}

impl Default for ClaudeRefusals {
    fn default() -> Self {
        Self::new()
    }
}

impl RenderRefusal for ClaudeRefusals {
    fn render(&self, refusal: &Refusal, request: &RequestInfo<'_>) -> Response<Bytes> {
        let status = self.status(refusal.code, request);
        let id = request.exchange.unwrap_or_default();
        let message = match request.exchange {
            Some(id) => format!("{} (exchange {id})", refusal.message),
            None => refusal.message.clone(),
        };
        let body = error::body(status.as_u16(), &message, id);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let retry = if refusal.retry == Retry::Never {
            "false"
        } else {
            "true"
        };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(retry));
        if let Retry::After(seconds) = refusal.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(id) = request
            .exchange
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            headers.insert(REQUEST_ID, id);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2: a 401 says what would be accepted.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
