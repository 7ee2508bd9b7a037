//! Credentials that count no more, before their time.

mod table;
mod watch;

use serde::{Deserialize, Serialize};
use tollbook_exchange::Principal;

pub use self::{table::Revocations, watch::Watch};
use crate::{TokenId, TokenRecord};

/// Which credentials are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Selector {
    /// One gateway token. A client that still has the issuer's token gets itself another; to keep
    /// it out, revoke what is behind it.
    Token(TokenId),
    /// Every credential behind which stands this issuer's token of the one who acts, named as in
    /// [`Access::assertion`](tollbook_exchange::Access::assertion).
    Assertion(String),
    /// Every credential of this caller, and of those who act for it:
    /// [`Principal::identity`], `issuer/stable id`.
    Identity(String),
    /// Every credential of this subject, which may be one job of a caller with many.
    Subject {
        /// The configured name of the issuer.
        issuer: String,
        /// The issuer's name for the caller.
        subject: String,
    },
    /// Every credential that this federation rule spoke for.
    Rule(String),
    /// Every credential behind which stands this issuer, by its configured name.
    Issuer(String),
}

/// The end of some credentials before their time. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Which credentials.
    pub selector: Selector,
    /// When it was decided.
    pub at: i64,
    /// Credentials count no more when the issuer's token behind them was made up to this second.
    /// Later ones do. A selector that names one token or assertion asks nothing of its time.
    pub through: i64,
    /// When nothing that it voids can be alive any more, so that it may be forgotten.
    pub until: i64,
    /// Why, in the operator's words.
    pub why: String,
}

/// The most by which an issuer's clock may be ahead of ours, in seconds.
const SKEW: i64 = 120;
/// The longest that anything can be alive after its issuer's token was made: a token may live for
/// a day, a gateway token for another, and clocks may differ.
const LONGEST: i64 = 49 * 3600;

impl Revocation {
    /// Ends what there is at `now`; credentials that an issuer makes two minutes later count
    /// again.
    pub fn new(selector: Selector, why: impl Into<String>, now: i64) -> Self {
        Self {
            selector,
            at: now,
            through: now.saturating_add(SKEW),
            until: now.saturating_add(SKEW + LONGEST),
            why: why.into(),
        }
    }

    /// The same revocation, and nothing new counts for `seconds` from then on either.
    #[must_use]
    pub const fn lasting(mut self, seconds: i64) -> Self {
        self.through = self.at.saturating_add(SKEW).saturating_add(seconds);
        self.until = self.through.saturating_add(LONGEST);
        self
    }

    /// Whether it ends the token that `record` is about.
    #[must_use]
    pub fn voids(&self, record: &TokenRecord) -> bool {
        self.reaches(record.assertion_issued)
            && selectors(&record.principal).any(|selector| selector == self.selector)
    }

    /// Whether it ends credentials whose issuer's token was made at `issued`.
    const fn reaches(&self, issued: i64) -> bool {
        self.selector.is_of_one() || issued <= self.through
    }
}

impl Selector {
    /// Whether it means one credential that can never be issued again.
    const fn is_of_one(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Assertion(_))
    }
}

/// Every selector that means `principal`.
fn selectors(principal: &Principal) -> impl Iterator<Item = Selector> {
    let access = principal.access.as_ref();
    let token = access
        .and_then(|access| access.token.as_ref()?.parse().ok())
        .map(Selector::Token);
    let assertion = access
        .and_then(|access| access.assertion.clone())
        .map(Selector::Assertion);
    let rules = access
        .into_iter()
        .flat_map(|access| access.rules.iter().cloned().map(Selector::Rule));
    let behind = principal.on_behalf_of.as_ref();
    // The name of an issuer has no slash in it.
    let behind_issuer = behind
        .and_then(|identity| identity.split_once('/'))
        .map(|(issuer, _)| Selector::Issuer(issuer.to_owned()));
    [
        Selector::Identity(principal.identity()),
        Selector::Subject {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
        },
        Selector::Issuer(principal.issuer.clone()),
    ]
    .into_iter()
    .chain(behind.cloned().map(Selector::Identity))
    .chain(behind_issuer)
    .chain(token)
    .chain(assertion)
    .chain(rules)
}
