//! What the book costs: the way of a record to the disk beside the disk itself, and how long a book
//! of 100,000 exchanges takes to be verified, taken in and asked.
//!
//! `cargo bench --bench book` prints each number with its goal and, where the disk sets the pace, as
//! a multiple of an append with `fdatasync` that is measured in the same run. A number behind `--`
//! makes it a book of so many exchanges. Machine, file system and load are the reader's to tell;
//! `$TMPDIR` says on which disk. Erasure and the size of stored turns have benches of their own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for a terminal"
)]

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::json;
use tollbook_budget::Prices;
use tollbook_exchange::{
    Action, Decision, Exchange, ExchangeId, Masked, Outcome, Principal, PrincipalKind, SessionId,
    Timestamp, Verdict,
};
use tollbook_recording::{Config, Reader, Recorder};
use tollbook_search::{Clock, Index, Query};

/// Bytes of a request, as the raw append writes them too.
const BODY: usize = 1024;
const PAGE: usize = 50;
const RUNS: usize = 20;

fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let bench = std::env::args().any(|argument| argument == "--bench");
    let count: u32 = asked.unwrap_or(if bench { 100_000 } else { 200 });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("load before: {}", load());
    let raw = raw(if bench { 2_000 } else { 50 });
    println!(
        "raw append + fdatasync of {BODY} bytes: p50 {:.3} ms, p99 {:.3} ms",
        raw.at(50),
        raw.at(99)
    );
    for clients in [1, 8, 64] {
        let each = if bench { 20_000 / clients.max(8) } else { 4 };
        runtime.block_on(path(clients, each, &raw));
    }
    runtime.block_on(large(count));
    println!("load after: {}", load());
}

/// Times in milliseconds, sorted.
struct Times(Vec<f64>);

impl Times {
    fn new(times: Vec<Duration>) -> Self {
        let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn at(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

/// The disk alone.
fn raw(appends: usize) -> Times {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raw");
    let mut file: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    let bytes = vec![b'x'; BODY];
    let times = (0..appends).map(|_| {
        let begun = Instant::now();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        begun.elapsed()
    });
    Times::new(times.collect())
}

/// The way of a request until it may be forwarded, with so many clients at once.
async fn path(clients: u32, each: u32, raw: &Times) {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(Config::new(dir.path(), "bench.example/log")).unwrap();
    let before = recorder.stats();
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        let recorder = recorder.clone();
        running.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..each {
                times.push(one(&recorder, client, 'x'.to_string().repeat(BODY)).await);
            }
            times
        });
    }
    let times = Times::new(running.join_all().await.concat());
    recorder.close();
    let took = begun.elapsed().as_secs_f64();
    let after = recorder.stats();
    let records = f64::from(u32::try_from(after.entries - before.entries).unwrap()) / took;
    let goal = match clients {
        8 => ", goal 0.5 and 5 ms",
        64 => ", goal 10,000 records/s",
        _ => "",
    };
    println!(
        "record path, {clients} clients: p50 {:.3} ms ({:.1} x raw), p99 {:.3} ms ({:.1} x raw), \
         {records:.0} records/s, {:.1} records a commit{goal}",
        times.at(50),
        times.at(50) / raw.at(50),
        times.at(99),
        times.at(99) / raw.at(99),
        (after.entries - before.entries) as f64 / (after.commits - before.commits).max(1) as f64,
    );
}

/// A whole exchange. The time that its request waited.
async fn one(recorder: &Recorder, caller: u32, text: String) -> Duration {
    let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
    let recording = recorder.begin(&exchange).await.unwrap();
    let subject = format!("repo:acme/service-{}", caller % 50);
    exchange.identified(&Principal::new(PrincipalKind::Ci, "ci", subject));
    exchange.decided(&Decision::new(
        Verdict::Allow,
        vec!["team".into()],
        "sha256:00",
    ));
    let body = json!({
        "model": "claude-haiku-4-5",
        "messages": [{ "role": "user", "content": text }],
    });
    exchange.draft(|draft| {
        draft.session = Some(SessionId::derived(u128::from(caller + 1).to_be_bytes()));
        draft.action = Some(masked(Action::new("messages.create")));
        draft.request.method = "POST".into();
        draft.request.target = masked("/v1/messages".into());
        draft.request.body = masked(Bytes::from(body.to_string()));
    });
    let begun = Instant::now();
    recorder.commit(&exchange).await.unwrap();
    let waited = begun.elapsed();
    exchange.draft(|draft| draft.response.status = Some(200));
    exchange.conclude(Outcome::Complete);
    drop(recording);
    waited
}

/// A book of so many exchanges.
async fn large(count: u32) {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(Config::new(dir.path(), "bench.example/log")).unwrap();
    let mut running = tokio::task::JoinSet::new();
    for client in 0..64_u32 {
        let recorder = recorder.clone();
        running.spawn(async move {
            for number in (client..count).step_by(64) {
                let words =
                    (0..60_u32).map(|word| format!("w{}", (number * 31 + word * word) % 9973));
                one(&recorder, number / 5, words.collect::<Vec<_>>().join(" ")).await;
            }
        });
    }
    running.join_all().await;
    recorder.close();
    drop(recorder);
    let book = Reader::open(dir.path()).unwrap();
    let found = time(|| assert!(book.verify(None).unwrap().is_verified()));
    let per = 100_000.0 / f64::from(count);
    println!("book of {count} exchanges, {} MB", size(dir.path()));
    println!(
        "verify: {found:.2} s, {:.2} s for 100,000, goal 10 s",
        found * per
    );
    let index = Index::open(dir.path(), Prices::built_in().unwrap()).unwrap();
    let filled = time(|| index.catch_up(&book).map(|_| ()).unwrap());
    println!("index made: {filled:.1} s");
    for (what, text, goal) in [
        (
            "filter query",
            "subject:repo:acme/service-7 status:200",
            "50 ms",
        ),
        ("full text", "w77 w108", "200 ms"),
        ("full text, a phrase", "\"w31 w32\"", "200 ms"),
    ] {
        let query: Query = text.parse().unwrap();
        let times = (0..RUNS).map(|_| {
            let begun = Instant::now();
            index
                .find(&book, &query, &Clock::utc(), PAGE, None)
                .unwrap();
            begun.elapsed()
        });
        let times = Times::new(times.collect());
        println!(
            "{what} `{text}`: p50 {:.1} ms, longest {:.1} ms, goal {goal}",
            times.at(50),
            times.at(100)
        );
    }
}

fn time(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64()
}

fn size(folder: &Path) -> u64 {
    let journal = folder.join("journal.db").metadata().unwrap();
    journal.len() / 1_000_000
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the bench writes its own bytes")]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}
