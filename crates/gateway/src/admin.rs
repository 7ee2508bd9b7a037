//! The admin listener: whether the gateway lives and whether it is ready.

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollbook_recording::{Health, Recorder};

#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) recorder: Recorder,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/healthz", get(ready))
        .route("/readyz", get(ready))
        .with_state(admin)
}

/// 200 when requests may come, else 503, and why.
async fn ready(State(admin): State<Admin>) -> (StatusCode, Json<Value>) {
    let journal = match admin.recorder.health() {
        Health::Healthy => "ok".to_owned(),
        Health::Blocked { reason } => format!("blocked: {reason}"),
        Health::Stalled => "a write takes longer than its deadline".to_owned(),
        _ => "unknown".to_owned(),
    };
    let draining = admin.stop.is_cancelled();
    let ready = journal == "ok" && !draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let checks = json!({ "journal": journal, "draining": draining });
    (status, Json(json!({ "ready": ready, "checks": checks })))
}
