//! An event as the body of a webhook.

use serde_json::{Value, json};

use crate::{Event, Grant, Subject, channel::client::BODY_LIMIT};

/// `{"type":"approval.asked","timestamp":"…","data":{…}}`, the form that Standard Webhooks
/// recommends.
///
/// Of an approval it holds what people are shown, and neither digests nor what the store keeps
/// beside. Texts in it are masked and not made harmless: whoever prints them does that.
pub(super) fn body(event: &Event) -> Vec<u8> {
    let (name, subject) = match &event.subject {
        Subject::Approval(approval) => ("approval", json!(approval.view())),
        Subject::Grant(grant) => ("grant", shown(grant)),
    };
    let mut message = json!({
        "type": format!("{name}.{}", event.kind.as_str()),
        "timestamp": event.at,
        "data": {
            "event": event.id,
            "by": event.by,
            "exchange": event.exchange,
            "loud": event.is_loud(),
            name: subject,
        },
    });
    let body = message.to_string().into_bytes();
    if body.len() <= BODY_LIMIT {
        return body;
    }
    // Too much to show is still something to know of.
    if let Some(view) = message["data"][name].as_object_mut() {
        for part in ["excerpt", "facts"] {
            view.insert(part.to_owned(), Value::Null);
        }
        view.insert("cut".to_owned(), Value::Bool(true));
    }
    message.to_string().into_bytes()
}

fn shown(grant: &Grant) -> Value {
    json!({
        "id": grant.id,
        "kind": grant.kind,
        "person": grant.person,
        "reason": grant.reason,
        "scope": grant.scope,
        "from": grant.from,
        "until": grant.until,
        "revoked": grant.revoked,
        "reviewed": grant.reviewed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::sample;

    #[test]
    fn what_is_sent_is_what_people_may_see() {
        let event = sample::asked();
        let body = body(&event);
        let text = String::from_utf8(body.clone()).unwrap();
        assert!(!text.contains("canary"), "{text}");
        let message: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(message["type"], "approval.asked");
        assert_eq!(message["timestamp"], "2025-11-21T20:40:00.000000Z");
        assert_eq!(message["data"]["event"], event.id.as_str());
        assert_eq!(message["data"]["approval"]["hash"], "0a1b2c3d");
        assert_eq!(message["data"]["approval"]["state"], "pending");

        let message: Value = serde_json::from_slice(&super::body(&sample::broken_glass())).unwrap();
        assert_eq!(message["type"], "grant.granted");
        assert_eq!(message["data"]["loud"], true);
        assert_eq!(message["data"]["by"], "person:ann");
    }

    #[test]
    fn what_is_too_large_says_so() {
        let mut approval = sample::approval();
        approval.excerpt.head = "a".repeat(BODY_LIMIT);
        let event = sample::event(
            crate::EventKind::Asked,
            Subject::Approval(Box::new(approval)),
        );
        let body = body(&event);
        assert!(body.len() < BODY_LIMIT);
        let message: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(message["data"]["approval"]["cut"], true);
        assert_eq!(message["data"]["approval"]["risk"], 80);
    }
}
