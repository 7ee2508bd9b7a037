//! The gateway as a witness of others' logs (<https://c2sp.org/tlog-witness>).

use std::{
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
use tollbook_witness::{Answer, Fork, Witness};

use crate::events::{Event, Events};

#[derive(Clone)]
struct Service {
    witness: Arc<Witness>,
    events: Events,
}

/// Answers those who ask for a signature. What they show is signed by a log, so nobody needs a token.
pub(crate) fn router(witness: Witness, events: Events) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Service {
            witness: Arc::new(witness),
            events,
        })
}

async fn add_checkpoint(State(service): State<Service>, body: String) -> Response {
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
        let Fork {
            origin,
            known,
            claimed,
            ..
        } = fork;
        tracing::error!(
            log = origin,
            known,
            claimed,
            "a log that is witnessed has two histories"
        );
        let event = Event::new("witness.fork")
            .with("log", origin)
            .with("witnessed", known.to_string())
            .with("claimed", claimed.to_string());
        if let Err(error) = self.events.note(event).await {
            tracing::warn!(%error, "that a log has two histories could not be recorded");
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

/// A proof of 63 lines, and a note of many signatures.
const MAX_BODY: usize = 64 << 10;
