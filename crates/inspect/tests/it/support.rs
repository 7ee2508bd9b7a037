//! What the tests share.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tollbook_exchange::{
    Exchange, ExchangeId, Principal, PrincipalKind, Refusal, Timestamp, http::Cut,
};
use tollbook_inspect::{Claude, InspectLayer};
use tollbook_masking::Masker;
use tower::{Layer, ServiceExt, service_fn};

pub(crate) type Answer = Response<Chunks>;

pub(crate) fn layer() -> InspectLayer<Claude> {
    InspectLayer::new(Claude, Masker::builtin())
}

pub(crate) fn exchange() -> Exchange {
    Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
}

/// A fake token, put together here so that no scanner takes this file for a leak.
pub(crate) fn secret() -> String {
    format!("{}{}", "ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry")
}

/// A Messages call in this exchange.
pub(crate) fn call(exchange: &Exchange, text: &str) -> Request<Full<Bytes>> {
    let body = serde_json::json!({
        "model": "m", "max_tokens": 1, "stream": true,
        "messages": [{ "role": "user", "content": text }],
    });
    Request::post("/v1/messages?beta=true")
        .header("content-type", "application/json")
        .extension(exchange.clone())
        .extension(Principal::new(PrincipalKind::Ci, "ci", "me"))
        .body(Full::new(body.to_string().into()))
        .unwrap()
}

/// Pieces of a body, each on its own, and an error at the end if there is to be one.
#[derive(Default)]
pub(crate) struct Chunks {
    pub(crate) pieces: std::collections::VecDeque<Bytes>,
    pub(crate) breaks: bool,
}

impl Chunks {
    pub(crate) fn of(pieces: &[&[u8]]) -> Self {
        Self {
            pieces: pieces
                .iter()
                .map(|piece| Bytes::copy_from_slice(piece))
                .collect(),
            breaks: false,
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(match self.pieces.pop_front() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.breaks => Some(Err(std::io::ErrorKind::ConnectionReset.into())),
            None => None,
        })
    }
}

/// What came out at the caller's side.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the body broke off.
    pub(crate) broken: bool,
    /// The refusal that it broke off with, if the gate cut it.
    pub(crate) cut: Option<Refusal>,
    /// What the inner service got, if it was called.
    pub(crate) inner: Option<(http::request::Parts, Bytes)>,
}

/// Sends a request through the layer to a service that answers with `answer`.
pub(crate) async fn send<B>(
    layer: InspectLayer<Claude>,
    request: Request<B>,
    answer: Answer,
) -> Outcome
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let inner = Arc::new(Mutex::new(None));
    let answer = Arc::new(Mutex::new(Some(answer)));
    let seen = Arc::clone(&inner);
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            *seen.lock().unwrap() = Some((head, body));
            Ok::<_, Infallible>(answer.lock().unwrap().take().unwrap())
        }
    });
    let response = layer.layer(service).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let mut body = Box::pin(response.into_body());
    let (mut bytes, mut broken, mut cut) = (Vec::new(), false, None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Err(error) => {
                broken = true;
                cut = Cut::of(&error).cloned();
                break;
            }
        }
    }
    if broken {
        assert!(body.frame().await.is_none(), "an error is the last word");
    }
    drop(body);
    let inner = inner.lock().unwrap().take();
    Outcome {
        status,
        body: bytes,
        broken,
        cut,
        inner,
    }
}
