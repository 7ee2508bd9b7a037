//! The seam between the layer and a protocol.

use bytes::Bytes;
use http::Response;
use tollbook_exchange::Refusal;

/// Gives a refusal the form of a protocol.
pub trait RenderRefusal: Send + Sync + 'static {
    /// The whole answer to the caller.
    fn render(&self, refusal: &Refusal, request: &RequestInfo<'_>) -> Response<Bytes>;

    /// The last event of an event stream that is cut off, with its blank line. `None`, which is the
    /// default, when the protocol has no word for it: then the stream breaks off.
    fn render_event(&self, _: &Refusal, _: &RequestInfo<'_>) -> Option<Bytes> {
        None
    }
}

/// What is known of the request that was refused.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestInfo<'a> {
    /// The caller's `user-agent`. A claim, good for choosing words and nothing else.
    pub user_agent: Option<&'a str>,
    /// The exchange's id, where a record layer gave one.
    pub exchange: Option<&'a str>,
}

impl<'a> RequestInfo<'a> {
    /// What is known of a request.
    pub const fn new(user_agent: Option<&'a str>, exchange: Option<&'a str>) -> Self {
        Self {
            user_agent,
            exchange,
        }
    }
}
