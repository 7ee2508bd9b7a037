//! The admin listener: health for whoever watches the gateway, and the admin API for people.
//!
//! Every call of the API is an exchange in the book, on the connection `(admin)`. A call that
//! changes something is durable there before it takes effect.

mod approvals;
mod auth;
mod book;
mod health;
mod policy;
mod slack;
mod tokens;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::Request;
use http_body_util::BodyExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollbook_approvals::{Approvals, channel::Slack};
use tollbook_budget::Prices;
use tollbook_exchange::{Action, Code, Exchange, Fact, Redact, Refusal, http::refuse};
use tollbook_identity::{GateAuthenticator, IdentityLayer};
use tollbook_masking::Masker;
use tollbook_recording::{RecordLayer, Recorder, Retention};
use tollbook_sinks::SinkState;
use tower::ServiceBuilder;

use self::auth::Roles;
use crate::{
    config::{AdminConfig, Durability},
    monitor::Alarm,
    policies::LivePolicies,
    witnesses::Witnessing,
};

/// The connection under which calls of the API stand in the book.
const CONNECTION: &str = "(admin)";
/// The largest body of a call.
const MAX_BODY: usize = 64 << 10;

/// What the admin listener can reach.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) recorder: Recorder,
    pub(crate) alarm: Alarm,
    pub(crate) witnessing: Witnessing,
    /// How the sinks are.
    pub(crate) sinks: Arc<dyn Fn() -> Vec<SinkState> + Send + Sync>,
    pub(crate) stop: CancellationToken,
    pub(crate) masker: Masker,
    pub(crate) gate: GateAuthenticator,
    pub(crate) policies: LivePolicies,
    pub(crate) approvals: Approvals,
    pub(crate) slack: Option<Arc<Slack>>,
    /// What must be in the book before what passes, by connection.
    pub(crate) connections: Arc<[(String, Durability)]>,
    /// What is still to be told to people in Slack.
    pub(crate) replies: TaskTracker,
    pub(crate) config: Arc<AdminConfig>,
    pub(crate) book: BookTerms,
}

/// What counts for records that somebody wants destroyed.
#[derive(Clone)]
pub(crate) struct BookTerms {
    /// How long they are kept.
    pub(crate) retention: Arc<Retention>,
    /// Where the search index is, and what it reckons with, where the gateway does not follow the book.
    pub(crate) unfollowed: Option<(PathBuf, Prices)>,
}

pub(crate) fn router(admin: Admin) -> Router {
    let record = || {
        RecordLayer::new(admin.recorder.clone(), CONNECTION, "admin")
            .redact(Arc::new(admin.masker.clone()))
    };
    let people = Router::new()
        .route("/v1/approvals", get(approvals::list))
        .route("/v1/approvals/{id}", get(approvals::show))
        .route("/v1/approvals/{id}/decision", post(approvals::decide))
        .route("/v1/approvals/{id}/cancel", post(approvals::cancel))
        .route("/v1/grants", get(approvals::grants).post(approvals::grant))
        .route("/v1/grants/{id}/revoke", post(approvals::revoke))
        .route("/v1/grants/{id}/review", post(approvals::review))
        .route("/v1/tokens", get(tokens::list))
        .route("/v1/tokens/revoke", post(tokens::revoke))
        .route("/v1/issuers", get(tokens::issuers))
        .route("/v1/policy", get(policy::show))
        .route("/v1/policy/reload", post(policy::reload))
        .route("/v1/book/erase", post(book::erase))
        .route("/v1/book/holds", get(book::holds).post(book::hold))
        .route("/v1/book/holds/{id}/release", post(book::release))
        .route("/v1/book/retention", get(book::plan).post(book::apply))
        // No nested router, which would take the prefix off: records tell the path as it came.
        .route("/v1/{*rest}", any(nowhere))
        .layer(
            ServiceBuilder::new()
                // Outside identity, so that strangers are in the book.
                .layer(record())
                .layer(IdentityLayer::new(admin.gate.clone())),
        );
    // Slack signs what it sends and has no token of ours.
    let slack = Router::new()
        .route("/v1/slack/interactions", post(slack::interaction))
        .layer(record());
    Router::new()
        .merge(people)
        .merge(slack)
        .route("/approvals/{id}", get(approvals::how))
        .route("/livez", get(async || "ok\n"))
        .route("/healthz", get(health::ready))
        .route("/readyz", get(health::ready))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(admin)
}

impl Admin {
    /// Whether the caller has one of the roles.
    fn roles(&self) -> Roles<'_> {
        Roles::new(&self.config)
    }

    /// Notes what is asked for.
    fn note(&self, exchange: &Exchange, action: &Action) {
        let action = self.masker.action(action);
        exchange.draft(|draft| draft.action = Some(action));
    }

    /// What a person wrote, as it may be kept and told to others.
    fn masked(&self, text: &str) -> String {
        self.masker.redact("reason", text).0.into_inner()
    }

    /// Refuses a body that is not what the call takes. The reader's message may quote it, and stands in
    /// the record.
    fn unreadable(&self, error: &JsonRejection) -> No {
        let message = self.masker.redact("request.body", &error.body_text());
        No::wrong(message.0.into_inner())
    }

    /// Makes what is asked for durable, before it takes effect.
    async fn commit(&self, exchange: &Exchange) -> Result<(), No> {
        self.recorder.commit(exchange).await.map_err(|error| {
            tracing::warn!(%error, "an admin call could not be recorded");
            No(Refusal::new(
                Code::NotRecordable,
                "the call cannot be recorded, so nothing was done",
            ))
        })
    }
}

/// An action of the API with its facts.
fn action(name: &'static str, facts: &[(&'static str, &str)]) -> Action {
    facts
        .iter()
        .fold(Action::new(name), |action, (name, fact)| {
            action.with(name, Fact::from(*fact))
        })
}

/// A refusal as an answer of the API: `{"code":"…","message":"…"}`.
#[derive(Debug)]
struct No(Refusal);

impl No {
    fn wrong(message: impl Into<String>) -> Self {
        Self(Refusal::new(Code::MalformedRequest, message))
    }

    fn missing(message: impl Into<String>) -> Self {
        Self(Refusal::new(Code::UnknownRoute, message).because("not_found"))
    }

    fn denied(message: impl Into<String>, reason: &'static str) -> Self {
        Self(Refusal::new(Code::PolicyDenied, message).because(reason))
    }

    fn failed(message: impl Into<String>, reason: &'static str) -> Self {
        Self(Refusal::new(Code::NotRecordable, message).because(reason))
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        refuse::<http_body_util::Empty<bytes::Bytes>>(self.0)
            .map(|body| axum::body::Body::new(body.map_err(|never| match never {})))
    }
}

async fn nowhere(request: Request<axum::body::Body>) -> No {
    drop(request);
    No::missing("the admin API has no such call")
}
