//! The service of the layer.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tollbook_exchange::{
    Exchange, Refusal,
    http::{Refusable, refuse},
};
use tower_service::Service;

use super::{BoxError, ResponseBody, Settings, request, response};

/// Masks requests and responses of the service within. See [`MaskLayer`](crate::MaskLayer).
#[derive(Clone, Debug)]
pub struct Mask<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Mask<S> {
    pub(super) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, R> Service<Request<B>> for Mask<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    type Response = Response<Refusable<ResponseBody<R>>>;
    type Error = S::Error;
    // Boxed: reading the body borrows nothing but has no name, and costs far more than the box.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let fresh = self.inner.clone();
        // The one that was polled is the one that is ready.
        let mut inner = mem::replace(&mut self.inner, fresh);
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            let exchange = request.extensions().get::<Exchange>().cloned();
            let wire = settings.wire(request.extensions());
            let refused = |refusal: Refusal| {
                if let Some(exchange) = &exchange {
                    exchange.refused(&refusal);
                }
                Ok(refuse(refusal))
            };
            let masked = request::masked(request, &wire, settings.max_body, exchange.as_ref());
            let request = match masked.await {
                Ok(request) => request,
                Err(refusal) => return refused(refusal),
            };
            let response = inner.call(request).await?;
            let masked = response::masked(response, &wire, settings.max_body, exchange.clone());
            match masked.await {
                Ok(response) => Ok(response.map(Refusable::passed)),
                Err(refusal) => refused(refusal),
            }
        })
    }
}
