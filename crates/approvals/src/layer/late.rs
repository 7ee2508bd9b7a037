//! Forwarding a request whose answer's head is out already.

use std::{error::Error, future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts, response};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tokio::time;
use tollbook_exchange::{Code, Refusal};
use tower_service::Service;

use super::body::Ending;

/// Clients retry an error status by themselves, but not an error in a stream. So what they would
/// have retried is tried so often more here.
const RETRIES: u32 = 2;

/// The longest wait before a retry, and the first one where the upstream names none.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How much of an error's body is told, and how long it may take to come.
const MAX_ERROR: usize = 64 << 10;
const ERROR_WITHIN: Duration = Duration::from_secs(10);

/// Sends the request on and says how the body that has begun ends.
pub(super) async fn forward<S, R>(
    mut inner: S,
    head: Parts,
    body: Bytes,
    late_error: &(dyn Fn(StatusCode, &HeaderMap, &Bytes) -> Bytes + Send + Sync),
) -> Ending<R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut retries = 0;
    loop {
        // The first is ready: the layer was asked before it was called.
        let next = inner.clone();
        let request = Request::from_parts(head.clone(), Full::new(body.clone()));
        let response = match inner.call(request).await {
            Ok(response) => response,
            Err(error) => return Ending::Failed(error.into()),
        };
        // A layer behind refused, and has told the exchange.
        if let Some(refusal) = response.extensions().get::<Refusal>() {
            return Ending::Cut(refusal.clone());
        }
        let (answer, rest) = response.into_parts();
        if answer.status.is_success() {
            return match is_events(&answer) {
                true => Ending::Relay(rest),
                false => Ending::Cut(invalid()),
            };
        }
        match wait(&answer, retries) {
            Some(wait) => time::sleep(wait).await,
            None => return Ending::Last(tell(&answer, rest, late_error).await),
        }
        retries += 1;
        inner = next;
        if let Err(error) = poll_fn(|cx| inner.poll_ready(cx)).await {
            return Ending::Failed(error.into());
        }
    }
}

/// How long to wait before the request is sent once more. `None`: it is not.
fn wait(answer: &response::Parts, retries: u32) -> Option<Duration> {
    let text = |name: &str| answer.headers.get(name).and_then(|it| it.to_str().ok());
    let passing = answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
    if retries >= RETRIES || !passing || text("x-should-retry") == Some("false") {
        return None;
    }
    let wait = match text("retry-after") {
        // RFC 9110 §10.2.3: seconds, or a date, which nobody sends here and nobody waits for.
        Some(seconds) => Duration::from_secs(seconds.trim().parse().ok()?),
        None => FIRST_WAIT * 2_u32.pow(retries),
    };
    (wait <= LONGEST_WAIT).then_some(wait)
}

async fn tell<R>(
    answer: &response::Parts,
    body: R,
    late_error: &(dyn Fn(StatusCode, &HeaderMap, &Bytes) -> Bytes + Send + Sync),
) -> Bytes
where
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let read = time::timeout(ERROR_WITHIN, Limited::new(body, MAX_ERROR).collect()).await;
    let body = match read {
        Ok(Ok(collected)) => collected.to_bytes(),
        // Its status still tells.
        _ => Bytes::new(),
    };
    late_error(answer.status, &answer.headers, &body)
}

/// Whether the answer continues a body of plain events.
fn is_events(answer: &response::Parts) -> bool {
    let text = |name| answer.headers.get(name).and_then(|it| it.to_str().ok());
    let media_type = text(&header::CONTENT_TYPE).and_then(|it| it.split(';').next());
    let encoding = text(&header::CONTENT_ENCODING);
    media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case("text/event-stream"))
        && encoding.is_none_or(|it| it.eq_ignore_ascii_case("identity"))
        && answer.headers.get(header::CONTENT_ENCODING).is_none() == encoding.is_none()
}

fn invalid() -> Refusal {
    let message = "the upstream did not answer with the stream that was asked for";
    Refusal::new(Code::UpstreamInvalid, message).because("not_a_stream")
}
