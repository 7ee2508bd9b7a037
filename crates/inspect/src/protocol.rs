//! The seam between this layer and the protocols it can read.

use http::request::Parts;
use serde_json::{Map, Value};
use tollbook_exchange::{Action, Outcome};
use tollbook_sse::Frame;

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

    /// The facts of a request, from its one parse.
    ///
    /// # Errors
    ///
    /// When the body is not what the operation takes.
    fn facts(
        &self,
        operation: Self::Operation,
        head: &Parts,
        body: &[u8],
    ) -> Result<Action, Malformed>;

    /// A reader for the answer to this request.
    fn reader(&self, operation: Self::Operation, action: &Action) -> Box<dyn ReadAnswer>;

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
