//! Texts that are meant to be too much.

use std::{
    thread,
    time::{Duration, Instant},
};

use tollbook_sql::{Class, Dialect, Settings, Statements, Unknown};

/// Reads a text on the small stack of a worker thread, within a time that a build without optimization keeps.
fn read(text: String) -> Statements {
    let reader = thread::Builder::new().stack_size(512 << 10);
    let reader = reader.spawn(move || {
        let start = Instant::now();
        let read = Statements::read(Dialect::Postgres, &text, &Settings::default());
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
        read
    });
    reader.unwrap().join().unwrap()
}

fn why(read: &Statements) -> Option<Unknown> {
    read.iter().find_map(|statement| statement.unknown)
}

#[test]
fn what_is_nested_too_deeply_is_unknown() {
    for (open, close) in [
        ("(", ")"),
        ("(SELECT ", ")"),
        ("NOT (", ")"),
        ("CASE WHEN ", " THEN 1 END"),
    ] {
        let text = format!("SELECT {}1{}", open.repeat(10_000), close.repeat(10_000));
        let why = why(&read(text));
        // Where it tries several ways, the parser tells the last.
        let known = matches!(why, Some(Unknown::TooLarge | Unknown::NotParsed));
        assert!(known, "{open}: {why:?}");
    }
    assert_eq!(why(&read("(".repeat(1_000_000))), Some(Unknown::TooLarge));
    assert_eq!(
        why(&read("/*".repeat(500_000))),
        Some(Unknown::Unterminated)
    );
}

#[test]
fn chains_are_read_up_to_the_limit() {
    let chain = |count: usize| format!("DELETE FROM t WHERE id = 0{}", " OR id = 1".repeat(count));
    let short = read(chain(4000));
    assert_eq!((why(&short), short.class()), (None, Class::Write));
    assert_eq!(why(&read(chain(6000))), Some(Unknown::TooLarge));
    let sum = |count: usize| format!("SELECT 1{}", " + 1".repeat(count));
    assert_eq!(why(&read(sum(4000))), None);
    assert_eq!(why(&read(sum(300_000))), Some(Unknown::TooLarge));
    let union = |count: usize| format!("SELECT 1{}", " UNION SELECT 1".repeat(count));
    assert_eq!(why(&read(union(4000))), None);
    for chain in [" = 1", " * 1", " || 'a'", " IS NULL"] {
        let read = read(format!("SELECT 1{}", chain.repeat(100_000)));
        let why = why(&read);
        assert!(
            matches!(why, Some(Unknown::TooLarge | Unknown::NotParsed)),
            "{chain}: {why:?}"
        );
    }
    let cast = format!("SELECT 1{}", "::int".repeat(4000));
    assert_eq!(why(&read(cast)), None);
}

#[test]
fn long_texts_of_values_are_read() {
    let rows = vec!["(1, 'a name of some length', 2.5, NULL, -7)"; 5_000].join(", ");
    assert_eq!(why(&read(format!("INSERT INTO t VALUES {rows}"))), None);
    assert_eq!(
        why(&read(format!("SELECT '{}'", "x".repeat(1 << 20)))),
        Some(Unknown::TooLarge)
    );
    let script = "SELECT 1;".repeat(5000);
    let script = read(script);
    assert_eq!(
        (script.len(), why(&script)),
        (4097, Some(Unknown::TooLarge))
    );
}
