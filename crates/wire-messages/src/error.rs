//! The API's error form, for what the gate says in its own name.
//!
//! Clients retry by status, not by type: the official SDKs send a request again on 408, 409, 429
//! and everything from 500 up, unless a header `x-should-retry` says otherwise. The type is what
//! they show and what their callers match on, so it must not claim more than is true:
//!
//! - 503 (the exchange cannot be recorded) and 502 (the upstream cannot be reached or read) are
//!   `api_error`. They are retried, and rightly so, since they pass. They are not
//!   `overloaded_error`: that says that the model lacks capacity, and Claude Code answers it by
//!   changing to another model, which helps nobody here.
//! - 504 is `timeout_error` and so is 408.
//!
//! ```
//! use tollbook_wire_messages::error;
//!
//! assert_eq!(
//!     error::body(403, "not on a Friday", "req_1"),
//!     br#"{"type":"error","error":{"type":"permission_error","message":"not on a Friday"},"request_id":"req_1"}"#,
//! );
//! assert_eq!(error::Kind::of_status(403).as_str(), "permission_error");
//! ```

use serde::Serialize;

/// The body of an error answer: `{"type":"error","error":{"type","message"},"request_id"}`.
///
/// The type follows from the status by [`Kind::of_status`]. `request_id` should be the value of
/// the answer's `request-id` header, which is where clients read it from.
pub fn body(status: u16, message: &str, request_id: &str) -> Vec<u8> {
    body_of(Kind::of_status(status).as_str(), message, request_id)
}

fn body_of(kind: &str, message: &str, request_id: &str) -> Vec<u8> {
    let envelope = Envelope {
        kind: "error",
        error: Detail { kind, message },
        request_id,
    };
    // Texts always serialize; a caller that shows an empty body instead is still a refusal.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// An error inside a stream that has begun with status 200: `event: error` and the same envelope.
///
/// `status` is the status the answer would have had. The event is named because official clients
/// dispatch on the name and skip events without one.
pub fn event(status: u16, message: &str, request_id: &str) -> Vec<u8> {
    event_of(Kind::of_status(status).as_str(), message, request_id)
}

/// The same of a type that the API gave.
pub(crate) fn event_of(kind: &str, message: &str, request_id: &str) -> Vec<u8> {
    let mut event = b"event: error\ndata: ".to_vec();
    event.extend(body_of(kind, message, request_id));
    event.extend(b"\n\n");
    event
}

/// The type of an error, as published in "API errors" of the Claude API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// 400, and every 4xx without a type of its own.
    InvalidRequest,
    /// 401.
    Authentication,
    /// 402.
    Billing,
    /// 403.
    Permission,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 413.
    RequestTooLarge,
    /// 429.
    RateLimit,
    /// 500, and every 5xx without a type of its own.
    Api,
    /// 504, and 408.
    Timeout,
    /// 529.
    Overloaded,
}

impl Kind {
    /// The type that goes with a status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            409 => Self::Conflict,
            413 => Self::RequestTooLarge,
            429 => Self::RateLimit,
            529 => Self::Overloaded,
            500.. => Self::Api,
            _ => Self::InvalidRequest,
        }
    }

    /// The type as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Billing => "billing_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::Conflict => "conflict_error",
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Api => "api_error",
            Self::Timeout => "timeout_error",
            Self::Overloaded => "overloaded_error",
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Detail<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Detail<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
}

#[cfg(test)]
mod tests {
    use tollbook_exchange::Code;
    use tollbook_sse::Splitter;

    use super::*;

    #[test]
    fn the_types_are_the_published_ones() {
        let table: Vec<_> = [
            400, 401, 402, 403, 404, 409, 413, 429, 500, 502, 503, 504, 529,
        ]
        .map(|status| (status, Kind::of_status(status).as_str()))
        .into();
        assert_eq!(
            table,
            [
                (400, "invalid_request_error"),
                (401, "authentication_error"),
                (402, "billing_error"),
                (403, "permission_error"),
                (404, "not_found_error"),
                (409, "conflict_error"),
                (413, "request_too_large"),
                (429, "rate_limit_error"),
                (500, "api_error"),
                (502, "api_error"),
                (503, "api_error"),
                (504, "timeout_error"),
                (529, "overloaded_error"),
            ]
        );
    }

    /// A refusal must never look as if the model were at its limit.
    #[test]
    fn no_refusal_of_the_gate_claims_an_overload() {
        for code in Code::ALL {
            assert_ne!(Kind::of_status(code.status()), Kind::Overloaded, "{code:?}");
        }
    }

    #[test]
    fn a_message_cannot_break_out_of_its_event() {
        let event = event(403, "a\n\nevent: message_stop\ndata: {}\r\"", "req_1");
        let mut splitter = Splitter::new(1024);
        splitter.push(&event);
        let frame = splitter.next_frame().unwrap().unwrap();
        assert_eq!(frame.event(), Some("error"));
        let data: serde_json::Value = serde_json::from_slice(&frame.data()).unwrap();
        assert_eq!(data["error"]["type"], "permission_error");
        assert_eq!(
            data["error"]["message"],
            "a\n\nevent: message_stop\ndata: {}\r\""
        );
        assert!(splitter.finish().is_empty());
    }
}
