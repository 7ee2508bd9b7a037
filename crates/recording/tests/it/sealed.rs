//! What is stored is sealed, what is sent again is stored once, and comes back byte for byte.

use std::fs;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rusqlite::Connection;
use serde_json::{Value, json};
use tollbook_exchange::{ExchangeId, Outcome, Principal, PrincipalKind, SessionId};
use tollbook_recording::{Config, KeySource, Reader, Recorder};

use crate::support::{Book, Closed, ORIGIN, masked, noise, open};

/// Records an exchange of this session and subject, with a request of this body.
async fn ask(recorder: &Recorder, session: u8, subject: &str, body: Bytes) -> ExchangeId {
    let exchange = open();
    let recording = recorder.begin(&exchange).await.unwrap();
    exchange.identified(&Principal::new(PrincipalKind::Ci, "ci", subject));
    exchange.draft(|draft| {
        draft.session = Some(SessionId::derived([session; 16]));
        draft.request.bytes = body.len() as u64;
        draft.request.body = masked(body);
    });
    recorder.commit(&exchange).await.unwrap();
    exchange.answered(masked(Bytes::from_static(b"answer")));
    exchange.conclude(Outcome::Complete);
    drop(recording);
    exchange.id()
}

fn body(reader: &Reader, id: ExchangeId) -> Vec<u8> {
    let shown = reader.exchange(&id.to_string()).unwrap().unwrap();
    match &shown["request"]["body"] {
        Value::String(text) => text.clone().into_bytes(),
        other => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            STANDARD.decode(other["base64"].as_str().unwrap()).unwrap()
        }
    }
}

fn number(database: &Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Words as they come in code and prose, the same for the same seed.
fn words(seed: u64, bytes: usize) -> String {
    const WORDS: [&str; 24] = [
        "let", "return", "the", "value", "of", "error", "match", "struct", "impl", "config",
        "session", "request", "response", "token", "(", ")", "{", "}", ";\n", "\t", "0x3f", "test",
        "assert", "file",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = WORDS[usize::from(state.to_le_bytes()[2]) % WORDS.len()];
        text.push_str(word);
        // Names and numbers that are nowhere else.
        if state & 7 == 0 {
            text.push_str(&format!("_{:x}", state >> 40));
        }
        text.push(' ');
    }
    text
}

/// The messages that a turn adds, and the whole request of it, with marks of where to cache on the
/// last two messages of the user, as agents set them.
fn turn(messages: &mut Vec<Value>, n: u64) -> (Bytes, Bytes) {
    let said = json!({ "role": "assistant", "content": [
        { "type": "text", "text": words(3 * n, 300) },
        { "type": "tool_use", "id": format!("toolu_{n:012x}"), "name": "Bash",
          "input": { "command": words(3 * n + 1, 80) } },
    ]});
    let result = json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": format!("toolu_{n:012x}"),
          "content": words(3 * n + 2, 6000) },
    ]});
    let new = format!("{said},{result}");
    messages.extend([said, result]);
    let mut sent = messages.clone();
    let mut marked = 0;
    for message in sent
        .iter_mut()
        .rev()
        .filter(|m| m["role"] == "user")
        .take(2)
    {
        message["content"][0]["cache_control"] = json!({ "type": "ephemeral" });
        marked += 1;
    }
    assert!(marked > 0);
    let request = json!({
        "model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true,
        "system": [{ "type": "text", "text": words(1_000_000, 12_000) }],
        "tools": (0..12).map(|n| json!({
            "name": format!("tool{n}"), "description": words(2_000_000 + n, 900),
        })).collect::<Vec<_>>(),
        "messages": sent,
    });
    (request.to_string().into(), new.into())
}

/// A conversation of forty turns takes hardly more than what is new in each of them.
#[tokio::test]
async fn a_conversation_is_stored_once() {
    let book = Book::new();
    let mut messages =
        vec![json!({ "role": "user", "content": [{ "type": "text", "text": "go" }] })];
    let (mut sent, mut ids, mut new) = (0, Vec::new(), 0);
    for n in 0..40 {
        let (request, added) = turn(&mut messages, n);
        sent += request.len();
        // The first brings system prompt and tools as well.
        let added = if n == 0 { &request } else { &added };
        new += zstd::bulk::compress(added, 1).unwrap().len();
        ids.push((ask(&book.recorder, 1, "a", request.clone()).await, request));
    }
    let book = book.close();
    let database = book.database();
    let packs = number(
        &database,
        "SELECT sum(length(data) + length(addresses) + 12) FROM pack",
    );
    // What an envelope is longer than the first is the recipe of its body.
    let envelopes =
        "SELECT sum(length(envelope) - (SELECT length(envelope) FROM entry WHERE seq = 1))
         FROM entry JOIN exchange ON intent = seq";
    let recipes = number(&database, envelopes);
    let stored = usize::try_from(packs + recipes).unwrap();
    let per_mille = 1000 * stored / new;
    println!(
        "40 turns: {sent} bytes sent, {new} of zstd for what is new, {stored} stored \
         ({packs} packs, {recipes} recipes): {per_mille}/1000"
    );
    assert!(per_mille < 1300, "{per_mille}");
    let reader = book.reader();
    for (id, request) in &ids {
        assert!(body(&reader, *id) == *request, "{id}");
    }
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert!(found.unopened.is_empty() && found.erased.is_empty());
}

#[tokio::test]
async fn what_one_has_another_does_not_share() {
    let book = Book::new();
    let body = Bytes::from(words(1, 20_000));
    let stored = |database: &Connection| number(database, "SELECT count(*) FROM pack");
    for (session, subject, packs) in [
        (1, "a", 1),
        (1, "a", 1),
        (1, "b", 2),
        (2, "a", 3),
        (2, "a", 3),
    ] {
        ask(&book.recorder, session, subject, body.clone()).await;
        book.grows_to(book.recorder.stats().entries).await;
        while book.recorder.stats().open > 0 {
            tokio::task::yield_now().await;
        }
        let database = Connection::open(book.folder().join("journal.db")).unwrap();
        assert_eq!(stored(&database), packs, "{session} {subject}");
    }
    // The next recorder knows what the one before stored.
    let closed = book.close();
    let again = Recorder::open(Config::new(closed.folder(), ORIGIN)).unwrap();
    ask(&again, 1, "a", body.clone()).await;
    let longer = [&body[..], &noise(3000)].concat();
    let id = ask(&again, 1, "a", longer.clone().into()).await;
    drop(again);
    assert_eq!(stored(&closed.database()), 4);
    assert_eq!(self::body(&closed.reader(), id), longer);
    let found = closed.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_in_one_session_come_back_whole() {
    let book = Book::new();
    let mut tasks = Vec::new();
    for n in 0..24_u64 {
        let recorder = book.recorder.clone();
        tasks.push(tokio::spawn(async move {
            let mut messages =
                vec![json!({ "role": "user", "content": [{ "type": "text", "text": "go" }] })];
            let mut ids = Vec::new();
            for turn in 0..6 {
                let (request, _) = self::turn(&mut messages, turn + n % 3);
                ids.push((ask(&recorder, 1, "a", request.clone()).await, request));
            }
            ids
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let book = book.close();
    let reader = book.reader();
    for (id, request) in all {
        assert!(body(&reader, id) == request);
    }
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is sent, and sent again with something put in, cut off or moved.
    #[test]
    fn any_bodies_come_back(
        pieces in vec(prop_oneof![
            vec(any::<u8>(), 0..3000),
            "[\\[\\]{}\",:\\\\a-c ]{0,600}".prop_map(String::into_bytes),
            (0..9_u64, 0..30_000_usize).prop_map(|(seed, n)| words(seed, n).into_bytes()),
        ], 1..6),
        turns in vec(vec(any::<prop::sample::Index>(), 0..8), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let book = Book::new();
        let mut sent = Vec::new();
        for turn in &turns {
            let body: Vec<u8> = turn.iter().flat_map(|n| n.get(&pieces)).copied().collect();
            let id = runtime.block_on(ask(&book.recorder, 1, "a", body.clone().into()));
            sent.push((id, body));
        }
        let book = book.close();
        let reader = book.reader();
        for (id, sent) in sent {
            prop_assert_eq!(body(&reader, id), sent);
        }
        let found = reader.verify(None).unwrap();
        prop_assert!(found.is_verified(), "{:?}", found.faults);
    }
}

async fn two() -> Closed {
    let book = Book::new();
    for text in [
        "the first prompt, which nobody may read",
        "another one, of which that is true",
    ] {
        ask(&book.recorder, 1, "repo:acme/api", Bytes::from(text)).await;
    }
    ask(&book.recorder, 2, "repo:acme/api", Bytes::from("a third")).await;
    book.close()
}

#[tokio::test]
async fn nothing_of_a_body_lies_open_in_the_files() {
    let book = two().await;
    for file in fs::read_dir(book.folder()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for secret in ["prompt", "nobody"] {
            let found = memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
            assert!(!found, "{secret} in {}", path.display());
        }
    }
}

#[tokio::test]
async fn what_is_put_in_the_place_of_another_is_found() {
    for (swap, index) in [
        (
            "entry SET envelope = (SELECT envelope FROM entry WHERE seq = 3) WHERE seq = 1",
            1,
        ),
        (
            "entry SET envelope = (SELECT envelope FROM entry WHERE seq = 1) WHERE seq = 2",
            2,
        ),
        (
            "pack SET data = (SELECT data FROM pack WHERE id = 1) WHERE id = 0",
            1,
        ),
        (
            "pack SET data = (SELECT data FROM pack WHERE id = 0) WHERE id = 1 << 32",
            5,
        ),
        (
            "part SET data = (SELECT data FROM part WHERE rowid = 2) WHERE rowid = 1",
            2,
        ),
        ("exchange SET first = 1 WHERE intent = 1", 1),
        (
            "scope SET key = (SELECT key FROM scope WHERE number = 1) WHERE number = 0",
            1,
        ),
        (
            "scope SET holder = (SELECT zeroblob(32)) WHERE number = 1",
            5,
        ),
    ] {
        let book = two().await;
        assert!(book.reader().verify(None).unwrap().is_verified());
        book.database()
            .execute_batch(&format!("UPDATE {swap}"))
            .unwrap();
        let found = book.reader().verify(None).unwrap();
        assert_eq!(found.verdict, "tampered", "{swap}");
        let named = found.faults.iter().any(|fault| fault.index == Some(index));
        assert!(named, "{swap}: {:?}", found.faults);
    }
}

#[tokio::test]
async fn a_book_without_keys_is_verified_as_it_is_stored() {
    let book = two().await;
    let id = book.reader().exchanges(&Default::default()).unwrap()[0].id;
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        let _absent = fs::remove_file(book.folder().join(name));
    }
    let reader = book.reader();
    assert!(reader.locked().is_some());
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.completeness, "complete");
    assert_eq!((found.unopened.entries, found.erased.entries), (6, 0));

    let shown = reader.exchange(&id.to_string()).unwrap().unwrap();
    assert_eq!(shown["outcome"], "complete");
    assert_eq!(shown["request"]["body"], Value::Null);
    let closed = &shown["unavailable"];
    assert_eq!(closed["classes"], json!(["metadata", "answer"]));
    assert!(shown.get("erased").is_none());
    assert_eq!(reader.follow(0, 10).unwrap().len(), 3);
    let to = tempfile::tempdir().unwrap();
    assert!(
        reader
            .evidence(None, &Default::default(), to.path())
            .is_err()
    );

    // A byte that is changed is found and named all the same.
    for (change, index) in [
        (
            "entry SET envelope = CAST(envelope || x'00' AS BLOB) WHERE seq = 2",
            2,
        ),
        (
            "entry SET leaf = CAST(substr(leaf, 1, 150) || x'7777' || substr(leaf, 153) AS BLOB) WHERE seq = 3",
            3,
        ),
        (
            "pack SET addresses = CAST(substr(addresses, 3) || x'7777' AS BLOB) WHERE id = 1",
            3,
        ),
        (
            "part SET data = CAST(data || x'00' AS BLOB) WHERE rowid = 2",
            4,
        ),
    ] {
        book.database()
            .execute_batch(&format!("UPDATE {change}"))
            .unwrap();
        let found = book.reader().verify(None).unwrap();
        let named = found.faults.iter().any(|fault| fault.index == Some(index));
        assert!(named, "{change}: {:?}", found.faults);
    }
    // Nobody writes on without the keys.
    let refused = Recorder::open(Config::new(book.folder(), ORIGIN)).map(drop);
    assert!(refused.is_err());
}

#[tokio::test]
async fn the_wrong_top_key_opens_nothing_and_says_so() {
    let book = two().await;
    let other = two().await;
    let source = KeySource::file(other.folder().join("book.key"));
    let reader = Reader::open_with(book.folder(), &source).unwrap();
    assert!(reader.locked().is_some());
    assert!(reader.verify(None).unwrap().is_verified());
}
