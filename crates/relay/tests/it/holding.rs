//! What people have to approve waits, and the session with it.

use std::time::Duration;

use tollbook_approvals::{ApprovalId, Ballot, Choice, Mode, State, Via};
use tollbook_exchange::{Access, Action, Timestamp, Verdict};
use tollbook_wire_postgres::{Backend, Field, Frame};

use crate::support::{self, Client, World, bind, execute, parse, server, sync, told};

/// What changes something needs a yes.
fn ask_for_writes(action: &Action) -> Verdict {
    match action.text("statement_class") {
        Some("read" | "transaction") => Verdict::Allow,
        _ => Verdict::Approve,
    }
}

/// The approval that a notice names.
async fn notice(client: &mut Client) -> ApprovalId {
    loop {
        let frame = client.next().await.unwrap();
        if let Some(id) = noticed(&frame) {
            return id;
        }
    }
}

fn noticed(frame: &Frame) -> Option<ApprovalId> {
    let Ok(Backend::Notice(fields)) = Backend::read(frame) else {
        return None;
    };
    let message = fields.field(Field::MESSAGE)?;
    message.split_whitespace().last()?.parse().ok()
}

async fn approve(world: &World, id: &ApprovalId) {
    let hash = world.approvals.show(id).await.unwrap().hash().to_owned();
    let mut voter = World::lead();
    voter.access = Some(Access {
        signed_in: Some(Timestamp::now().as_micros() / 1_000_000),
        sign_in_told: true,
        ..Access::default()
    });
    let ballot = Ballot {
        voter,
        via: Via::SignIn,
        choice: Choice::Approve,
        hash: Some(hash),
        reason: None,
    };
    world.approvals.decide(id, ballot).await.unwrap();
}

fn query(text: &str) -> Frame {
    tollbook_wire_postgres::query(text).unwrap()
}

#[tokio::test]
async fn what_came_before_is_answered_while_a_statement_waits() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::judging(ask_for_writes);
    let mut client = world.client().await;
    let ask = |text: &str| [parse("", text), bind("", "", &[]), execute("", 0)];
    let mut frames = Vec::new();
    frames.extend(ask("SELECT 1"));
    frames.extend(ask("CREATE TEMP TABLE held (a int)"));
    frames.extend(ask("SELECT 2"));
    frames.push(sync());
    client.send(frames).await;
    let (mut answered, mut id) = (false, None);
    while !answered || id.is_none() {
        let frame = client.next().await.unwrap();
        answered |= told(std::slice::from_ref(&frame)) == ["C SELECT 1"];
        id = id.or(noticed(&frame));
    }
    let id = id.unwrap();
    approve(&world, &id).await;
    let got = told(&client.until_ready(1).await);
    assert!(got.contains(&"C CREATE TABLE".to_owned()), "{got:?}");
    assert!(got.contains(&"D 2".to_owned()), "{got:?}");
    client.end().await;
    let all = world.exchanges(3).await;
    let held = all
        .iter()
        .find(|of| of["decision"]["approval"].is_string())
        .unwrap();
    assert_eq!(held["decision"]["approval"], id.to_string());
}

#[tokio::test]
async fn a_statement_that_waits_can_be_cancelled() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::judging(ask_for_writes);
    let mut client = world.client().await;
    client.query("BEGIN").await;
    client.send([query("DROP TABLE nothing")]).await;
    notice(&mut client).await;
    client.cancelled.notify_waiters();
    assert_eq!(
        told(&client.until_ready(1).await),
        ["E ERROR 57014", "Z failed"]
    );
    client.query("ROLLBACK").await;
    client.end().await;
    let all = world.exchanges(3).await;
    assert_eq!(all[1]["outcome"], "client_gone");
}

#[tokio::test]
async fn who_does_not_wait_comes_again() {
    let Some(_server) = server() else {
        return;
    };
    let mut choice = support::Choice {
        rules: Box::new(ask_for_writes),
        ..support::Choice::default()
    };
    choice.wait.mode = Mode::FailFast;
    let world = World::with(choice);
    let mut client = world.client().await;
    let refused = client.query("CREATE TEMP TABLE later (a int)").await;
    let Ok(Backend::Error(fields)) = Backend::read(&refused[0]) else {
        panic!("{:?}", told(&refused));
    };
    assert_eq!(fields.field(Field::CODE), Some("42501"));
    let hint = fields.field(Field::HINT).unwrap();
    let id: ApprovalId = hint.split_whitespace().last().unwrap().parse().unwrap();
    approve(&world, &id).await;
    let got = told(&client.query("CREATE TEMP TABLE later (a int)").await);
    assert_eq!(got[0], "C CREATE TABLE");
    client.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_statement_along() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::judging(ask_for_writes);
    let mut client = world.client().await;
    client.send([query("DROP TABLE nothing")]).await;
    let id = notice(&mut client).await;
    let ended = client.leave();
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap()
        .unwrap();
    let all = world.exchanges(1).await;
    assert_eq!(all[0]["outcome"], "client_gone");
    world.approvals.sweep().await.unwrap();
    assert_eq!(
        world.approvals.show(&id).await.unwrap().state,
        State::Cancelled
    );
}
