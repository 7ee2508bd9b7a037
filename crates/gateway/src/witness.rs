//! The gateway as a witness of others' logs (<https://c2sp.org/tlog-witness>).

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::post,
};
use http::{StatusCode, header};
use tokio::sync::Semaphore;
use tollbook_ledger::WitnessKey;
use tollbook_witness::{Answer, Fork, Witness, witness_key};

use crate::{
    StartError,
    config::{WITNESS, WitnessService},
    edge::Edge,
    events::{Event, Events},
};

#[derive(Clone)]
struct Service {
    witness: Arc<Witness>,
    events: Events,
    /// For each request that is decided at this moment. Nobody needs a token here, and threads that
    /// wait for the disk are few.
    deciding: Arc<Semaphore>,
}

/// A witness that is not asked yet.
pub(crate) struct Bound {
    pub(crate) edge: Edge,
    pub(crate) key: WitnessKey,
    pub(crate) service: Witness,
}

impl Bound {
    pub(crate) async fn bind(config: &WitnessService, data: &Path) -> Result<Self, StartError> {
        let folder = data.join(WITNESS);
        let (name, logs) = (config.name.clone(), config.logs.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let signer = witness_key(&folder, &name)?;
            Witness::open(folder, signer, logs)
        });
        let opened = opened.await.map_err(io::Error::from)?;
        let service = opened.map_err(StartError::Witness)?;
        Ok(Self {
            edge: Edge::bind(config.listen, None).await?,
            key: service.key(),
            service,
        })
    }
}

/// Answers those who ask for a signature. What they show is signed by a log, so nobody needs a token.
pub(crate) fn router(witness: Witness, events: Events) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Service {
            witness: Arc::new(witness),
            events,
            deciding: Arc::new(Semaphore::new(AT_ONCE)),
        })
}

async fn add_checkpoint(State(service): State<Service>, body: String) -> Response {
    let Ok(_permit) = service.deciding.try_acquire() else {
        return response(
            503,
            "text/plain; charset=utf-8",
            "the witness is busy\n".to_owned(),
        );
    };
    let witness = Arc::clone(&service.witness);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let decided = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now)).await;
    let Ok(mut answer) = decided else {
        return response(
            500,
            "text/plain; charset=utf-8",
            "the witness has failed\n".to_owned(),
        );
    };
    if let Some(fork) = answer.fork.take() {
        service.tell(fork).await;
    }
    if let Some(unproven) = answer.unproven.take() {
        tracing::warn!(
            log = unproven.origin,
            known = unproven.known,
            claimed = unproven.claimed,
            "a checkpoint came with a proof that does not hold; who sent it is not known"
        );
    }
    let Answer {
        status,
        content_type,
        body,
        ..
    } = answer;
    response(status, content_type, body)
}

impl Service {
    /// A log has two histories: both checkpoints are kept, and the book of this gateway says so.
    async fn tell(&self, fork: Fork) {
        let (origin, known, claimed) = (&fork.origin, fork.known, fork.claimed);
        tracing::error!(
            log = origin,
            known,
            claimed,
            "a log that is witnessed has two histories"
        );
        let event = Event::new("witness.fork")
            .with("log", origin.clone())
            .with("witnessed", known.to_string())
            .with("claimed", claimed.to_string());
        if let Err(error) = self.events.note(event).await {
            tracing::warn!(%error, "that a log has two histories could not be recorded");
            return;
        }
        let witness = Arc::clone(&self.witness);
        let told = tokio::task::spawn_blocking(move || witness.told(&fork)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::warn!("that a log has two histories will be told again");
        }
    }
}

fn response(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status;
    let content_type = http::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// How many requests are decided at once.
const AT_ONCE: usize = 4;
/// A proof of 63 lines, and a note of many signatures.
const MAX_BODY: usize = 64 << 10;
