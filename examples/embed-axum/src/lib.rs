//! Tollbook's layers in an axum service of one's own.
//!
//! The service here answers Messages calls itself, as a team's own model router or test double
//! would. What the layers add in front of it: every call is identified, judged and in the book
//! before the handler sees it.

use std::sync::Arc;

use axum::{Extension, Json, Router, routing::post};
use serde_json::{Value, json};
use tollbook_exchange::{Exchange, Principal};
use tollbook_identity::{Authenticate, IdentityLayer};
use tollbook_inspect::{Claude, InspectLayer};
use tollbook_masking::Masker;
use tollbook_policy::{Decide, PolicyLayer};
use tollbook_recording::{CommitLayer, RecordLayer, Recorder};
use tower::ServiceBuilder;

/// What the service needs; whoever starts it decides where each part comes from.
#[derive(Debug)]
pub struct Parts<A, D> {
    /// Who asks? Usually a `tollbook_identity::OidcAuthenticator`.
    pub authenticate: A,
    /// May it pass? Usually a `tollbook_policy::PolicySet`.
    pub decide: D,
    /// What must not be kept.
    pub masker: Masker,
    /// The book. Whoever opened it closes it after the last request.
    pub recorder: Recorder,
}

/// The service. A test calls it without a socket.
pub fn app<A: Authenticate, D: Decide>(parts: Parts<A, D>) -> Router {
    let Parts {
        authenticate,
        decide,
        masker,
        recorder,
    } = parts;
    let gate = ServiceBuilder::new()
        // Outermost: refusals are in the book too.
        .layer(RecordLayer::new(recorder.clone(), "own", "claude").redact(Arc::new(masker.clone())))
        .layer(IdentityLayer::new(authenticate))
        .layer(InspectLayer::new(Claude, masker))
        .layer(PolicyLayer::new(decide, "own", "claude"))
        // Innermost: the handler runs when the request is on disk.
        .layer(CommitLayer::new(recorder));
    Router::new()
        .route("/v1/messages", post(answer))
        .layer(gate)
}

/// The handler reads who asks from the request's extensions, as the layers left it there.
async fn answer(
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Json(request): Json<Value>,
) -> Json<Value> {
    let text = format!("{} asked in exchange {}", principal.subject, exchange.id());
    Json(json!({
        "id": "msg_own",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [{ "type": "text", "text": text }],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    }))
}
