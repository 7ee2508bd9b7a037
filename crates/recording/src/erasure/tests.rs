//! An erasure that is cut off at any step is done to its end at the next start.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use tollbook_exchange::{
    Exchange, ExchangeId, Masked, Outcome, Principal, PrincipalKind, SessionId,
};

use super::*;
use crate::{Config, Recording};

const ANA: &str = "ana-who-is-to-be-forgotten";

fn recorder(folder: &Path) -> Recorder {
    Recorder::open(Config::new(folder, "log.example")).unwrap()
}

/// Records an exchange of the subject.
async fn act(recorder: &Recorder, session: u8) -> String {
    let (recording, exchange) = begin(recorder, session).await;
    exchange.conclude(Outcome::Complete);
    drop(recording);
    exchange.id().to_string()
}

/// Records what the subject asks, up to where it would be forwarded.
async fn begin(recorder: &Recorder, session: u8) -> (Recording, Exchange) {
    let id = ExchangeId::generate();
    let exchange = Exchange::open(id, "claude", "claude", Timestamp::now());
    let recording = recorder.begin(&exchange).await.unwrap();
    exchange.identified(&Principal::new(PrincipalKind::Human, "corp", ANA));
    exchange.draft(|draft| {
        draft.session = Some(SessionId::from_bytes([session; 16]));
        #[expect(clippy::disallowed_methods, reason = "the test's own bytes")]
        let body = Masked::assume_masked(Bytes::from_static(b"{\"prompt\":1}"));
        draft.request.body = body;
    });
    recorder.commit(&exchange).await.unwrap();
    (recording, exchange)
}

/// Records some exchanges of a subject, and closes the book. Returns the ids.
fn record(folder: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let recorder = recorder(folder);
    let ids = (1..=5).map(|session| runtime.block_on(act(&recorder, session)));
    let ids = ids.collect();
    recorder.close();
    ids
}

fn is_erased(folder: &Path, ids: &[String]) {
    let book = Reader::open(folder).unwrap();
    for id in ids {
        let shown = book.exchange(id).unwrap().unwrap();
        assert_eq!(shown["erased"]["classes"][0], "metadata", "{shown}");
    }
    let report = book.verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        let mut windows = bytes.windows(ANA.len());
        let found = windows.any(|window| window == ANA.as_bytes());
        assert!(!found, "{}", file.display());
    }
    let keys = Keyring::read(folder, &crate::KeySource::default()).unwrap();
    let survey = book.read(|book| Survey::of(book)).unwrap();
    for scope in survey.scopes {
        assert_eq!(scope.holder, [0; 32]);
        for class in Class::ALL {
            assert!(keys.key(scope.key, class).unwrap().is_none());
        }
    }
}

/// What of an erasure was done when the process was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    Tombstones,
    SomeDropped,
    AllDropped,
    SomeKeys,
    AllKeys,
}

fn cut_off(folder: &Path, done: Done) {
    let recorder = recorder(folder);
    let inner = recorder.inner();
    let survey = Survey::of(&recorder.book().unwrap()).unwrap();
    let mut job = tombstones(&recorder);
    job.gone = survey.scopes.iter().map(|scope| scope.key).collect();
    let told = std::sync::Arc::new(job.gone.iter().copied().collect());
    recorder.write(job).unwrap();
    let dropped = match done {
        Done::Tombstones => 0,
        Done::SomeDropped => 2,
        _ => survey.scopes.len(),
    };
    let some = &survey.scopes[..dropped];
    let intents = some.iter().flat_map(|scope| &scope.exchanges);
    let doomed = Doomed {
        exchanges: intents
            .map(|(intent, _)| {
                let (metadata, answer) = (true, true);
                (*intent, doomed::Gone { metadata, answer })
            })
            .collect(),
        told,
        scopes: some.iter().map(|scope| scope.number).collect(),
    };
    recorder
        .write(Job {
            doomed: Some(doomed),
            ..Job::default()
        })
        .unwrap();
    let destroyed = match done {
        Done::SomeKeys => 2,
        Done::AllKeys => survey.scopes.len(),
        _ => 0,
    };
    for scope in survey.scopes.iter().take(destroyed) {
        let keys = &inner.scopes.keyring;
        keys.destroy(scope.key, &Class::ALL).unwrap();
    }
}

#[test]
fn a_crash_at_any_step_is_made_good() {
    for done in [
        Done::Tombstones,
        Done::SomeDropped,
        Done::AllDropped,
        Done::SomeKeys,
        Done::AllKeys,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ids = record(dir.path());
        cut_off(dir.path(), done);
        recorder(dir.path()).close();
        is_erased(dir.path(), &ids);
        // And once it is done, it is not done again.
        let recorder = recorder(dir.path());
        let entries = recorder.stats().entries;
        let again = settle(
            &recorder.book().unwrap(),
            &recorder.inner().scopes.keyring,
            &folder::journal(dir.path()),
            |_| panic!("{done:?}: there is nothing to do"),
        );
        assert_eq!(again.unwrap().tombstones, [0_u64; 0]);
        assert_eq!(recorder.stats().entries, entries);
    }
}

#[test]
fn a_tombstone_that_cannot_be_read_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    cut_off(dir.path(), Done::Tombstones);
    let journal = Connection::open(folder::journal(dir.path())).unwrap();
    let changed = journal.execute(
        "UPDATE entry SET envelope = ?1 WHERE substr(leaf, 2, 1) = x'08'",
        [Value::Null.to_string().into_bytes()],
    );
    assert_eq!(changed.unwrap(), 1);
    drop(journal);
    let refused = Recorder::open(Config::new(dir.path(), "log.example"));
    assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Corrupt);
}

fn scopes(recorder: &Recorder) -> Vec<Scope> {
    Survey::of(&recorder.book().unwrap()).unwrap().scopes
}

#[tokio::test]
async fn a_scope_that_is_doomed_does_not_go_on_while_its_keys_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(dir.path());
    act(&recorder, 1).await;
    let (recording, under_way) = begin(&recorder, 1).await;
    let doomed = scopes(&recorder).iter().map(|scope| scope.key).collect();
    // As an erasure does it, long before the keys are gone.
    recorder.inner().scopes.end(&doomed);
    act(&recorder, 1).await;
    under_way.conclude(Outcome::Complete);
    drop(recording);
    let (recording, last) = begin(&recorder, 1).await;
    let found = scopes(&recorder);
    let told: Vec<_> = found.iter().map(|one| one.exchanges.len()).collect();
    assert_eq!(told, [2, 2]);
    assert!(!doomed.contains(&found[1].key));
    last.conclude(Outcome::Complete);
    drop(recording);
    assert!(!matches!(recorder.health(), crate::Health::Blocked { .. }));
}

#[tokio::test]
async fn what_somebody_goes_on_with_is_not_old() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(dir.path());
    act(&recorder, 1).await;
    let (recording, exchange) = begin(&recorder, 1).await;
    let keys: HashSet<KeyId> = scopes(&recorder).iter().map(|scope| scope.key).collect();
    assert_eq!(recorder.inner().scopes.end_idle(&keys), keys);
    exchange.conclude(Outcome::Complete);
    drop(recording);
    let (recording, exchange) = begin(&recorder, 1).await;
    assert_eq!(scopes(&recorder).len(), 1);
    exchange.conclude(Outcome::Complete);
    drop(recording);
}

/// Tombstones for all there is, as an erasure writes them first.
fn tombstones(recorder: &Recorder) -> Job {
    let tombstone = Tombstone {
        keys: scopes(recorder).iter().map(|scope| scope.key).collect(),
        classes: Class::ALL.to_vec(),
    };
    let cause = Cause {
        why: "erasure",
        by: "corp/officer",
        basis: "request 17",
        minimum: None,
        exchanges: 1,
    };
    Job {
        entries: vec![tombstone.entry(&cause).unwrap()],
        ..Job::default()
    }
}

#[test]
fn what_a_tombstone_names_is_not_shown_while_its_keys_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let ids = record(dir.path());
    let recorder = recorder(dir.path());
    let reader = Reader::open(dir.path()).unwrap();
    let shown = reader.exchange(&ids[0]).unwrap().unwrap();
    assert!(shown.to_string().contains("prompt"), "{shown}");
    recorder.write(tombstones(&recorder)).unwrap();
    for id in &ids {
        let shown = reader.exchange(id).unwrap().unwrap();
        let erased = &shown["erased"]["classes"];
        assert_eq!(*erased, serde_json::json!(["metadata", "request"]));
        assert!(!shown.to_string().contains(ANA) && !shown.to_string().contains("prompt"));
    }
    let evidence = dir.path().join("evidence");
    let options = crate::EvidenceOptions::default();
    reader.evidence(None, &options, &evidence).unwrap();
    let mut folders = vec![evidence];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = std::fs::read(&path).unwrap();
                    let mut windows = bytes.windows(ANA.len());
                    assert!(!windows.any(|window| window == ANA.as_bytes()), "{path:?}");
                }
            }
        }
    }
}

/// What was sealed to a recipient the next start cannot open, and closes under a key of its own.
#[test]
fn what_was_closed_apart_is_erased_with_its_exchange() {
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let mut config = Config::new(dir.path(), "log.example");
        config.keys = crate::KeySource::default().sealed_to(RECIPIENT.parse().unwrap());
        Recorder::open(config).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let recorder = open();
    let (recording, _) = runtime.block_on(begin(&recorder, 1));
    // As after a crash: its end is not written.
    recorder.close();
    drop((recording, recorder));

    let recorder = open();
    let found = scopes(&recorder);
    assert_eq!((found.len(), found[0].apart.len()), (1, 1));
    let erasure = Erasure {
        whom: Whom::Session(SessionId::from_bytes([1; 16])),
        by: "corp/officer".to_owned(),
        basis: "request 17".to_owned(),
        override_minimum: None,
    };
    let erased = recorder.erase(&erasure, &Retention::default()).unwrap();
    assert_eq!((erased.exchanges, erased.tombstones.len()), (1, 1));
    let again = recorder.erase(&erasure, &Retention::default()).unwrap();
    assert_eq!(again.exchanges, 0);
    let keys = &recorder.inner().scopes.keyring;
    for key in found[0].keys() {
        assert!(keys.key(key, Class::Metadata).unwrap().is_none());
    }
    let reader = Reader::open(dir.path()).unwrap();
    let report = reader.verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
    let options = crate::EvidenceOptions::default();
    let evidence = dir.path().join("evidence");
    reader.evidence(None, &options, evidence).unwrap();

    // Nothing of it is kept in mind, and the session goes on with other keys all the same.
    assert_eq!(recorder.inner().scopes.doomed(), 0);
    runtime.block_on(act(&recorder, 1));
    let now = scopes(&recorder);
    let with = |is_old: bool| {
        let some = now.iter().filter(|one| (one.key == found[0].key) == is_old);
        some.map(|one| one.exchanges.len()).sum::<usize>()
    };
    assert_eq!((with(true), with(false)), (1, 1));
}

fn erasure() -> Erasure {
    Erasure {
        whom: Whom::Subject {
            issuer: "corp".to_owned(),
            subject: ANA.to_owned(),
        },
        by: "corp/officer".to_owned(),
        basis: "request 17".to_owned(),
        override_minimum: None,
    }
}

#[test]
fn a_log_that_could_not_be_cut_is_cut_later() {
    let dir = tempfile::tempdir().unwrap();
    let ids = record(dir.path());
    let opened = recorder(dir.path());
    let reads = |from: &Path| {
        let reading = Connection::open(from).unwrap();
        reading.execute_batch("BEGIN").unwrap();
        let look = "SELECT count(*) FROM scope";
        reading
            .query_row(look, [], |row| row.get::<_, i64>(0))
            .unwrap();
        reading
    };
    let (reading, waits) = (reads(&folder::journal(dir.path())), Retention::default());
    assert!(opened.erase(&erasure(), &waits).is_err());
    assert!(opened.erase(&erasure(), &waits).is_err(), "again");
    assert!(opened.retain(&waits, "corp/officer").is_err());
    drop(reading);
    // It goes on, although there is nothing more to be found.
    let erased = opened.erase(&erasure(), &waits).unwrap();
    assert_eq!((erased.exchanges, erased.tombstones.len()), (0, 1));
    is_erased(dir.path(), &ids);
    let erased = opened.erase(&erasure(), &waits).unwrap();
    assert_eq!(erased.tombstones.len(), 0);
    opened.close();
    drop(opened);

    // The same at a start, which does not fail for it.
    let dir = tempfile::tempdir().unwrap();
    let ids = record(dir.path());
    cut_off(dir.path(), Done::Tombstones);
    let reading = reads(&folder::journal(dir.path()));
    let opened = recorder(dir.path());
    drop(reading);
    let erased = opened.erase(&erasure(), &waits).unwrap();
    assert_eq!(erased.tombstones.len(), 1);
    is_erased(dir.path(), &ids);
}

#[test]
fn a_hold_that_somebody_changed_stops_an_erasure() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let opened = recorder(dir.path());
    opened
        .hold(&erasure().whom, "corp/counsel", "case 4")
        .unwrap();
    opened.close();
    drop(opened);
    let journal = Connection::open(folder::journal(dir.path())).unwrap();
    let changed = journal.execute(
        "UPDATE entry SET envelope =
             CAST(replace(CAST(envelope AS TEXT), '\"added\"', '\"erasure_refused\"') AS BLOB)
         WHERE substr(leaf, 2, 1) = x'09'",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    drop(journal);
    let opened = recorder(dir.path());
    let refused = opened.erase(&erasure(), &Retention::default());
    assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Corrupt);
}

#[test]
fn nothing_goes_unasked_by_a_clock_that_jumped() {
    let dir = tempfile::tempdir().unwrap();
    let ids = record(dir.path());
    let opened = recorder(dir.path());
    let mut retention = Retention::default();
    retention.terms.metadata.max = Some(Duration::ZERO);
    opened.inner().shared.clock_went(49 * 60 * 60 * 1000);
    let refused = opened.retain(&retention, "(gate)").unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::ClockDoubted);
    assert_eq!(scopes(&opened).len(), ids.len());
    assert!(scopes(&opened).iter().all(|scope| scope.erased == 0));
    // Nor after a start, which has no jump in it.
    drop(opened);
    let opened = recorder(dir.path());
    let refused = opened.retain(&retention, "(gate)").unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::ClockDoubted);
    // A clock that is set right is not doubted.
    opened.inner().shared.clock_went(-48 * 60 * 60 * 1000);
    assert!(!opened.inner().shared.doubts_clock());
    opened.inner().shared.clock_went(48 * 60 * 60 * 1000);
    assert!(opened.inner().shared.doubts_clock());
    // An operator looked at it.
    let expired = opened.retain(&retention, "corp/officer").unwrap();
    assert_eq!(expired.tombstones.len(), 1);
    assert!(opened.retain(&retention, "(gate)").is_ok());
    drop(opened);
    let opened = recorder(dir.path());
    assert!(opened.retain(&retention, "(gate)").is_ok(), "for good");
    drop(opened);
    is_erased(dir.path(), &ids);
}

#[test]
fn a_body_that_was_dropped_without_a_tombstone_is_missed_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let mut journal = Connection::open(folder::journal(dir.path())).unwrap();
    let book = journal.transaction().unwrap();
    let doomed = Doomed {
        scopes: vec![0],
        ..Doomed::default()
    };
    doomed.drop_in(&book).unwrap();
    book.commit().unwrap();
    drop(journal);
    let top = dir.path().join("book.key");
    std::fs::rename(&top, dir.path().join("away")).unwrap();
    let report = Reader::open(dir.path()).unwrap().verify(None).unwrap();
    assert!(!report.unopened.is_empty() && !report.is_verified());
    assert_eq!(report.completeness, "incomplete", "{report:?}");
}
