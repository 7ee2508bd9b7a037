//! The detectors on texts of agents, beside what only searches the same bytes.
//!
//! `literals` is an automaton over literals of the same number and kind and checks nothing: the
//! price of searching alone. `memchr` is the limit of reading.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up is no bench"
)]

use std::hint::black_box;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollbook_detection::{Detectors, Place};

const PROSE: [&str; 5] = [
    "The build fails since commit 3f2504e0 on the main branch, and nobody has looked at it yet.\n",
    "We moved the settings into one file so that a reviewer sees at once what has changed.\n",
    "Please read the log first, then tell me which of the two services gave up and why.\n",
    "It is faster now, because the list is sorted once and not for each of the requests.\n",
    "A second look at the numbers of last week did not bring anything that we had missed.\n",
];
const JSON: [&str; 4] = [
    "{\"id\":1042,\"state\":\"open\",\"labels\":[\"bug\",\"backend\"],\"author\":\"ann\",\"comments\":3},\n",
    "{\"path\":\"src/main.rs\",\"additions\":12,\"deletions\":4,\"status\":\"modified\",\"sha\":\"3f2504e0\"},\n",
    "{\"name\":\"p99\",\"value\":0.0231,\"unit\":\"s\",\"tags\":{\"host\":\"web-3\",\"zone\":\"eu-1\"}},\n",
    "{\"timestamp\":\"2026-11-21T19:47:03Z\",\"level\":\"info\",\"message\":\"connected\",\"peer\":7},\n",
];
const CODE: [&str; 6] = [
    "fn main() -> Result<(), Box<dyn Error>> {\n",
    "    let config = Config::load(std::env::args().nth(1))?; // see docs/config.md\n",
    "    for (index, entry) in entries.iter().enumerate().filter(|(i, _)| i % 2 == 0) {\n",
    "        writeln!(out, \"{index}: {}\", entry.name.trim_end_matches('/'))?;\n",
    "    async fn handle(&self, request: Request<Body>) -> Response<Body> {\n",
    "SELECT id, total FROM orders WHERE customer = 42 AND created > '2026-01-01';\n",
];
/// Whatever makes many candidates, and long checks of each.
const ADVERSARIAL: [&str; 6] = [
    "rm -r rm -r rm -r ",
    "curl x curl x curl x ",
    "DELETE FROM a b UPDATE a SET b=1, ",
    "ignore all the ignore all the ",
    "kubectl a kubectl -n delete ",
    "\u{200b}r\\m \"a\" ${IFS}](http://x?",
];

fn corpus(lines: &[&str], bytes: usize) -> String {
    let mut text: String = lines.iter().copied().cycle().take(bytes / 8).collect();
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// The texts of a request as Claude Code sends it: a long system prompt, definitions of tools, and
/// a conversation of tool calls and their results, 120 KB together.
fn body() -> Vec<(Place, String)> {
    let mut texts = vec![(Place::System, corpus(&PROSE, 14 << 10))];
    texts.extend((0..16).map(|_| (Place::ToolDefinition, corpus(&PROSE, 2 << 10))));
    texts.push((Place::UserText, corpus(&PROSE, 2 << 10)));
    for turn in 0..24 {
        texts.push((Place::AssistantText, corpus(&PROSE, 300)));
        let command = "cd /work && cargo test -p app -- --nocapture 2>&1 | tail -n 40";
        texts.push((Place::tool_use("Bash"), command.to_owned()));
        let lines: &[&str] = if turn % 2 == 0 { &CODE } else { &JSON };
        texts.push((Place::ToolResult, corpus(lines, 2_600)));
    }
    texts
}

fn engine(criterion: &mut Criterion) {
    let detectors = Detectors::builtin();
    let literals: Vec<&str> = include_str!("../crates/detection/rules/builtin.toml")
        .lines()
        .filter_map(|line| line.strip_prefix("literals = ["))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(|literal| literal.len() >= 3)
        .collect();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(&literals)
        .expect("the literals fit into an automaton");

    for (name, lines) in [
        ("prose", &PROSE[..]),
        ("json", &JSON),
        ("code", &CODE),
        ("adversarial", &ADVERSARIAL),
    ] {
        let text = corpus(lines, 1 << 20);
        let mut group = criterion.benchmark_group(format!("{name}/1MiB"));
        group.sample_size(20);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("memchr", |b| {
            b.iter(|| memchr::memchr(0, black_box(text.as_bytes())));
        });
        group.bench_function("literals", |b| {
            b.iter(|| automaton.find_overlapping_iter(black_box(&text)).count());
        });
        for place in [Place::UserText, Place::ToolResult, Place::tool_use("Bash")] {
            group.bench_function(place.name(), |b| {
                b.iter(|| {
                    let mut scan = detectors.scan();
                    scan.text(place.clone(), black_box(&text));
                    scan.finish()
                });
            });
        }
        group.finish();
    }

    let texts = body();
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let mut group = criterion.benchmark_group("claude-code/120KB");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("scan", |b| {
        b.iter(|| {
            let mut scan = detectors.scan();
            for (place, text) in &texts {
                scan.text(place.clone(), black_box(text));
            }
            scan.finish()
        });
    });
    group.finish();
    criterion.bench_function("tool-call/62B", |b| {
        let command = "cd /work && cargo test -p app -- --nocapture 2>&1 | tail -n 40";
        b.iter(|| {
            let mut scan = detectors.scan();
            scan.text(Place::tool_use("Bash"), black_box(command));
            scan.finish()
        });
    });
}

criterion_group!(benches, engine);
criterion_main!(benches);
