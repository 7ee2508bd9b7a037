//! The layer and its service.

use std::{
    error::Error,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tollbook_detection::Detectors;
use tollbook_exchange::{
    Exchange,
    http::{Refusable, refuse},
};
use tollbook_masking::Masker;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    AnswerBody, ChooseMasker, JudgeToolCall, Protocol, RecordMaskers, answer, reading::Shared,
    request, tee::Observer,
};

/// How long a stream may be silent because the gate holds something back. Load balancers cut at
/// 60 seconds, and Claude Code warns its user after 20.
const QUIET: Duration = Duration::from_secs(10);

/// Reads the requests and watches the answers of one protocol. See the
/// [crate documentation](crate).
#[derive(Debug)]
pub struct InspectLayer<P> {
    shared: Arc<Shared<P>>,
}

/// The service of [`InspectLayer`].
#[derive(Debug)]
pub struct Inspect<S, P> {
    inner: S,
    shared: Arc<Shared<P>>,
}

impl<P> InspectLayer<P> {
    /// Reads `protocol` and scans with `masker`, in bodies of at most 32 MiB.
    pub fn new(protocol: P, masker: Masker) -> Self {
        let shared = Shared {
            protocol,
            maskers: Arc::new(RecordMaskers::new(masker)),
            detectors: None,
            judge: None,
            quiet: QUIET,
            max_body: 32 << 20,
            progress: request::PROGRESS,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks for every exchange what masks the record of it, in place of the one masker.
    ///
    /// A request in which something is found that lets nothing pass is refused.
    #[must_use]
    pub fn choose(mut self, maskers: impl ChooseMasker) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).maskers = Arc::new(maskers);
        self
    }

    /// Looks for risks in the texts of requests and tool calls with `detectors`. What they say comes
    /// into the facts `labels` and `risk` and among the findings, as rules called `detect.…`.
    #[must_use]
    pub fn detect(mut self, detectors: Detectors) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).detectors = Some(detectors);
        self
    }

    /// Lets no tool call of an answer reach the client before `judge` has said that it may.
    ///
    /// In an event stream the events of a call are held up to its end, while the text before them
    /// flows; an answer that is one document waits for all of its calls. A call that is refused
    /// never reaches the client: a stream ends with [`Cut`](tollbook_exchange::http::Cut) as the
    /// error of its body, a document becomes the refusal. What the API itself calls, such as its
    /// server tools, has been called by the time it tells, and passes. The upstream is asked not to
    /// encode its answer, and an answer that is encoded all the same is refused.
    ///
    /// The record says under `tool_decisions` what became of each call, and under `withheld` which
    /// of the calls in the recorded answer did not reach the client.
    #[must_use]
    pub fn tools(mut self, judge: Arc<dyn JudgeToolCall>) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).judge = Some(judge);
        self
    }

    /// While a call is held back, the caller gets a sign of life at least this often. 10 seconds
    /// unless told.
    #[must_use]
    pub fn ping_every(mut self, time: Duration) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).quiet = time;
        self
    }

    /// Takes bodies of at most `bytes` bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).max_body = bytes;
        self
    }

    /// Waits at most `time` for the next byte of a body.
    #[must_use]
    pub fn progress_timeout(mut self, time: Duration) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).progress = time;
        self
    }
}

impl<P> Clone for InspectLayer<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, P> Layer<S> for InspectLayer<P> {
    type Service = Inspect<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Inspect {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: Clone, P> Clone for Inspect<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, P, B, R> Service<Request<B>> for Inspect<S, P>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    P: Protocol,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Refusable<AnswerBody<R>>>;
    type Error = S::Error;
    // Boxed, because the body is awaited before the inner service is called.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let ready = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, ready);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let read = match shared.read(&mut head, body).await {
                Ok(read) => read,
                Err(refusal) => return Ok(refuse(refusal)),
            };
            let exchange = head.extensions.get::<Exchange>().cloned();
            let reader = shared
                .protocol
                .reader(read.operation, read.action.as_inner());
            let answers = shared.protocol.answers(read.operation);
            let response = inner
                .call(Request::from_parts(head, Full::new(read.body)))
                .await?;
            let observer = Observer {
                masker: read.masker,
                exchange,
                reader,
            };
            Ok(
                match answer::observe(response, answers, observer, read.asker).await {
                    Ok(response) => response.map(Refusable::passed),
                    Err(refusal) => refuse(refusal),
                },
            )
        })
    }
}
