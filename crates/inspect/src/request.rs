//! Reading a request's body, once and whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use tollbook_exchange::{Code, Refusal, Retry};

use crate::Accepts;

/// How long a caller may pause within its body.
pub(crate) const PROGRESS: Duration = Duration::from_secs(30);

/// How long a whole body may take, in such pauses.
const PAUSES: u32 = 20;
/// How much of a body that nobody wants is taken, so that the caller can read why.
const DRAIN: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Checks what the head says about the body, before a byte of it is read.
pub(crate) fn check_head(head: &Parts, accepts: Accepts, limit: usize) -> Result<(), Refusal> {
    let mut codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::new(
            Code::UnsupportedEncoding,
            "the body has a content-encoding that the gateway does not read; send it plain",
        ));
    }
    let length = content_length(&head.headers);
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let media_type = media_type(&head.headers);
    let expected = match accepts {
        Accepts::Nothing => return Ok(()),
        Accepts::Json => "application/json",
        Accepts::Multipart => "multipart/form-data",
    };
    match media_type {
        Some(given) if given.eq_ignore_ascii_case(expected) => Ok(()),
        // A request without any body, such as one that cancels a batch, needs no type for it.
        None if length == Some(0)
            || (length.is_none() && !head.headers.contains_key(header::TRANSFER_ENCODING)) =>
        {
            Ok(())
        }
        _ => Err(Refusal::new(
            Code::UnsupportedContentType,
            format!("this operation takes a body of type {expected}"),
        )),
    }
}

/// Reads the whole body, at most `limit` bytes of it, with at most `progress` between two pieces
/// and a bounded time for all of them.
pub(crate) async fn read<B>(body: B, limit: usize, progress: Duration) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    let whole = tokio::time::timeout(progress * PAUSES, collect(body, limit, progress)).await;
    whole.unwrap_or_else(|_| {
        let message = "the body took too long";
        Err(Refusal::new(Code::RequestTimeout, message).retry(Retry::Anytime))
    })
}

/// Takes a little of a body that was refused by its head. A connection that is closed on a client
/// which still sends is reset, and then the client never sees the answer.
pub(crate) async fn drain<B>(body: B)
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let drained = async {
        let mut taken = 0;
        while taken < DRAIN
            && let Some(Ok(frame)) = body.frame().await
        {
            taken += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    tokio::time::timeout(DRAIN_TIME, drained).await.ok();
}

async fn collect<B>(body: B, limit: usize, progress: Duration) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(progress, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Refusal::new(Code::MalformedRequest, "the body broke off")
                    .because("body_broken"));
            }
            Err(_) => {
                let message = format!(
                    "no byte of the body came for {} seconds",
                    progress.as_secs()
                );
                return Err(Refusal::new(Code::RequestTimeout, message).retry(Retry::Anytime));
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + more.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // Most bodies come in one piece, which then is not copied.
        if first.is_empty() {
            first = data;
        } else {
            more.extend_from_slice(&data);
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + more.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&more);
    Ok(whole.freeze())
}

/// The media type without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(
        value
            .split_once(';')
            .map_or(value, |(media_type, _)| media_type)
            .trim(),
    )
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        Code::BodyTooLarge,
        format!("the body is larger than {limit} bytes"),
    )
}
