//! Refusals as the Claude API words its errors.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use tollbook_exchange::{Code, Refusal, Retry};
use tollbook_wire_messages::error;

use super::{RenderRefusal, RequestInfo};

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The longest that a client is told to sleep before it asks again by itself, in seconds.
const LONGEST_SLEEP: u32 = 60;

/// Renders refusals as errors of the Claude API: its envelope, with `request-id`,
/// `x-should-retry` and `retry-after` as its SDKs read them. The message ends with the id of the
/// exchange, by which an operator finds the record.
///
/// A policy's denial is a 403 for every client. Claude Code shows a 403 as "Failed to authenticate.
/// API Error: 403" with the message behind it, and a 400 with the message alone; but on a 400
/// version 2.1.330 asks six times before it gives up, whatever `x-should-retry` says, and on a 403
/// both 2.1.197 and 2.1.330 ask once (tried with both; the SDKs ask once either way).
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaudeRefusals;

impl RenderRefusal for ClaudeRefusals {
    fn render(&self, refusal: &Refusal, request: &RequestInfo<'_>) -> Response<Bytes> {
        let status = StatusCode::from_u16(refusal.code.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let id = request.exchange.unwrap_or_default();
        let body = error::body(status.as_u16(), &message(refusal, request), id);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let retry = match refusal.retry {
            Retry::Never => "false",
            // The SDKs sleep for as long as they are told, without an end (measured: 90 s): a
            // spent daily budget would keep a job asleep for a day.
            Retry::After(seconds) if seconds > LONGEST_SLEEP => "false",
            _ => "true",
        };
        // Without a word on a 401: clients that can renew their credential do so and ask once more,
        // and a "false" keeps Claude Code 2.1.197 from running its apiKeyHelper again.
        if refusal.code != Code::AuthenticationFailed {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static(retry));
        }
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

    /// An `error` event of the type that the status would have had. It cannot say whether to try
    /// again: the SDKs never do after one, and Claude Code asks once more without a stream.
    fn render_event(&self, refusal: &Refusal, request: &RequestInfo<'_>) -> Option<Bytes> {
        let id = request.exchange.unwrap_or_default();
        let event = error::event(refusal.code.status(), &message(refusal, request), id);
        Some(event.into())
    }
}

fn message(refusal: &Refusal, request: &RequestInfo<'_>) -> String {
    match request.exchange {
        Some(id) => format!("{} (exchange {id})", refusal.message),
        None => refusal.message.clone(),
    }
}
