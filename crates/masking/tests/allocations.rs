//! On a text without matches, nothing is allocated once a stream is warm.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use tollbook_masking::Masker;

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_text_without_matches_needs_no_memory() {
    let lines = [
        "fn main() -> Result<(), Box<dyn Error>> {\n",
        "    let token = tokens.next().ok_or(Error::End)?; // see docs/tokens.md\n",
        "The build fails since commit 3f2504e04f8911d39a0c0305e82c3301 on the main branch.\n",
        "SELECT id, total FROM orders WHERE customer = 42 AND created > '2026-01-01';\n",
        "2026-01-01T12:30:45Z INFO http://127.0.0.1:8080/health key=value status: 200\n",
        "{\"max_tokens\": 1024, \"api_key\": \"<your-key>\", \"password\": \"${PASSWORD}\"}\n",
    ];
    let text = lines.concat().repeat(40);
    let masker = Masker::builtin();
    assert!(masker.mask(text.as_bytes()).matches.is_empty());
    let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(4 * text.len()));
    for size in [7, 64, 1000, text.len()] {
        for warm in [false, true] {
            out.clear();
            let before = COUNT.get();
            for piece in text.as_bytes().chunks(size) {
                stream.push(piece, &mut out);
            }
            stream.finish(&mut out);
            assert_eq!(out, text.as_bytes());
            assert!(
                !warm || COUNT.get() == before,
                "{} allocations",
                COUNT.get() - before
            );
        }
    }
}
