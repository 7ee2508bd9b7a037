//! Exchanges told again, in their own time.

mod asciicast;
mod asked;
mod told;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tollbook_exchange::ExchangeId;
use tollbook_recording::Reader;

pub use self::asciicast::Asciicast;
use crate::{Error, Pace, RecordedExchange};

/// Something that is shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scene {
    /// When, from the beginning of the playback.
    pub at: Duration,
    /// What.
    pub what: What,
}

impl Scene {
    /// Something, shown then.
    pub const fn new(at: Duration, what: What) -> Self {
        Self { at, what }
    }
}

/// What is shown. Texts are masked, and otherwise as others wrote them: who shows them on a terminal
/// makes them inert first.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// An exchange begins.
    Opened {
        /// Its id.
        exchange: String,
        /// When it began then, as an RFC 3339 time.
        started: String,
        /// Who asked.
        subject: Option<String>,
        /// What was asked for, such as `messages.create`.
        action: String,
        /// The model that was asked for.
        model: Option<String>,
    },
    /// Something that the request brings: what the user says, or what a tool gave back.
    Asked {
        /// The tool that gave it; `None` for the user.
        tool: Option<String>,
        /// The text.
        text: String,
        /// Whether a tool says that it failed.
        failed: bool,
    },
    /// A block of the answer begins.
    Began {
        /// What kind of block it is.
        kind: BlockKind,
        /// The tool that is called.
        tool: Option<String>,
    },
    /// The next piece of that block, as it came.
    Piece(String),
    /// The exchange is over.
    Ended {
        /// How.
        outcome: Option<String>,
        /// The status that the caller saw.
        status: Option<u16>,
        /// Why the model stopped.
        stop_reason: Option<String>,
        /// The message of an error, or of a refusal.
        told: Option<String>,
        /// How long it took then.
        took: Duration,
    },
}

/// What kind of block an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockKind {
    /// Text for the user.
    Text,
    /// What the model thought.
    Thinking,
    /// A call of a tool.
    Call,
    /// Anything else, by the name of its kind as the tool.
    Other,
}

/// Tells exchanges one after the other, each in its own time.
///
/// Exchanges that ran side by side are told one after the other too, without a pause between them.
/// One is in memory at a time.
#[derive(Debug)]
pub struct Playback {
    book: Arc<Reader>,
    pace: Pace,
    exchanges: std::vec::IntoIter<ExchangeId>,
    scenes: std::vec::IntoIter<Scene>,
    /// Where the playback has come to.
    at: Duration,
    /// When the exchange before ended then, in microseconds.
    ended: Option<i64>,
    /// The tools of calls by their ids.
    tools: HashMap<String, String>,
}

impl Playback {
    /// Tells these exchanges.
    pub fn new(
        book: Arc<Reader>,
        exchanges: impl IntoIterator<Item = ExchangeId>,
        pace: Pace,
    ) -> Self {
        let exchanges: Vec<_> = exchanges.into_iter().collect();
        Self {
            book,
            pace,
            exchanges: exchanges.into_iter(),
            scenes: Vec::new().into_iter(),
            at: Duration::ZERO,
            ended: None,
            tools: HashMap::new(),
        }
    }

    /// The scenes of one exchange.
    fn exchange(&mut self, recorded: &RecordedExchange) -> Vec<Scene> {
        let started = recorded.started().map(|time| time.as_micros());
        if let Some((started, ended)) = started.zip(self.ended) {
            let idle = u64::try_from(started.saturating_sub(ended)).unwrap_or_default();
            self.at += self.pace.pause(Duration::from_micros(idle));
        }
        let took = i64::try_from(recorded.took().as_micros()).unwrap_or(i64::MAX);
        self.ended = started.map(|started| started.saturating_add(took));

        let mut scenes = Vec::new();
        let mut show = |at, what| scenes.push(Scene { at, what });
        show(self.at, told::opened(recorded));
        for what in asked::asked(recorded, &self.tools) {
            show(self.at, what);
        }
        let mut then = Duration::ZERO;
        for (at, what) in told::answered(recorded) {
            self.at += self.pace.pause(at.saturating_sub(then));
            then = then.max(at);
            show(self.at, what);
        }
        self.at += self.pace.pause(recorded.took().saturating_sub(then));
        show(self.at, told::ended(recorded));

        let calls = recorded.record()["tool_calls"].as_array();
        for call in calls.into_iter().flatten() {
            if let (Some(id), Some(name)) = (call["id"].as_str(), call["name"].as_str()) {
                self.tools.insert(id.to_owned(), name.to_owned());
            }
        }
        scenes
    }
}

impl Iterator for Playback {
    type Item = Result<Scene, Error>;

    fn next(&mut self) -> Option<Result<Scene, Error>> {
        loop {
            if let Some(scene) = self.scenes.next() {
                return Some(Ok(scene));
            }
            let id = self.exchanges.next()?;
            match self.book.exchange(&id.to_string()) {
                Err(error) => return Some(Err(error.into())),
                // One that is gone since it was looked up has nothing to tell.
                Ok(None) => {}
                Ok(Some(record)) => {
                    let recorded = RecordedExchange::from_json(record);
                    self.scenes = self.exchange(&recorded).into_iter();
                }
            }
        }
    }
}
