//! What the index finds, and that it always fits the book.

use std::fs;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tollbook_exchange::{Timestamp, Verdict};
use tollbook_recording::Reader;
use tollbook_search::{Clock, Facts, Index, Query};

use crate::support::{Book, Turn, answer, find, prices, says, user};

#[tokio::test]
async fn words_phrases_and_fields_find_what_they_say() {
    let book = Book::new();
    let one = book
        .turn(Turn {
            messages: json!([user("Please DROP_TABLE users, gently")]),
            answer: json!([
                { "type": "thinking", "thinking": "dangerous" },
                { "type": "tool_use", "id": "toolu_1", "name": "Bash", "input": { "command": "psql -c 'drop table users'" } },
            ]),
            tokens: [12_000, 10],
            ..Turn::default()
        })
        .await
        .to_string();
    let two = book
        .turn(Turn {
            subject: "repo:acme/web",
            verdict: Verdict::Deny,
            status: 403,
            messages: json!([{ "role": "user", "content": [
                { "type": "text", "text": "table of contents, drop it. 漢字 Grüße" },
                { "type": "text", "text": "another text" },
            ] }]),
            ..Turn::default()
        })
        .await
        .to_string();
    let both = [&*two, &*one];
    for (query, found) in [
        ("", &both[..]),
        ("\"drop table\"", &[&one]),
        ("drop table", &both),
        ("drop -users", &[&two]),
        ("-drop", &[]),
        ("drop*", &both),
        ("gent*", &[&one]),
        ("prompt:psql", &[]),
        ("input:\"psql c\"", &[&one]),
        ("thinking:dangerous", &[&one]),
        ("careful", &[]),
        ("system:careful", &both),
        ("字", &[&two]),
        ("grüsse", &[]),
        ("GRÜSSE,", &[]),
        ("grüße", &[&two]),
        ("\"another text\"", &[&two]),
        // No phrase goes from one text into the next.
        ("\"grüße another\"", &[]),
        ("tool:bash", &[&one]),
        ("tool:Ba*", &[&one]),
        ("tool:*", &[&one]),
        ("-tool:*", &[&two]),
        ("tool.id:toolu_1", &[&one]),
        ("verdict:deny", &[&two]),
        ("verdict:deny,allow", &both),
        ("verdict:nobody", &[]),
        ("-verdict:nobody", &both),
        ("repository:acme/api subject:repo:acme/w*", &[&two]),
        ("principal.repository:acme/api", &both),
        ("status:403", &[&two]),
        ("status:400..499", &[&two]),
        ("-status:200", &[&two]),
        ("tokens:>10k", &[&one]),
        ("tokens.out:10", &both),
        ("cost:>0.01", &[&one]),
        ("masked:2 finding:aws-key", &both),
        ("since:1h", &both),
        ("until:1h", &[]),
        ("-since:1h", &[]),
        ("ended:* duration:<1h", &both),
        ("outcome:denied drop", &[&two]),
        ("tool:bash verdict:deny", &[]),
    ] {
        assert_eq!(book.find(query), found, "{query}");
    }
}

#[tokio::test]
async fn a_text_is_found_where_it_came_in_and_not_where_it_is_sent_again() {
    let book = Book::new();
    let turn = |messages, reply: &str| Turn {
        session: Some(7),
        messages,
        answer: says(reply),
        ..Turn::default()
    };
    let first = json!([user("deploy the zeppelin")]);
    let one = book.turn(turn(first.clone(), "which hangar")).await;
    // Sent again, as after a denial: it is what this one asks, too.
    let again = book.turn(turn(first, "which hangar")).await;
    let more = json!([
        user("deploy the zeppelin"),
        { "role": "assistant", "content": says("which hangar") },
        user("number nine"),
    ]);
    let next = book.turn(turn(more, "done")).await;
    // A session that began elsewhere brings its history.
    let elsewhere = json!([
        user("remember the montgolfiere"),
        { "role": "assistant", "content": says("yes") },
        user("good"),
    ]);
    let other = book.turn(turn(elsewhere, "fine")).await;

    let both = [again.to_string(), one.to_string()];
    assert_eq!(book.find("zeppelin"), both);
    assert_eq!(book.find("hangar"), both);
    assert_eq!(book.find("nine"), [next.to_string()]);
    assert_eq!(book.find("montgolfiere"), [other.to_string()]);
    assert_eq!(book.find("session:*").len(), 4);
}

#[tokio::test]
async fn what_is_under_way_is_found_and_so_is_what_becomes_of_it() {
    let book = Book::new();
    let turn = Turn {
        session: Some(1),
        messages: json!([user("wait for me")]),
        answer: says("gladly"),
        ..Turn::default()
    };
    let (exchange, recording) = book.begin(&turn).await;
    let id = [exchange.id().to_string()];
    assert_eq!(book.find("outcome:open wait system:careful"), id);
    assert_eq!(book.find("gladly")[..], [] as [String; 0]);
    answer(&exchange, &turn);
    drop(recording);
    book.written(exchange.id()).await;
    assert_eq!(book.find("outcome:complete gladly wait system:careful"), id);
    assert_eq!(book.find("outcome:open")[..], [] as [String; 0]);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let book = Book::new();
    let mut all = Vec::new();
    for number in 0..7 {
        let turn = Turn {
            messages: json!([user(&format!("number {number}"))]),
            ..Turn::default()
        };
        all.insert(0, book.turn(turn).await.to_string());
    }
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    for text in ["", "number", "connection:claude", "tokens:>1"] {
        let query: Query = text.parse().unwrap();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = index
                .find(&reader, &query, &Clock::utc(), 3, cursor.as_deref())
                .unwrap();
            seen.extend(page.hits.iter().map(|hit| hit.summary.id.to_string()));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "{text}");
    }
    let wrong = index.find(&reader, &Query::all(), &Clock::utc(), 3, Some("x"));
    assert_eq!(
        wrong.unwrap_err().kind(),
        tollbook_search::ErrorKind::Cursor
    );
}

#[tokio::test]
async fn what_was_found_is_shown_as_it_is_written() {
    let book = Book::new();
    let long = format!("{}Drop_Table! {}", "é ".repeat(100), "z ".repeat(100));
    let turn = Turn {
        messages: json!([user(&long)]),
        ..Turn::default()
    };
    book.turn(turn).await;
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    let query: Query = "\"drop tab\"* drop system:careful".parse().unwrap();
    let page = index.find(&reader, &query, &Clock::utc(), 3, None).unwrap();
    let [phrase, setting] = &*page.hits[0].snippets else {
        panic!("{:?}", page.hits[0].snippets);
    };
    assert_eq!((phrase.place, &*phrase.found), ("prompt", "Drop_Table"));
    assert_eq!(phrase.before, "é ".repeat(30));
    assert_eq!(phrase.after, format!("! {}", "z ".repeat(29)));
    // The word alone stands in what is shown already.
    assert_eq!((setting.place, &*setting.found), ("system", "careful"));
}

#[tokio::test]
async fn an_index_of_another_book_is_made_anew() {
    let book = Book::new();
    for _ in 0..3 {
        book.turn(Turn::default()).await;
    }
    let reader = book.reader();
    // The first entry says that the book was opened.
    assert_eq!(book.index().behind(&reader).unwrap(), 7);
    let caught = book.index().catch_up(&reader).unwrap();
    assert_eq!((caught.exchanges, caught.rebuilt), (3, false));
    assert_eq!(book.index().behind(&reader).unwrap(), 0);
    let caught = book.index().catch_up(&reader).unwrap();
    assert_eq!((caught.exchanges, caught.rebuilt), (0, false));

    let other = Book::new();
    let id = other.turn(Turn::default()).await.to_string();
    drop(other.index());
    for longer in [false, true] {
        if longer {
            for _ in 0..4 {
                other.turn(Turn::default()).await;
            }
        }
        fs::copy(
            book.dir.path().join("search.db"),
            other.dir.path().join("search.db"),
        )
        .unwrap();
        let reader = other.reader();
        let index = other.index();
        assert!(index.catch_up(&reader).unwrap().rebuilt);
        let found = find(&index, &reader, "since:1h");
        assert_eq!(found.last(), Some(&id));
        assert_eq!(found.len(), if longer { 5 } else { 1 });
        drop(index);
        for file in ["search.db-wal", "search.db-shm"] {
            drop(fs::remove_file(other.dir.path().join(file)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_take_in_what_a_running_gateway_writes() {
    const EXCHANGES: usize = 60;
    let book = Book::new();
    let folder = book.dir.path().to_owned();
    let takers: Vec<_> = (0..3)
        .map(|_| {
            let folder = folder.clone();
            std::thread::spawn(move || {
                let reader = Reader::open(&folder).unwrap();
                let index = Index::open(&folder, prices()).unwrap();
                let mut taken = 0;
                while find(&index, &reader, "zeppelin").len() < EXCHANGES {
                    let caught = index.catch_up(&reader).unwrap();
                    assert!(!caught.rebuilt);
                    taken += caught.exchanges;
                }
                taken
            })
        })
        .collect();
    for _ in 0..EXCHANGES {
        let turn = Turn {
            session: Some(4),
            messages: json!([user("zeppelin")]),
            ..Turn::default()
        };
        book.turn(turn).await;
    }
    let taken: u64 = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
    // Each was taken in by one of them; those that were open at the time, once more.
    assert!((60..=120).contains(&taken), "{taken}");
    let found = book.find("zeppelin outcome:complete");
    assert_eq!(found.len(), EXCHANGES);
    assert_eq!(book.find("-outcome:complete")[..], [] as [String; 0]);
}

#[tokio::test]
async fn what_is_forgotten_is_not_found() {
    let book = Book::new();
    let turn = Turn {
        session: Some(3),
        messages: json!([user("a private matter")]),
        ..Turn::default()
    };
    book.turn(turn).await;
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    assert_eq!(find(&index, &reader, "private").len(), 1);
    let first = (0..3).find(|index| reader.exchange_at(*index).unwrap().is_some());
    index.forget(first.unwrap()).unwrap();
    for query in ["private", "", "verdict:allow", "-tool:*"] {
        assert_eq!(
            find(&index, &reader, query)[..],
            [] as [String; 0],
            "{query}"
        );
    }
}

/// Whatever is asked, the index says what looking at every exchange would.
#[tokio::test]
async fn the_index_says_what_looking_at_every_exchange_says() {
    let book = Book::new();
    let words = [
        "alpha",
        "beta",
        "gamma",
        "alpha beta",
        "beta alpha",
        "Alphabet",
    ];
    for (number, text) in words.iter().enumerate() {
        for verdict in [Verdict::Allow, Verdict::Deny] {
            let tool = ["Bash", "Read"][number % 2];
            let calls = json!([
                { "type": "text", "text": words[(number + 2) % words.len()] },
                { "type": "tool_use", "id": format!("t{number}"), "name": tool, "input": { "x": text } },
            ]);
            book.turn(Turn {
                subject: ["a", "b:c"][number % 2],
                verdict,
                status: if verdict == Verdict::Deny { 403 } else { 200 },
                messages: json!([user(text)]),
                answer: if number % 3 == 0 { json!([]) } else { calls },
                tokens: [number as u64 * 1_000, 5],
                ..Turn::default()
            })
            .await;
        }
    }
    let (reader, index) = (book.reader(), book.index());
    index.catch_up(&reader).unwrap();
    let summaries = reader.exchanges(&Default::default()).unwrap();
    let facts: Vec<(String, Facts)> = summaries
        .iter()
        .map(|summary| {
            let id = summary.id.to_string();
            let record = reader.exchange(&id).unwrap().unwrap();
            (id, Facts::of(&record, &prices()))
        })
        .collect();
    let clock = Clock::utc();
    let now = Timestamp::now();
    let atom = prop_oneof![
        prop::sample::select(vec![
            "alpha",
            "beta*",
            "\"alpha beta\"",
            "\"beta alp\"*",
            "prompt:alpha",
            "answer:gamma",
            "input:\"alpha beta\",alphabet",
            "system:careful",
            "text:alpha,gamma",
            "verdict:deny",
            "verdict:allow,deny",
            "tool:bash",
            "tool:r*",
            "tool:*",
            "subject:a,b:*",
            "subject:*",
            "rule:team-may",
            "outcome:complete",
            "outcome:nothing",
            "model:claude-*",
            "status:403",
            "status:<300,403",
            "tokens:>2k",
            "tokens.in:1000..3000",
            "calls:1",
            "risk:*",
            "cost:>0.001",
            "since:1h",
            "until:1h",
            "ended:*",
        ])
        .prop_map(str::to_owned),
        (0_i64..20_000).prop_map(move |ago| {
            let then = Timestamp::from_micros(now.as_micros() - ago * 100);
            format!("started:<={then}")
        }),
    ];
    let query = prop::collection::vec((any::<bool>(), atom), 1..5);
    let config = Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    };
    let told = TestRunner::new(config).run(&query, |terms| {
        let terms = terms.iter().map(|(negated, term)| {
            let sign = if *negated { "-" } else { "" };
            format!("{sign}{term}")
        });
        let text = terms.collect::<Vec<_>>().join(" ");
        let query: Query = text.parse().unwrap();
        let looked: Vec<&str> = facts
            .iter()
            .filter(|(_, facts)| query.takes(facts, &clock))
            .map(|(id, _)| &**id)
            .collect();
        let page = index.find(&reader, &query, &clock, 100, None).unwrap();
        let found: Vec<String> = page
            .hits
            .iter()
            .map(|hit| hit.summary.id.to_string())
            .collect();
        prop_assert_eq!(found, looked, "{}", text);
        Ok(())
    });
    told.unwrap();
}
