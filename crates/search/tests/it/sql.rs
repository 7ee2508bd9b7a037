//! SQL exchanges: found, told, and led back to the tool call that made them.

use bytes::Bytes;
use serde_json::{Map, json};
use tollbook_exchange::{
    Action, Decision, Exchange, ExchangeId, Outcome, Principal, PrincipalKind, SessionId,
    Timestamp, Verdict,
};

use crate::support::{Book, Turn, masked, says, user};

/// Records a statement of this caller in this session.
async fn statement(book: &Book, subject: &str, session: u8, text: &str) -> String {
    let id = ExchangeId::generate();
    let exchange = Exchange::open(id, "orders", "postgres", Timestamp::now());
    let recording = book.recorder.begin(&exchange).await.unwrap();
    let mut caller = Principal::new(PrincipalKind::Ci, "ci", subject);
    caller
        .claims
        .insert("repository".to_owned(), json!("acme/api"));
    exchange.identified(&caller);
    exchange.decided(&Decision::new(
        Verdict::Allow,
        vec!["r".into()],
        "sha256:00",
    ));
    let body = json!({ "statement": text, "parameters": ["7", null] }).to_string();
    exchange.draft(|draft| {
        draft.session = Some(SessionId::derived([session; 16]));
        let action = Action::new("sql.query")
            .with(
                "tables_read",
                ["app.users".to_owned()]
                    .into_iter()
                    .collect::<std::collections::BTreeSet<_>>(),
            )
            .with(
                "statement_classes",
                ["read".to_owned()]
                    .into_iter()
                    .collect::<std::collections::BTreeSet<_>>(),
            );
        draft.action = Some(masked(action));
        draft.request.method = "QUERY".into();
        draft.request.target = masked("shop".into());
        draft.request.body = masked(Bytes::from(body));
    });
    book.recorder.commit(&exchange).await.unwrap();
    let answer = "{\"columns\":[{\"name\":\"id\",\"type\":\"int4\"}]}\n[\"4711\"]\n{\"command\":\"SELECT 1\"}\n";
    exchange.answered(masked(Bytes::from_static(answer.as_bytes())));
    exchange.draft(|draft| {
        let mut result = Map::new();
        result.insert("sqlstate".to_owned(), json!("42501"));
        draft.result = masked(result);
    });
    exchange.conclude(Outcome::Complete);
    drop(recording);
    book.written(id).await;
    id.to_string()
}

async fn called(
    book: &Book,
    subject: &'static str,
    session: u8,
    id: &str,
    command: &str,
) -> String {
    let call = json!([
        { "type": "tool_use", "id": id, "name": "Bash", "input": { "command": command } },
    ]);
    let turn = Turn {
        subject,
        session: Some(session),
        messages: json!([user("how many users are there?")]),
        answer: call,
        ..Turn::default()
    };
    book.turn(turn).await.to_string()
}

#[tokio::test]
async fn a_statement_leads_to_the_tool_call_that_holds_it_and_back() {
    let book = Book::new();
    let command = "psql -c \"SELECT id FROM app.users WHERE id = 1\"";
    let ours = "repo:acme/api";
    let early = called(&book, ours, 9, "t0", command).await;
    let other = called(&book, "repo:acme/web", 9, "t1", command).await;
    let asked = called(&book, ours, 9, "t2", command).await;
    let aside = book
        .turn(Turn {
            messages: json!([user("x")]),
            answer: says("y"),
            ..Turn::default()
        })
        .await;
    // In a session of its own, with another value, and once more in the same session.
    let apart = statement(&book, ours, 4, "select id from app.users where id = $1").await;
    let again = statement(&book, ours, 9, "SELECT id FROM app.users WHERE id = 2;").await;
    let unlike = statement(&book, ours, 9, "SELECT name FROM app.users").await;
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    let trail = |id: &str| {
        let trail = index.trail(&reader, id, 50, 50).unwrap().unwrap();
        let ends = |all: &[tollbook_search::Cause]| -> Vec<String> {
            all.iter()
                .map(|cause| cause.exchange.summary.id.to_string())
                .collect()
        };
        (ends(&trail.caused_by), ends(&trail.causes))
    };
    assert_eq!(trail(&apart), (vec![asked.clone()], vec![]));
    assert_eq!(trail(&again), (vec![asked.clone()], vec![]));
    assert_eq!(trail(&asked), (vec![], vec![apart.clone(), again]));
    // An earlier call with the same statement, another caller, another statement.
    for alone in [&early, &other, &unlike, &aside.to_string()] {
        assert_eq!(trail(alone), (vec![], vec![]), "{alone}");
    }
    let whole = index.trail(&reader, &apart, 50, 50).unwrap().unwrap();
    assert_eq!(
        whole.caused_by[0].exchange.prompt,
        "how many users are there?"
    );
    assert_eq!(whole.caused_by[0].input, json!({ "command": command }));
    assert_eq!(
        whole.exchange.prompt,
        "select id from app.users where id = $1\n7"
    );
}

#[tokio::test]
async fn sql_is_found_by_what_it_did_and_told_in_its_session() {
    let book = Book::new();
    let id = statement(&book, "repo:acme/api", 9, "SELECT id FROM app.users").await;
    for query in [
        "table:app.users",
        "statement_class:read",
        "sqlstate:42501",
        "4711",
        "\"FROM app.users\"",
        "action:sql.*",
    ] {
        assert_eq!(book.find(query), [id.as_str()], "{query}");
    }
    let (reader, index) = (book.reader(), book.index());
    let session = index
        .session(&reader, &SessionId::derived([9; 16]).to_string())
        .unwrap()
        .unwrap();
    let turns: Vec<_> = index
        .conversation(&reader, &session)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let turn: &tollbook_search::Turn = &turns[0];
    let said: Vec<_> = turn
        .said
        .iter()
        .map(|part| (part.kind, &*part.text))
        .collect();
    assert_eq!(
        said,
        [
            ("statement", "SELECT id FROM app.users\n7"),
            ("rows", "id\n4711\nSELECT 1")
        ]
    );
    assert_eq!(turn.thread, None);
}
