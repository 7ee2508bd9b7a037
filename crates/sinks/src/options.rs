//! What a sink is.

use std::{sync::Arc, time::Duration};

use tollbook_search::{Format, Query};

use crate::{Deliver, Error, ErrorKind, Shape};

/// What a sink sends, and how much at a time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The format.
    pub format: Format,
    /// Whether what was said is sent, masked as it is in the book.
    pub contents: bool,
    /// Which exchanges. Terms of time are reckoned from when they are sent.
    pub query: Query,
    /// The query as it was written, for events.
    pub query_text: String,
    /// Only what came through these connections; through any where there are none.
    pub connections: Vec<String>,
    /// At most so many records in a batch.
    pub batch_records: usize,
    /// At most about so many bytes in a batch, unless one record has more. A batch is in memory.
    pub batch_bytes: usize,
    /// How often the sink looks for what is there to be sent.
    pub interval: Duration,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// How often a record is refused before it is set aside.
    pub tries: u32,
    /// How long a sink fails before that is an event.
    pub alarm_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Jsonl,
            contents: true,
            query: Query::all(),
            query_text: String::new(),
            connections: Vec::new(),
            batch_records: 500,
            batch_bytes: 4 << 20,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            tries: 5,
            alarm_after: Duration::from_secs(15 * 60),
        }
    }
}

/// A sink that can be started.
#[derive(Clone, Debug)]
pub struct Sink {
    pub(crate) name: String,
    pub(crate) target: Arc<dyn Deliver>,
    pub(crate) options: Options,
}

impl Sink {
    /// A sink of this name. Its cursor goes by the name: a sink of another name begins at the start
    /// of the book.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], and [`ErrorKind::Options`] where a limit is zero or the target does not
    /// take the format.
    pub fn new(
        name: impl Into<String>,
        target: impl Deliver,
        options: Options,
    ) -> Result<Self, Error> {
        let name = name.into();
        if !is_name(&name) {
            return Err(ErrorKind::Name.into());
        }
        if options.batch_records == 0
            || options.batch_bytes == 0
            || options.tries == 0
            || options.interval.is_zero()
            || options.timeout.is_zero()
        {
            let why = "a sink's batch, interval, timeout and tries are above zero";
            return Err(ErrorKind::Options(why).into());
        }
        let format = options.format;
        let fits = match target.shape() {
            Shape::Line => format == Format::Otlp,
            Shape::Record => matches!(format, Format::Jsonl | Format::Ocsf | Format::Otlp),
            Shape::Whole => match target.kind() {
                "s3" => true,
                _ => format.is_lines(),
            },
        };
        if !fits || format == Format::Har {
            let why = "the sink does not take this format: otlp takes otlp; file, webhook and nats \
                       take jsonl, ocsf and otlp; s3 takes csv and parquet too";
            return Err(ErrorKind::Options(why).into());
        }
        Ok(Self {
            name,
            target: Arc::new(target),
            options,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it sends to: `file`, `webhook`, …
    pub fn kind(&self) -> &'static str {
        self.target.kind()
    }
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(known)
}
