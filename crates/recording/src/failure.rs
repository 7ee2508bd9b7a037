//! What becomes of requests that cannot be recorded.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tollbook_exchange::{Draft, Timestamp};

use crate::{ErrorKind, Health};

/// What becomes of a request when it cannot be recorded.
///
/// Whatever passes without a record is counted, and the counts are an entry of the book as soon as
/// it can be written again; see [`Recorder`](crate::Recorder).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is refused.
    #[default]
    Block,
    /// It passes without a record if it only reads, and is refused if not.
    BlockWrites(Reads),
    /// It passes while its record can wait in memory, and is refused when that is full or has waited
    /// for too long. After a write that failed nothing can be recorded any more until the process
    /// starts anew, and it is refused.
    Spool(Spool),
    /// It passes without a record until a time, and is refused after that.
    Allow(Allow),
}

/// Tells from what is known of a request whether it only reads.
#[derive(Clone)]
pub struct Reads(Arc<Ask>);

type Ask = dyn Fn(&Draft) -> bool + Send + Sync;

/// How much may wait in memory, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Bytes of requests and answers, at most those of the recorder's queue.
    pub bytes: usize,
    /// How long the oldest of it may wait.
    pub time: Duration,
}

/// Who let requests pass without a record, until when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// From then on requests are refused again.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who signed it off.
    pub approved_by: String,
}

impl OnFailure {
    /// The name in configurations and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::BlockWrites(_) => "block_writes",
            Self::Spool(_) => "spool",
            Self::Allow(_) => "allow",
        }
    }

    /// Whether some requests pass while the book is in this state.
    pub fn is_open(&self, health: &Health) -> bool {
        match (self, health) {
            (_, Health::Healthy | Health::LowSpace { .. }) => true,
            (Self::Spool(_), Health::Blocked { .. }) | (Self::Block, _) => false,
            (Self::Spool(_) | Self::BlockWrites(_), _) => true,
            (Self::Allow(allow), _) => allow.is_open(),
        }
    }

    /// Whether a request of which nothing is known yet may go on without a record for this reason.
    pub(crate) fn may_pass(&self, why: &ErrorKind) -> bool {
        is_failure(why)
            && match self {
                Self::Block | Self::Spool(_) => false,
                Self::BlockWrites(_) => true,
                Self::Allow(allow) => allow.is_open(),
            }
    }

    /// Whether this request may pass without a record.
    pub(crate) fn lets_pass(&self, draft: &Draft) -> bool {
        match self {
            Self::Block | Self::Spool(_) => false,
            Self::BlockWrites(reads) => (reads.0)(draft),
            Self::Allow(allow) => allow.is_open(),
        }
    }

    /// What may wait in memory.
    pub(crate) const fn spool(&self) -> Option<Spool> {
        match self {
            Self::Spool(spool) => Some(*spool),
            _ => None,
        }
    }

    /// Who let it pass, where somebody had to.
    pub(crate) const fn allowed(&self) -> Option<&Allow> {
        match self {
            Self::Allow(allow) => Some(allow),
            _ => None,
        }
    }
}

impl Reads {
    /// Those of which this is true.
    pub fn new(reads: impl Fn(&Draft) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(reads))
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}

impl Default for Spool {
    /// 16 MiB, for half a minute.
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            time: Duration::from_secs(30),
        }
    }
}

impl Allow {
    /// Whether its time has not come.
    pub fn is_open(&self) -> bool {
        Timestamp::now() < self.until
    }
}

/// Whether it is the book that cannot be written, and not the layers that are put together wrongly.
pub(crate) const fn is_failure(why: &ErrorKind) -> bool {
    matches!(
        why,
        ErrorKind::Blocked(_) | ErrorKind::Space | ErrorKind::Deadline | ErrorKind::Keys
    )
}

/// The stable word for why something could not be recorded.
pub(crate) const fn word(why: &ErrorKind) -> &'static str {
    match why {
        ErrorKind::Blocked(_) => "journal_blocked",
        ErrorKind::Space => "journal_space",
        ErrorKind::Deadline => "journal_deadline",
        ErrorKind::Keys => "keys",
        _ => "journal_error",
    }
}
