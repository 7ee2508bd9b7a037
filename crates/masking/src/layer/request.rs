//! A request on its way.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tollbook_exchange::{Code, Exchange, Finding, Findings, Refusal};

use super::{Wire, content_type, is_encoded};
use crate::{Masker, view::BodyMasker};

/// The request as it goes on.
pub(super) async fn masked<B>(
    request: Request<B>,
    wire: &Wire,
    max_body: usize,
    exchange: Option<&Exchange>,
) -> Result<Request<Full<Bytes>>, Refusal>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    if wire.requests.is_some() && is_encoded(&head.headers) {
        return Err(Refusal::new(
            Code::UnsupportedEncoding,
            "the body has a content-encoding that cannot be masked; send it plain",
        ));
    }
    let body = Limited::new(body, max_body)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::new(
                    Code::BodyTooLarge,
                    format!("the body is larger than {max_body} bytes"),
                )
            } else {
                Refusal::new(Code::MalformedRequest, "the body broke off").because("body_broken")
            }
        })?;
    let mut body = body.to_bytes();
    if let Some(masker) = &wire.requests {
        body = match head.extensions.get::<Findings>() {
            // Scanned once is enough. What was not scanned whole is not in there whole either.
            Some(findings) if wire.scanned && findings.coverage.uninspected > 0 => {
                return Err(unscanned());
            }
            Some(findings) if wire.scanned => {
                pass(&findings.found)?;
                findings.masked.as_inner().clone()
            }
            _ => scanned(&head.headers, &body, masker, max_body, exchange)?,
        };
        if let Some(length) = head.headers.get_mut(header::CONTENT_LENGTH) {
            *length = HeaderValue::from(body.len());
        }
    }
    if wire.changes_responses() {
        ask_plain(&mut head.headers);
    }
    Ok(Request::from_parts(head, Full::new(body)))
}

/// What is encoded could not be read on its way back.
pub(super) fn ask_plain(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
}

fn scanned(
    headers: &HeaderMap,
    body: &Bytes,
    masker: &Masker,
    max_body: usize,
    exchange: Option<&Exchange>,
) -> Result<Bytes, Refusal> {
    let unreadable = |_| {
        Refusal::new(
            Code::MalformedBody,
            "the body cannot be read as its type says",
        )
    };
    let view = BodyMasker::new(masker, content_type(headers), "wire.request.body").limit(max_body);
    let findings = view.whole(body).map_err(unreadable)?;
    if let Some(exchange) = exchange {
        exchange.found(findings.found.iter().cloned());
    }
    if findings.coverage.uninspected > 0 {
        return Err(unscanned());
    }
    pass(&findings.found)?;
    if findings.found.is_empty() {
        return Ok(body.clone());
    }
    Ok(findings.masked.into_inner())
}

fn pass(found: &[Finding]) -> Result<(), Refusal> {
    Finding::blocked(found).map_or(Ok(()), Err)
}

fn unscanned() -> Refusal {
    Refusal::new(Code::MalformedBody, "the body could not be scanned")
}
