//! Power cuts, kills and disks that do wrong: what was acknowledged is there, and nothing that is
//! there is anything but what was written.
//!
//! | fault | what is expected | where |
//! |---|---|---|
//! | power cut: unsynced writes lost, reordered or torn; renames undone | all that was acknowledged is there, the book and its anchor go on | [`a_power_cut_loses_nothing_that_was_acknowledged`] |
//! | a recorder that syncs less, or a disk that does not sync | that test fails | [`a_recorder_that_does_not_sync_its_log_fails_the_power_cut`] |
//! | `kill -9` | the same, and the book says that it was not stopped | [`a_killed_recorder_loses_nothing_that_was_acknowledged`] |
//! | a sync fails once, and then none | nothing is acknowledged any more | [`a_sync_that_failed_once_ends_recording`] |
//! | a sync hangs | refused at the deadline, and recording goes on | [`a_sync_that_hangs_keeps_nobody_waiting_beyond_the_deadline`] |
//! | a write fails, or the disk is full | as where a sync fails | [`a_write_that_failed_ends_recording`] |
//! | no room, or no right to write, in one place or in all | only what needs the place stops | [`room`] |
//! | the last write fails | the end says so | [`end`] |
//! | a page is torn | found, or nothing that is read is another | [`torn`] |
//! | two processes | the second is refused | [`end`] |
//! | the clock is set back or forward | the order stays, the jump is told | [`clock`] |
//! | a disk of 100 ms a sync, 500 callers | they share syncs, nobody is refused | [`load`] |
//! | an answer of 1 GiB, a stream of hours | the memory stays | [`load`] |
//! | nothing can be recorded, and connections let pass what they let pass | `failure`, `release` |
//! | the disk becomes full slowly | told, then only what is open, then again all | `durability` |
//! | the journal is deleted or replaced | recording ends within seconds | `durability` |
//! | two recorders: one folder, one anchor, one key on two machines | the second is refused or stops | `restart`, `anchor` |
//! | a book put back from a copy, or gone; an anchor that is gone | refused until it is accepted | `anchor` |
//! | the anchor cannot be written | recording goes on, and health says how far it is behind | [`an_anchor_that_cannot_be_written_keeps_nobody_waiting`] |
//! | a bit flips in a stored value or a file; rows are added, removed, moved | found, by its index | `tampering`, `sessions` |
//! | a crash between request and outcome | the outcome is `indeterminate` | `restart` |
//!
//! A few of each run by default. More with one command: `TEST_POWER_CUTS=5000 TEST_KILLS=500
//! TEST_ANSWER_MIB=1024 TEST_EVENTS=2000000 cargo test -p tollbook-recording --release faults::`.
//! A recorder that syncs less must fail: `TEST_WEAKENED=synchronous-normal cargo test -p
//! tollbook-recording faults::a_power_cut` builds one.

mod clock;
mod end;
mod load;
mod room;
mod torn;

use std::{env, time::Duration};

use tollbook_recording::{Reader, Recorder};

use crate::disk::{Child, Fault, Lost, Trace, body_of, config};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn count(name: &str, usually: usize) -> usize {
    env::var(name).map_or(usually, |count| count.parse().unwrap())
}

/// Cuts within the first steps, in which a book is made, and spread over all that was done, each
/// with another fate of what was not synced.
fn cuts(trace: &Trace, cuts: usize) -> impl Iterator<Item = (usize, Lost)> {
    let steps = trace.len();
    let first = (0..24).map(|after| (after, Lost::All));
    first.chain((1..=cuts).map(move |cut| {
        let lost = match cut % 3 {
            0 => Lost::None,
            1 => Lost::All,
            _ => Lost::Some(cut as u64 * 7919),
        };
        (steps * cut / cuts, lost)
    }))
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let mut child = Child::new(160).traced();
    child.run();
    assert!(child.said().starts_with("Healthy"), "{}", child.said());
    let trace = Trace::read(&child.trace(), &child.disk());
    let (mut most, mut number) = (0, 0);
    for (after, lost) in cuts(&trace, count("TEST_POWER_CUTS", 54)) {
        let (gone, acknowledged) = trace.cut(after, lost);
        assert!(
            gone.is_empty(),
            "after {after}, {lost:?}: {} of {acknowledged} lost",
            gone.len()
        );
        most = most.max(acknowledged);
        number += 1;
    }
    assert_eq!(most, 160);
    assert!(number >= 50);
}

/// The test of the test: a log that is not synced at each commit loses some.
#[test]
fn a_recorder_that_does_not_sync_its_log_fails_the_power_cut() {
    let mut child = Child::new(120).traced().deaf("journal.db-wal");
    child.run();
    let trace = Trace::read(&child.trace(), &child.disk());
    let steps = trace.len();
    let lost = (1..10).any(|part| {
        let cut = std::panic::catch_unwind(|| trace.cut(steps * part / 10, Lost::All));
        // What is lost may also be what the anchor is about: then the book is refused.
        !cut.is_ok_and(|(gone, _)| gone.is_empty())
    });
    assert!(lost);
}

#[test]
fn a_killed_recorder_loses_nothing_that_was_acknowledged() {
    let mut child = Child::new(4000);
    let kills = count("TEST_KILLS", 8);
    for kill in 0..kills {
        let time = 150 + (kill * 137) % 400;
        child.kill_after(Duration::from_millis(time as u64));
    }
    let acknowledged = child.acknowledged();
    assert!(!acknowledged.is_empty());
    drop(Recorder::open(config(&child.disk())).unwrap());
    let reader = Reader::open(child.disk().join("book")).unwrap();
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.open, 0);
    for id in &acknowledged {
        let shown = reader.exchange(id).unwrap().unwrap();
        assert_eq!(shown["request"]["body"], body_of(id), "{id}");
    }
    // The book says itself each time that it was not stopped. A kill may come before it began.
    let journal = rusqlite::Connection::open(child.disk().join("book/journal.db")).unwrap();
    let starts = "SELECT count(*) FROM entry WHERE substr(leaf, 2, 1) = x'05'";
    let starts: u32 = journal.query_row(starts, [], |row| row.get(0)).unwrap();
    assert!(starts > 1, "{starts}");
    assert_eq!(found.silence_count, u64::from(starts) - 1);
    assert!(
        found
            .silences
            .iter()
            .all(|silence| silence.why == "crashed")
    );
}

/// A recorder on a disk that goes wrong once, and then works again.
fn wrong(fault: Fault) -> (Child, String) {
    wrong_with(Child::new(200).with(fault))
}

/// The same with a recorder that is set up.
fn wrong_with(mut child: Child) -> (Child, String) {
    child.run();
    let said = child.said();
    let reader = Reader::open(child.disk().join("book"));
    let reader = reader.unwrap_or_else(|error| panic!("{said}: {error}"));
    for id in &child.acknowledged() {
        let shown = reader.exchange(id).unwrap().unwrap();
        assert_eq!(shown["request"]["body"], body_of(id), "{said}");
    }
    // The next start finds a book that it can write on.
    drop(Recorder::open(config(&child.disk())).unwrap());
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{said}: {:?}", found.faults);
    (child, said)
}

#[test]
fn a_sync_that_failed_once_ends_recording() {
    for at in [3, 20, 60] {
        let (child, said) = wrong(Fault {
            call: "sync",
            name: "journal.db-wal",
            calls: [at, at],
            errno: Some(EIO),
            seconds: 0,
        });
        if said.starts_with("not opened") {
            assert_eq!(at, 3);
            continue;
        }
        assert!(
            said.starts_with("blocked: the journal could not be written"),
            "{said}"
        );
        assert!(child.acknowledged().len() < 200, "{said}");
    }
}

#[test]
fn a_write_that_failed_ends_recording() {
    for (name, at, errno) in [
        ("journal.db-wal", 80, EIO),
        ("journal.db-wal", 80, ENOSPC),
        ("journal.db", 5, EIO),
    ] {
        let (child, said) = wrong(Fault {
            call: "write",
            name,
            calls: [at, at],
            errno: Some(errno),
            seconds: 0,
        });
        assert!(said.starts_with("blocked: "), "{name}: {said}");
        assert!(child.acknowledged().len() <= 200, "{said}");
    }
}

#[test]
fn a_sync_that_hangs_keeps_nobody_waiting_beyond_the_deadline() {
    let (_, said) = wrong(Fault {
        call: "sync",
        name: "journal.db-wal",
        calls: [20, 20],
        errno: None,
        seconds: 6,
    });
    let slowest = said.split("slowest ").nth(1).unwrap();
    let slowest: u64 = slowest.trim_end_matches(" ms").parse().unwrap();
    assert!((1900..4500).contains(&slowest), "{said}");
}

#[test]
fn an_anchor_that_cannot_be_written_keeps_nobody_waiting() {
    // The first time is at the start, where it has to be possible.
    let (child, said) = wrong(Fault {
        call: "write",
        name: "anchor.new",
        calls: [2, u32::MAX],
        errno: Some(EIO),
        seconds: 0,
    });
    assert!(said.starts_with("Healthy"), "{said}");
    assert_eq!(child.acknowledged().len(), 200);
}
