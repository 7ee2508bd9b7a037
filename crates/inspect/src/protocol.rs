//! The seam between this layer and the protocols it can read.

use http::request::Parts;
use serde_json::{Map, Value};
use tollbook_detection::Place;
use tollbook_exchange::{Action, Outcome};
use tollbook_sse::Frame;

pub use tollbook_wire_messages::{Call, CallsError, Ran, Step};

/// A protocol over HTTP whose requests and answers can be read.
///
/// Implementations are thin: the reading itself is the work of a `wire-*` crate.
pub trait Protocol: Send + Sync + 'static {
    /// One operation of the protocol.
    type Operation: Copy + Send + Sync + 'static;

    /// The operation that the head asks for; `None` when the protocol has no such one.
    fn operation(&self, head: &Parts) -> Option<Self::Operation>;

    /// What kind of body the operation takes.
    fn accepts(&self, operation: Self::Operation) -> Accepts;

    /// What kind of answer the operation gets.
    fn answers(&self, operation: Self::Operation) -> Answers;

    /// The facts of a request, from its one parse, in which every text of it is handed to `texts`.
    ///
    /// # Errors
    ///
    /// When the body is not what the operation takes.
    fn facts(
        &self,
        operation: Self::Operation,
        head: &Parts,
        body: &[u8],
        texts: &mut dyn FnMut(Place, &str),
    ) -> Result<Action, Malformed>;

    /// A reader for the answer to this request.
    fn reader(&self, operation: Self::Operation, action: &Action) -> Box<dyn ReadAnswer>;

    /// What holds the tool calls of an answer back until they have been judged. `None`, which is
    /// the default, when answers of this operation hold none.
    fn calls(&self, _: Self::Operation) -> Option<Box<dyn HoldCalls>> {
        None
    }

    /// What the caller calls its session, if it says so.
    fn session_label<'a>(&self, head: &'a Parts) -> Option<&'a str>;
}

/// What kind of body an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepts {
    /// None.
    Nothing,
    /// One JSON document.
    Json,
    /// A multipart form.
    Multipart,
}

/// What kind of answer an operation gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answers {
    /// One JSON document, or an event stream where the request asked for one.
    Json,
    /// Anything, such as a file.
    Anything,
}

/// The body is not what the operation takes. Says where, never what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// For the caller, to mend the request.
    pub message: String,
    /// A stable word for the record.
    pub reason: &'static str,
}

/// Reads an answer, masked, as it comes.
pub trait ReadAnswer: Send {
    /// The next event of an event stream.
    fn event(&mut self, frame: &Frame);

    /// A whole answer.
    fn document(&mut self, body: &[u8]);

    /// What the answer said, by the keys of an exchange's JSON form, and how it ended if the
    /// protocol tells.
    fn finish(self: Box<Self>) -> (Map<String, Value>, Option<Outcome>);
}

/// Finds the tool calls of one answer, and holds back those of a stream.
///
/// The methods for streams are those of [`CallGate`](tollbook_wire_messages::CallGate), where their
/// laws are told. Bytes come as whole events.
pub trait HoldCalls: Send + Sync {
    /// Takes the next bytes of a stream.
    fn push(&mut self, bytes: &[u8]);

    /// What is to be done next.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read on.
    fn step(&mut self) -> Result<Step, CallsError>;

    /// The call that was to be judged may pass.
    fn release(&mut self);

    /// Ends the stream.
    fn finish(&mut self);

    /// Whether something of the stream waits.
    fn is_holding(&self) -> bool;

    /// The ids of calls that have begun and have not passed.
    fn withheld(&self) -> Vec<String>;

    /// The tools that had been called before the answer told of them, since this was last asked.
    fn take_ran(&mut self) -> Vec<Ran>;

    /// All calls of an answer that is no stream, and the tools that had been called already.
    ///
    /// # Errors
    ///
    /// When the answer cannot be read in one way.
    fn document(&self, body: &[u8]) -> Result<(Vec<Call>, Vec<Ran>), CallsError>;

    /// The texts of a call.
    fn texts(&self, call: &Call, texts: &mut dyn FnMut(Place, &str));

    /// Bytes that keep a stream alive and mean nothing.
    fn ping(&self) -> &'static [u8];
}
