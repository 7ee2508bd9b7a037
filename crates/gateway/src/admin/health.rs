//! Whether the gateway lives and whether it is ready.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tollbook_recording::{Health, Unrecorded};
use tollbook_sinks::SinkState;

use super::Admin;
use crate::config::Durability;

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
    // Also where some connection lets pass what cannot be recorded: to be turned away for want of a
    // record is what was chosen against.
    let lets_pass = |(_, durability): &(String, Durability)| durability.on_failure.is_open(&health);
    let takes = matches!(health, Health::Healthy | Health::LowSpace { .. })
        || admin.connections.iter().any(lets_pass);
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
    let levels = admin.connections.iter();
    let levels = levels.map(|(name, durability)| {
        let mut told = durability.told();
        // Anybody may ask: who signed it off, and why, is for those who read the book.
        if let Some(allow) = told.get_mut("allow") {
            *allow = json!({ "until": allow["until"] });
        }
        (name.clone(), told)
    });
    checks["connections"] = Value::Object(levels.collect());
    let stats = admin.recorder.stats();
    if stats.unrecorded != Unrecorded::default() {
        checks["unrecorded"] = json!(stats.unrecorded);
    }
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
