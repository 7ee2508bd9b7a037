//! A byte changed anywhere in the book is found, at its entry.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use rusqlite::{Connection, types::Value};
use tollbook_ledger::SigningKey;
use tollbook_recording::{Monitor, Reader, Verification};

use crate::support::{Book, Closed, ORIGIN, noise, whole};

async fn book() -> Closed {
    let book = Book::new();
    for n in 0..2 {
        let asked = format!("prompt {n}");
        book.exchange(asked.as_bytes(), &[b"answer", b" and more"])
            .await;
    }
    whole(&book).await;
    book.close()
}

fn verify(book: &Closed) -> Verification {
    book.reader().verify(None).unwrap()
}

/// Changes one value by as little as can be.
fn flip(value: &Value, bit: usize) -> Value {
    let flip = |bytes: &mut [u8]| {
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    };
    match value.clone() {
        Value::Integer(number) => Value::Integer(number ^ 1),
        Value::Text(mut text) => {
            text.replace_range(..1, if text.starts_with('x') { "y" } else { "x" });
            Value::Text(text)
        }
        Value::Blob(bytes) if bytes.is_empty() => Value::Blob(vec![0]),
        Value::Blob(mut bytes) => {
            flip(&mut bytes);
            Value::Blob(bytes)
        }
        other => other,
    }
}

/// The column by which a row is told.
fn key_of(table: &str) -> &str {
    match table {
        "session" => "last",
        _ => "rowid",
    }
}

/// The first index of an entry to which a row of the table belongs.
fn index_of(database: &Connection, table: &str, rowid: i64) -> i64 {
    let sql = match table {
        "entry" => "SELECT seq FROM entry WHERE rowid = ?1",
        "exchange" => "SELECT intent FROM exchange WHERE rowid = ?1",
        "session" => "SELECT last FROM session WHERE last = ?1",
        "scope" => "SELECT min(intent) FROM exchange WHERE scope = ?1",
        "pack" => {
            "SELECT intent FROM exchange
             WHERE ?1 BETWEEN (scope << 32) + first AND (scope << 32) + first + brought - 1"
        }
        _ => {
            "SELECT closed FROM part JOIN exchange ON exchange.id = part.exchange
             WHERE part.rowid = ?1"
        }
    };
    database.query_row(sql, [rowid], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_value_changed_in_any_column_is_found_at_its_entry() {
    let book = book().await;
    let database = book.database();
    let whole = verify(&book);
    assert!(whole.is_verified(), "{whole:?}");
    let mut flips = 0;
    for (table, columns) in [
        ("entry", &["salt", "envelope", "leaf"][..]),
        (
            "session",
            &["id", "entries", "exchanges", "open", "head", "closed"],
        ),
        ("part", &["exchange", "kind", "ordinal", "data"]),
        ("pack", &["pieces", "addresses", "data"]),
        ("scope", &["key", "session", "holder", "alone"]),
        (
            "exchange",
            &[
                "scope",
                "first",
                "brought",
                "closed",
                "id",
                "session",
                "connection",
                "protocol",
                "started",
                "ended",
                "kind",
                "issuer",
                "subject",
                "action",
                "model",
                "verdict",
                "outcome",
                "status",
            ],
        ),
    ] {
        let rows: Vec<i64> = database
            .prepare(&format!("SELECT {} FROM {table}", key_of(table)))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for rowid in rows {
            for column in columns {
                let index = index_of(&database, table, rowid);
                let key = key_of(table);
                let read = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
                let write = format!("UPDATE {table} SET {column} = ?2 WHERE {key} = ?1");
                let value: Value = database
                    .query_row(&read, [rowid], |row| row.get(0))
                    .unwrap();
                if value == Value::Null {
                    continue;
                }
                for bit in [0, 37, 4001] {
                    // A changed number may be taken; then the database itself refuses.
                    let changed = database.execute(&write, (rowid, flip(&value, bit)));
                    if changed.is_err() {
                        continue;
                    }
                    let found = verify(&book);
                    database.execute(&write, (rowid, &value)).unwrap();
                    assert_eq!(found.verdict, "tampered", "{table}.{column}");
                    let indexes: Vec<_> = found.faults.iter().filter_map(|f| f.index).collect();
                    let outcome = index + 1;
                    let named = indexes.iter().any(|named| {
                        let named = i64::try_from(*named).unwrap();
                        // A row of the table of exchanges belongs to two entries.
                        named == index || (table == "exchange" && named == outcome)
                    });
                    assert!(named, "{table}.{column} of {index}: {:?}", found.faults);
                    flips += 1;
                }
            }
        }
    }
    assert!(flips > 150, "{flips}");
    assert!(verify(&book).is_verified());
}

#[tokio::test]
async fn rows_added_or_removed_are_found() {
    for change in [
        "DELETE FROM entry WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 5",
        "UPDATE entry SET seq = 9 WHERE seq = 5",
        "INSERT INTO entry SELECT 8, leaf, salt, envelope FROM entry WHERE seq = 5",
        "DELETE FROM part WHERE rowid = 1",
        "INSERT INTO part SELECT exchange, kind, 7, data FROM part WHERE rowid = 1",
        "INSERT INTO part SELECT zeroblob(16), kind, ordinal, data FROM part WHERE rowid = 1",
        "DELETE FROM pack WHERE id = 0",
        "INSERT INTO pack SELECT id + (9 << 32), pieces, addresses, data FROM pack WHERE id = 0",
        "DELETE FROM scope WHERE number = 0",
        "INSERT INTO scope SELECT 9, key, session, holder, alone FROM scope WHERE number = 0",
        "DELETE FROM exchange WHERE intent = 3",
        "UPDATE exchange SET closed = NULL WHERE intent = 3",
        "INSERT INTO exchange (intent, id, session, connection, protocol, started, scope, first,
             brought) VALUES (99, zeroblob(16), zeroblob(16), 'c', 'p', 1, 0, 0, 0)",
        "DELETE FROM session",
        "INSERT INTO session SELECT x'01', entries, exchanges, open, head, last, time, closed
         FROM session LIMIT 1",
        "DELETE FROM head",
        "UPDATE head SET size = 5",
        "UPDATE head SET frontier = x'00'",
        "UPDATE head SET note = 'x' || note",
    ] {
        let book = book().await;
        book.database().execute_batch(change).unwrap();
        let found = verify(&book);
        assert!(!found.is_verified(), "{change}");
        assert_ne!(found.fault_count, 0, "{change}");
    }
}

#[tokio::test]
async fn a_book_replaced_as_a_whole_is_found_by_a_key_that_was_kept() {
    let (kept, forged) = (book().await, book().await);
    let key = kept.reader().verify(None).unwrap().key.parse().unwrap();
    let reader = Reader::open(forged.folder()).unwrap();
    assert!(reader.verify(None).unwrap().is_verified());
    assert_eq!(reader.verify(Some(&key)).unwrap().verdict, "tampered");
    let stranger = SigningKey::from_seed(ORIGIN, &[1; 32])
        .unwrap()
        .verifier_key();
    assert_eq!(
        kept.reader().verify(Some(&stranger)).unwrap().verdict,
        "tampered"
    );
    assert!(kept.reader().verify(Some(&key)).unwrap().is_verified());
}

/// All that the tables hold.
fn contents(folder: &std::path::Path) -> Vec<Vec<Value>> {
    let database = Connection::open(folder.join("journal.db")).unwrap();
    let mut all = Vec::new();
    for table in [
        "entry", "pack", "part", "scope", "head", "exchange", "session",
    ] {
        let mut rows = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            all.push(
                (0..columns)
                    .map(|column| row.get(column).unwrap())
                    .collect(),
            );
        }
    }
    all
}

/// Not every bit of a database file means something: where `verify` says that all is well, nothing
/// that was recorded may be another.
#[tokio::test]
async fn no_bit_of_a_file_makes_another_book() {
    let whole = book().await;
    let expected = contents(&whole.folder());
    let keys = ["keys.db", "book.key"].map(|name| {
        let bytes = std::fs::read(whole.folder().join(name)).unwrap();
        (name, bytes)
    });
    let names = ["journal.db", "log.vkey"];
    let files = names.map(|name| std::fs::read(whole.folder().join(name)).unwrap());
    let (mut found, mut unmeant) = (0, 0);
    for flip in 0..400_usize {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files.clone();
        let file = &mut files[usize::from(flip % 20 == 0)];
        // Spread over all of it, with the first page in full.
        let bits = file.len() * 8;
        let bit = if flip < 40 {
            flip * 53 % bits
        } else {
            flip.wrapping_mul(2_654_435_761) % bits
        };
        file[bit / 8] ^= 1 << (bit % 8);
        for (name, bytes) in names.iter().zip(&files) {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        for (name, bytes) in &keys {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        let verified = Reader::open(dir.path()).and_then(|reader| reader.verify(None));
        match verified {
            Ok(report) if report.is_verified() => {
                assert!(contents(dir.path()) == expected, "bit {bit}");
                unmeant += 1;
            }
            Ok(report) => {
                assert_ne!(report.fault_count, 0, "bit {bit}");
                found += 1;
            }
            Err(_) => found += 1,
        }
    }
    assert!(found > 60, "{found} found, {unmeant} without a meaning");
}

#[tokio::test]
async fn a_monitor_finds_what_was_written_wrongly_and_nothing_else() {
    let book = Book::new();
    let mut monitor = Monitor::new(book.reader()).unwrap();
    for limit in [1, 1000] {
        for _ in 0..3 {
            book.exchange(b"prompt", &[b"answer"]).await;
            while !monitor.look(limit).unwrap() {}
        }
    }
    let written = book.recorder.stats().entries;
    book.exchange(b"prompt", &[b"answer"]).await;
    book.recorder.close();
    assert!(monitor.look(1000).unwrap());
    assert_eq!(monitor.faults(), []);
    assert_eq!(monitor.seen(), book.reader().size().unwrap());

    let change = "UPDATE entry SET envelope = CAST(envelope || ' ' AS BLOB) WHERE seq = 2";
    let closed = book.close();
    closed.database().execute_batch(change).unwrap();
    let mut monitor = Monitor::new(closed.reader()).unwrap();
    assert!(monitor.look(written + 100).unwrap());
    let faults = monitor.faults();
    assert_eq!((faults[0].index, faults.len()), (Some(2), 1), "{faults:?}");
}

#[tokio::test]
async fn a_monitor_takes_a_page_that_cannot_be_read_for_damage() {
    let book = Book::new();
    for _ in 0..40 {
        book.exchange(b"prompt", &[b"answer"]).await;
    }
    let closed = book.close();
    let root: u32 = closed
        .database()
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'entry'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let journal = closed.folder().join("journal.db");
    let mut bytes = std::fs::read(&journal).unwrap();
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let start = usize::try_from(root - 1).unwrap() * page;
    bytes[start..start + 8].fill(0xff);
    std::fs::write(&journal, bytes).unwrap();
    let mut monitor = Monitor::new(closed.reader()).unwrap();
    assert!(monitor.look(1000).unwrap());
    let faults = monitor.faults();
    assert_eq!((faults[0].index, faults.len()), (Some(0), 1), "{faults:?}");
}

/// The table or index that each page with rows belongs to.
fn pages(database: &Connection) -> Vec<(String, usize)> {
    let sql = "SELECT name, pageno FROM dbstat WHERE pagetype = 'leaf' ORDER BY name, path";
    let mut pages = database.prepare(sql).unwrap();
    let pages = pages.query_map([], |row| {
        let page: u32 = row.get(1)?;
        Ok((row.get(0)?, usize::try_from(page).unwrap()))
    });
    pages.unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_page_that_cannot_be_read_ends_no_check() {
    let book = Book::new();
    for _ in 0..30 {
        book.exchange(b"prompt", &[&noise(900)]).await;
    }
    let closed = book.close();
    let pages = pages(&closed.database());
    let journal = closed.folder().join("journal.db");
    let whole = std::fs::read(&journal).unwrap();
    let length = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let (mut entries, mut parts) = (0, 0);
    for (name, page) in pages {
        if page == 1 {
            continue; // The schema: without it this is no journal.
        }
        let mut bytes = whole.clone();
        bytes[(page - 1) * length..page * length].fill(0xff);
        std::fs::write(&journal, &bytes).unwrap();
        let found = verify(&closed);
        assert_eq!(found.verdict, "tampered", "page {page} of {name}");
        let named = found.faults.iter().any(|fault| fault.index.is_some());
        match name.as_str() {
            "entry" => entries += 1,
            "part" => parts += 1,
            _ => continue,
        }
        assert!(named, "page {page} of {name}: {:?}", found.faults);
        // What is on other pages was read.
        let unread = "the entry cannot be read";
        let lost = found
            .faults
            .iter()
            .filter(|fault| fault.what.starts_with(unread))
            .count();
        assert!(lost < 60, "page {page} of {name}: {lost} of {}", found.size);
    }
    assert!(entries > 3 && parts > 3, "{entries} and {parts} pages");
    std::fs::write(&journal, &whole).unwrap();
    assert!(verify(&closed).is_verified());
}
