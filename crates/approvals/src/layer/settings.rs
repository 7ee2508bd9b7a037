//! The layer: what is particular to a connection and its protocol.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use tollbook_exchange::{Action, Decision, Finding, Principal};
use tower_layer::Layer;

use super::Approve;
use crate::{Approvals, Bind, Mode, Semantic};

type Judge = dyn Fn(&Principal, &Action, &[Finding]) -> Decision + Send + Sync;
type Meaning = dyn Fn(&Action, &[u8]) -> Option<Semantic> + Send + Sync;
type LateError = dyn Fn(StatusCode, &HeaderMap, &Bytes) -> Bytes + Send + Sync;

/// Holds the requests of one connection whose decision is *approve*.
///
/// It stands inside policy, whose [`Decision`] it reads, and outside all that lets bytes out. What
/// is allowed passes untouched; a request without a decision, or with a denial, is refused.
///
/// | caller | while people decide | then |
/// |---|---|---|
/// | asks for a stream | nothing for [`quiet`](Self::quiet), then `200` and pings | the upstream's stream, or an error that ends the body |
/// | anything else | nothing for [`hold`](Self::hold), then `409` with `retry-after` | the upstream's answer, or `403` |
/// | [`fail_fast`](Self::fail_fast) | `409` at once, not to be retried by itself | the same request passes when it comes again |
///
/// A request is judged again at the moment it is let through, and the bytes that were held are the
/// bytes that go on.
#[derive(Clone)]
pub struct ApprovalLayer {
    settings: Settings,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) approvals: Approvals,
    pub(super) connection: Arc<str>,
    pub(super) protocol: Arc<str>,
    pub(super) upstream: Arc<str>,
    pub(super) judge: Arc<Judge>,
    pub(super) meaning: Option<Arc<Meaning>>,
    pub(super) streams: Option<Streams>,
    pub(super) headers: Arc<[HeaderName]>,
    pub(super) bind: Bind,
    pub(super) mode: Mode,
    pub(super) quiet: Duration,
    pub(super) hold: Duration,
    pub(super) cancel: bool,
    pub(super) max_body: usize,
}

/// How the protocol speaks in a stream that has begun.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) ping: Bytes,
    pub(super) every: Duration,
    pub(super) late_error: Arc<LateError>,
}

impl ApprovalLayer {
    /// Holds what `judge` wants approved on this connection. `judge` is asked again at the moment a
    /// request is let through, so it has to know of what may have changed since: the rules, and
    /// whether the caller's token still stands.
    pub fn new(
        approvals: Approvals,
        connection: impl Into<Arc<str>>,
        protocol: impl Into<Arc<str>>,
        judge: impl Fn(&Principal, &Action, &[Finding]) -> Decision + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings: Settings {
                approvals,
                connection: connection.into(),
                protocol: protocol.into(),
                upstream: Arc::from(""),
                judge: Arc::new(judge),
                meaning: None,
                streams: None,
                headers: Arc::from([header::CONTENT_TYPE]),
                bind: Bind::Semantic,
                mode: Mode::Hold,
                quiet: Duration::from_secs(15),
                hold: Duration::from_secs(50),
                cancel: false,
                max_body: 32 << 20,
            },
        }
    }

    /// The upstream's address, which an approval is then bound to as well.
    #[must_use]
    pub fn upstream(mut self, address: impl Into<Arc<str>>) -> Self {
        self.settings.upstream = address.into();
        self
    }

    /// What a body asks for apart from the way it wants to be answered. Without it a request is the
    /// same only if its bytes are.
    #[must_use]
    pub fn meaning(
        mut self,
        meaning: impl Fn(&Action, &[u8]) -> Option<Semantic> + Send + Sync + 'static,
    ) -> Self {
        self.settings.meaning = Some(Arc::new(meaning));
        self
    }

    /// How to hold a request whose fact `stream` is true: `ping` is sent as it is every ten
    /// seconds, and an error of the upstream that comes when the head is out is told by what
    /// `late_error` makes of its status, head and body (at most 64 KiB of it). Without this, such a
    /// request is held like any other.
    #[must_use]
    pub fn streams(
        mut self,
        ping: Bytes,
        late_error: impl Fn(StatusCode, &HeaderMap, &Bytes) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        self.settings.streams = Some(Streams {
            ping,
            every: Duration::from_secs(10),
            late_error: Arc::new(late_error),
        });
        self
    }

    /// How often a held stream is sent a ping, where it has one: every ten seconds unless told.
    #[must_use]
    pub fn ping_every(mut self, time: Duration) -> Self {
        if let Some(streams) = &mut self.settings.streams {
            streams.every = time;
        }
        self
    }

    /// More headers that an approval is bound to, beside `content-type`: those that change what a
    /// body does.
    #[must_use]
    pub fn bound_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut headers = vec![header::CONTENT_TYPE];
        headers.extend(names);
        self.settings.headers = headers.into();
        self
    }

    /// How closely a request has to be the one that was approved: [`Bind::Semantic`] unless told.
    #[must_use]
    pub const fn bind(mut self, bind: Bind) -> Self {
        self.settings.bind = bind;
        self
    }

    /// Tells callers at once that people have to approve, instead of holding them.
    #[must_use]
    pub const fn fail_fast(mut self) -> Self {
        self.settings.mode = Mode::FailFast;
        self
    }

    /// How long a stream is held without a head, so that its status can still tell: 15 seconds
    /// unless told.
    #[must_use]
    pub const fn quiet(mut self, time: Duration) -> Self {
        self.settings.quiet = time;
        self
    }

    /// How long anything else is held: 50 seconds unless told, which is less than what load
    /// balancers commonly wait for.
    #[must_use]
    pub const fn hold(mut self, time: Duration) -> Self {
        self.settings.hold = time;
        self
    }

    /// Cancels a pending approval when the last caller who waits for it leaves. Unless told, it
    /// stays pending for when they come again.
    #[must_use]
    pub const fn cancel_when_gone(mut self, cancel: bool) -> Self {
        self.settings.cancel = cancel;
        self
    }

    /// Takes bodies of at most `bytes` bytes: 32 MiB unless told.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }
}

impl<S> Layer<S> for ApprovalLayer {
    type Service = Approve<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Approve::new(inner, Arc::new(self.settings.clone()))
    }
}

impl fmt::Debug for ApprovalLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovalLayer")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
