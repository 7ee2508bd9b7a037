//! What is sent at a time, and who sends it.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use tollbook_exchange::Timestamp;

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Some records, encoded, that are acknowledged together or not at all.
#[derive(Clone)]
#[non_exhaustive]
pub struct Delivery {
    /// The name of the sink that sends them.
    pub sink: String,
    /// What tells the book from another one of the same name: the beginning of the hash of its first
    /// entry, eight hexadecimal digits.
    pub book: String,
    /// The name of the log that they are from.
    pub origin: String,
    /// The index of the first record's last entry.
    pub first: u64,
    /// The same of the last record.
    pub last: u64,
    /// How many they are.
    pub records: usize,
    /// When the first of them ended.
    pub ended: Timestamp,
    /// What is sent.
    pub bytes: Bytes,
    /// The format's media type.
    pub media_type: &'static str,
    /// The format's name.
    pub format: &'static str,
}

impl Delivery {
    /// The same for the same records of the same log, whenever they are sent, and another one for
    /// any others: the origin, and the indexes of the first and the last of them.
    pub fn key(&self) -> String {
        if self.first == self.last {
            format!("{}/{}", self.origin, self.first)
        } else {
            format!("{}/{}-{}", self.origin, self.first, self.last)
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("key", &self.key())
            .field("records", &self.records)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// How records go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// All of a batch at once.
    Whole,
    /// As the format's lines have them, each of which is a document by itself.
    Line,
    /// Each alone.
    Record,
}

/// The other side of a sink.
pub trait Deliver: Send + Sync + fmt::Debug + 'static {
    /// What kind it is: `file`, `webhook`, …
    fn kind(&self) -> &'static str;

    /// How it takes records.
    fn shape(&self) -> Shape {
        Shape::Whole
    }

    /// Whether a batch must not have records of more than one hour (UTC).
    fn by_hour(&self) -> bool {
        false
    }

    /// Sends it. When this returns well, the other side has it for good.
    ///
    /// The same delivery may come again, also after it went well once: after a crash nobody knows.
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>>;
}

/// Why something could not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Failure {
    pub(crate) refused: bool,
    /// Whatever the other side would say of any other record.
    pub(crate) itself: bool,
    pub(crate) after: Option<Duration>,
    why: &'static str,
    status: Option<u16>,
}

impl Failure {
    /// It may go well another time. `why` stands in states, events and logs.
    pub const fn again(why: &'static str) -> Self {
        Self {
            refused: false,
            itself: false,
            after: None,
            why,
            status: None,
        }
    }

    /// It will not go well another time: the other side does not want these records.
    pub const fn refused(why: &'static str) -> Self {
        Self {
            refused: true,
            ..Self::again(why)
        }
    }

    /// It is about this record and no other, such as its size: however many of them follow each other,
    /// the other side is not wrong.
    pub const fn of_the_record(mut self) -> Self {
        self.itself = true;
        self
    }

    /// With the status that the other side answered.
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Not before this time has passed, which the other side asks for.
    pub const fn after(mut self, wait: Option<Duration>) -> Self {
        self.after = wait;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ({status})", self.why),
            None => f.write_str(self.why),
        }
    }
}
