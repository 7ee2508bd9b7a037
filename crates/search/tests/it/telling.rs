//! Sessions as conversations, and why things happened.

use serde_json::{Value, json};
use tollbook_exchange::{SessionId, Verdict};
use tollbook_search::{Clock, ErrorKind, ExportOptions, Format, Query, Turn as Told};

use crate::support::{Book, Turn, answer, says, user};

fn calls(id: &str, command: &str) -> Value {
    json!([
        { "type": "thinking", "thinking": "let me look", "signature": "s" },
        { "type": "tool_use", "id": id, "name": "Bash", "input": { "command": command } },
    ])
}

fn gives(id: &str, text: &str) -> Value {
    json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": id, "content": text, "cache_control": { "type": "ephemeral" } },
    ] })
}

fn model(content: Value) -> Value {
    json!({ "role": "assistant", "content": content })
}

/// An agent that calls two tools one after the other, with a small question in between.
async fn run(book: &Book) -> [String; 4] {
    let mut messages = vec![user("tidy up [REDACTED:aws-key]")];
    let turn = |messages: &[Value], answer: Value| Turn {
        session: Some(9),
        messages: messages.to_vec().into(),
        answer,
        ..Turn::default()
    };
    let one = book.turn(turn(&messages, calls("t1", "ls"))).await;
    let aside = book
        .turn(turn(&[user("a title, please")], says("Tidying")))
        .await;
    messages.extend([model(calls("t1", "ls")), gives("t1", "a.txt")]);
    let two = book.turn(turn(&messages, calls("t2", "rm a.txt"))).await;
    messages.extend([model(calls("t2", "rm a.txt")), gives("t2", "gone")]);
    let three = book.turn(turn(&messages, says("All tidy."))).await;
    [one, aside, two, three].map(|id| id.to_string())
}

#[tokio::test]
async fn a_session_is_told_once_however_often_it_was_sent() {
    let book = Book::new();
    let ids = run(&book).await;
    book.turn(Turn::default()).await;
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    let id = SessionId::derived([9; 16]).to_string();
    let session = index.session(&reader, &id).unwrap().unwrap();
    let turns: Vec<Told> = index
        .conversation(&reader, &session)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let told: Vec<_> = turns
        .iter()
        .map(|turn| {
            let said = turn.said.iter().map(|part| {
                let tool = part.tool.as_deref().unwrap_or_default();
                format!("{}{tool}: {}", part.kind, part.text)
            });
            (
                turn.id.to_string(),
                turn.thread,
                said.collect::<Vec<_>>(),
                turn.repeated,
            )
        })
        .collect();
    let said = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    let looks = "thinking: let me look";
    assert_eq!(
        told,
        [
            (
                ids[0].clone(),
                Some(1),
                said(&[
                    "system: You are a careful assistant.",
                    "prompt: tidy up [REDACTED:aws-key]",
                    looks,
                    "callBash: {\"command\":\"ls\"}",
                ]),
                0
            ),
            (
                ids[1].clone(),
                Some(2),
                said(&["prompt: a title, please", "answer: Tidying"]),
                1
            ),
            (
                ids[2].clone(),
                Some(1),
                said(&[
                    "resultBash: a.txt",
                    looks,
                    "callBash: {\"command\":\"rm a.txt\"}"
                ]),
                4
            ),
            (
                ids[3].clone(),
                Some(1),
                said(&["resultBash: gone", "answer: All tidy."]),
                7
            ),
        ]
    );
    assert_eq!(turns[0].masked.get("aws-key"), Some(&2));
    assert_eq!(turns[0].decision["rules"], json!(["team-may"]));
    assert!(turns[0].cost.unwrap() > 0.0);
}

#[tokio::test]
async fn sessions_are_listed_with_what_they_took() {
    let book = Book::new();
    let ids = run(&book).await;
    let denied = Turn {
        subject: "repo:acme/web",
        verdict: Verdict::Deny,
        ..Turn::default()
    };
    let alone = book.turn(denied).await.to_string();
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    let list = |query: &str, before| {
        let query: Query = query.parse().unwrap();
        let clock = Clock::utc();
        index.sessions(&reader, &query, &clock, 10, before).unwrap()
    };
    let all = list("", None);
    assert_eq!(all.len(), 2);
    let (last, first) = (&all[0], &all[1]);
    // An exchange that belongs to none is a session of its own.
    assert_eq!(
        (last.id.to_string(), last.denied, last.exchanges),
        (alone.clone(), 1, 1)
    );
    assert_eq!(first.id, SessionId::derived([9; 16]));
    assert_eq!(
        (
            first.exchanges,
            first.denied,
            first.calls,
            first.masked,
            first.tokens
        ),
        (4, 0, 2, 8, 440)
    );
    assert!(first.cost > 0.0 && first.ended.is_some());
    assert_eq!(list("", Some(last.index)).len(), 1);
    // Numbers are of the whole session, whatever was asked for.
    let found = list("\"all tidy\"", None);
    assert_eq!((found.len(), found[0].exchanges), (1, 4));
    assert_eq!(list("verdict:deny", None)[0].id.to_string(), alone);
    assert!(list("verdict:none", None).is_empty());

    let named = |id: &str| {
        index
            .session(&reader, id)
            .map(|found| found.map(|found| found.id))
    };
    let id = first.id.to_string();
    for name in [&*id, &id[..8], &ids[2]] {
        assert_eq!(named(name).unwrap(), Some(first.id), "{name}");
    }
    assert_eq!(named("00000000").unwrap(), None);
    assert_eq!(named("x").unwrap_err().kind(), ErrorKind::Id);
}

#[tokio::test]
async fn the_trail_leads_back_to_the_prompt_and_on_to_what_followed() {
    let book = Book::new();
    let [one, aside, two, three] = run(&book).await;
    // Another session with the same call is none of its business.
    book.turn(Turn {
        session: Some(8),
        messages: json!([user("x"), model(calls("t1", "ls")), gives("t1", "other")]),
        ..Turn::default()
    })
    .await;
    // Nor is another caller who claims the session.
    book.turn(Turn {
        session: Some(9),
        subject: "repo:acme/web",
        messages: json!([user("x"), model(calls("t1", "ls")), gives("t1", "other")]),
        ..Turn::default()
    })
    .await;
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    let trail = |id: &str| {
        let trail = index.trail(&reader, id, 50, 50).unwrap().unwrap();
        let ends = |all: &[tollbook_search::Cause]| {
            all.iter()
                .map(|cause| (cause.exchange.summary.id.to_string(), cause.call.clone()))
                .collect::<Vec<_>>()
        };
        (ends(&trail.caused_by), ends(&trail.causes))
    };
    let tie = |id: &String, call: &str| (id.clone(), call.to_owned());
    assert_eq!(trail(&one), (vec![], vec![tie(&two, "t1")]));
    assert_eq!(trail(&aside), (vec![], vec![]));
    assert_eq!(
        trail(&two),
        (vec![tie(&one, "t1")], vec![tie(&three, "t2")])
    );
    assert_eq!(
        trail(&three),
        (vec![tie(&two, "t2"), tie(&one, "t1")], vec![])
    );
    let whole = index.trail(&reader, &three, 50, 50).unwrap().unwrap();
    let root = whole.caused_by.last().unwrap();
    assert_eq!(root.exchange.prompt, "tidy up [REDACTED:aws-key]");
    assert_eq!(
        (&*root.tool, &root.input),
        ("Bash", &json!({ "command": "ls" }))
    );
    assert!(!whole.cut);
    let nearest = index.trail(&reader, &three, 1, 50).unwrap().unwrap();
    assert_eq!((nearest.caused_by.len(), nearest.cut), (1, true));
    let none = index.trail(&reader, &one, 50, 0).unwrap().unwrap();
    assert_eq!((none.causes.len(), none.cut), (0, true));
    assert!(index.trail(&reader, "00000000", 50, 50).unwrap().is_none());
}

#[tokio::test]
async fn what_was_open_is_in_the_next_export_as_a_whole() {
    let book = Book::new();
    let (reader, index) = (book.reader(), book.index());
    let export = |after| {
        index.catch_up(&reader).unwrap();
        let mut options = ExportOptions::new(Format::Jsonl);
        options.after = after;
        let mut out = Vec::new();
        let query: Query = "connection:claude".parse().unwrap();
        let done = index
            .export(&reader, &query, &Clock::utc(), &options, &mut out)
            .unwrap();
        let lines = String::from_utf8(out).unwrap();
        let told: Vec<(String, bool)> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|told| {
                (
                    told["id"].as_str().unwrap().to_owned(),
                    !told["outcome"].is_null(),
                )
            })
            .collect();
        (told, done.last)
    };
    let first = book.turn(Turn::default()).await.to_string();
    let turn = Turn::default();
    let (exchange, recording) = book.begin(&turn).await;
    let open = exchange.id().to_string();
    let last = book.turn(Turn::default()).await.to_string();
    let (told, after) = export(None);
    assert_eq!(
        told,
        [(first, true), (open.clone(), false), (last.clone(), true)]
    );

    answer(&exchange, &turn);
    drop(recording);
    book.written(exchange.id()).await;
    let (told, after) = export(after);
    assert_eq!(told, [(open, true), (last, true)]);
    assert_eq!(export(after).0, []);
}
