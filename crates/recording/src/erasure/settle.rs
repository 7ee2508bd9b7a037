//! Doing what tombstones say.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{Doomed, Survey, doomed::Gone, tombstones};
use crate::{
    Error, database,
    keys::{Class, KeyId, Keyring},
};

/// What [`settle`] did.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The tombstones whose keys are destroyed now.
    pub(crate) tombstones: Vec<u64>,
    /// Whether the write-ahead logs could be cut. If not, all of it is to be done again.
    pub(crate) is_cut: bool,
}

/// Does what tombstones say, as far as it is not known that it was done: drops what is stored, by
/// `write`, destroys the keys, and cuts the write-ahead logs. That it was done is noted last.
pub(crate) fn settle(
    book: &Connection,
    keys: &Keyring,
    journal: &Path,
    mut write: impl FnMut(Doomed) -> Result<(), Error>,
) -> Result<Settled, Error> {
    let pending = tombstones(book, keys.erased()?..u64::MAX)?;
    let Some((last, _)) = pending.last() else {
        return Ok(Settled {
            is_cut: true,
            ..Settled::default()
        });
    };
    let through = last + 1;
    let mut told: HashMap<KeyId, BTreeSet<Class>> = HashMap::new();
    for (_, tombstone) in &pending {
        for key in &tombstone.keys {
            told.entry(*key).or_default().extend(&tombstone.classes);
        }
    }

    let gone = told.iter();
    let gone = gone.filter(|(_, classes)| classes.contains(&Class::Metadata));
    let gone: Arc<HashSet<KeyId>> = Arc::new(gone.map(|(key, _)| *key).collect());
    let mut all = Doomed::default();
    for scope in Survey::of(book)?.scopes {
        let Some(classes) = told.get(&scope.key) else {
            continue;
        };
        if classes.contains(&Class::Request) {
            all.scopes.push(scope.number);
        }
        let exchanges = scope.exchanges.iter();
        all.exchanges.extend(exchanges.map(|(intent, answers)| {
            let gone = Gone {
                metadata: classes.contains(&Class::Metadata),
                answer: classes.contains(answers),
            };
            (*intent, gone)
        }));
    }
    all.exchanges.sort_unstable_by_key(|(intent, _)| *intent);
    // A part at a time, so that requests that come meanwhile do not wait for all of it.
    for exchanges in all.exchanges.chunks(MAX_EXCHANGES) {
        write(Doomed {
            exchanges: exchanges.to_vec(),
            told: Arc::clone(&gone),
            ..Doomed::default()
        })?;
    }
    for scopes in all.scopes.chunks(MAX_SCOPES) {
        write(Doomed {
            scopes: scopes.to_vec(),
            ..Doomed::default()
        })?;
    }
    let doomed: Vec<_> = told
        .into_iter()
        .map(|(key, classes)| (key, classes.into_iter().collect()))
        .collect();
    keys.destroy_all(&doomed)?;
    // Both, whether or not the first can be.
    let is_cut = keys.forget_log()? & forget_log(journal)?;
    if is_cut {
        keys.set_erased(through)?;
    }
    Ok(Settled {
        tombstones: pending.into_iter().map(|(index, _)| index).collect(),
        is_cut,
    })
}

/// Cuts the journal's write-ahead log to nothing: it has pages as they were before. Whether that
/// could be.
fn forget_log(journal: &Path) -> Result<bool, Error> {
    let connection = database::connect(journal)?;
    // While it waits, nobody can write. So it tries again instead.
    connection.busy_timeout(Duration::from_millis(20))?;
    let until = Instant::now() + PATIENCE;
    loop {
        if database::cut_log(&connection)? {
            return Ok(true);
        }
        if Instant::now() > until {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// How many exchanges are dropped in one transaction, about.
const MAX_EXCHANGES: usize = 1000;
/// And of how many scopes the requests.
const MAX_SCOPES: usize = 100;
/// How long a reader may keep the write-ahead log from being cut.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
