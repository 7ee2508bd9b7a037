//! The tokens of one session.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
}

impl Entries {
    pub(super) fn new(limits: VaultLimits) -> Self {
        Self {
            max_values: limits.values,
            max_bytes: limits.bytes,
            ..Self::full()
        }
    }

    /// Room for nothing.
    pub(super) fn full() -> Self {
        Self {
            values: HashMap::new(),
            kinds: BTreeSet::new(),
            bytes: 0,
            max_values: 0,
            max_bytes: 0,
        }
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
        let bytes = entries.bytes.saturating_add(token.len() + value.len());
        if entries.values.len() >= entries.max_values || bytes > entries.max_bytes {
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
