//! Pages of which only a part reached the disk.

use std::fs;

use tollbook_recording::{Reader, Recorder};

use crate::disk::{Child, body_of, config};

/// A page is torn at any place. What is wrong is found, or every exchange is read as it was: a page
/// has places that nobody reads.
#[test]
fn a_torn_page_is_never_taken_for_what_was_written() {
    let mut child = Child::new(40);
    child.run();
    let book = child.disk().join("book");
    let journal = book.join("journal.db");
    let whole = fs::read(&journal).unwrap();
    let page = 4096;
    let (mut found, mut harmless) = (0, 0);
    for (number, start) in (0..whole.len()).step_by(page).enumerate() {
        // The second half is old, which here is empty; or it is the neighbour's.
        let mut torn = whole.clone();
        let half = start + page / 2..start + page;
        match number % 2 {
            0 => torn[half].fill(0),
            _ => torn.copy_within(0..page / 2, half.start),
        }
        if torn == whole {
            continue;
        }
        fs::write(&journal, torn).unwrap();
        let Ok(reader) = Reader::open(&book) else {
            found += 1;
            continue;
        };
        if !reader.verify(None).is_ok_and(|told| told.is_verified()) {
            found += 1;
            continue;
        }
        harmless += 1;
        for id in child.acknowledged() {
            let shown = reader.exchange(&id).unwrap().unwrap();
            assert_eq!(shown["request"]["body"], body_of(&id), "page {number}");
        }
    }
    assert!(found > harmless, "{found} found, {harmless} harmless");
    fs::write(&journal, whole).unwrap();
    drop(Recorder::open(config(&child.disk())).unwrap());
    assert!(
        Reader::open(&book)
            .unwrap()
            .verify(None)
            .unwrap()
            .is_verified()
    );
}
