//! On texts without matches, nothing is allocated once a stream is warm, and a stream is small.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use serde_json::json;
use tollbook_masking::{MaskStream, Masker};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// So many bytes are in use.
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this allocates.
fn count(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

const LINES: [&str; 6] = [
    "fn main() -> Result<(), Box<dyn Error>> {\n",
    "    let token = tokens.next().ok_or(Error::End)?; // see docs/tokens.md\n",
    "The build fails since commit 3f2504e04f8911d39a0c0305e82c3301 on the main branch.\n",
    "SELECT id, total FROM orders WHERE customer = 42 AND created > '2026-01-01';\n",
    "2026-01-01T12:30:45Z INFO http://127.0.0.1:8080/health key=value status: 200\n",
    "{\"max_tokens\": 1024, \"api_key\": \"<your-key>\", \"password\": \"${PASSWORD}\"}\n",
];

#[test]
fn a_text_without_matches_needs_no_memory() {
    let text = LINES.concat().repeat(40);
    let masker = Masker::builtin();
    assert!(masker.mask(text.as_bytes()).matches.is_empty());
    let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(4 * text.len()));
    for size in [1, 7, 64, 1000, text.len()] {
        for warm in [false, true] {
            out.clear();
            let allocated = count(|| {
                for piece in text.as_bytes().chunks(size) {
                    stream.push(piece, &mut out);
                }
                stream.finish(&mut out);
            });
            assert_eq!(out, text.as_bytes());
            assert!(!warm || allocated == 0, "{allocated} allocations");
        }
    }
}

#[test]
fn whole_texts_one_behind_the_other_need_no_memory() {
    let masker = Masker::builtin();
    let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(1 << 10));
    let all = |stream: &mut MaskStream, out: &mut Vec<u8>| {
        for line in LINES {
            out.clear();
            stream.push_last(line.as_bytes(), out);
            assert_eq!(out, line.as_bytes());
        }
    };
    all(&mut stream, &mut out);
    assert_eq!(count(|| all(&mut stream, &mut out)), 0);
}

/// A whole text is handed out in memory of its own: its bytes and what counts who holds them.
#[test]
fn what_masking_a_whole_text_needs_does_not_grow_with_it() {
    let masker = Masker::builtin();
    let mask = |lines: usize| {
        let text = LINES.concat().repeat(lines);
        count(|| drop(masker.mask(text.as_bytes())))
    };
    mask(1);
    assert!(mask(1) <= 2, "{}", mask(1));
    assert_eq!(mask(1), mask(100));
}

#[test]
fn what_a_document_needs_does_not_grow_with_its_texts() {
    let masker = Masker::builtin();
    let scan = |texts: usize| {
        let messages: Vec<_> = (0..texts)
            .map(|at| json!({ "role": "user", "content": LINES[at % 5] }))
            .collect();
        let body = json!({ "model": "m", "messages": messages }).to_string();
        let scanned = masker.json(body.as_bytes(), "body");
        assert!(scanned.found.is_empty());
        count(|| drop(masker.json(body.as_bytes(), "body")))
    };
    scan(10);
    let (few, many) = (scan(20), scan(2000));
    // Lists double when they are full; there is no allocation for each text.
    assert!(many <= few + 8, "{few} allocations, then {many}");
}

/// 2 KiB, with everything that belongs to it, whatever has gone through it.
#[test]
fn a_stream_is_small() {
    const MOST: usize = 2 << 10;

    let masker = Masker::builtin();
    let mut out = Vec::with_capacity(1 << 20);
    let texts = [
        LINES.concat(),
        "password = \"".repeat(500),
        "a".repeat(5000),
        "-----BEGIN PRIVATE KEY-----\n".repeat(50),
    ];
    // Automata belong to the masker, and are made when they are first used.
    for (warm, size) in [false, true]
        .into_iter()
        .flat_map(|warm| [1, 16, 300, 5000].map(|size| (warm, size)))
    {
        let before = LIVE.get();
        let mut stream = masker.stream();
        for text in &texts {
            for piece in text.as_bytes().chunks(size) {
                out.clear();
                stream.push(piece, &mut out);
                let used = LIVE.get() - before + size_of_val(&stream);
                assert!(!warm || used <= MOST, "{used} bytes");
            }
        }
    }
}
