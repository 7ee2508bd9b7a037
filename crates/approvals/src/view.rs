//! What people see of a request before they decide.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tollbook_exchange::{ExchangeId, Masked, Principal, Requirement, Timestamp};

use crate::{Approval, ApprovalId, Choice, State, digest};

/// The beginning and the end of a masked text, and how much lies between.
///
/// The end is shown because that is where the newest part of a conversation stands; what is left
/// out is counted, so that nobody takes a part for the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Excerpt {
    /// The beginning; all of it when nothing is left out.
    pub head: String,
    /// Bytes left out between beginning and end.
    pub omitted: u64,
    /// The end.
    pub tail: String,
}

impl Excerpt {
    /// At most `max` bytes of the text. Bytes that are no UTF-8 are shown as U+FFFD.
    pub fn of(text: &Masked<Bytes>, max: usize) -> Self {
        let text = String::from_utf8_lossy(text.as_inner());
        if text.len() <= max {
            return Self {
                head: text.into_owned(),
                ..Self::default()
            };
        }
        let head = text.floor_char_boundary(max / 2);
        let tail = text.ceil_char_boundary(text.len() - (max - max / 2));
        Self {
            head: text[..head].to_owned(),
            omitted: (tail - head) as u64,
            tail: text[tail..].to_owned(),
        }
    }
}

/// An approval as people see it. Everything in it is masked; nothing in it is made harmless for a
/// terminal, a chat or a page: whoever prints it does that.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct View {
    /// The approval.
    pub id: ApprovalId,
    /// Where it stands.
    pub state: State,
    /// Who asks: issuer and id.
    pub requester: String,
    /// What is known of the requester, as pairs of a name and a value: kind, issuer, subject, actor,
    /// run, environment, groups.
    pub who: Vec<(String, String)>,
    /// The connection.
    pub connection: String,
    /// Its protocol.
    pub protocol: String,
    /// The name of the action.
    pub action: String,
    /// The masked facts of the action.
    pub facts: Map<String, Value>,
    /// What detectors called it.
    pub labels: BTreeSet<String>,
    /// How risky they found it, from 0 to 100.
    pub risk: u8,
    /// The masked request.
    pub excerpt: Excerpt,
    /// The rules that ask.
    pub rules: Vec<String>,
    /// The reason they give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who has to approve.
    pub requires: Vec<Requirement>,
    /// Who approved so far.
    pub approved_by: Vec<String>,
    /// Who denied, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<(String, Option<String>)>,
    /// What an approver gives back: eight hexadecimal digits.
    pub hash: String,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ends unless it is decided before.
    pub expires: Timestamp,
    /// Until when it may be used, once it is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_until: Option<Timestamp>,
    /// The exchange that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
}

impl View {
    pub(crate) fn of(approval: &Approval) -> Self {
        let approved = approval.votes.iter();
        let approved = approved.filter(|vote| vote.choice == Choice::Approve);
        Self {
            id: approval.id.clone(),
            state: approval.state,
            requester: approval.identity.clone(),
            who: who(&approval.requester),
            connection: approval.connection.clone(),
            protocol: approval.protocol.clone(),
            action: approval.action.clone(),
            facts: approval.facts.clone(),
            labels: approval.labels.clone(),
            risk: approval.risk,
            excerpt: approval.excerpt.clone(),
            rules: approval.rules.clone(),
            reason: approval.reason.clone(),
            requires: approval.requires.clone(),
            approved_by: approved.map(|vote| vote.person.to_string()).collect(),
            denied_by: (approval.denial())
                .map(|vote| (vote.person.to_string(), vote.reason.clone())),
            hash: approval.hash().to_owned(),
            created: approval.created,
            expires: approval.expires,
            use_until: approval.use_until,
            exchange: approval.exchange,
        }
    }

    /// Whole seconds until it ends, none when it is over.
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        if self.state != State::Pending {
            return 0;
        }
        let micros = self.expires.as_micros().saturating_sub(now.as_micros());
        u64::try_from(micros / 1_000_000).unwrap_or(0)
    }

    /// The SHA-256, in hexadecimal, of what does not change while people decide, and of the exact
    /// digest. Objects are written with their members in the order of this list.
    pub(crate) fn digest(&self, exact: &str) -> String {
        let shown = json!([
            "tollbook approval, view, 1",
            self.id,
            self.who,
            self.connection,
            self.protocol,
            self.action,
            self.facts,
            self.labels,
            self.risk,
            self.excerpt,
            self.rules,
            self.reason,
            self.requires,
            exact,
        ]);
        digest::sha256(shown.to_string().as_bytes())
    }
}

fn who(requester: &Principal) -> Vec<(String, String)> {
    let actor = requester.actor.clone().unwrap_or_default();
    let run = requester.run.clone().unwrap_or_default();
    let groups = if requester.groups.is_known() {
        requester.groups.iter().collect::<Vec<_>>().join(", ")
    } else {
        "unknown".to_owned()
    };
    [
        ("kind", Some(requester.kind.as_str().to_owned())),
        ("issuer", Some(requester.issuer.clone())),
        ("subject", Some(requester.subject.clone())),
        ("stable id", requester.stable_id.clone()),
        ("actor", actor.login),
        ("actor id", actor.id),
        ("on behalf of", requester.on_behalf_of.clone()),
        ("environment", requester.environment.clone()),
        ("run", Some(run.id)),
        ("attempt", run.attempt),
        ("groups", Some(groups)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|it| !it.is_empty())?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own text")]
    fn excerpt(text: &str, max: usize) -> Excerpt {
        Excerpt::of(&Masked::assume_masked(Bytes::from(text.to_owned())), max)
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let whole = excerpt("abcdef", 6);
        assert_eq!((whole.head.as_str(), whole.omitted), ("abcdef", 0));
        let cut = excerpt("abcdefgh", 5);
        assert_eq!((cut.head.as_str(), cut.omitted), ("ab", 3));
        assert_eq!(cut.tail, "fgh");
    }

    #[test]
    fn a_cut_never_falls_into_a_character() {
        let text = "ä€🙂".repeat(50);
        for max in 0..text.len() {
            let cut = excerpt(&text, max);
            let all = cut.head.len() + cut.tail.len() + usize::try_from(cut.omitted).unwrap();
            assert_eq!(all, text.len());
            assert!(cut.head.len() + cut.tail.len() <= max);
        }
    }
}
