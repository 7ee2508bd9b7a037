//! Whether the gateway lives and whether it is ready.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tollbook_recording::Health;

use super::Admin;

/// 200 when requests may come, else 503, and why.
pub(super) async fn ready(State(admin): State<Admin>) -> (StatusCode, Json<Value>) {
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
    let mut checks = json!({ "journal": journal, "draining": draining });
    let stats = admin.recorder.stats();
    if let Some(anchored) = stats.anchored {
        // No reason to turn anybody away: what is behind is in the book all the same.
        checks["anchor"] = match stats.entries.saturating_sub(anchored) {
            0 => json!("ok"),
            behind => json!(format!("{behind} entries behind")),
        };
    }
    (status, Json(json!({ "ready": ready, "checks": checks })))
}
