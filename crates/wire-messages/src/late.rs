//! What the gate says in a stream that has begun before the upstream was asked.

use serde::Deserialize;

use crate::{error, json};

/// An event that says nothing. Clients that wait for an answer take it for a sign of life; the API
/// sends the same ("Streaming messages", ping events).
pub const fn ping() -> &'static [u8] {
    b"event: ping\ndata: {\"type\": \"ping\"}\n\n"
}

/// The upstream's error answer, as the error event that says the same inside a stream.
///
/// Type and message are the upstream's. An answer that is not in the API's error form becomes an
/// error of the type that belongs to its status, and nothing of its body is passed on.
pub fn late_error(status: u16, body: &[u8]) -> Vec<u8> {
    if let Ok(()) = json::check(body)
        && let Ok(answer) = serde_json::from_slice::<ErrorAnswer>(body)
        && answer.kind == "error"
    {
        let Detail { kind, message } = answer.error;
        let request_id = answer.request_id.unwrap_or_default();
        return error::event_of(&kind, &message, &request_id);
    }
    let message = format!("the upstream answered with status {status}");
    error::event(status, &message, "")
}

#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(rename = "type")]
    kind: String,
    error: Detail,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tollbook_sse::{Frame, Splitter};

    use super::*;

    fn one(event: &[u8]) -> Frame {
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(event);
        let frame = splitter.next_frame().unwrap().unwrap();
        assert!(splitter.finish().is_empty());
        frame
    }

    #[test]
    fn a_ping_is_the_apis() {
        assert_eq!(one(ping()).event(), Some("ping"));
        assert_eq!(one(ping()).data().as_ref(), b"{\"type\": \"ping\"}");
    }

    #[test]
    fn an_error_stays_the_error_it_was() {
        let body = json!({
            "type": "error",
            "error": { "type": "overloaded_error", "message": "Overloaded\n\n", "more": 1 },
            "request_id": "req_1",
        });
        let frame = one(&late_error(529, body.to_string().as_bytes()));
        assert_eq!(frame.event(), Some("error"));
        let data: Value = serde_json::from_slice(&frame.data()).unwrap();
        assert_eq!(
            data,
            json!({
                "type": "error",
                "error": { "type": "overloaded_error", "message": "Overloaded\n\n" },
                "request_id": "req_1",
            })
        );
    }

    #[test]
    fn an_answer_in_no_form_is_an_error_of_its_status() {
        for body in [
            &b"<html>hunter2"[..],
            b"",
            b"\xff",
            br#"{"type":"message","content":"hunter2"}"#,
            br#"{"type":"error","error":{"type":7,"message":"hunter2"}}"#,
            br#"{"type":"error","type":"error","error":{"type":"a","message":"hunter2"}}"#,
        ] {
            let frame = one(&late_error(503, body));
            let data: Value = serde_json::from_slice(&frame.data()).unwrap();
            assert_eq!(data["error"]["type"], "api_error");
            assert!(!data.to_string().contains("hunter2"));
        }
    }
}
