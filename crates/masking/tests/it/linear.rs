//! P8: the work is linear in the input, whatever the input is.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use tollbook_masking::{Masker, view::BodyMasker};

use crate::corpus::strict;

/// What makes matches begin, or nearly, again and again.
const UNITS: [&str; 28] = [
    "a",
    "A",
    "0",
    "-",
    "\\",
    "\"",
    "=",
    ":",
    "[",
    "{",
    "@",
    "a@",
    "eyJ",
    "ghp_",
    "AKIA",
    "sk-ant-",
    "password",
    "password=",
    "password: \"",
    "token = ",
    "://a:",
    "a.b-",
    "1-",
    "+1 ",
    "\\n",
    "\\u0041",
    "-----BEGIN PRIVATE KEY-----\n",
    "[REDACTED:",
];
/// As many small inputs as one large one holds.
const MORE: usize = 16;
/// The large one may take so many times as long as all the small ones. What is quadratic takes
/// sixteen times as long.
const MOST: u32 = 4;

fn repeated(unit: &str, size: usize) -> String {
    unit.repeat(size / unit.len())
}

/// The time that this thread has had of a processor, where the system tells: others use it too.
fn used(start: Instant) -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat");
    let nanos = told
        .ok()
        .and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Does the work for every unit, on `size` bytes of it and on many more.
fn check(what: &str, size: usize, work: impl Fn(&str)) {
    /// What is shorter than a few ticks of the system's clock is not quadratic.
    const SHORT: Duration = Duration::from_millis(20);
    const TRIES: usize = 3;

    let start = Instant::now();
    let time = |text: &str, runs: usize| {
        let before = used(start);
        (0..runs).for_each(|_| work(text));
        used(start) - before
    };
    for unit in UNITS {
        let (small, large) = (repeated(unit, size), repeated(unit, MORE * size));
        let mut last = (Duration::ZERO, Duration::ZERO);
        let is_linear = (0..TRIES).any(|_| {
            last = (time(&small, MORE), time(&large, 1));
            last.1 < last.0.max(SHORT) * MOST
        });
        assert!(is_linear, "{what} of {unit:?}: {last:?}");
    }
}

#[test]
fn texts_take_time_by_their_length() {
    let masker = strict();
    check("a text", 4 << 10, |text| {
        masker.mask(text.as_bytes());
    });
}

#[test]
fn texts_in_pieces_take_time_by_their_length() {
    let masker = strict();
    check("pieces", 2 << 10, |text| {
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        for piece in text.as_bytes().chunks(24) {
            stream.push(piece, &mut out);
        }
        stream.finish(&mut out);
    });
}

#[test]
fn documents_take_time_by_their_length() {
    let masker = Masker::builtin();
    check("a document", 1 << 10, |text| {
        let document = json!({"password": text, "text": [text], text: 1}).to_string();
        masker.json(document.as_bytes(), "");
        // And as what they are.
        masker.json(text.as_bytes(), "");
    });
}

#[test]
fn events_take_time_by_their_length() {
    let masker = Masker::builtin();
    for (kind, member) in [("text_delta", "text"), ("input_json_delta", "partial_json")] {
        check(kind, 120, |text| {
            let mut view = BodyMasker::new(&masker, Some("text/event-stream"), "");
            // Two texts, so that events of one wait for those of the other.
            for (at, part) in text.as_bytes().chunks(6).enumerate() {
                let part = String::from_utf8_lossy(part);
                let event = json!({"type": "content_block_delta", "index": at % 2, "delta": {"type": kind, member: part}});
                // What is nested too deeply is refused.
                if view.push(format!("data: {event}\n\n").as_bytes()).is_err() {
                    return;
                }
            }
            view.finish().unwrap();
        });
    }
}
