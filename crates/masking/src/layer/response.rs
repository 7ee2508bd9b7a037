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
use http::{Request, Response, header};
use http_body::Body;
use tollbook_exchange::{
    Code, Exchange, Refusal,
    http::{Refusable, refuse},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{ChooseWire, ResponseBody, Wire, content_type, is_encoded, request::ask_plain};
use crate::{vault::BodyRestorer, view::BodyMasker};

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
    R: Body<Data = Bytes>,
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
            Ok(match masked(response, &wire, exchange.clone()) {
                Ok(response) => response.map(Refusable::passed),
                Err(refusal) => {
                    if let Some(exchange) = &exchange {
                        exchange.refused(&refusal);
                    }
                    refuse(refusal)
                }
            })
        })
    }
}

/// The response as it comes back.
pub(super) fn masked<R: Body>(
    response: Response<R>,
    wire: &Wire,
    exchange: Option<Exchange>,
) -> Result<Response<ResponseBody<R>>, Refusal> {
    let (mut head, body) = response.into_parts();
    if !wire.changes_responses() || body.is_end_stream() {
        return Ok(Response::from_parts(head, ResponseBody::as_is(body)));
    }
    let coded = is_encoded(&head.headers);
    if coded && wire.responses.is_some() {
        let message = "the upstream's answer has a content-encoding that cannot be masked";
        return Err(Refusal::new(Code::UpstreamInvalid, message).because("response_encoded"));
    }
    let content_type = content_type(&head.headers);
    let mask = wire
        .responses
        .as_ref()
        .map(|masker| (masker.clone(), BodyMasker::new(masker, content_type, PLACE)));
    // What is encoded cannot be read, so nothing in it is restored.
    let session = wire.restore.as_ref().filter(|_| !coded);
    let restore = session.map(|session| BodyRestorer::new(session, content_type));
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(
        head,
        ResponseBody::changed(body, mask, restore, exchange),
    ))
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
