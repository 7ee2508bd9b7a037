//! Who masks what is recorded.

use tollbook_exchange::Principal;
use tollbook_masking::Masker;

/// What masks what is recorded of one exchange.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordMaskers {
    /// Of the request.
    pub requests: Masker,
    /// Of the answer and of the tool calls in it.
    pub answers: Masker,
}

impl RecordMaskers {
    /// The same for both directions.
    pub fn new(masker: Masker) -> Self {
        Self {
            answers: masker.clone(),
            requests: masker,
        }
    }

    /// Another one for answers.
    #[must_use]
    pub fn answers(mut self, masker: Masker) -> Self {
        self.answers = masker;
        self
    }
}

/// Says what masks the record, by who asks.
pub trait ChooseMasker: Send + Sync + 'static {
    /// The maskers for an exchange of this caller.
    fn choose(&self, principal: Option<&Principal>) -> RecordMaskers;
}

/// The same for everybody.
impl ChooseMasker for RecordMaskers {
    fn choose(&self, _: Option<&Principal>) -> RecordMaskers {
        self.clone()
    }
}
