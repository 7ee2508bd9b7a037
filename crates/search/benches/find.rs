//! How long a book of 100,000 exchanges takes to be taken into the index and to be asked.
//!
//! `cargo bench -p tollbook-search --bench find` makes such a book, of sessions of five turns that
//! send their history again, and prints what each query took: the median and the longest of twenty,
//! each a page of fifty. `full` is with the rows from the book and the snippets around what was
//! found. A number behind `--` makes it a book of so many exchanges; with `cargo test` it is a hundred.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for a terminal"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollbook_budget::Prices;
use tollbook_exchange::{
    Action, Decision, Exchange, ExchangeId, Masked, Outcome, Principal, PrincipalKind, SessionId,
    Timestamp, Verdict,
};
use tollbook_recording::{Config, Reader, Recorder};
use tollbook_search::{Clock, Index, Query};

const TURNS: u64 = 5;
const RUNS: usize = 20;
const PAGE: usize = 50;

const QUERIES: [&str; 20] = [
    "",
    "verdict:deny",
    "subject:repo:acme/service-7",
    "subject:repo:acme/* tool:Bash verdict:deny",
    "repository:acme/service-7 model:claude-opus-* outcome:complete",
    "-tool:* status:200",
    "tokens:>11k",
    "tokens:>1000k",
    "cost:>0.05 duration:<1h since:1d",
    "until:1d",
    "tool:Bash tool:Read",
    "w3",
    "w17000",
    "w3 w4",
    "\"w3 w4\"",
    "\"w1 w2 w3\"",
    "w190*",
    "input:w77 verdict:deny",
    "w5 -w6 subject:repo:acme/service-9",
    "nowhere",
];

fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let bench = std::env::args().any(|argument| argument == "--bench");
    let count: u64 = asked.unwrap_or(if bench { 100_000 } else { 100 });
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(record(dir.path(), count));
    println!("recorded {count} exchanges in {:.1?}", begun.elapsed());

    let book = Reader::open(dir.path()).unwrap();
    let index = Index::open(dir.path(), Prices::built_in().unwrap()).unwrap();
    let begun = Instant::now();
    let caught = index.catch_up(&book).unwrap();
    println!(
        "indexed {} in {:.1?}; journal {} MB, index {} MB",
        caught.exchanges,
        begun.elapsed(),
        size(dir.path(), "journal.db"),
        size(dir.path(), "search.db"),
    );
    let begun = Instant::now();
    index.catch_up(&book).unwrap();
    println!("nothing new: {:.2?}", begun.elapsed());
    let clock = Clock::utc();
    println!("{:>10} {:>10} {:>10}  query", "median", "longest", "full");
    for text in QUERIES {
        let query: Query = text.parse().unwrap();
        let alone = times(|| {
            index.indexes(&query, &clock, PAGE, None).unwrap();
        });
        let full = times(|| {
            index.find(&book, &query, &clock, PAGE, None).unwrap();
        });
        let [median, longest] = [alone[RUNS / 2], alone[RUNS - 1]];
        println!(
            "{median:>10.2?} {longest:>10.2?} {:>10.2?}  {text}",
            full[RUNS / 2]
        );
    }
    let sessions = times(|| {
        index
            .sessions(&book, &Query::all(), &clock, PAGE, None)
            .unwrap();
    });
    println!(
        "{:>10.2?} {:>10.2?}  sessions list",
        sessions[RUNS / 2],
        sessions[RUNS - 1]
    );
}

fn times(mut run: impl FnMut()) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn size(folder: &std::path::Path, file: &str) -> u64 {
    std::fs::metadata(folder.join(file)).unwrap().len() / 1_000_000
}

/// The same book every time.
async fn record(folder: &std::path::Path, count: u64) {
    let recorder = Recorder::open(Config::new(folder, "bench.example/log")).unwrap();
    let sessions = count.div_ceil(TURNS);
    let mut running = tokio::task::JoinSet::new();
    for session in 0..sessions {
        if running.len() >= 64 {
            running.join_next().await.unwrap().unwrap();
        }
        let recorder = recorder.clone();
        running.spawn(async move {
            let mut random = Random(session.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let mut messages = Vec::new();
            for turn in 0..TURNS {
                one(&recorder, &mut random, session, turn, &mut messages).await;
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    recorder.close();
}

async fn one(
    recorder: &Recorder,
    random: &mut Random,
    session: u64,
    turn: u64,
    messages: &mut Vec<Value>,
) {
    let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
    let recording = recorder.begin(&exchange).await.unwrap();
    let service = session % 50;
    let mut caller = Principal::new(
        PrincipalKind::Ci,
        "ci",
        format!("repo:acme/service-{service}"),
    );
    let repository = json!(format!("acme/service-{service}"));
    caller.claims.insert("repository".to_owned(), repository);
    exchange.identified(&caller);
    let denied = random.below(50) == 0;
    let verdict = if denied {
        Verdict::Deny
    } else {
        Verdict::Allow
    };
    exchange.decided(&Decision::new(verdict, vec!["team".into()], "sha256:00"));
    let model = ["claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"]
        [usize::try_from(session % 3).unwrap()];
    messages.push(json!({ "role": "user", "content": random.text(60) }));
    let body = json!({ "model": model, "messages": messages }).to_string();
    exchange.draft(|draft| {
        draft.session = Some(SessionId::derived(u128::from(session + 1).to_be_bytes()));
        draft.action = Some(masked(Action::new("messages.create").with("model", model)));
        draft.request.method = "POST".into();
        draft.request.target = masked("/v1/messages".into());
        draft.request.bytes = body.len() as u64;
        draft.request.body = masked(Bytes::from(body));
    });
    recorder.commit(&exchange).await.unwrap();
    let mut content = vec![json!({ "type": "text", "text": random.text(60) })];
    if random.below(3) == 0 {
        let tool = if random.below(2) == 0 { "Bash" } else { "Read" };
        content.push(json!({
            "type": "tool_use",
            "id": format!("toolu_{session}_{turn}"),
            "name": tool,
            "input": { "command": random.text(10) },
        }));
    }
    messages.push(json!({ "role": "assistant", "content": content }));
    let result = json!({
        "model": { "requested": model, "served": model },
        "usage": { "input_tokens": random.below(12_000), "output_tokens": random.below(500) },
        "stop_reason": "end_turn",
        "answer": { "role": "assistant", "content": content },
    });
    let result: Map<String, Value> = result.as_object().unwrap().clone();
    exchange.draft(|draft| {
        draft.response.status = Some(if denied { 403 } else { 200 });
        draft.result = masked(result);
    });
    exchange.conclude(if denied {
        Outcome::Denied
    } else {
        Outcome::Complete
    });
    drop(recording);
}

#[expect(clippy::disallowed_methods, reason = "the bench writes its own bytes")]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}

/// Xorshift (Marsaglia 2003), so that the book is the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Words of which few are frequent and most are rare.
    fn text(&mut self, words: u64) -> String {
        let word = |random: &mut Self| {
            let bits = random.below(15);
            format!("w{}", random.below(1 << bits) + random.below(4))
        };
        let words: Vec<String> = (0..words).map(|_| word(self)).collect();
        words.join(" ")
    }
}
