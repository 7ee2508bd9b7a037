//! A look at the book, as it stands in the book.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tollbook_exchange::{
    Action, Code, Exchange, ExchangeId, Fact, Masked, Outcome, Principal, Refusal, Timestamp,
};
use tollbook_masking::Masker;
use tollbook_recording::{Error, Recorder, Recording};

/// What somebody looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct View {
    /// What they do.
    pub action: ViewAction,
    /// What they asked for, in the language of queries. It is masked before it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The exchanges or sessions that are shown, by id; of many the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// How many are shown, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The form in which they are handed out, such as `csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether it goes on: then it is closed by [`Request::Shown`](super::Request::Shown), or by the
    /// end of the connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

/// What somebody does with the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ViewAction {
    /// Searches it.
    Search,
    /// Asks whether a secret was seen.
    Secret,
    /// Lists exchanges.
    List,
    /// Reads an exchange.
    Show,
    /// Follows exchanges.
    Tail,
    /// Lists sessions, or reads one.
    Sessions,
    /// Asks why an exchange happened.
    Why,
    /// Writes records out of it.
    Export,
    /// Writes records with proofs out of it.
    Evidence,
    /// Verifies it.
    Verify,
    /// Replays some of it.
    Replay,
    /// Looks at what would be destroyed, is held or was set aside.
    Survey,
}

impl ViewAction {
    /// The name of the action in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Search => "book.search",
            Self::Secret => "book.secret",
            Self::List => "book.list",
            Self::Show => "book.show",
            Self::Tail => "book.tail",
            Self::Sessions => "book.sessions",
            Self::Why => "book.why",
            Self::Export => "book.export",
            Self::Evidence => "book.evidence",
            Self::Verify => "book.verify",
            Self::Replay => "book.replay",
            Self::Survey => "book.survey",
        }
    }
}

/// More ids are not kept with a view; how many there were is.
const IDS: usize = 100;
/// A query is kept up to so many bytes, and up to a space: half of a secret would not be known for one
/// when it is masked.
const QUERY: usize = 8 << 10;

impl View {
    /// A view of nothing in particular.
    #[must_use]
    pub const fn new(action: ViewAction) -> Self {
        Self {
            action,
            query: None,
            ids: Vec::new(),
            count: None,
            format: None,
            open: false,
        }
    }

    /// With the query, unless it is empty.
    #[must_use]
    pub fn query(mut self, query: impl Into<String>) -> Self {
        let mut query = query.into();
        if query.len() > QUERY {
            let end = query
                .char_indices()
                .take_while(|(at, _)| *at <= QUERY)
                .filter(|(_, letter)| letter.is_whitespace());
            let end = end.last().map_or(0, |(at, _)| at);
            query.truncate(end);
            query.push_str(" (cut)");
        }
        self.query = Some(query).filter(|query| !query.is_empty());
        self
    }

    /// With those that are shown, which are counted.
    #[must_use]
    pub fn showing<T: ToString>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        let mut count = 0;
        for id in ids {
            count += 1;
            if self.ids.len() < IDS {
                self.ids.push(id.to_string());
            }
        }
        self.count = Some(count);
        self
    }

    /// With how many are shown.
    #[must_use]
    pub const fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// In this form.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = Some(format.into());
        self
    }

    /// One that goes on until it is told what it came to.
    #[must_use]
    pub const fn kept_open(mut self) -> Self {
        self.open = true;
        self
    }

    fn action(&self) -> Action {
        let mut action = Action::new(self.action.as_str());
        let texts = [("query", &self.query), ("format", &self.format)];
        for (name, text) in texts {
            if let Some(text) = text {
                action = action.with(name, text.as_str());
            }
        }
        if let Some(count) = self.count {
            action = action.with(
                "count",
                Fact::Long(i64::try_from(count).unwrap_or(i64::MAX)),
            );
        }
        if !self.ids.is_empty() {
            let ids = self.ids.iter().take(IDS).cloned();
            action = action.with("ids", ids.collect::<BTreeSet<_>>());
        }
        action
    }
}

/// The connection under which views stand in the book.
pub const CONNECTION: &str = "(book)";
const PROTOCOL: &str = "tollbook";

/// Writes a view. It is durable when this returns; how it ends is told with what is returned, and
/// is that whoever looked went away unless it is [`ended`] otherwise.
///
/// # Errors
///
/// When it could not be written: then nothing may be shown.
pub(super) async fn begin(
    recorder: &Recorder,
    masker: &Masker,
    principal: &Principal,
    view: &View,
) -> Result<(ExchangeId, Recording), Error> {
    let id = ExchangeId::generate();
    let exchange = Exchange::open(id, CONNECTION, PROTOCOL, Timestamp::now());
    let recording = recorder.begin(&exchange).await?;
    exchange.identified(principal);
    let action = masker.action(&view.action());
    exchange.draft(|draft| draft.action = Some(action));
    if let Err(error) = recorder.commit(&exchange).await {
        let message = "it could not be recorded in time, so nothing was shown";
        exchange.refused(&Refusal::new(Code::NotRecordable, message));
        return Err(error);
    }
    Ok((id, recording))
}

/// Closes a view that came to its end.
pub(super) fn ended(recording: Recording, shown: Option<u64>) {
    let exchange = recording.exchange();
    if let Some(count) = shown {
        let told = [("shown".to_owned(), count.into())].into_iter().collect();
        #[expect(clippy::disallowed_methods, reason = "a number that was counted here")]
        let told = Masked::assume_masked(told);
        exchange.draft(|draft| draft.result = told);
    }
    exchange.conclude(Outcome::Complete);
    drop(recording);
}
