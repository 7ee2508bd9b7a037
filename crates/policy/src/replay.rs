//! What another set of policies would have said.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollbook_exchange::{Action, Decision, Finding, Principal, Requirement, Timestamp, Verdict};

use crate::{Explanation, PolicySet, request::Asked};

/// Findings elsewhere, such as in headers or in the answer, were not before the policies.
const JUDGED_PLACE: &str = "request.body";

/// An exchange of the book, as far as policies are concerned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// The id of the exchange.
    pub id: String,
    /// Who asked.
    pub principal: Principal,
    /// The connection it came through.
    pub connection: String,
    /// The protocol of the connection.
    pub protocol: String,
    /// What was asked for.
    pub action: Action,
    /// What was found in the body of the request.
    pub findings: Vec<Finding>,
    /// What was decided then.
    pub decided: Decision,
    /// When it began: policies that look at the time look at this one.
    pub at: Timestamp,
}

/// Why a recorded exchange cannot be put to policies again.
#[derive(Debug, thiserror::Error)]
#[error("exchange {id} cannot be judged again: `{part}` {problem}")]
pub struct UnreadableExchange {
    id: String,
    part: &'static str,
    problem: &'static str,
}

/// What a set of policies says of recorded exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// How many are decided as they were.
    pub same: usize,
    /// Those that are not, in the order they came in.
    pub changed: Vec<Change>,
}

/// One exchange that another set decides in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The id of the exchange.
    pub id: String,
    /// What the policies said then. An approval that was given does not change that they asked.
    pub was: Verdict,
    /// What they say now.
    pub now: Verdict,
    /// The ids that determine it now, or that cannot be evaluated.
    pub rules: Vec<String>,
    /// Who would have to approve now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
}

/// Puts recorded exchanges to `policies` and lists where the verdict, or who has to approve, is
/// another than it was.
///
/// ```
/// use serde_json::json;
/// use tollbook_policy::{PolicySet, Recorded, replay};
///
/// let recorded = Recorded::from_exchange_json(&json!({
///     "id": "0199e2a0-0000-7000-8000-000000000001",
///     "connection": "claude", "protocol": "claude", "started": "2026-01-05T09:00:00.000000Z",
///     "principal": { "kind": "ci", "issuer": "ci", "subject": "pay", "groups": ["ci"], "claims": {} },
///     "action": { "name": "models.list" },
///     "decision": { "verdict": "allow", "rules": ["connection.claude.allow"], "policy_hash": "sha256:" },
///     "findings": [],
/// }))?;
/// let candidate = PolicySet::builder().allow("claude", ["people".to_owned()]).build()?;
/// let report = replay([&recorded], &candidate);
/// assert_eq!((report.same, report.changed.len()), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replay<'a>(
    recorded: impl IntoIterator<Item = &'a Recorded>,
    policies: &PolicySet,
) -> Report {
    let mut report = Report::default();
    for recorded in recorded {
        match recorded.change(policies) {
            Some(change) => report.changed.push(change),
            None => report.same += 1,
        }
    }
    report
}

impl Recorded {
    /// Reads an exchange in the JSON form of the book.
    ///
    /// # Errors
    ///
    /// When a part is missing or unreadable; an exchange that was refused before it was judged
    /// has no `decision`. The error names the part and holds nothing of it.
    pub fn from_exchange_json(exchange: &Value) -> Result<Self, UnreadableExchange> {
        let part = |part| Part { exchange, part };
        let findings: Vec<Finding> = part("findings").read()?;
        Ok(Self {
            id: part("id").read()?,
            principal: part("principal").read()?,
            connection: part("connection").read()?,
            protocol: part("protocol").read()?,
            action: part("action").read()?,
            findings: findings
                .into_iter()
                .filter(|finding| {
                    let rest = finding.place.strip_prefix(JUDGED_PLACE);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                })
                .collect(),
            decided: part("decision").read()?,
            at: part("started").read()?,
        })
    }

    /// Explains what `policies` say of the exchange.
    pub fn explain(&self, policies: &PolicySet) -> Explanation {
        policies.explained(self.asked())
    }

    /// What `policies` say of it, if that is something else.
    pub fn change(&self, policies: &PolicySet) -> Option<Change> {
        let now = policies.judge(self.asked());
        let was = self.verdict();
        let asks = |requires: &[Requirement]| {
            let mut all: Vec<(String, u32)> = requires
                .iter()
                .map(|one| (one.group.clone(), one.people))
                .collect();
            all.sort_unstable();
            all
        };
        let same_people = asks(&now.requires) == asks(&self.decided.requires);
        if was == now.verdict && (was != Verdict::Approve || same_people) {
            return None;
        }
        let rules = if now.errors.is_empty() {
            now.rules
        } else {
            now.errors
        };
        Some(Change {
            id: self.id.clone(),
            was,
            now: now.verdict,
            rules,
            requires: now.requires,
        })
    }

    /// What the policies said, before people did.
    fn verdict(&self) -> Verdict {
        if self.decided.approval.is_some() {
            Verdict::Approve
        } else {
            self.decided.verdict
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            principal: &self.principal,
            connection: &self.connection,
            protocol: &self.protocol,
            action: &self.action,
            findings: &self.findings,
            at: self.at,
        }
    }
}

struct Part<'a> {
    exchange: &'a Value,
    part: &'static str,
}

impl Part<'_> {
    fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, UnreadableExchange> {
        let wrong = |problem| UnreadableExchange {
            id: match self.exchange.get("id").and_then(Value::as_str) {
                Some(id) => id.escape_debug().take(64).collect(),
                None => "without an id".to_owned(),
            },
            part: self.part,
            problem,
        };
        let value = self
            .exchange
            .get(self.part)
            .filter(|value| !value.is_null());
        T::deserialize(value.ok_or_else(|| wrong("is missing"))?)
            .map_err(|_| wrong("cannot be read"))
    }
}
