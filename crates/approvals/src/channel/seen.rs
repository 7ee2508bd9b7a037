//! What came before.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest;
use tollbook_exchange::Timestamp;

use super::Rejected;

/// Remembers what was taken, until it could not be taken again anyway. Only what is authentic gets
/// here, so a stranger cannot fill it.
pub(super) struct Seen {
    capacity: usize,
    entries: Mutex<HashMap<[u8; 32], Timestamp>>,
}

impl Seen {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// Takes `parts`, together, for the first time until `until`.
    pub(super) fn first(
        &self,
        parts: &[&[u8]],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), Rejected> {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        // Nothing panics while it is held, and every state is whole.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.get(&key).is_some_and(|until| now < *until) {
            return Err(Rejected::Repeated);
        }
        if entries.len() >= self.capacity {
            entries.retain(|_, until| now < *until);
        }
        if entries.len() >= self.capacity {
            return Err(Rejected::Full);
        }
        entries.insert(key, until);
        Ok(())
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_taken_once_and_room_is_made_by_time_alone() {
        let seen = Seen::new(2);
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        assert_eq!(seen.first(&[b"a", b"b"], at(0), at(10)), Ok(()));
        assert_eq!(
            seen.first(&[b"a", b"b"], at(9), at(19)),
            Err(Rejected::Repeated)
        );
        assert_eq!(seen.first(&[b"ab", b""], at(9), at(19)), Ok(()));
        assert_eq!(seen.first(&[b"c"], at(9), at(19)), Err(Rejected::Full));
        assert_eq!(seen.first(&[b"c"], at(10), at(20)), Ok(()));
        assert_eq!(seen.first(&[b"d"], at(10), at(20)), Err(Rejected::Full));
    }
}
