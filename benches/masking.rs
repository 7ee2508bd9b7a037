//! The masking engine on agent traffic, beside `memcpy` and `memchr` on the same bytes.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up is no bench"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use tollbook_masking::Masker;

/// Source text and prose as an agent sends it, without any secret; the same on every run.
fn corpus(bytes: usize) -> Vec<u8> {
    let lines = [
        "fn main() -> Result<(), Box<dyn Error>> {\n",
        "    let config = Config::load(std::env::args().nth(1))?; // see docs/config.md\n",
        "The build fails since commit 3f2504e04f8911d39a0c0305e82c3301 on the main branch.\n",
        "    for (index, entry) in entries.iter().enumerate().filter(|(i, _)| i % 2 == 0) {\n",
        "SELECT id, total FROM orders WHERE customer = 42 AND created > '2026-01-01';\n",
        "drwxr-xr-x  5 build build  4096 Nov 21 19:47 target/release/deps/libserde-8f1.rlib\n",
    ];
    lines
        .iter()
        .cycle()
        .flat_map(|line| line.bytes())
        .take(bytes)
        .collect()
}

fn engine(criterion: &mut Criterion) {
    let masker = Masker::builder()
        .builtin()
        .build()
        .expect("the built-in rules are right");
    for (name, bytes) in [
        ("256B", 256),
        ("4KiB", 4 << 10),
        ("64KiB", 64 << 10),
        ("1MiB", 1 << 20),
    ] {
        let text = corpus(bytes);
        let request = json!({
            "model": "m", "max_tokens": 1,
            "messages": [{ "role": "user", "content": String::from_utf8_lossy(&text) }],
        });
        let request = request.to_string().into_bytes();
        let mut group = criterion.benchmark_group(format!("clean/{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("memcpy", |b| b.iter(|| black_box(black_box(&text).clone())));
        group.bench_function("memchr", |b| b.iter(|| memchr::memchr(0, black_box(&text))));
        group.bench_function("mask", |b| b.iter(|| masker.mask(black_box(&text))));
        group.bench_function("stream/64", |b| {
            let mut out = Vec::with_capacity(text.len());
            b.iter(|| {
                out.clear();
                let mut stream = masker.stream();
                text.chunks(64)
                    .for_each(|chunk| stream.push(black_box(chunk), &mut out));
                stream.finish(&mut out);
            });
        });
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function("json", |b| {
            b.iter(|| masker.json(black_box(&request), "body"));
        });
        group.finish();
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
