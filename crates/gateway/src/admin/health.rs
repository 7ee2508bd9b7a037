//! Whether the gateway lives and whether it is ready.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tollbook_recording::Health;

use super::Admin;

/// 200 when requests may come, else 503, and why.
pub(super) async fn ready(State(admin): State<Admin>) -> (StatusCode, Json<Value>) {
    let health = admin.recorder.health();
    let journal = match &health {
        Health::Healthy => "ok".to_owned(),
        Health::LowSpace { free } => format!("low space: {} MiB are free", free >> 20),
        Health::Reserve { free } => {
            format!("reserve: {} MiB are free, nothing new begins", free >> 20)
        }
        Health::Blocked { reason } => format!("blocked: {reason}"),
        Health::Stalled => "a write takes longer than its deadline".to_owned(),
        _ => "unknown".to_owned(),
    };
    let draining = admin.stop.is_cancelled();
    let takes = matches!(health, Health::Healthy | Health::LowSpace { .. });
    let ready = takes && !draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut checks = json!({ "journal": journal, "draining": draining });
    if let Some(what) = admin.alarm.raised() {
        checks["book"] = json!(format!("damaged: {what}"));
    }
    let stats = admin.recorder.stats();
    if let Some(anchored) = stats.anchored {
        // No reason to turn anybody away: what is behind is in the book all the same.
        checks["anchor"] = match stats.entries.saturating_sub(anchored) {
            0 => json!("ok"),
            behind => json!(format!("{behind} entries behind")),
        };
    }
    if let Some(told) = admin.witnessing.told(stats.entries) {
        checks["witnesses"] = told;
    }
    if let Some(told) = admin.witnessing.stamps() {
        checks["timestamps"] = told;
    }
    (status, Json(json!({ "ready": ready, "checks": checks })))
}
