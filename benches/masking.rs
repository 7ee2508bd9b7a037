//! The masking engine on agent traffic, beside what it is compared with on the same bytes.
//!
//! - `clean/*`: texts without anything to mask, by size; `memcpy` and `memchr` are what the machine
//!   can do, the peers are what others do with rules of this kind.
//! - `delta/*`: one piece of a stream, with what it holds back.
//! - `json`, `dense`: a request; a secret every 200 bytes.
//! - `adversarial/*`: texts that are all beginnings of something.
//!
//! All texts are made from a seed, so every run has the same.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up is no bench"
)]

use std::{hint::black_box, time::Duration};

use aho_corasick::AhoCorasick;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use tollbook_benches::corpus;
use tollbook_masking::Masker;

const SEED: u64 = 1;

/// Agent traffic of all sorts, without a match of any rule.
fn clean(masker: &Masker, bytes: usize) -> Vec<u8> {
    let documents = corpus::clean(SEED, 2 * bytes);
    let clean = documents
        .iter()
        .map(|document| document.text.as_bytes())
        .filter(|text| masker.mask(text).matches.is_empty());
    let mut text: Vec<u8> = clean.flatten().copied().collect();
    while text.len() < bytes {
        text.extend_from_within(..);
    }
    text.truncate(bytes);
    text
}

fn texts(criterion: &mut Criterion) {
    let masker = Masker::builtin();
    let mut group = criterion.benchmark_group("clean");
    for (name, bytes) in [
        ("256B", 256),
        ("4KiB", 4 << 10),
        ("64KiB", 64 << 10),
        ("1MiB", 1 << 20),
    ] {
        let text = clean(&masker, bytes);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let mut out = Vec::with_capacity(2 * bytes);
        group.bench_function(BenchmarkId::new("mask", name), |bench| {
            let mut stream = masker.stream();
            bench.iter(|| {
                out.clear();
                stream.push_last(black_box(&text), &mut out);
            });
        });
        group.bench_function(BenchmarkId::new("memcpy", name), |bench| {
            bench.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&text));
                black_box(&out);
            });
        });
        group.bench_function(BenchmarkId::new("memchr", name), |bench| {
            bench.iter(|| memchr::memchr(0, black_box(&text)));
        });
    }
    // No byte of it is of any lane: this is what the kernel alone takes.
    let nothing = vec![0; 64 << 10];
    group.throughput(Throughput::Bytes(nothing.len() as u64));
    group.bench_function("nothing/64KiB", |bench| {
        bench.iter(|| masker.mask(black_box(&nothing)));
    });
    group.finish();
}

/// The literals and keys that a scanner by keywords would look for in the same text.
fn peers(criterion: &mut Criterion) {
    const KEYWORDS: &[&str] = &[
        "akia", "ghp_", "gho_", "sk-", "xox", "glpat-", "eyj", "npm_", "pypi-", "aiza", "begin",
        "password", "passwd", "secret", "token", "api_key", "apikey", "bearer", "auth", "key",
        "hvs.", "sg.", "dop_v1", "shpat", "sq0", "rk_live", "whsec", "pat", "dp.pt", "lin_api",
    ];
    let masker = Masker::builtin();
    let text = clean(&masker, 64 << 10);
    let keywords = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(KEYWORDS)
        .expect("keywords are few");
    let mut group = criterion.benchmark_group("peers");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("keywords-by-aho-corasick/64KiB", |bench| {
        bench.iter(|| keywords.find_overlapping_iter(black_box(&text)).count());
    });
    group.finish();
}

fn deltas(criterion: &mut Criterion) {
    let masker = Masker::builtin();
    let text = clean(&masker, 64 << 10);
    let mut group = criterion.benchmark_group("delta");
    for size in [16, 64, 256] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(size.to_string(), |bench| {
            let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(1 << 10));
            let mut pieces = text.chunks_exact(size).cycle();
            bench.iter(|| {
                out.clear();
                stream.push(black_box(pieces.next().unwrap_or_default()), &mut out);
            });
        });
    }
    group.finish();
}

fn documents(criterion: &mut Criterion) {
    let masker = Masker::builtin();
    let text = clean(&masker, 64 << 10);
    let request = json!({
        "model": "m", "max_tokens": 1,
        "messages": [{ "role": "user", "content": String::from_utf8_lossy(&text) }],
    });
    let request = request.to_string().into_bytes();
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function("64KiB", |bench| {
        bench.iter(|| masker.json(black_box(&request), "body"));
    });
    group.finish();

    let dense = corpus::dense(SEED, 64 << 10);
    let mut group = criterion.benchmark_group("dense");
    group.throughput(Throughput::Bytes(dense.len() as u64));
    group.bench_function("64KiB", |bench| {
        bench.iter(|| masker.mask(black_box(dense.as_bytes())));
    });
    group.finish();
}

fn adversarial(criterion: &mut Criterion) {
    const UNITS: &[(&str, &str)] = &[
        ("one-letter", "a"),
        ("digits", "1"),
        ("cards", "4111 1111 "),
        ("prefixes", "-ghp_"),
        ("jwts", "-eyJ"),
        ("backslashes", "\\"),
        ("colons", "::"),
        ("assignments", "a=a="),
        ("keys", "key="),
        ("passwords", "password: \""),
        ("ats", "a@"),
        ("addresses", "a.b@c."),
        ("users", "http://a:b"),
        ("pem", "-----BEGIN "),
        ("pairs", "0a:"),
        ("upper", "AB12 "),
    ];
    let masker = Masker::builtin();
    let mut group = criterion.benchmark_group("adversarial");
    let size = 64 << 10;
    group.throughput(Throughput::Bytes(size as u64));
    for (name, unit) in UNITS {
        let text: Vec<u8> = unit.bytes().cycle().take(size).collect();
        group.bench_function(*name, |bench| bench.iter(|| masker.mask(black_box(&text))));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = texts, peers, deltas, documents, adversarial
}
criterion_main!(benches);
