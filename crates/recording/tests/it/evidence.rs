//! Evidence out of the book, checked by the program that strangers have.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tollbook_exchange::ExchangeId;
use tollbook_ledger::{Completeness, Integrity, LEAF_BYTES, Past, SigningKey, evidence::Selection};
use tollbook_recording::{Config, ErrorKind, EvidenceOptions, Reader};
use tollbook_verify::{Report, check};

use crate::support::{Book, Closed, ORIGIN, whole};

/// A book of a few exchanges, the ids of which it returns.
async fn book() -> (Closed, Vec<ExchangeId>) {
    let book = Book::new();
    let mut ids = Vec::new();
    for n in 0..2 {
        let asked = format!("prompt {n}");
        let answered: [&[u8]; 2] = [b"answer", b" and more"];
        ids.push(book.exchange(asked.as_bytes(), &answered).await);
    }
    ids.push(whole(&book).await.parse().unwrap());
    (book.close(), ids)
}

/// Evidence in a folder of its own.
struct Bundle(TempDir);

impl Bundle {
    fn of(reader: &Reader, change: impl FnOnce(&mut EvidenceOptions)) -> Self {
        let mut options = EvidenceOptions::default();
        change(&mut options);
        let bundle = Self(tempfile::tempdir().unwrap());
        reader.evidence(None, &options, bundle.path()).unwrap();
        bundle
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn check(&self) -> Report {
        check(self.path(), None, &[]).unwrap()
    }

    /// All files, by their names below the folder.
    fn files(&self) -> Vec<String> {
        let (mut files, mut folders) = (Vec::new(), vec![self.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.path()).unwrap();
                    files.push(name.to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }
}

fn exchange(id: ExchangeId) -> Selection {
    Selection {
        exchanges: [*id.as_bytes()].into(),
        ..Selection::default()
    }
}

/// The index in the name of a record's file.
fn index_of(name: &str) -> Option<u64> {
    let name = name.strip_prefix("records/")?;
    name.split('.').next()?.parse().ok()
}

fn names(report: &Report, index: u64) -> bool {
    report.faults.iter().any(|fault| fault.index == Some(index))
}

#[tokio::test]
async fn evidence_of_all_and_of_some_is_verified() {
    let (book, ids) = book().await;
    let reader = book.reader();
    let all = Bundle::of(&reader, |_| {});
    let report = all.check();
    assert!(report.is_verified(), "{:?}", report.faults);
    assert_eq!((report.records, report.exchanges), (8, Some(3)));
    assert_eq!((report.open, report.key_given), (Some(0), false));
    assert_eq!(all.read("records/3.body"), b"prompt 1");
    assert_eq!(all.read("records/4.body"), b"answer and more");
    assert_eq!(
        String::from_utf8(all.read("records/3.parts")).unwrap(),
        "0 8\n"
    );
    assert_eq!(
        all.read("checkpoint"),
        reader.checkpoint().unwrap().into_bytes()
    );

    let one = Bundle::of(&reader, |options| options.selection = exchange(ids[1]));
    let report = one.check();
    assert!(report.is_verified(), "{:?}", report.faults);
    assert_eq!((report.records, report.exchanges), (2, Some(1)));
    let records = one.files().into_iter().filter_map(|name| index_of(&name));
    assert!(records.into_iter().all(|index| index == 3 || index == 4));

    // That there is nothing of a session can be shown as well.
    let none = Bundle::of(&reader, |options| options.selection.session = Some([8; 16]));
    let report = none.check();
    assert!(report.is_verified(), "{:?}", report.faults);
    assert_eq!((report.records, report.exchanges), (0, Some(0)));

    let session = Bundle::of(&reader, |options| {
        options.selection.session =
            Some(*tollbook_exchange::SessionId::derived([5; 16]).as_bytes());
    });
    assert_eq!(session.check().exchanges, Some(1));
}

#[tokio::test]
async fn an_empty_book_has_evidence_too() {
    let book = Book::new().close();
    let report = Bundle::of(&book.reader(), |_| {}).check();
    assert!(report.is_verified(), "{:?}", report.faults);
    assert_eq!((report.size, report.exchanges), (Some(2), Some(0)));
}

#[tokio::test]
async fn what_is_left_out_is_not_shown() {
    let (book, ids) = book().await;
    let reader = book.reader();
    let bundle = Bundle::of(&reader, |options| {
        options.selection = exchange(ids[0]);
        options.leaves = false;
        options.contents = false;
    });
    assert!(bundle.files().iter().all(|name| !name.contains("entries")));
    assert!(bundle.files().iter().all(|name| !name.ends_with(".body")));
    let report = bundle.check();
    assert_eq!(report.integrity, Integrity::Proven, "{:?}", report.faults);
    assert_eq!(report.completeness, Completeness::NotShown);
    assert_eq!(report.exit_code(), 3);
    // Nothing of other exchanges is there to be read.
    let other = ids[1].as_bytes();
    for name in bundle.files() {
        let bytes = bundle.read(&name);
        assert!(!bytes.windows(16).any(|window| window == other), "{name}");
    }
}

#[tokio::test]
async fn evidence_of_a_book_that_is_being_written_is_whole() {
    let book = Book::new();
    book.exchange(b"one", &[b"two"]).await;
    let writing = book.exchange(b"three", &[b"four"]);
    let bundle = Bundle::of(&book.reader(), |_| {});
    writing.await;
    assert!(bundle.check().is_verified());
    let later = Bundle::of(&book.reader(), |_| {});
    assert!(later.check().exchanges >= bundle.check().exchanges);
}

#[tokio::test]
async fn no_byte_can_be_another() {
    let (book, ids) = book().await;
    let mut flips = 0;
    for leaves in [true, false] {
        let bundle = Bundle::of(&book.reader(), |options| {
            options.selection = exchange(ids[0]);
            options.leaves = leaves;
        });
        let verified = bundle.check();
        assert_eq!(verified.exit_code(), if leaves { 0 } else { 3 });
        for name in bundle.files() {
            let bytes = bundle.read(&name);
            for place in 0..bytes.len() {
                // Tiles and records are the same in both; there it is enough to look once.
                if !leaves && !name.starts_with("tile") && place % 16 != 0 {
                    continue;
                }
                let mut changed = bytes.clone();
                changed[place] ^= 1 << (place % 8);
                bundle.write(&name, &changed);
                let report = bundle.check();
                let place = format!("byte {place} of {name}, leaves {leaves}");
                assert_eq!(report.exit_code(), 1, "{place}");
                assert_ne!(report.fault_count, 0, "{place}");
                if let Some(index) = index_of(&name) {
                    assert!(names(&report, index), "{place}: {:?}", report.faults);
                }
                if name.starts_with("tile/entries") {
                    assert!(report.faults[0].index.is_some(), "{place}");
                }
                flips += 1;
            }
            bundle.write(&name, &bytes);
        }
        assert_eq!(bundle.check().exit_code(), verified.exit_code());
    }
    assert!(flips > 3_000, "{flips}");
}

#[tokio::test]
async fn a_damaged_leaf_accuses_no_record_behind_it() {
    let (book, ids) = book().await;
    let session = Selection {
        session: Some(*tollbook_exchange::SessionId::derived([5; 16]).as_bytes()),
        ..Selection::default()
    };
    for selection in [Selection::default(), exchange(ids[0]), session] {
        let bundle = Bundle::of(&book.reader(), |options| {
            options.selection = selection.clone();
        });
        let name = "tile/entries/000.p/8";
        let bytes = bundle.read(name);
        for place in 0..bytes.len() {
            let (index, within) = (place / (LEAF_BYTES + 2), place % (LEAF_BYTES + 2));
            // A length that is another leaves none of the leaves behind it.
            if within < 2 {
                continue;
            }
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            bundle.write(name, &changed);
            let report = bundle.check();
            let accused: Vec<_> = report.faults.iter().map(|fault| fault.index).collect();
            assert_eq!(
                accused,
                [Some(index as u64)],
                "byte {place}: {:?}",
                report.faults
            );
        }
    }
}

#[tokio::test]
async fn a_damaged_record_accuses_no_record_behind_it() {
    let (book, _) = book().await;
    let bundle = Bundle::of(&book.reader(), |options| {
        options.selection.session =
            Some(*tollbook_exchange::SessionId::derived([5; 16]).as_bytes());
        options.leaves = false;
    });
    let records: Vec<String> = bundle.files();
    let records: Vec<_> = records
        .iter()
        .filter(|name| index_of(name).is_some())
        .collect();
    assert!(records.len() > 3, "{records:?}");
    for name in records {
        let bytes = bundle.read(name);
        for changed in [&b"x"[..], b""] {
            bundle.write(name, changed);
            let report = bundle.check();
            let index = index_of(name);
            let faults = &report.faults;
            assert!(!faults.is_empty(), "{name}");
            assert!(
                faults.iter().all(|fault| fault.index == index),
                "{name}: {faults:?}"
            );
        }
        bundle.write(name, &bytes);
    }
}

#[tokio::test]
async fn no_file_can_be_longer_shorter_missing_or_more() {
    let (book, _) = book().await;
    let bundle = Bundle::of(&book.reader(), |_| {});
    for name in bundle.files() {
        let bytes = bundle.read(&name);
        let named = |report: &Report| {
            assert_eq!(report.exit_code(), 1, "{name}");
            if let Some(index) = index_of(&name) {
                assert!(names(report, index), "{name}: {:?}", report.faults);
            }
        };
        for changed in [
            &bytes[..bytes.len() - 1],
            &bytes[1..],
            &bytes[..0],
            &[&bytes[..], b"\n"].concat(),
            &[&bytes[..], &bytes].concat(),
        ] {
            bundle.write(&name, changed);
            named(&bundle.check());
        }
        fs::remove_file(bundle.file(&name)).unwrap();
        match check(bundle.path(), None, &[]) {
            Ok(report) => named(&report),
            Err(_) => assert_eq!(name, "MANIFEST"),
        }
        bundle.write(&name, &bytes);
    }
    for stray in [
        "more",
        "records/8.json",
        "records/01.json",
        "records/1.txt",
        "tile/0/001",
    ] {
        bundle.write(stray, b"{}");
        let report = bundle.check();
        assert_eq!((report.exit_code(), report.fault_count), (1, 1), "{stray}");
        assert_eq!(report.faults[0].file, stray);
        fs::remove_file(bundle.file(stray)).unwrap();
    }
    assert!(bundle.check().is_verified());
}

#[tokio::test]
async fn records_in_each_others_place_are_found() {
    let (book, _) = book().await;
    let bundle = Bundle::of(&book.reader(), |_| {});
    let ends = ["json", "tlog-proof", "body", "parts"];
    let records = |index: u64| ends.map(|end| format!("records/{index}.{end}"));
    // Exchanged, and one twice.
    for twice in [false, true] {
        let (one, other) = (records(1), records(3));
        let kept = [&one, &other].map(|names| names.clone().map(|name| bundle.read(&name)));
        for place in 0..ends.len() {
            bundle.write(&one[place], &kept[1][place]);
            if !twice {
                bundle.write(&other[place], &kept[0][place]);
            }
        }
        let report = bundle.check();
        assert!(names(&report, 1), "{:?}", report.faults);
        assert_eq!(names(&report, 3), !twice);
        for place in 0..ends.len() {
            bundle.write(&one[place], &kept[0][place]);
            bundle.write(&other[place], &kept[1][place]);
        }
    }
    assert!(bundle.check().is_verified());
}

/// A manifest is not signed: whoever leaves a record out can say so in it, in good order.
#[tokio::test]
async fn a_record_left_out_in_good_order_is_missing_in_the_leaves() {
    let (book, _) = book().await;
    let bundle = Bundle::of(&book.reader(), |_| {});
    let text = String::from_utf8(bundle.read("MANIFEST")).unwrap();
    let mut manifest = tollbook_ledger::evidence::Manifest::from_text(&text).unwrap();
    manifest.records = Default::default();
    for index in [0, 1, 2, 3, 5, 6, 7] {
        manifest.records.push(index);
    }
    bundle.write("MANIFEST", manifest.to_string().as_bytes());
    for end in ["json", "tlog-proof", "body", "parts"] {
        fs::remove_file(bundle.file(&format!("records/4.{end}"))).unwrap();
    }
    let report = bundle.check();
    assert_eq!(report.integrity, Integrity::Proven, "{:?}", report.faults);
    assert_eq!(report.completeness, Completeness::Incomplete);
    assert_eq!((report.faults[0].index, report.fault_count), (Some(4), 1));
    assert_eq!(report.exit_code(), 1);

    // Without the leaves too, it is no more than not shown to be all.
    manifest.leaves = false;
    bundle.write("MANIFEST", manifest.to_string().as_bytes());
    fs::remove_dir_all(bundle.file("tile/entries")).unwrap();
    assert_eq!(bundle.check().exit_code(), 3);
}

#[tokio::test]
async fn a_key_that_was_kept_tells_a_forged_log() {
    let (book, _) = book().await;
    let bundle = Bundle::of(&book.reader(), |_| {});
    let own = String::from_utf8(bundle.read("vkey")).unwrap();
    let own = own.trim_end().parse().unwrap();
    let report = check(bundle.path(), Some(&own), &[]).unwrap();
    assert!(report.is_verified() && report.key_given);
    let other = SigningKey::from_seed(ORIGIN, &[1; 32]).unwrap();
    let report = check(bundle.path(), Some(&other.verifier_key()), &[]).unwrap();
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.integrity, Integrity::Broken);
}

/// Records these prompts into the book of a folder, and ends.
async fn grow(folder: &Path, asked: &[&str]) {
    let book = Book::with(|config| *config = Config::new(folder, ORIGIN));
    for asked in asked {
        book.exchange(asked.as_bytes(), &[b"answer"]).await;
    }
    drop(book.close());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_book_restored_from_an_older_copy_is_told_by_a_checkpoint_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (now, yesterday) = (dir.path().join("now"), dir.path().join("yesterday"));
    grow(&now, &["one", "two"]).await;
    let first = Reader::open(&now).unwrap().checkpoint().unwrap();
    copy(&now, &yesterday);
    grow(&now, &["three", "four"]).await;
    let newest = Reader::open(&now).unwrap().checkpoint().unwrap();

    let told = |folder: &Path, kept: &str| {
        let reader = Reader::open(folder).unwrap();
        let kept = [kept.to_owned()];
        let book = reader.verify_with(None, &kept).unwrap();
        let report = check(Bundle::of(&reader, |_| {}).path(), None, &kept).unwrap();
        assert_eq!(book.kept[0].verdict, report.kept[0].past.as_str());
        assert_eq!(book.is_verified(), report.is_verified());
        let without = check(Bundle::of(&reader, |_| {}).path(), None, &[]).unwrap();
        assert!(without.is_verified());
        report
    };
    assert!(told(&now, &first).is_verified());
    assert!(told(&now, &newest).is_verified());

    // The copy by itself is older, and could be no more than that.
    let report = told(&yesterday, &newest);
    assert_eq!(report.kept[0].past, Past::Behind);
    assert_eq!(report.integrity, Integrity::Proven);
    assert_eq!(report.completeness, Completeness::Incomplete);
    assert_eq!(report.exit_code(), 1);

    // Work went on with it: the key has signed two histories.
    grow(&yesterday, &["other", "things", "happened"]).await;
    let report = told(&yesterday, &newest);
    assert_eq!(report.kept[0].past, Past::Fork);
    assert_eq!(report.integrity, Integrity::Broken);
    assert_eq!(report.exit_code(), 1);
    assert!(told(&yesterday, &first).is_verified());

    // So too where the leaves were left out.
    let reader = Reader::open(&yesterday).unwrap();
    let bundle = Bundle::of(&reader, |options| options.leaves = false);
    let report = check(bundle.path(), None, &[newest.clone(), first]).unwrap();
    let pasts: Vec<Past> = report.kept.iter().map(|kept| kept.past).collect();
    assert_eq!(pasts, [Past::Fork, Past::Consistent]);

    // A copy that is damaged accuses nobody.
    let tile = bundle.file("tile/0/000.p/14");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[3] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let report = check(bundle.path(), None, &[newest, "nothing".to_owned()]).unwrap();
    assert_eq!(report.kept[0].past, Past::Unknown);
    assert_eq!(report.kept[1].past.as_str(), "unreadable");
}

#[tokio::test]
async fn a_book_that_does_not_fit_gives_no_evidence() {
    for change in [
        "DELETE FROM entry WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 7",
        "UPDATE entry SET leaf = zeroblob(184) WHERE seq = 1",
        "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE seq = 0) WHERE seq = 1",
        "DELETE FROM head",
        "UPDATE head SET note = 'x' || note",
        // What its key does not open cannot be handed on.
        "UPDATE entry SET envelope = CAST(envelope || ' ' AS BLOB) WHERE seq = 3",
        "UPDATE pack SET data = x'00'",
        "UPDATE part SET data = x'01'",
    ] {
        let (book, _) = book().await;
        book.database().execute_batch(change).unwrap();
        let to = tempfile::tempdir().unwrap();
        let options = EvidenceOptions::default();
        let refused = book.reader().evidence(None, &options, to.path());
        assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Corrupt, "{change}");
        assert!(!to.path().join("MANIFEST").exists());
    }
}

#[tokio::test]
async fn a_folder_that_is_in_use_is_not_written_into() {
    let (book, _) = book().await;
    let to = tempfile::tempdir().unwrap();
    fs::write(to.path().join("mine"), "kept").unwrap();
    let options = EvidenceOptions::default();
    let refused = book.reader().evidence(None, &options, to.path());
    assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Evidence);
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_log_may_be_wider_than_a_tile() {
    let book = Book::new();
    let mut ids = Vec::new();
    for n in 0..140_u8 {
        ids.push(book.exchange(&[n], &[b"answer"]).await);
    }
    let book = book.close();
    for leaves in [true, false] {
        let bundle = Bundle::of(&book.reader(), |options| {
            options.leaves = leaves;
            options.selection.exchanges = [ids[3], ids[133]].map(|id| *id.as_bytes()).into();
        });
        let report = bundle.check();
        assert_eq!(report.integrity, Integrity::Proven, "{:?}", report.faults);
        assert_eq!((report.size, report.records), (Some(282), 4));
        assert!(bundle.file("tile/0/001.p/26").is_file());

        let tile = "tile/1/000.p/1";
        let mut bytes = bundle.read(tile);
        bytes[9] ^= 1;
        bundle.write(tile, &bytes);
        let report = bundle.check();
        assert_eq!(report.exit_code(), 1);
        assert_eq!(report.faults[0].file, tile, "{:?}", report.faults);
    }
}

#[tokio::test]
async fn what_was_erased_is_named_and_explained_by_its_tombstone() {
    use tollbook_recording::{Erasure, Recorder, Retention, Whom};

    let (book, ids) = book().await;
    let folder = book.folder();
    let session = tollbook_exchange::SessionId::derived([5; 16]);
    let erased = std::thread::spawn(move || {
        let recorder = Recorder::open(Config::new(folder, ORIGIN)).unwrap();
        let erasure = Erasure {
            whom: Whom::Session(session),
            by: "corp/officer".to_owned(),
            basis: "request 17".to_owned(),
            override_minimum: None,
        };
        let erased = recorder.erase(&erasure, &Retention::default()).unwrap();
        recorder.close();
        erased
    });
    let stone = erased.join().unwrap().tombstones[0];
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!((found.erased.entries, found.unopened.entries), (2, 0));

    for leaves in [true, false] {
        let bundle = Bundle::of(&book.reader(), |options| {
            options.selection = exchange(ids[2]);
            options.leaves = leaves;
        });
        let report = bundle.check();
        assert_eq!(report.faults, []);
        assert_eq!(report.integrity, Integrity::Proven);
        // Whether a record is missing is not shown without leaves.
        assert_eq!(report.exit_code(), if leaves { 0 } else { 3 });
        let manifest = report.manifest.unwrap();
        assert_eq!(manifest.erased.len(), 2);
        assert!(manifest.records.contains(stone));
        for index in manifest.erased.iter() {
            assert!(!bundle.file(&format!("records/{index}.json")).exists());
            assert!(bundle.file(&format!("records/{index}.tlog-proof")).exists());
        }

        // Without what explains them they are missing.
        let name = format!("records/{stone}.json");
        fs::remove_file(bundle.file(&name)).unwrap();
        let report = bundle.check();
        assert_eq!(report.exit_code(), 1);
        let told: Vec<_> = report
            .faults
            .iter()
            .filter_map(|fault| fault.index)
            .collect();
        assert!(
            manifest.erased.iter().all(|index| told.contains(&index)),
            "{told:?}"
        );
    }
    // A record that is there cannot be called erased.
    let bundle = Bundle::of(&book.reader(), |options| {
        options.selection = exchange(ids[0]);
    });
    let mut manifest = bundle.check().manifest.unwrap();
    let index = manifest.records.iter().next().unwrap();
    assert!(manifest.erased.push(index));
    bundle.write("MANIFEST", manifest.to_string().as_bytes());
    fs::remove_file(bundle.file(&format!("records/{index}.json"))).unwrap();
    assert_eq!(bundle.check().exit_code(), 1);
}
