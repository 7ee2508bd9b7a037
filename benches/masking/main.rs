//! The masking engine on agent traffic, beside what it is compared with on the same bytes.
//!
//! - `limits`: what the machine can do with 64 KiB: `memcpy`, `memchr`, a list of bytes counted one by
//!   one. `no-rules`, `nothing`: the engine without a rule, and on a text without a place to look at.
//! - `traffic`, `hard`: texts without anything to mask, by size, in a stream that is used again.
//!   `traffic` is what agents send; `hard` is dense with what looks like a secret and is none.
//! - `delta`: one piece of a stream, with what it holds back.
//! - `json`: requests by their structure: strings without an escape, as they come, and with documents
//!   in strings. `rows`: results of a database. `restore`: tokens that are turned back.
//! - `dense`: a secret every 200 bytes. `adversarial`: texts that are all beginnings of something.
//! - `peers`: rules of the built-in pack as regular expressions. See [`peers`].
//! - `load`: from the rules' text to a masker.
//!
//! Times are those of the thread on the processor, so that other work on the machine counts for
//! less. All texts are made from a seed; `traffic` and `json` have the sources of this workspace in
//! them, so compare commits on the same sources.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up is no bench"
)]

mod peers;
mod texts;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use tollbook_benches::corpus;
use tollbook_masking::{
    Base, MaskKey, Masker, Operator,
    vault::{Vault, VaultLimits},
    view::RowMasker,
};
use tollbook_masking_benches::Cpu;

use self::texts::Texts;

const SEED: u64 = 1;
const SIZES: [(&str, usize); 4] = [
    ("256B", 256),
    ("4KiB", 4 << 10),
    ("64KiB", 64 << 10),
    ("1MiB", 1 << 20),
];

fn limits(criterion: &mut Criterion<Cpu>) {
    let texts = Texts::of(&Masker::builtin());
    let text = &texts.traffic[..64 << 10];
    let mut out = Vec::with_capacity(text.len());
    let mut group = criterion.benchmark_group("limits");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("memcpy/64KiB", |bench| {
        bench.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(text));
            black_box(&out);
        });
    });
    group.bench_function("memchr/64KiB", |bench| {
        bench.iter(|| memchr::memchr(0, black_box(text)));
    });
    group.bench_function("byte-by-byte/64KiB", |bench| {
        let mut seen = [0u32; 256];
        bench.iter(|| {
            for byte in black_box(text) {
                let count = &mut seen[usize::from(*byte)];
                *count = count.wrapping_add(1);
            }
            black_box(&seen);
        });
    });
    let none = Masker::builder().build().expect("no rule has a mistake");
    whole(&mut group, "no-rules/64KiB", &none, text);
    // No byte of it is of any lane.
    whole(
        &mut group,
        "nothing/64KiB",
        &Masker::builtin(),
        &vec![0; 64 << 10],
    );
    group.finish();
}

/// A text after the other through one stream, as a caller that keeps its buffers does.
fn whole(group: &mut BenchmarkGroup<'_, Cpu>, name: &str, masker: &Masker, text: &[u8]) {
    pieces(
        group,
        BenchmarkId::from_parameter(name),
        masker,
        text,
        text.len(),
    );
}

/// Texts of this size that stand one behind the other.
fn pieces(
    group: &mut BenchmarkGroup<'_, Cpu>,
    id: BenchmarkId,
    masker: &Masker,
    text: &[u8],
    size: usize,
) {
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function(id, |bench| {
        let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(2 * size));
        let mut pieces = text.chunks_exact(size).cycle();
        bench.iter(|| {
            out.clear();
            stream.push_last(black_box(pieces.next().unwrap_or_default()), &mut out);
            black_box(&out);
        });
    });
}

fn clean(criterion: &mut Criterion<Cpu>) {
    let masker = Masker::builtin();
    let texts = Texts::of(&masker);
    for (name, text) in [("traffic", &texts.traffic), ("hard", &texts.hard)] {
        let mut group = criterion.benchmark_group(name);
        for (size_name, size) in SIZES {
            let text = &text[..size.max(256 << 10)];
            pieces(
                &mut group,
                BenchmarkId::new("stream", size_name),
                &masker,
                text,
                size,
            );
        }
        let text = &text[..64 << 10];
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("mask/64KiB", |bench| {
            bench.iter(|| masker.mask(black_box(text)));
        });
        group.finish();
    }
}

fn deltas(criterion: &mut Criterion<Cpu>) {
    let masker = Masker::builtin();
    let texts = Texts::of(&masker);
    for (name, text) in [
        ("delta/traffic", &texts.traffic),
        ("delta/hard", &texts.hard),
    ] {
        let mut group = criterion.benchmark_group(name);
        for size in [16, 64, 256] {
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(size.to_string(), |bench| {
                let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(1 << 10));
                let mut pieces = text.chunks_exact(size).cycle();
                bench.iter(|| {
                    out.clear();
                    stream.push(black_box(pieces.next().unwrap_or_default()), &mut out);
                    black_box(&out);
                });
            });
        }
        group.finish();
    }
}

fn documents(criterion: &mut Criterion<Cpu>) {
    let masker = Masker::builtin();
    let texts = Texts::of(&masker);
    let mut group = criterion.benchmark_group("json");
    for (name, document) in [
        ("plain", &texts.plain),
        ("escaped", &texts.escaped),
        ("nested", &texts.nested),
    ] {
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| masker.json(black_box(document), "body"));
        });
    }
    let bytes: usize = texts.requests.iter().map(String::len).sum();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("requests", |bench| {
        bench.iter(|| {
            for request in &texts.requests {
                black_box(masker.json(black_box(request.as_bytes()), "body"));
            }
        });
    });
    group.finish();
}

fn rows(criterion: &mut Criterion<Cpu>) {
    let masker = Masker::builtin();
    let texts = Texts::of(&masker);
    let mut group = criterion.benchmark_group("rows");
    for (name, table) in [
        ("text", texts.text_rows()),
        ("int", texts.int_rows()),
        ("wide", texts.wide_rows()),
    ] {
        let cells: Vec<Option<&[u8]>> = table
            .cells
            .iter()
            .map(|cell| Some(cell.as_bytes()))
            .collect();
        let bytes: usize = table.cells.iter().map(String::len).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |bench| {
            let mut rows = RowMasker::new(&masker, &table.columns);
            bench.iter(|| rows.mask(black_box(&cells)));
        });
    }
    group.finish();
}

/// An answer in which every fifth line has a token.
fn restore(criterion: &mut Criterion<Cpu>) {
    let key = MaskKey::new([7; 32]);
    let session = Vault::new(&key, VaultLimits::default()).session(&["bench"], Instant::now());
    let profile = Masker::builtin()
        .profile(Base::Default)
        .key(key)
        .rule("email", Operator::Token);
    let masker = profile
        .build()
        .expect("addresses may be tokens")
        .session(&session);
    let texts = Texts::of(&masker);
    let mut text = String::new();
    let traffic = String::from_utf8_lossy(&texts.traffic[..64 << 10]).into_owned();
    for (number, line) in traffic.lines().enumerate() {
        text.push_str(line);
        if number % 5 == 0 {
            text.push_str(&format!(" ask anna.{number}@acme-pay.com"));
        }
        text.push('\n');
    }
    let masked = masker.mask(text.as_bytes()).masked.into_inner();
    let mut group = criterion.benchmark_group("restore");
    group.throughput(Throughput::Bytes(masked.len() as u64));
    for (name, size) in [("whole", masked.len()), ("deltas-of-64B", 64)] {
        group.bench_function(name, |bench| {
            let mut out = Vec::with_capacity(2 * masked.len());
            bench.iter(|| {
                out.clear();
                let mut stream = session.restore();
                masked
                    .chunks(size)
                    .for_each(|piece| stream.push(black_box(piece), &mut out));
                stream.finish(&mut out);
                black_box(&out);
            });
            assert_eq!(out, text.as_bytes(), "what was masked is turned back");
        });
    }
    group.finish();
}

fn dense(criterion: &mut Criterion<Cpu>) {
    let dense = corpus::dense(SEED, 256 << 10);
    let mut group = criterion.benchmark_group("dense");
    whole(&mut group, "256KiB", &Masker::builtin(), dense.as_bytes());
    group.finish();
}

fn adversarial(criterion: &mut Criterion<Cpu>) {
    let masker = Masker::builtin();
    let mut group = criterion.benchmark_group("adversarial");
    let size = 64 << 10;
    group.throughput(Throughput::Bytes(size as u64));
    for (name, unit) in texts::ADVERSARIAL {
        let text: Vec<u8> = unit.bytes().cycle().take(size).collect();
        whole(&mut group, name, &masker, &text);
    }
    group.finish();
}

fn load(criterion: &mut Criterion<Cpu>) {
    criterion.bench_function("load", |bench| {
        bench.iter(|| {
            Masker::builder()
                .builtin()
                .build()
                .expect("built-in rules compile")
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(Cpu)
        .without_plots()
        .sample_size(20)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = limits, clean, deltas, documents, rows, restore, dense, adversarial, peers::peers, load
}
criterion_main!(benches);
