//! An answer before it goes out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    body::{self, Step, Steps},
    faults::Plan,
};

/// An answer before faults and compression.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: HeaderValue,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) content: Content,
    /// Compressed, whether asked for or not.
    pub(super) gzip: bool,
    /// Broken off in the middle.
    pub(super) cut: bool,
    /// How long it is in coming.
    pub(super) delay: Duration,
}

/// What an answer consists of.
pub(super) enum Content {
    /// Bytes whose number is known.
    Whole(Bytes),
    /// An error with this message.
    Error(String),
    /// Events, one by one.
    Events(Vec<Step>),
}

/// A request that the API does not take: the status and the message of its error.
pub(super) struct Refused(pub(super) u16, pub(super) String);

impl Refused {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self(status, message.into())
    }
}

impl From<Refused> for Reply {
    fn from(Refused(status, message): Refused) -> Self {
        Self::error(status, message)
    }
}

/// What stands where an answer should be.
const GARBAGE: &[u8] = b"\x00\xff<!doctype html>{\"type\":\"mess";

impl Reply {
    pub(super) fn new(content_type: &'static str, content: Content) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static(content_type),
            headers: Vec::new(),
            content,
            gzip: false,
            cut: false,
            delay: Duration::ZERO,
        }
    }

    pub(super) fn json(value: &Value) -> Self {
        let bytes = value.to_string().into();
        Self::new("application/json", Content::Whole(bytes))
    }

    pub(super) fn error(status: u16, message: impl Into<String>) -> Self {
        let mut reply = Self::new("application/json", Content::Error(message.into()));
        reply.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<HeaderValue>) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer with a header whose value is printable.
    #[must_use]
    pub(super) fn with_text(self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.with(name, value),
            Err(_) => self,
        }
    }

    /// The response, with what `plan` does to it.
    pub(super) fn finish(self, plan: &Plan, request_id: &str) -> Response<Steps> {
        let gzip = plan.gzip || self.gzip;
        let cut = plan.cut_after.or(self.cut.then_some(usize::MAX));
        let whole = match self.content {
            _ if plan.garbage.is_some() => Ok(Bytes::from_static(GARBAGE)),
            Content::Whole(bytes) => Ok(bytes),
            Content::Error(message) => Ok(error(self.status.as_u16(), &message, request_id)
                .to_string()
                .into()),
            Content::Events(steps) => Err(steps),
        };
        let (steps, length) = match whole {
            Ok(bytes) => {
                let bytes = if gzip {
                    body::gzip_whole(&bytes)
                } else {
                    bytes
                };
                let length = bytes.len();
                let steps = match cut {
                    Some(_) => body::cut_after(vec![Step::Send(bytes.slice(..length / 2))], 1),
                    None => vec![Step::Send(bytes)],
                };
                (steps, Some(length))
            }
            Err(steps) => {
                let steps = body::delayed(steps, plan.event_delay);
                let steps = match cut {
                    Some(sent) => body::cut_after(steps, sent),
                    None => steps,
                };
                (if gzip { body::gzip(steps) } else { steps }, None)
            }
        };
        let mut response = Response::new(Steps::new(steps));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type);
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.extend(self.headers);
        response
    }
}

/// An error in the API's form.
///
/// The types stand here a second time on purpose: a stand-in that shared the gate's table would
/// share its mistakes.
pub(super) fn error(status: u16, message: &str, request_id: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": request_id,
    })
}
