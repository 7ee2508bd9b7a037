//! Who may cancel what.
//!
//! A client cancels by a new connection that brings a key and nothing else. The key that it got here
//! is the gate's own, so that the server's is known to nobody but the gate, and so that it is known
//! whose statement a cancel hits.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::constant_time;
use bytes::Bytes;
use tokio::sync::Notify;
use tollbook_identity::Watch;
use tollbook_wire_postgres::{CancelKey, Version};

use crate::Caller;

/// The sessions of a connection that can be cancelled in.
///
/// A cheap handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancels(Arc<Mutex<HashMap<u32, Arc<Entry>>>>);

/// A session that can be cancelled in.
pub(super) struct Entry {
    secret: Bytes,
    /// Whose it is.
    pub(super) caller: Caller,
    /// Its database.
    pub(super) database: String,
    /// Which server it is on, and that server's key.
    pub(super) server: Option<(SocketAddr, CancelKey)>,
    /// Told when it is cancelled.
    pub(super) cancelled: Arc<Notify>,
}

/// A session's place among those that can be cancelled in, for as long as this lives.
#[derive(Debug)]
pub(super) struct Registered {
    all: Cancels,
    /// What the client is told.
    pub(super) key: CancelKey,
    pub(super) entry: Arc<Entry>,
}

impl Cancels {
    /// Adds a session, with a key of the length that the client's version takes.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(super) fn register(
        &self,
        version: Version,
        caller: &Caller,
        database: &str,
        server: Option<(SocketAddr, CancelKey)>,
    ) -> Result<Registered, getrandom::Error> {
        let mut secret = vec![
            0;
            if version >= Version::V3_2 {
                LONG
            } else {
                SHORT
            }
        ];
        getrandom::fill(&mut secret)?;
        let secret = Bytes::from(secret);
        let entry = Arc::new(Entry {
            secret: secret.clone(),
            caller: copy(caller),
            database: database.to_owned(),
            server,
            cancelled: Arc::new(Notify::new()),
        });
        let mut all = self.lock();
        let process = loop {
            // Clients show it as a number of a process, which is above zero.
            let process = getrandom::u32()? >> 1;
            if process != 0 && !all.contains_key(&process) {
                break process;
            }
        };
        all.insert(process, Arc::clone(&entry));
        Ok(Registered {
            all: self.clone(),
            key: CancelKey { process, secret },
            entry,
        })
    }

    /// The session with this key.
    pub(super) fn find(&self, key: &CancelKey) -> Option<Arc<Entry>> {
        let entry = self.lock().get(&key.process).cloned()?;
        constant_time::verify_slices_are_equal(&entry.secret, &key.secret).ok()?;
        Some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.all.lock().remove(&self.key.process);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("session", &self.caller.session)
            .finish_non_exhaustive()
    }
}

/// The same caller for an exchange of another connection, which is over before a revocation matters.
fn copy(caller: &Caller) -> Caller {
    Caller {
        principal: caller.principal.clone(),
        session: caller.session,
        masks: caller.masks.clone(),
        revoked: Watch::never(),
    }
}

/// The bytes of a secret up to version 3.0.
const SHORT: usize = 4;
/// Those from 3.2 on, as PostgreSQL 18 has them.
const LONG: usize = 32;

#[cfg(test)]
mod tests {
    use tollbook_exchange::{ExchangeId, Principal, PrincipalKind, SessionId};
    use tollbook_masking::Masker;

    use super::*;
    use crate::Masks;

    #[test]
    fn a_key_hits_its_session_while_that_lives_and_no_other() {
        let masker = Masker::builtin();
        let caller = Caller {
            principal: Principal::new(PrincipalKind::Ci, "ci", "me"),
            session: SessionId::alone(ExchangeId::generate()),
            masks: Masks {
                requests: masker.clone(),
                answers: masker,
                wire: None,
            },
            revoked: Watch::never(),
        };
        let all = Cancels::default();
        let register = |version| all.register(version, &caller, "orders", None).unwrap();
        let (old, new) = (register(Version::V3_0), register(Version::V3_2));
        assert_eq!((old.key.secret.len(), new.key.secret.len()), (4, 32));
        for one in [&old, &new] {
            assert!(Arc::ptr_eq(&all.find(&one.key).unwrap(), &one.entry));
        }
        let mixed = CancelKey {
            process: old.key.process,
            secret: new.key.secret.clone(),
        };
        assert!(all.find(&mixed).is_none());
        let cut = CancelKey {
            process: new.key.process,
            secret: new.key.secret.slice(..4),
        };
        assert!(all.find(&cut).is_none());
        let key = old.key.clone();
        drop(old);
        assert!(all.find(&key).is_none(), "a session that has ended");
        assert!(!format!("{new:?}").contains("secret"));
    }
}
