//! The tokens of one session.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use zeroize::Zeroizing;

use super::{RestoreStream, VaultLimits};
use crate::{MaskKey, operator};

/// One session of one principal. It makes tokens and knows what those it made stand for.
#[derive(Clone)]
pub struct Session {
    key: MaskKey,
    entries: Arc<Mutex<Entries>>,
}

/// What tokens stand for.
pub(super) struct Entries {
    values: HashMap<String, Zeroizing<Vec<u8>>>,
    /// What tokens begin with.
    kinds: BTreeSet<String>,
    bytes: usize,
    max_values: usize,
    max_bytes: usize,
    room: Room,
}

/// The room that all sessions share, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<AtomicUsize>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Takes so much, if it is there.
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        let Self(left) = self;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Entries {
    pub(super) fn new(limits: VaultLimits, room: &Room) -> Self {
        Self::with(limits.values, limits.bytes, room)
    }

    /// Room for nothing.
    pub(super) fn full(room: &Room) -> Self {
        Self::with(0, 0, room)
    }

    fn with(max_values: usize, max_bytes: usize, room: &Room) -> Self {
        Self {
            values: HashMap::new(),
            kinds: BTreeSet::new(),
            bytes: 0,
            max_values,
            max_bytes,
            room: room.clone(),
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.room.give_back(self.bytes);
    }
}

impl Session {
    pub(super) const fn new(key: MaskKey, entries: Arc<Mutex<Entries>>) -> Self {
        Self { key, entries }
    }

    /// Turns tokens in a text that comes in pieces back into what they stand for.
    pub fn restore(&self) -> RestoreStream {
        RestoreStream::new(self.clone())
    }

    /// The token for a value. `None` where there is no room for it, where another value has this
    /// token, or where the value is no text.
    pub(crate) fn token(&self, kind: &str, value: &[u8]) -> Option<String> {
        std::str::from_utf8(value).ok()?;
        let token = operator::mint(&self.key, kind, value);
        let mut entries = self.entries();
        if let Some(known) = entries.values.get(&token) {
            return (***known == *value).then_some(token);
        }
        let own = token.len() + value.len();
        let bytes = entries.bytes.saturating_add(own);
        if entries.values.len() >= entries.max_values
            || bytes > entries.max_bytes
            || !entries.room.take(own)
        {
            return None;
        }
        entries.bytes = bytes;
        if !entries.kinds.contains(kind) {
            entries.kinds.insert(kind.to_owned());
        }
        let value = Zeroizing::new(value.to_vec());
        entries.values.insert(token.clone(), value);
        Some(token)
    }

    /// Whether this is a token of this session.
    pub(crate) fn knows(&self, token: &[u8]) -> bool {
        std::str::from_utf8(token).is_ok_and(|token| self.entries().values.contains_key(token))
    }

    /// What a token stands for.
    pub(super) fn value(&self, token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let token = std::str::from_utf8(token).ok()?;
        self.entries().values.get(token).cloned()
    }

    /// What the tokens of the session begin with, up to and with the `_`.
    pub(super) fn beginnings(&self) -> Vec<Vec<u8>> {
        let kinds = &self.entries().kinds;
        kinds
            .iter()
            .map(|kind| format!("{kind}_").into_bytes())
            .collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}
