//! What is done on the wire with one exchange.

use http::Extensions;

use crate::{Masker, vault::Session};

/// What is done with the bytes of one exchange on their way. Nothing, unless it is told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Wire {
    /// Requests are masked with this before they go on.
    pub requests: Option<Masker>,
    /// Whether the scan whose [`Findings`](tollbook_exchange::Findings) come with the request had
    /// the same profile. Then it is not scanned again.
    pub scanned: bool,
    /// Responses are masked with this before they come back.
    pub responses: Option<Masker>,
    /// Tokens in responses are turned back for this session, behind everything else.
    pub restore: Option<Session>,
}

/// Says what is done on the wire, by what the layers further out left in the request's
/// extensions, such as the [`Principal`](tollbook_exchange::Principal).
pub trait ChooseWire: Send + Sync + 'static {
    /// What is done with the exchange of this request.
    fn choose(&self, extensions: &Extensions) -> Wire;
}

/// The same for every exchange.
impl ChooseWire for Wire {
    fn choose(&self, _: &Extensions) -> Wire {
        self.clone()
    }
}

impl<F> ChooseWire for F
where
    F: Fn(&Extensions) -> Wire + Send + Sync + 'static,
{
    fn choose(&self, extensions: &Extensions) -> Wire {
        self(extensions)
    }
}

impl Wire {
    /// Requests are masked with `masker`; with `scanned`, the findings that come with them were
    /// made with the same profile.
    #[must_use]
    pub fn requests(mut self, masker: Masker, scanned: bool) -> Self {
        self.requests = Some(masker);
        self.scanned = scanned;
        self
    }

    /// Responses are masked with `masker`.
    #[must_use]
    pub fn responses(mut self, masker: Masker) -> Self {
        self.responses = Some(masker);
        self
    }

    /// Tokens in responses are turned back for this session.
    #[must_use]
    pub fn restore(mut self, session: Session) -> Self {
        self.restore = Some(session);
        self
    }

    /// Whether a response is changed.
    pub(super) const fn changes_responses(&self) -> bool {
        self.responses.is_some() || self.restore.is_some()
    }
}
