//! Exchanges told again.

use serde_json::json;
use tollbook_exchange::Outcome;
use tollbook_masking::Masker;
use tollbook_replay::{BlockKind, Pace, Playback, RecordedExchange, What, findings};

use crate::book::{Book, Call, event};

fn told(book: &Book, pace: Pace) -> Vec<What> {
    let scenes = Playback::new(book.reader(), book.all.clone(), pace);
    let scenes: Vec<_> = scenes.map(Result::unwrap).collect();
    assert!(scenes.is_sorted_by_key(|scene| scene.at), "{scenes:?}");
    scenes.into_iter().map(|scene| scene.what).collect()
}

#[tokio::test]
async fn a_conversation_is_told_once_and_piece_by_piece() {
    let mut book = Book::new();
    book.record(Call::message("hello", "one two")).await;
    let mut second = Call::message("", "three");
    second.body["messages"] = json!([
        { "role": "user", "content": "hello" },
        { "role": "assistant", "content": "one two" },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "text", "text": "a" }], "is_error": true },
            { "type": "text", "text": "<system-reminder>quiet</system-reminder>" },
            { "type": "text", "text": "and then?" },
        ] },
    ]);
    second.parts.push(event(&json!({
        "type": "content_block_start", "index": 1,
        "content_block": { "type": "tool_use", "id": "t2", "name": "Bash", "input": {} },
    })));
    second.parts.push(event(&json!({
        "type": "content_block_delta", "index": 1,
        "delta": { "type": "input_json_delta", "partial_json": "{\"command\":" },
    })));
    second.outcome = Outcome::UpstreamReset;
    book.record(second).await;
    let short: Vec<String> = told(&book, Pace::recorded())
        .into_iter()
        .map(|what| match what {
            What::Opened { action, model, .. } => format!("{action} {}", model.unwrap()),
            What::Asked { tool, text, failed } => format!("asked {tool:?} {text} {failed}"),
            What::Began { kind, tool } => format!("{kind:?} {tool:?}"),
            What::Piece(text) => text,
            What::Ended { outcome, .. } => outcome.unwrap(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        short,
        [
            "messages.create claude-haiku-4-5",
            "asked None hello false",
            "Text None",
            "one ",
            "two",
            "complete",
            "messages.create claude-haiku-4-5",
            "asked Some(\"tool\") a true",
            "asked None and then? false",
            "Text None",
            "three",
            "Call Some(\"Bash\")",
            "{\"command\":",
            "upstream_reset",
        ]
    );
    assert_eq!(told(&book, Pace::at_once()).len(), short.len());
    assert!(matches!(
        &told(&book, Pace::at_once())[2],
        What::Began {
            kind: BlockKind::Text,
            ..
        }
    ));
}

#[tokio::test]
async fn other_rules_find_what_the_record_still_has() {
    let mut book = Book::new();
    let secret = concat!("ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let said = format!("{secret} and badge-00000042");
    let id = book
        .record(Call::message(&said, "that is badge-00000042"))
        .await;
    let record = book.reader().exchange(&id.to_string()).unwrap().unwrap();
    let recorded = RecordedExchange::from_json(record);
    assert_eq!(recorded.placeholders(), 1);
    assert_eq!(findings(&recorded, &Masker::builtin()).unwrap(), []);
    let other = Masker::builder()
        .builtin()
        .rules(
            "house.toml",
            r#"
            [[rule]]
            id = "house-badge"
            description = "Number of a badge of our house"
            source = "https://wiki.example.com/badges"
            literals = ["badge-"]
            body = { class = "digit", min = 8, max = 8 }
            positive = ["my badge-12345678"]
            negative = ["my badge-123456789"]
            "#,
        )
        .build()
        .unwrap();
    let found = findings(&recorded, &other).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.rule.to_string(), one.place.to_string(), one.count))
        .collect();
    assert_eq!(
        found,
        [
            (
                "house-badge".to_owned(),
                "request.body:messages[].content".to_owned(),
                1
            ),
            (
                "house-badge".to_owned(),
                "response.body:delta.text".to_owned(),
                1
            ),
        ]
    );
}
