//! A response on its way back, and the layer for responses alone.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tollbook_exchange::{
    Code, Exchange, Refusal,
    http::{Cut, Refusable, refuse},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    BoxError, ChooseWire, MAX_BODY, ResponseBody, Wire, body::Work, content_type, is_encoded,
    request::ask_plain,
};
use crate::{
    vault::BodyRestorer,
    view::{BodyMasker, Decoder},
};

/// Masks responses, and turns tokens in them back. Requests pass as they come, but ask for a
/// response without a content-encoding.
#[derive(Clone)]
#[must_use]
pub struct MaskResponseLayer {
    choose: Arc<dyn ChooseWire>,
}

/// The service of [`MaskResponseLayer`].
#[derive(Clone)]
pub struct MaskResponse<S> {
    inner: S,
    choose: Arc<dyn ChooseWire>,
}

impl MaskResponseLayer {
    /// A layer that asks for every request what is to be done with the response to it.
    pub fn choosing(choose: impl ChooseWire) -> Self {
        Self {
            choose: Arc::new(choose),
        }
    }
}

impl<S> Layer<S> for MaskResponseLayer {
    type Service = MaskResponse<S>;

    fn layer(&self, inner: S) -> MaskResponse<S> {
        MaskResponse {
            inner,
            choose: Arc::clone(&self.choose),
        }
    }
}

impl<S, B, R> Service<Request<B>> for MaskResponse<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    type Response = Response<Refusable<ResponseBody<R>>>;
    type Error = S::Error;
    // Boxed: the future of the inner service has no name, and costs far more than the box.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let fresh = self.inner.clone();
        // The one that was polled is the one that is ready.
        let mut inner = mem::replace(&mut self.inner, fresh);
        let choose = Arc::clone(&self.choose);
        let exchange = request.extensions().get::<Exchange>().cloned();
        // Before the response is known, and again behind it: which session it is may be told by
        // the layers within.
        if choose.choose(request.extensions()).changes_responses() {
            ask_plain(request.headers_mut());
        }
        let extensions = request.extensions().clone();
        Box::pin(async move {
            let response = inner.call(request).await?;
            let wire = choose.choose(&extensions);
            Ok(
                match masked(response, &wire, MAX_BODY, exchange.clone()).await {
                    Ok(response) => response.map(Refusable::passed),
                    Err(refusal) => {
                        if let Some(exchange) = &exchange {
                            exchange.refused(&refusal);
                        }
                        refuse(refusal)
                    }
                },
            )
        })
    }
}

/// The response as it comes back.
///
/// What cannot be masked before its end is known, such as a JSON document, is read to its end before
/// it passes, so that what may not pass becomes a refusal and not a broken answer.
pub(super) async fn masked<R>(
    response: Response<R>,
    wire: &Wire,
    max_body: usize,
    exchange: Option<Exchange>,
) -> Result<Response<ResponseBody<R>>, Refusal>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let is_coded = is_encoded(&head.headers);
    // What is encoded and passes so cannot be read, so nothing in it is restored.
    let content_type = content_type(&head.headers);
    let restore = wire.restore.as_ref();
    let restore = restore.filter(|_| !is_coded && BodyRestorer::reads(content_type));
    let changes = wire.responses.is_some() || restore.is_some();
    if !changes || body.is_end_stream() {
        return Ok(Response::from_parts(head, ResponseBody::as_is(body)));
    }
    let mask = wire.responses.as_ref().map(|masker| {
        let view = BodyMasker::new(masker, content_type, PLACE).limit(max_body);
        (masker.clone(), view)
    });
    let restore = restore.map(|session| BodyRestorer::new(session, content_type));
    let is_held = mask.as_ref().is_some_and(|(_, view)| view.is_held());
    let is_text = mask.as_ref().is_some_and(|(_, view)| view.is_text());
    // It was asked for without a coding. Some upstreams compress all the same, and not all say so; a
    // file is what it is.
    let codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
    let decoder = Decoder::new(codings.map(HeaderValue::as_bytes), !is_text).map_err(|_| {
        let message = "the upstream's answer has a content-encoding that cannot be masked";
        Refusal::new(Code::UpstreamInvalid, message).because("response_encoded")
    })?;
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    let mut work = Work::new(decoder, mask, restore, exchange);
    let body = if is_held {
        let (whole, trailers) = read(body, max_body).await?;
        work.take_whole(whole, trailers)?;
        ResponseBody::whole(work)
    } else {
        ResponseBody::changed(body, work)
    };
    Ok(Response::from_parts(head, body))
}

/// The whole body and its trailers.
async fn read<R>(body: R, max_body: usize) -> Result<(Bytes, Option<HeaderMap>), Refusal>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let invalid = |message| Refusal::new(Code::UpstreamInvalid, message);
    match Limited::new(body, max_body).collect().await {
        Ok(whole) => {
            let trailers = whole.trailers().cloned();
            Ok((whole.to_bytes(), trailers))
        }
        Err(error) if error.is::<LengthLimitError>() => Err(invalid(
            "the upstream's answer is larger than the gateway reads",
        )),
        Err(error) => Err(Cut::of(&*error).cloned().unwrap_or_else(|| {
            invalid("the upstream's answer broke off").because("upstream_reset")
        })),
    }
}

/// What findings call what a caller gets.
const PLACE: &str = "wire.response.body";

impl fmt::Debug for MaskResponseLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskResponseLayer").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for MaskResponse<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskResponse")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
