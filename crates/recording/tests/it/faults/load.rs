//! More than usual: slow disks, many callers, long answers.

use tollbook_recording::Reader;

use super::count;
use crate::disk::Child;

/// The number behind a word of what a child said.
fn number(said: &str, word: &str) -> u64 {
    let rest = said.split(&format!("{word} ")).nth(1).unwrap();
    let number = rest.split([' ', '\n']).next().unwrap();
    number.parse().unwrap()
}

#[test]
fn five_hundred_callers_share_the_syncs_of_a_slow_disk() {
    let mut child = Child::new(1500).callers(500).set("DISK_SLOW", 100);
    child.run();
    let said = child.said();
    assert!(said.starts_with("Healthy"), "{said}");
    assert_eq!(child.acknowledged().len(), 1500, "nobody is refused");
    // Three thousand entries, of which each would need a sync alone.
    assert!(number(&said, "commits") < 150, "{said}");
    assert!(number(&said, "slowest") < 2000, "{said}");
    let reader = Reader::open(child.disk().join("book")).unwrap();
    assert!(reader.verify(None).unwrap().is_verified());
}

/// Records an answer, and holds the memory against what there was before.
fn stays_flat(pieces: u64, size: usize) {
    let mut child = Child::new(0).answer(pieces, size);
    child.run();
    let said = child.said();
    let grown = number(&said, "most") - number(&said, "before");
    // What may wait in the queue, a step, a part on its way, and what SQLite keeps of pages.
    assert!(grown < 160 << 10, "{said}");
    let reader = Reader::open(child.disk().join("book")).unwrap();
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.open, 0);
}

#[test]
fn an_answer_of_any_length_takes_the_same_memory() {
    let mebibytes = count("TEST_ANSWER_MIB", 256);
    stays_flat(mebibytes as u64, 1 << 20);
}

/// Ten events a second are 36,000 an hour.
#[test]
fn a_stream_of_hours_takes_the_same_memory() {
    stays_flat(count("TEST_EVENTS", 100_000) as u64, 150);
}
