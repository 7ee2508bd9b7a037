//! What is recorded, scope by scope: what an erasure or a retention goes by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::Connection;
use tollbook_exchange::{SessionId, Timestamp};
use tollbook_ledger::Leaf;

use super::{
    hold::{Hold, active},
    retention::Retention,
};
use crate::{
    Error,
    database::unsigned,
    erased::Tombstones,
    keys::{Class, KeyId},
};

/// What one principal did in one session.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Its number in the book.
    pub(super) number: u64,
    pub(super) key: KeyId,
    /// The keys of outcomes of its exchanges that were closed apart, under keys of their own, by
    /// who could not open the scope.
    pub(super) apart: Vec<KeyId>,
    pub(super) session: SessionId,
    /// The keyed hash of the subject; zeros where there is none.
    pub(super) holder: [u8; 32],
    /// The names of its connections, with the class of what they answer with.
    pub(super) connections: BTreeSet<(String, Class)>,
    /// The indexes of the first entries of its exchanges, with the class of the answer to each.
    pub(super) exchanges: Vec<(u64, Class)>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Whether an exchange is under way.
    pub(super) open: bool,
    /// The classes that were destroyed, as bits.
    pub(super) erased: u8,
}

/// What is recorded.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// In the order of their first entries.
    pub(super) scopes: Vec<Scope>,
    /// The holds that are in force.
    pub(super) holds: Vec<Hold>,
}

impl Survey {
    pub(super) fn of(book: &Connection) -> Result<Self, Error> {
        let mut tombstones = Tombstones::default();
        tombstones.read(book)?;
        let mut scopes: BTreeMap<u64, Scope> = BTreeMap::new();
        let mut rows = book.prepare("SELECT number, key, session, holder FROM scope")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let number = unsigned(row.get(0)?)?;
            let key = KeyId(row.get(1)?);
            let erased = Class::ALL
                .iter()
                .filter(|class| tombstones.of(key, **class).is_some());
            let scope = Scope {
                number,
                key,
                apart: Vec::new(),
                session: SessionId::from_bytes(row.get(2)?),
                holder: row.get(3)?,
                connections: BTreeSet::new(),
                exchanges: Vec::new(),
                first: Timestamp::from_micros(i64::MAX),
                last: Timestamp::from_micros(i64::MIN),
                open: false,
                erased: erased.fold(0, |bits, class| bits | class.bit()),
            };
            scopes.insert(number, scope);
        }
        let mut rows = book.prepare(
            "SELECT intent, scope, connection, started, ended, closed, protocol FROM exchange
             ORDER BY intent",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let Some(scope) = scopes.get_mut(&unsigned(row.get(1)?)?) else {
                continue;
            };
            let started: i64 = row.get(3)?;
            let ended: Option<i64> = row.get(4)?;
            let protocol = row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?;
            let answers = Class::of_answer(protocol);
            let connection = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
            let mut known = scope.connections.iter();
            if !known.any(|(name, class)| name == connection && *class == answers) {
                scope.connections.insert((connection.to_owned(), answers));
            }
            scope.exchanges.push((unsigned(row.get(0)?)?, answers));
            let last = ended.unwrap_or(started).max(started);
            scope.first = scope.first.min(Timestamp::from_micros(started));
            scope.last = scope.last.max(Timestamp::from_micros(last));
            scope.open |= row.get::<_, Option<i64>>(5)?.is_none();
        }
        // A scope begins with an exchange, unless it is that of an outcome alone.
        let (mut scopes, alone): (Vec<_>, Vec<_>) = scopes
            .into_values()
            .partition(|scope| !scope.exchanges.is_empty());
        if !alone.is_empty() {
            let keys = alone.iter().map(|scope| scope.key).collect();
            let mut apart = closed_apart(book, &keys)?;
            for scope in &mut scopes {
                scope.apart = apart.remove(&scope.number).unwrap_or_default();
                let gone = |key: &KeyId| tombstones.of(*key, Class::Metadata).is_some();
                if !scope.apart.iter().all(gone) {
                    scope.erased &= !Class::Metadata.bit();
                }
            }
        }
        Ok(Self {
            scopes,
            holds: active(book)?,
        })
    }
}

/// The keys of outcomes among these, by the number of the scope of their exchange.
fn closed_apart(
    book: &Connection,
    keys: &HashSet<KeyId>,
) -> Result<HashMap<u64, Vec<KeyId>>, Error> {
    let mut found: HashMap<u64, Vec<KeyId>> = HashMap::new();
    let mut rows =
        book.prepare("SELECT scope, leaf FROM exchange JOIN entry ON seq = closed ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let leaf = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let key = KeyId(Leaf::from_bytes(leaf)?.header.seal.key);
        if keys.contains(&key) {
            found.entry(unsigned(row.get(0)?)?).or_default().push(key);
        }
    }
    Ok(found)
}

impl Scope {
    /// The keys that all that is recorded of its exchanges is sealed under.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyId> {
        std::iter::once(self.key).chain(self.apart.iter().copied())
    }

    /// Whether what the gate itself did is in it: steps of approvals, calls of the admin API.
    pub(super) fn is_own(&self) -> bool {
        self.connections
            .iter()
            .any(|(name, _)| name.starts_with('('))
    }

    /// Whether this hold is on it.
    pub(super) fn is_under(&self, hold: &Hold) -> bool {
        let subject = hold.subject.as_deref();
        hold.session == Some(self.session)
            || subject.is_some_and(|subject| subject == super::hex(&self.holder))
    }

    /// How many of its exchanges have something of this class.
    pub(super) fn count(&self, class: Class) -> u64 {
        let of_class = self.exchanges.iter();
        of_class.filter(|(_, answers)| has(*answers, class)).count() as u64
    }

    /// When this class of it is to be destroyed, if ever.
    pub(super) fn expires(&self, class: Class, retention: &Retention) -> Option<Timestamp> {
        retention.expires(class, self.connections(class), self.last)
    }

    /// Until when something of it has to be kept.
    pub(super) fn kept_until(&self, retention: &Retention) -> Timestamp {
        let until =
            Class::ALL.map(|class| retention.kept_until(class, self.connections(class), self.last));
        until.into_iter().fold(self.last, Timestamp::max)
    }

    /// The names of its connections that have something of this class.
    fn connections(&self, class: Class) -> impl Iterator<Item = &str> + Clone {
        let connections = self.connections.iter();
        let of_class = connections.filter(move |(_, answers)| has(*answers, class));
        of_class.map(|(name, _)| name.as_str())
    }
}

/// Whether an exchange whose answer is of the one class has something of the other.
fn has(answers: Class, class: Class) -> bool {
    matches!(class, Class::Metadata | Class::Request) || answers == class
}
