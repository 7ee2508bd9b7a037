//! The service of the layer.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tollbook_exchange::{
    Code, Exchange, Findings, Refusal,
    http::{Refusable, refuse},
};
use tower_service::Service;

use crate::{
    layer::{ResponseBody, Settings},
    view::BodyMasker,
};

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
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body<Data = Bytes>,
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
            let refused = |refusal: Refusal| {
                if let Some(exchange) = &exchange {
                    exchange.refused(&refusal);
                }
                Ok(refuse(refusal))
            };
            let request = match masked_request(request, &settings, exchange.as_ref()).await {
                Ok(request) => request,
                Err(refusal) => return refused(refusal),
            };
            let response = inner.call(request).await?;
            match masked_response(response, &settings, exchange.clone()) {
                Ok(response) => Ok(response.map(Refusable::passed)),
                Err(refusal) => refused(refusal),
            }
        })
    }
}

async fn masked_request<B>(
    request: Request<B>,
    settings: &Settings,
    exchange: Option<&Exchange>,
) -> Result<Request<Full<Bytes>>, Refusal>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    if settings.requests && is_encoded(&head.headers) {
        return Err(Refusal::new(
            Code::UnsupportedEncoding,
            "the body has a content-encoding that cannot be masked; send it plain",
        ));
    }
    let body = Limited::new(body, settings.max_body)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                let limit = settings.max_body;
                Refusal::new(
                    Code::BodyTooLarge,
                    format!("the body is larger than {limit} bytes"),
                )
            } else {
                Refusal::new(Code::MalformedRequest, "the body broke off").because("body_broken")
            }
        })?;
    let mut body = body.to_bytes();
    if settings.requests {
        body = match head.extensions.get::<Findings>() {
            // Scanned once is enough. What was not scanned whole is not in there whole either.
            Some(findings) if findings.coverage.uninspected > 0 => {
                return Err(Refusal::new(
                    Code::MalformedBody,
                    "the body could not be scanned",
                ));
            }
            Some(findings) => findings.masked.as_inner().clone(),
            None => scanned(&head.headers, &body, settings, exchange)?,
        };
        if let Some(length) = head.headers.get_mut(header::CONTENT_LENGTH) {
            *length = HeaderValue::from(body.len());
        }
    }
    if settings.responses {
        // What is encoded could not be read on its way back.
        head.headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
    Ok(Request::from_parts(head, Full::new(body)))
}

fn scanned(
    headers: &HeaderMap,
    body: &Bytes,
    settings: &Settings,
    exchange: Option<&Exchange>,
) -> Result<Bytes, Refusal> {
    let unreadable = |_| {
        Refusal::new(
            Code::MalformedBody,
            "the body cannot be read as its type says",
        )
    };
    let mut view = BodyMasker::new(&settings.masker, content_type(headers), "request.body")
        .limit(settings.max_body);
    let mut parts = view.push(body).map_err(unreadable)?;
    parts.extend(view.finish().map_err(unreadable)?);
    let found = view.found();
    if let Some(exchange) = exchange {
        exchange.found(found.clone());
    }
    if view.coverage().uninspected > 0 {
        return Err(Refusal::new(
            Code::MalformedBody,
            "the body could not be scanned",
        ));
    }
    if found.is_empty() {
        return Ok(body.clone());
    }
    let masked: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.as_inner().iter().copied())
        .collect();
    Ok(masked.into())
}

fn masked_response<R: Body>(
    response: Response<R>,
    settings: &Settings,
    exchange: Option<Exchange>,
) -> Result<Response<ResponseBody<R>>, Refusal> {
    let (mut head, body) = response.into_parts();
    if !settings.responses || body.is_end_stream() {
        return Ok(Response::from_parts(head, ResponseBody::as_is(body)));
    }
    if is_encoded(&head.headers) {
        let message = "the upstream's answer has a content-encoding that cannot be masked";
        return Err(Refusal::new(Code::UpstreamInvalid, message).because("response_encoded"));
    }
    let view = BodyMasker::new(
        &settings.masker,
        content_type(&head.headers),
        "response.body",
    )
    .limit(settings.max_body);
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(
        head,
        ResponseBody::masked(body, view, exchange),
    ))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
