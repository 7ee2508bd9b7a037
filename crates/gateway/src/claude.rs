//! What the Messages API means to approvals.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tollbook_approvals::Semantic;
use tollbook_exchange::{Action, Draft};
use tollbook_inspect::messages;

/// What a request asks for, apart from the way it wants to be answered: Claude Code sends a stream
/// that failed again without one.
pub(crate) fn meaning(action: &Action, body: &[u8]) -> Option<Semantic> {
    if action.name != "messages.create" {
        return None;
    }
    let meaning = messages::semantic(body).ok()?;
    Some(Semantic {
        canonical: meaning.bytes,
        max_tokens: meaning.max_tokens,
    })
}

/// Whether a request only reads what is there: a GET or HEAD. Counting tokens does not: it takes a
/// prompt out.
pub(crate) fn only_reads(draft: &Draft) -> bool {
    matches!(&*draft.request.method, "GET" | "HEAD")
}

/// An error of the upstream that comes when the head of the answer is out.
pub(crate) fn late_error(status: StatusCode, _: &HeaderMap, body: &Bytes) -> Bytes {
    messages::late_error(status.as_u16(), body).into()
}

/// What keeps a held stream alive.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(messages::ping())
}
