//! The one place where a refusal becomes a response of the caller's protocol.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tollbook_exchange::Refusal;
use tower_layer::Layer;
use tower_service::Service;

use super::{RefusalsBody, RenderRefusal, RequestInfo, body::LastWord};

/// The response header by which the record layer tells the exchange's id.
const EXCHANGE: HeaderName = HeaderName::from_static("x-tollbook-exchange");

/// Replaces every response that holds a [`Refusal`] by its form in the caller's protocol. All
/// others pass as they are, except that an event stream which a layer cuts off, with a
/// [`Cut`](tollbook_exchange::http::Cut) as the error of its body, ends with the protocol's last
/// word about it.
#[derive(Debug, Default)]
pub struct RefusalLayer<R> {
    render: Arc<R>,
}

impl<R: RenderRefusal> RefusalLayer<R> {
    /// Refusals take the form that `render` gives them.
    pub fn new(render: R) -> Self {
        Self {
            render: Arc::new(render),
        }
    }
}

impl<R> Clone for RefusalLayer<R> {
    fn clone(&self) -> Self {
        Self {
            render: Arc::clone(&self.render),
        }
    }
}

impl<S, R> Layer<S> for RefusalLayer<R> {
    type Service = Refusals<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Refusals {
            inner,
            render: Arc::clone(&self.render),
        }
    }
}

/// The service of [`RefusalLayer`].
#[derive(Debug)]
pub struct Refusals<S, R> {
    inner: S,
    render: Arc<R>,
}

impl<S: Clone, R> Clone for Refusals<S, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            render: Arc::clone(&self.render),
        }
    }
}

impl<S, R, B, A> Service<Request<B>> for Refusals<S, R>
where
    S: Service<Request<B>, Response = Response<A>>,
    R: RenderRefusal,
{
    type Response = Response<RefusalsBody<A, R>>;
    type Error = S::Error;
    type Future = RefusalsFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        RefusalsFuture {
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
            render: Arc::clone(&self.render),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The inner service's answer, in the caller's protocol where it is a refusal.
    #[derive(Debug)]
    pub struct RefusalsFuture<F, R> {
        #[pin]
        inner: F,
        render: Arc<R>,
        user_agent: Option<HeaderValue>,
    }
}

impl<F, R, A, E> Future for RefusalsFuture<F, R>
where
    F: Future<Output = Result<Response<A>, E>>,
    R: RenderRefusal,
{
    type Output = Result<Response<RefusalsBody<A, R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let exchange = response.headers().get(EXCHANGE);
        let text = |value: Option<&HeaderValue>| -> Option<String> {
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let (user_agent, id) = (text(this.user_agent.as_ref()), text(exchange));
        let Some(refusal) = response.extensions().get::<Refusal>() else {
            let last = is_open_stream(response.headers()).then(|| LastWord {
                render: Arc::clone(this.render),
                user_agent,
                exchange: id,
            });
            return Poll::Ready(Ok(response.map(|body| RefusalsBody::passed(body, last))));
        };
        let request = RequestInfo::new(user_agent.as_deref(), id.as_deref());
        let mut rendered = this.render.render(refusal, &request);
        if let Some(exchange) = exchange {
            rendered.headers_mut().insert(EXCHANGE, exchange.clone());
        }
        rendered.extensions_mut().insert(refusal.clone());
        Poll::Ready(Ok(rendered.map(RefusalsBody::own)))
    }
}

/// Whether the answer is an event stream to which an event can be added.
fn is_open_stream(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    media_type.is_some_and(|given| given.trim().eq_ignore_ascii_case("text/event-stream"))
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::CONTENT_ENCODING)
}
