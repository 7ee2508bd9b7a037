//! The texts of a request, each with the place it stands in.

use crate::{Endpoint, FactsError, facts};

/// Where in a conversation a text stands: who wrote it, and who will act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place<'a> {
    /// The instructions of whoever built the agent.
    System,
    /// What the user says.
    UserText,
    /// What the model said before.
    AssistantText,
    /// What the model thought before.
    Thinking,
    /// The description or schema of a tool.
    ToolDefinition,
    /// The input of a call that the model made of this tool: first each string in it on its own,
    /// then all of it as JSON without white space.
    ToolUse(&'a str),
    /// What a tool gave back.
    ToolResult,
    /// A document or a search result that the caller put in.
    Document,
    /// A host that the API itself would call: not a text, but the host's name, or `unknown`.
    McpServer,
    /// Any other text. Nothing is left out because nobody knows what it is.
    Other,
}

/// Hands every text of a request to `out`, decoded, in the order in which they stand.
///
/// These are all strings of the body but the ones that are bytes: images, documents and encrypted
/// parts in base64. What nobody can read here is in the fact `unknown` of [`facts()`]. Names of
/// members are handed out where they are no plain names. A member that says how its siblings are to
/// be read comes before them wherever it stands. A body that is not JSON is one text, if it is
/// UTF-8.
///
/// Takes the same pass as the facts; [`read`](crate::read) gives both.
///
/// # Errors
///
/// As [`facts()`]. What was handed out by then is no whole request.
///
/// ```
/// use tollbook_wire_messages::{Endpoint, Place, texts};
///
/// let body = br#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
/// let mut seen = Vec::new();
/// texts(Endpoint::MessagesCreate, body, &mut |place, text| {
///     seen.push((format!("{place:?}"), text.to_owned()));
/// })?;
/// assert_eq!(seen, [("UserText".to_owned(), "hello".to_owned())]);
/// # Ok::<(), tollbook_wire_messages::FactsError>(())
/// ```
pub fn texts(
    endpoint: Endpoint,
    body: &[u8],
    out: &mut dyn FnMut(Place<'_>, &str),
) -> Result<(), FactsError> {
    facts::read(endpoint, [], body, out).map(drop)
}
