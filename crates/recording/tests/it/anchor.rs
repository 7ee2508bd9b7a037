//! A book that was restored from a copy is not continued.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tollbook_recording::{Config, Error, ErrorKind, Health, Reader, Recorder, recover};

use crate::support::{Book, ORIGIN};

/// A book and its anchor, in folders of their own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        Self(dir)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("book")
    }

    fn anchor(&self) -> PathBuf {
        self.0.path().join("elsewhere/anchor")
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.folder(), ORIGIN);
        config.anchor = Some(self.anchor());
        config
    }

    fn open(&self) -> Result<Recorder, Error> {
        Recorder::open(self.config())
    }

    fn refused(&self) -> ErrorKind {
        self.open().map(drop).unwrap_err().kind().clone()
    }

    /// Records so many exchanges and ends in good order.
    async fn grow(&self, exchanges: usize) {
        let book = Book::with(|config| *config = self.config());
        for _ in 0..exchanges {
            book.exchange(b"prompt", &[b"answer"]).await;
        }
        drop(book.close());
    }

    fn reader(&self) -> Reader {
        Reader::open(self.folder()).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    let _old = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_book_goes_on_where_its_anchor_is() {
    let place = Place::new();
    for _ in 0..3 {
        place.grow(2).await;
        let checkpoint = place.reader().checkpoint().unwrap();
        assert_eq!(fs::read_to_string(place.anchor()).unwrap(), checkpoint);
    }
    // What was written after the anchor is no fault: a crash leaves it so.
    let behind = fs::read_to_string(place.anchor()).unwrap();
    place.grow(1).await;
    fs::write(place.anchor(), behind).unwrap();
    place.grow(1).await;
    assert!(place.reader().verify(None).unwrap().is_verified());
}

#[tokio::test]
async fn a_running_book_keeps_its_anchor_close() {
    let place = Place::new();
    let book = Book::with(|config| *config = place.config());
    book.exchange(b"prompt", &[]).await;
    let level = async {
        while book.recorder.stats().anchored != Some(book.recorder.stats().entries) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), level)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_book_restored_from_a_copy_is_refused_until_the_gap_is_accepted() {
    let place = Place::new();
    let yesterday = place.0.path().join("yesterday");
    place.grow(2).await;
    copy(&place.folder(), &yesterday);
    place.grow(3).await;
    copy(&yesterday, &place.folder());
    let before = fs::read(place.folder().join("journal.db")).unwrap();
    assert_eq!(
        place.refused(),
        ErrorKind::Behind {
            book: 6,
            anchor: 14
        }
    );
    // It was only looked at.
    assert_eq!(fs::read(place.folder().join("journal.db")).unwrap(), before);
    let message = place.open().map(drop).unwrap_err().to_string();
    assert!(
        message.contains("tollbook recover --accept-gap"),
        "{message}"
    );

    let recovered = recover(&place.config(), "the disk was lost").unwrap();
    assert_eq!(recovered.epoch, 2);
    assert_eq!((recovered.entries, recovered.anchored), (Some(6), Some(14)));
    assert_eq!(recovered.log, format!("{ORIGIN}/e2"));
    place.grow(1).await;
    let found = place.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.origin, recovered.log);

    // The book says so itself, and the old one is still there to be checked.
    let database = rusqlite::Connection::open(place.folder().join("journal.db")).unwrap();
    let first: Vec<u8> = database
        .query_row("SELECT envelope FROM entry WHERE seq = 0", [], |row| {
            row.get(0)
        })
        .unwrap();
    let first: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(first["epoch"]["number"], 2);
    assert_eq!(first["epoch"]["refused"], "behind");
    assert_eq!(first["epoch"]["reason"], "the disk was lost");
    let kept = fs::read_to_string(recovered.before.join("anchor")).unwrap();
    assert_eq!(first["epoch"]["anchor"], kept);
    let old = Reader::open(&recovered.before).unwrap();
    let found = old.verify_with(None, &[kept]).unwrap();
    assert_eq!(
        (found.verdict, found.kept[0].verdict),
        ("tampered", "behind")
    );

    // It can happen again.
    let refused = recover(&place.config(), "").unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::NothingToRecover);
    // A copy is laid over the folder, in which the first book was put aside.
    for entry in fs::read_dir(&yesterday).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.folder().join(entry.file_name())).unwrap();
    }
    assert_eq!(place.refused(), ErrorKind::AnchorForeign);
    let kept = |file| fs::read(recovered.before.join(file)).unwrap();
    let old = ["log.key", "journal.db", "anchor"].map(kept);
    let again = recover(&place.config(), "the disk was lost again").unwrap();
    assert_eq!((again.epoch, again.log), (3, format!("{ORIGIN}/e3")));
    // What was put aside the first time is as it was.
    assert_ne!(again.before, recovered.before);
    assert!(["log.key", "journal.db", "anchor"].map(kept) == old);
    place.grow(1).await;
    assert!(place.reader().verify(None).unwrap().is_verified());
}

#[tokio::test]
async fn a_copy_that_went_on_is_refused() {
    let place = Place::new();
    let yesterday = place.0.path().join("yesterday");
    place.grow(2).await;
    copy(&place.folder(), &yesterday);
    place.grow(1).await;
    let anchor = fs::read_to_string(place.anchor()).unwrap();
    // Without its anchor the copy is continued, and then is longer than what the anchor is about.
    copy(&yesterday, &place.folder());
    let book = Book::with(|config| *config = Config::new(place.folder(), ORIGIN));
    for _ in 0..4 {
        book.exchange(b"other", &[]).await;
    }
    drop(book.close());
    assert_eq!(fs::read_to_string(place.anchor()).unwrap(), anchor);
    assert_eq!(place.refused(), ErrorKind::Forked { anchor: 10 });
    assert_eq!(recover(&place.config(), "copy").unwrap().epoch, 2);
    place.grow(1).await;
}

#[tokio::test]
async fn a_book_that_is_gone_or_an_anchor_that_is_gone_is_refused() {
    let place = Place::new();
    place.grow(1).await;
    place.grow(1).await;
    let anchor = fs::read_to_string(place.anchor()).unwrap();
    fs::remove_file(place.anchor()).unwrap();
    assert_eq!(place.refused(), ErrorKind::AnchorLost);
    fs::write(place.anchor(), "no checkpoint").unwrap();
    assert_eq!(place.refused(), ErrorKind::AnchorForeign);
    fs::write(place.anchor(), anchor).unwrap();
    drop(place.open().unwrap());

    fs::remove_dir_all(place.folder()).unwrap();
    assert_eq!(place.refused(), ErrorKind::AnchorForeign);
    fs::remove_dir_all(place.0.path().join("elsewhere")).unwrap();
    assert_eq!(place.refused(), ErrorKind::AnchorUnusable);
}

#[tokio::test]
async fn no_book_begins_anew_beside_those_that_were_put_aside() {
    // Without an anchor nothing else tells that the newest epoch is gone.
    let dir = tempfile::tempdir().unwrap();
    let config = || Config::new(dir.path().join("book"), ORIGIN);
    let grow = async || {
        let book = Book::with(|usual| *usual = config());
        book.exchange(b"prompt", &[]).await;
        drop(book.close());
    };
    grow().await;
    let journal = dir.path().join("book/journal.db");
    fs::write(&journal, "no database").unwrap();
    assert_eq!(recover(&config(), "damaged").unwrap().epoch, 2);
    grow().await;
    for name in ["journal.db", "log.key", "log.vkey"] {
        fs::remove_file(dir.path().join("book").join(name)).unwrap();
    }
    let refused = Recorder::open(config()).map(drop).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::EpochLost);
    assert!(!journal.exists(), "nothing is begun");
    // Nobody knows the name that was lost, so the next one is another.
    let recovered = recover(&config(), "the disk was lost").unwrap();
    assert_eq!(recovered.epoch, 3);
    grow().await;
    let found = tollbook_recording::Reader::open(dir.path().join("book")).unwrap();
    assert!(found.verify(None).unwrap().is_verified());
}

#[tokio::test]
async fn a_second_recorder_under_the_same_name_stops() {
    let place = Place::new();
    place.grow(1).await;
    let twin = place.0.path().join("twin");
    copy(&place.folder(), &twin);
    let book = Book::with(|config| *config = place.config());
    let mut other = Config::new(&twin, ORIGIN);
    other.anchor = Some(place.anchor());
    assert_eq!(
        Recorder::open(other).map(drop).unwrap_err().kind(),
        &ErrorKind::InUse
    );
    // One on another machine, which no lock holds back.
    fs::write(place.anchor(), "another checkpoint").unwrap();
    book.exchange(b"prompt", &[]).await;
    let stopped = async {
        while !matches!(book.recorder.health(), Health::Blocked { .. }) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stopped)
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(place.anchor()).unwrap(),
        "another checkpoint"
    );
    drop(book.close());
    // What belongs to another now does not end in good order here.
    let database = rusqlite::Connection::open(place.folder().join("journal.db")).unwrap();
    let last: String = database
        .query_row(
            "SELECT hex(substr(leaf, 2, 1)) FROM entry ORDER BY seq DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_ne!(last, "06", "no stop");
}

#[tokio::test]
async fn a_recovery_that_was_cut_off_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("book");
    let config = || Config::new(&folder, ORIGIN);
    let book = Book::with(|usual| *usual = config());
    book.exchange(b"prompt", &[]).await;
    drop(book.close());
    // As an attempt leaves it that ends after the journal and before the keys.
    let aside = folder.join("epoch-1");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("unfinished"), "").unwrap();
    for name in ["journal.db-wal", "journal.db-shm", "journal.db"] {
        if folder.join(name).exists() {
            fs::rename(folder.join(name), aside.join(name)).unwrap();
        }
    }
    let refused = Recorder::open(config()).map(drop).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::EpochLost);
    assert!(!folder.join("journal.db").exists(), "nothing is begun");
    let recovered = recover(&config(), "cut off").unwrap();
    assert_eq!((recovered.epoch, &recovered.before), (2, &aside));
    assert_eq!(recovered.entries, Some(4), "start, intent, outcome, stop");
    assert!(aside.join("log.key").exists() && !aside.join("unfinished").exists());
    let old = Reader::open(&aside).unwrap().verify(None).unwrap();
    assert!(old.is_verified(), "{:?}", old.faults);
    drop(Recorder::open(config()).unwrap());
    let found = Reader::open(&folder).unwrap().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
}
