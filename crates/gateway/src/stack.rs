//! The one place where the layers are put together.

use std::{any::Any, convert::Infallible, fmt, sync::Arc};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tollbook_approvals::ApprovalLayer;
use tollbook_budget::{BudgetLayer, Budgets};
use tollbook_detection::Detectors;
use tollbook_exchange::{Code, Refusal, http::refuse};
use tollbook_identity::{Authenticate, IdentityLayer};
use tollbook_inspect::{Claude, InspectLayer, JudgeToolCall};
use tollbook_masking::{
    MaskLayer, Masker,
    layer::{ChooseWire, MaskResponseLayer, Wire},
};
use tollbook_policy::{Decide, PolicyLayer};
use tollbook_proxy::{
    ClaudeRefusals, Forward, ProbeLayer, RefusalLayer, RenderRefusal, RequestInfo,
};
use tollbook_recording::{CommitLayer, RecordLayer, Recorder};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{config::Durability, masks::ConnectionMasks};

/// What a stack answers with.
pub type AnswerBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The whole stack of one connection, for requests with bodies of type `B`.
pub type ConnectionStack<B> = BoxCloneSyncService<Request<B>, Response<AnswerBody>, Infallible>;

/// The protocol of Claude connections, as records name it.
pub(crate) const PROTOCOL: &str = "claude";

/// The engines of one Claude connection, and what is particular to it.
pub struct ClaudeConnection<A, D> {
    /// The connection's name.
    pub name: String,
    /// Who asks?
    pub authenticate: A,
    /// May it pass?
    pub decide: D,
    /// What must not be kept, and what must not be sent either.
    pub masks: ConnectionMasks,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// What is risky.
    pub detectors: Detectors,
    /// Who judges the tool calls of an answer before they are released, if anybody does.
    pub tools: Option<Arc<dyn JudgeToolCall>>,
    /// What callers may use.
    pub budgets: Budgets,
    /// Who holds what people have to approve.
    pub approvals: ApprovalLayer,
    /// The book.
    pub recorder: Recorder,
    /// What must be in it before what passes.
    pub durability: Durability,
    /// The upstream.
    pub forward: Forward,
}

impl<A, D> fmt::Debug for ClaudeConnection<A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaudeConnection")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<A: Authenticate, D: Decide> ClaudeConnection<A, D> {
    /// The protocol of these connections, as records name it.
    pub const PROTOCOL: &str = PROTOCOL;

    /// Puts the layers together.
    pub fn stack<B>(self) -> ConnectionStack<B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let masker = self.masks.head().clone();
        let mask_answers = MaskResponseLayer::choosing(self.masks.clone());
        let mask_requests =
            MaskLayer::choosing(RequestsOnly(self.masks.clone())).max_body(self.max_body);
        let mut record = RecordLayer::new(self.recorder.clone(), self.name.clone(), Self::PROTOCOL)
            .redact(Arc::new(masker.clone()));
        let Durability {
            release,
            on_failure,
        } = self.durability;
        record = record.on_failure(Arc::clone(&on_failure));
        if let Some(release) = release {
            record = record.release(release);
        }
        if let Some(name) = self.forward.credential_header() {
            record = record.credential_header(name.as_str());
        }
        let mut inspect = InspectLayer::new(Claude, masker)
            .choose(self.masks)
            .max_body(self.max_body)
            .detect(self.detectors);
        if let Some(tools) = self.tools {
            inspect = inspect.tools(tools);
        }
        let stack = ServiceBuilder::new()
            // Outermost: a bug in a layer is an answer to its caller, and an exchange in the book
            // because the record's guard is inside.
            .layer(CatchPanicLayer::custom(panicked))
            // Outside the record, which may itself refuse, and inside nothing: the last word.
            .layer(RefusalLayer::new(ClaudeRefusals))
            // Outside all that judges, so that refusals, early leavers and panics are in the book.
            .layer(record)
            // Outside identity: clients probe an address before they show a credential to it.
            .layer(ProbeLayer::new())
            // Outside inspect: not a byte of a stranger's body is looked at.
            .layer(IdentityLayer::new(self.authenticate))
            // Outside inspect, whose record is made of what the upstream said.
            .layer(mask_answers)
            .layer(inspect)
            // Inside inspect, whose facts it judges.
            .layer(PolicyLayer::new(self.decide, self.name, Self::PROTOCOL))
            // Inside policy, so that what is denied spends nothing; outside approvals, so that
            // nobody is asked to approve what could not be paid for.
            .layer(BudgetLayer::new(self.budgets))
            // Inside policy, whose "approve" it turns into a yes or a no, and outside all that
            // lets bytes out.
            .layer(self.approvals)
            // Inside policy, which judges what the caller wrote.
            .layer(mask_requests)
            // Last before the wire: what is forwarded is durable, and what is refused above is
            // recorded without waiting for it.
            .layer(CommitLayer::new(self.recorder).on_failure(on_failure))
            .service(self.forward);
        boxed(stack)
    }
}

/// What is done with requests, and nothing of what is done with answers.
struct RequestsOnly(ConnectionMasks);

impl ChooseWire for RequestsOnly {
    fn choose(&self, extensions: &Extensions) -> Wire {
        let mut wire = ChooseWire::choose(&self.0, extensions);
        (wire.responses, wire.restore) = (None, None);
        wire
    }
}

/// A stack that records and refuses everything.
pub(crate) fn refusing<B>(
    recorder: Recorder,
    masker: Masker,
    refusal: Refusal,
) -> ConnectionStack<B>
where
    B: Send + 'static,
{
    let refuse_all = service_fn(move |_: Request<B>| {
        let refusal = refusal.clone();
        async move { Ok::<_, Infallible>(refuse::<http_body_util::Empty<Bytes>>(refusal)) }
    });
    let stack = ServiceBuilder::new()
        .layer(RefusalLayer::new(ClaudeRefusals))
        .layer(RecordLayer::new(recorder, "(none)", "http").redact(Arc::new(masker)))
        .service(refuse_all);
    boxed(stack)
}

/// The answer to a caller whose request met a bug. What the panic says stays here: it may hold a
/// piece of the request.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response<Full<Bytes>> {
    tracing::error!("a layer panicked");
    let refusal = Refusal::new(Code::Misassembled, "the gateway has met a fault of its own");
    ClaudeRefusals
        .render(&refusal, &RequestInfo::default())
        .map(Full::new)
}

pub(crate) fn boxed<S, B, R>(stack: S) -> ConnectionStack<B>
where
    S: tower_service::Service<Request<B>, Response = Response<R>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: 'static,
{
    let boxed = stack.map_response(|response: Response<R>| {
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    });
    BoxCloneSyncService::new(boxed)
}
