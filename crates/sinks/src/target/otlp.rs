//! OTLP/HTTP with JSON, to a collector of OpenTelemetry
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::fmt;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{
    address::{Address, Trust},
    http::Http,
};
use crate::{BoxFuture, Deliver, Delivery, Error, ErrorKind, Failure, Shape};

/// Posts spans to a collector's `/v1/traces`.
///
/// Span ids are those of exchanges, and the same whenever they come again.
pub struct OtlpTarget {
    http: Http,
    header: Option<OtlpHeader>,
}

/// A header with a credential. Its `Debug` prints the name only.
#[derive(Clone)]
pub struct OtlpHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl OtlpHeader {
    /// A header of this name, with this value.
    ///
    /// # Errors
    ///
    /// When it cannot be written. The error does not quote the value.
    pub fn new(name: &str, value: &str) -> Result<Self, Error> {
        let wrong = || ErrorKind::Target("the credential cannot stand in a header");
        let name = name.parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl OtlpTarget {
    /// A collector at `endpoint`, to which `/v1/traces` is added unless it ends so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Target`].
    pub fn new(endpoint: &str, header: Option<OtlpHeader>, trust: &Trust) -> Result<Self, Error> {
        let base = endpoint.trim_end_matches('/');
        let url = if base.ends_with("/v1/traces") {
            base.to_owned()
        } else {
            format!("{base}/v1/traces")
        };
        let address = Address::parse(&url, ["https", "http"], trust)?;
        Ok(Self {
            http: Http::new(address, trust)?,
            header,
        })
    }
}

impl Deliver for OtlpTarget {
    fn kind(&self) -> &'static str {
        "otlp"
    }

    fn shape(&self) -> Shape {
        Shape::Line
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(header) = &self.header {
                headers.insert(header.name.clone(), header.value.clone());
            }
            let answer = self.http.post(headers, delivery.bytes.clone()).await?;
            let unread = Failure::again("the collector's answer cannot be read");
            if rejected(&answer).ok_or(unread)? > 0 {
                // Which ones it does not say. They are found by halves, and those that it took
                // come again with the same ids; without that, some would be lost and nobody knew.
                return Err(Failure::refused("the collector rejects spans"));
            }
            Ok(())
        })
    }
}

/// How many spans the collector did not take (`partialSuccess.rejectedSpans`); `None` if it answers
/// something else. No answer is one of success.
fn rejected(answer: &[u8]) -> Option<u64> {
    if answer.is_empty() {
        return Some(0);
    }
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let count = &answer["partialSuccess"]["rejectedSpans"];
    // Numbers of 64 bits are strings in OTLP/JSON.
    let text = || count.as_str().and_then(|count| count.parse().ok());
    Some(count.as_u64().or_else(text).unwrap_or(0))
}

impl fmt::Debug for OtlpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpTarget")
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OtlpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OtlpHeader({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_rejects_is_seen() {
        for (answer, count) in [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":2}}"#, 2),
        ] {
            assert_eq!(rejected(answer.as_bytes()), Some(count), "{answer}");
        }
        for answer in ["<html>", r#"{"partialSuccess":{"reje"#] {
            assert_eq!(rejected(answer.as_bytes()), None, "{answer}");
        }
    }
}
