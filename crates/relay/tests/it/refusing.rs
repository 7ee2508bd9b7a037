//! What is refused fails as it would fail at the server.

use tollbook_exchange::{Action, Verdict};
use tollbook_wire_postgres::{Backend, Field, Frame};

use crate::support::{Client, World, bind, execute, parse, server, sync, told};

/// No changes.
fn read_only(action: &Action) -> Verdict {
    match action.text("statement_class") {
        Some("read" | "transaction" | "session") => Verdict::Allow,
        _ => Verdict::Deny,
    }
}

fn query(text: &str) -> Frame {
    tollbook_wire_postgres::query(text).unwrap()
}

/// Text for text, what fails at the server in the place of what the gate refuses.
async fn like_an_error(make: impl Fn(&str) -> Vec<Frame>, ready: usize) {
    let world = World::judging(read_only);
    let mut gate = world.client().await;
    let mut direct = Client::without().await;
    gate.send(make("DELETE FROM pg_class")).await;
    direct.send(make("DELETE FROM pg_nothing WHERE")).await;
    let refused = gate.until_ready(ready).await;
    let failed = direct.until_ready(ready).await;
    let failed: Vec<_> = told(&failed)
        .iter()
        .map(|line| line.replace("42601", "42501"))
        .collect();
    assert_eq!(told(&refused), failed);
    let error = refused.iter().find(|frame| frame.tag == b'E').unwrap();
    let Ok(Backend::Error(fields)) = Backend::read(error) else {
        panic!("no error");
    };
    assert!(
        fields
            .field(Field::MESSAGE)
            .unwrap()
            .contains("rule-of-test")
    );
    assert!(fields.field(Field::DETAIL).unwrap().contains("exchange"));
    // The session goes on as after any error.
    let (one, other) = (gate.query("ROLLBACK").await, direct.query("ROLLBACK").await);
    assert_eq!(told(&one), told(&other));
    let one = gate.query("SELECT 7").await;
    assert_eq!(told(&one)[1], "D 7");
    gate.end().await;
    let all = world.exchanges(1).await;
    let denied = all.iter().find(|of| of["outcome"] == "denied").unwrap();
    assert_eq!(denied["decision"]["verdict"], "deny");
    assert_eq!(denied["sqlstate"], "42501");
}

#[tokio::test]
async fn a_refused_text_is_an_error_of_the_server() {
    let Some(_server) = server() else {
        return;
    };
    like_an_error(|text| vec![query(text)], 1).await;
    like_an_error(
        |text| vec![query("BEGIN"), query(text), query("SELECT 1")],
        3,
    )
    .await;
}

#[tokio::test]
async fn a_refused_statement_in_a_pipeline_is_an_error_of_the_server() {
    let Some(_server) = server() else {
        return;
    };
    let ask = |text: &str| [parse("", text), bind("", "", &[]), execute("", 0)];
    let pipeline = |text: &str| {
        let mut all = Vec::new();
        all.extend(ask("BEGIN"));
        all.extend(ask("SELECT 1"));
        all.push(sync());
        all.extend(ask("SELECT 2"));
        all.extend(ask(text));
        all.extend(ask("SELECT 3"));
        all.push(sync());
        all.extend(ask("SELECT 4"));
        all.push(sync());
        all
    };
    like_an_error(pipeline, 3).await;
}

#[tokio::test]
async fn what_cannot_be_judged_does_not_run() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::judging(read_only);
    let mut client = world.client().await;
    // A portal that nobody here has seen being made, and a function by its number.
    client.query("BEGIN").await;
    client.query("DECLARE hidden CURSOR FOR SELECT 1").await;
    client.send([execute("hidden", 0), sync()]).await;
    assert_eq!(
        told(&client.until_ready(1).await),
        ["E ERROR 42501", "Z failed"]
    );
    client.query("ROLLBACK").await;
    let call = Frame::new(b'F', [&1242u32.to_be_bytes()[..], &[0; 6]].concat());
    client.send([call]).await;
    assert_eq!(
        told(&client.until_ready(1).await),
        ["E ERROR 42501", "Z idle"]
    );
    client.end().await;
}
