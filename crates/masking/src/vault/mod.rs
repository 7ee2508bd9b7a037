//! What tokens stand for, and giving it back.
//!
//! Tokens are made of the value, so the vault only remembers what it has seen: for each session of
//! each principal its tokens and their values, for a while and up to a bound. A value that finds
//! no room is redacted, not replaced by a token that nobody could turn back.
//!
//! Values lie in this process's memory and nowhere else; they are wiped when a session ends. After
//! a restart the next request, which tells the whole conversation again, fills the vault anew.

mod body;
mod restore;
mod session;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::session::{Entries, Room};
pub use self::{
    body::BodyRestorer,
    restore::{RestoreStream, Restored},
    session::Session,
};
use crate::MaskKey;

/// The sessions of all principals. A handle: clones share them.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    key: MaskKey,
    limits: VaultLimits,
    room: Room,
    sessions: Mutex<HashMap<[u8; 32], Known>>,
}

struct Known {
    entries: Arc<Mutex<Entries>>,
    used: Instant,
}

/// How much a vault keeps, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VaultLimits {
    /// Sessions at a time. 4,096 unless told.
    pub sessions: usize,
    /// Values of a session. 4,096 unless told.
    pub values: usize,
    /// Bytes of a session's values and tokens. 1 MiB unless told.
    pub bytes: usize,
    /// The same of all sessions together: whoever names many sessions must not fill the memory.
    /// 128 MiB unless told.
    pub total: usize,
    /// How long a session is kept when nobody asks for it. An hour unless told.
    pub idle: Duration,
}

impl Default for VaultLimits {
    fn default() -> Self {
        Self {
            sessions: 4096,
            values: 4096,
            bytes: 1 << 20,
            total: 128 << 20,
            idle: Duration::from_secs(3600),
        }
    }
}

impl Vault {
    /// An empty vault. Its tokens are made with keys derived from this one.
    pub fn new(key: &MaskKey, limits: VaultLimits) -> Self {
        Self(Arc::new(Inner {
            key: key.derive(&[b"vault"]),
            limits,
            room: Room::new(limits.total),
            sessions: Mutex::default(),
        }))
    }

    /// The session of this scope: whose it is and which of theirs, such as an issuer, a stable id and
    /// a session id. Tokens of one scope mean nothing in another. `now` is the time of use.
    ///
    /// With more sessions than the limit, the session makes no tokens.
    pub fn session(&self, scope: &[&str], now: Instant) -> Session {
        let parts: Vec<&[u8]> = scope.iter().map(|part| part.as_bytes()).collect();
        let key = self.0.key.derive(&parts);
        let id = key.digest(&[b"id"]);
        let limits = self.0.limits;
        let mut sessions = self
            .0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= limits.sessions && !sessions.contains_key(&id) {
            sessions.retain(|_, known| {
                now.saturating_duration_since(known.used) <= limits.idle
                    || Arc::strong_count(&known.entries) > 1
            });
        }
        let is_full = sessions.len() >= limits.sessions;
        let entries = match sessions.get_mut(&id) {
            Some(known) => {
                let old = now.saturating_duration_since(known.used) > limits.idle;
                if old && Arc::strong_count(&known.entries) == 1 {
                    known.entries = Arc::new(Mutex::new(Entries::new(limits, &self.0.room)));
                }
                known.used = known.used.max(now);
                Arc::clone(&known.entries)
            }
            None if is_full => Arc::new(Mutex::new(Entries::full(&self.0.room))),
            None => {
                let entries = Arc::new(Mutex::new(Entries::new(limits, &self.0.room)));
                let known = Known {
                    entries: Arc::clone(&entries),
                    used: now,
                };
                sessions.insert(id, known);
                entries
            }
        };
        drop(sessions);
        Session::new(key, entries)
    }

    /// Forgets the sessions that nobody has asked for in a while. To be called now and then.
    pub fn sweep(&self, now: Instant) {
        let idle = self.0.limits.idle;
        let mut sessions = self
            .0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, known| {
            now.saturating_duration_since(known.used) <= idle
                || Arc::strong_count(&known.entries) > 1
        });
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}
