//! Whether the gateway lives and whether it is ready.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tollbook_recording::Health;
use tollbook_sinks::SinkState;

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
    for sink in (admin.sinks)() {
        // Nor for this: a sink sends what is in the book.
        checks["sinks"][&sink.name] = json!(told(&sink));
    }
    (status, Json(json!({ "ready": ready, "checks": checks })))
}

/// How a sink is, in a line.
fn told(sink: &SinkState) -> String {
    let mut told = match (&sink.why, sink.failing_since) {
        (Some(why), Some(since)) => format!("failing since {since}: {why}"),
        _ => "ok".to_owned(),
    };
    if sink.behind > 0 {
        told.push_str(&format!(", {} entries behind", sink.behind));
    }
    if sink.set_aside > 0 {
        told.push_str(&format!(", {} records set aside", sink.set_aside));
    }
    told
}
