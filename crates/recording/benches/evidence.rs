//! How long a large book takes to verify, to write as evidence, and to check as that.
//!
//! `cargo bench -p tollbook-recording --bench evidence` makes a book of 100,000 exchanges; a number
//! behind `--` makes it of so many. With `cargo test` it is a book of a hundred.

#![expect(clippy::print_stdout, reason = "what a bench is for")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tollbook_exchange::{Exchange, ExchangeId, Masked, Outcome, SessionId, Timestamp};
use tollbook_recording::{Config, EvidenceOptions, Reader, Recorder};

type Failed = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let bench = std::env::args().any(|argument| argument == "--bench");
    let exchanges: u64 = asked.unwrap_or(if bench { 100_000 } else { 100 });
    let folder = tempfile::tempdir()?;
    let book = folder.path().join("book");
    told("record", exchanges, record(&book, exchanges).await?);

    let reader = Reader::open(&book)?;
    let begun = Instant::now();
    let found = black_box(reader.verify(None)?);
    told("verify the book", exchanges, begun.elapsed());
    assert!(found.is_verified(), "{:?}", found.faults);

    let one = folder.path().join("session");
    let mut options = EvidenceOptions::default();
    options.selection.session = Some(*session(3).as_bytes());
    let begun = Instant::now();
    let written = reader.evidence(None, &options, &one)?;
    told("write one session of it", exchanges, begun.elapsed());
    println!(
        "{:>50} {:>10} bytes in {} files",
        "", written.bytes, written.files
    );
    let begun = Instant::now();
    let report = black_box(tollbook_verify::check(&one, None, &[])?);
    told("check that session", exchanges, begun.elapsed());
    assert!(report.is_verified(), "{:?}", report.faults);

    let all = folder.path().join("all");
    let begun = Instant::now();
    let written = reader.evidence(None, &EvidenceOptions::default(), &all)?;
    told("write all of it", exchanges, begun.elapsed());
    println!(
        "{:>50} {:>10} bytes in {} files",
        "", written.bytes, written.files
    );
    let begun = Instant::now();
    let report = black_box(tollbook_verify::check(&all, None, &[])?);
    told("check all of it", exchanges, begun.elapsed());
    assert!(report.is_verified(), "{:?}", report.faults);
    Ok(())
}

/// A book of exchanges with bodies of two kilobytes, a hundred to a session.
async fn record(book: &std::path::Path, exchanges: u64) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let recorder = Recorder::open(Config::new(book, "audit.example/gw1"))?;
    let prompt = Bytes::from("a prompt of some length, ".repeat(40));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..exchanges {
        if tasks.len() >= 256 {
            tasks.join_next().await;
        }
        let (recorder, prompt) = (recorder.clone(), prompt.clone());
        tasks.spawn(async move {
            let id = ExchangeId::generate();
            let exchange = Exchange::open(id, "claude", "claude", Timestamp::now());
            let recording = recorder.begin(&exchange).await;
            exchange.draft(|draft| {
                draft.session = Some(session(n / 100));
                draft.request.body = masked(prompt.clone());
            });
            recorder.commit(&exchange).await.unwrap_or_default();
            exchange.answered(masked(prompt.slice(..500)));
            exchange.answered(masked(prompt.slice(500..)));
            exchange.conclude(Outcome::Complete);
            drop(recording);
        });
    }
    while tasks.join_next().await.is_some() {}
    drop(recorder);
    Ok(begun.elapsed())
}

fn session(n: u64) -> SessionId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SessionId::derived(bytes)
}

#[expect(clippy::disallowed_methods, reason = "a bench writes its own bytes")]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}

fn told(what: &str, exchanges: u64, took: Duration) {
    println!(
        "{exchanges:>10} exchanges: {what:<25} {:>12.3} s",
        took.as_secs_f64()
    );
}
