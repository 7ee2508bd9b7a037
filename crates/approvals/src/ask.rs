//! Asking for an approval.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollbook_exchange::{
    Action, Decision, ExchangeId, Fact, Masked, Principal, Refusal, Requirement, Timestamp,
};

use crate::{
    Approval, ApprovalId, Approvals, Bind, Digests, Error, EventKind, Excerpt, Mode, Opened, State,
    Subject, Ticket, engine::micros, quorum, refusal,
};

/// How long an issuer's token may count beyond its end, in seconds.
const LEEWAY: i64 = 120;

/// A request that people have to approve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ask {
    /// Who asks.
    pub principal: Principal,
    /// The connection it came through.
    pub connection: String,
    /// Its protocol.
    pub protocol: String,
    /// What is asked for, masked. Its facts `labels` and `risk` are shown apart.
    pub action: Masked<Action>,
    /// What people are shown of it, masked.
    pub shown: Masked<Bytes>,
    /// What exactly it is.
    pub digests: Digests,
    /// The decision that asks for approval.
    pub decision: Decision,
    /// The exchange it belongs to.
    pub exchange: Option<ExchangeId>,
    /// How closely the request that is let through has to be this one.
    pub bind: Bind,
    /// How the caller waits.
    pub mode: Mode,
}

impl Ask {
    /// A request that shows nothing but its facts, is bound by its meaning, and is held.
    pub fn new(
        principal: Principal,
        connection: impl Into<String>,
        protocol: impl Into<String>,
        action: Masked<Action>,
        digests: Digests,
        decision: Decision,
    ) -> Self {
        Self {
            principal,
            connection: connection.into(),
            protocol: protocol.into(),
            action,
            shown: Masked::default(),
            digests,
            decision,
            exchange: None,
            bind: Bind::default(),
            mode: Mode::default(),
        }
    }

    /// The same request with what people are shown of it.
    #[must_use]
    pub fn showing(mut self, body: Masked<Bytes>) -> Self {
        self.shown = body;
        self
    }

    /// The same request as part of this exchange.
    #[must_use]
    pub const fn in_exchange(mut self, exchange: Option<ExchangeId>) -> Self {
        self.exchange = exchange;
        self
    }

    /// The same request, bound so closely.
    #[must_use]
    pub const fn bound(mut self, bind: Bind) -> Self {
        self.bind = bind;
        self
    }

    /// The same request from a caller who waits in this way.
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// When what the caller was let in with ends.
    ///
    /// A gateway token ends to the second. An issuer's token gets the two minutes that a gate may at
    /// most be told to allow its clock; which issuer is allowed how much is not known here.
    pub(crate) fn credential_end(&self) -> Option<Timestamp> {
        let access = self.principal.access.as_ref()?;
        let leeway = if access.token.is_some() { 0 } else { LEEWAY };
        let end = access.expires?.saturating_add(leeway);
        Some(Timestamp::from_micros(end.saturating_mul(1_000_000)))
    }

    /// Who asks, by what rules they were let in, and who stands behind them, as one text.
    ///
    /// The person behind a job belongs to it: whoever may approve what another has started could
    /// otherwise start the same, wait for the other's approval and give it to themselves.
    pub(crate) fn owner(&self) -> String {
        let principal = &self.principal;
        let rules = principal.access.iter().flat_map(|it| &it.rules);
        let rules: BTreeSet<&String> = rules.collect();
        json!([
            principal.identity(),
            rules,
            principal.actor,
            principal.on_behalf_of,
        ])
        .to_string()
    }
}

/// Where a request for approval stands.
#[derive(Debug)]
#[non_exhaustive]
pub enum Asked {
    /// A grant lets it pass.
    Granted(Passed),
    /// It is approved already and may be used.
    Ready(Ticket),
    /// People have to decide.
    Waiting(Ticket),
}

/// Leave to pass, which has been used up by giving it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Passed {
    /// The id of the approval, or of the first of the grants, that let it pass.
    pub by: String,
    /// What was asked of people.
    pub requires: Vec<Requirement>,
}

impl Passed {
    /// Whether a decision that asks for this finds it answered.
    pub fn covers(&self, requires: &[Requirement]) -> bool {
        quorum::covers(&self.requires, requires)
    }
}

impl Approvals {
    /// Asks for an approval: finds the one that is there for the same request, or the answer that
    /// was given to it lately, or opens one.
    ///
    /// # Errors
    ///
    /// What the caller is to be told: that it was denied or expired, that its credential ended, that
    /// too many are open, that the decision asks for nothing, or that the store or the book does not take it.
    pub async fn ask(&self, ask: &Arc<Ask>) -> Result<Asked, Refusal> {
        if ask.decision.requires.is_empty() {
            return Err(refusal::nothing_required());
        }
        let (this, ask) = (self.clone(), Arc::clone(ask));
        self.to_its_end(async move { this.look(&ask).await })
            .await
            .unwrap_or_else(|error| Err(refusal::failed(&error)))
    }

    async fn look(&self, ask: &Ask) -> Result<Result<Asked, Refusal>, Error> {
        let identity = ask.principal.identity();
        // One at a time for each identity, so that what is noted as asked is then opened.
        let _turn = self.0.asking.of(&identity).await;
        let mut open = match self.known(ask).await? {
            Ok(open) => open,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // It may have waited for its turn, and for people before that.
        let now = self.0.clock.now();
        if ask.credential_end().is_some_and(|end| now >= end) {
            return Ok(Err(refusal::credential_ended(
                open.as_ref().map(|it| &it.id),
            )));
        }
        if let Some(passed) = self.granted(ask).await? {
            return Ok(Ok(Asked::Granted(passed)));
        }
        if open.is_none() {
            match self.open(ask, identity).await? {
                Opening::Open(approval) => open = Some(*approval),
                Opening::Full => return Ok(Err(refusal::too_many())),
            }
        }
        let Some(open) = open else {
            return Err(Error::Contended);
        };
        let ready = open.state == State::Approved;
        let ticket = self.ticket(open);
        Ok(Ok(if ready {
            Asked::Ready(ticket)
        } else {
            Asked::Waiting(ticket)
        }))
    }

    /// What is known about the same request: that it was refused lately, or is open.
    async fn known(&self, ask: &Ask) -> Result<Result<Option<Approval>, Refusal>, Error> {
        let owner = ask.owner();
        let now = self.0.clock.now();
        let mut open: Option<Approval> = None;
        // What is approved is better than what is pending, and what asks for the same better than
        // what asks for more.
        let rank = |it: &Approval| {
            let same = it.requires == ask.decision.requires;
            (it.state == State::Approved, same)
        };
        let known = (self.0.store)
            .matching(&owner, &ask.connection, &ask.digests)
            .await?;
        for mut approval in known {
            if approval.expire(now).is_ok() {
                let ended = self
                    .step(approval.id.clone(), None, None, Approval::expire)
                    .await;
                approval = match ended {
                    // Somebody else took a step: what it is now decides.
                    Err(Error::Refused(_)) => self.show(&approval.id).await?,
                    ended => ended?,
                };
            }
            let same = approval.action == ask.action.as_inner().name
                && approval.protocol == ask.protocol
                && approval.is_for(&owner, &ask.connection, &ask.digests);
            let since = |limit| {
                let end = approval.ended.unwrap_or(approval.created);
                now < end.after_micros(micros(limit))
            };
            match approval.state {
                State::Denied
                    if since(self.0.limits.cool_down) || same && since(self.0.limits.remember) =>
                {
                    return Ok(Err(refusal::denied(&approval)));
                }
                State::Expired if same && since(self.0.limits.remember) => {
                    return Ok(Err(refusal::expired(&approval.id)));
                }
                State::Pending | State::Approved
                    if same
                        && open.as_ref().is_none_or(|old| rank(&approval) > rank(old))
                        // Who wants the same bytes does not take what is bound to less.
                        && (ask.bind == Bind::Semantic
                            || approval.digests.exact == ask.digests.exact)
                        && approval.covers(&ask.decision.requires) =>
                {
                    open = Some(approval);
                }
                _ => {}
            }
        }
        Ok(Ok(open))
    }

    async fn open(&self, ask: &Ask, identity: String) -> Result<Opening, Error> {
        let approval = self.new_approval(ask, identity)?;
        let subject = Subject::Approval(Box::new(approval.clone()));
        let event = self.event(EventKind::Asked, subject, None, ask.exchange)?;
        // The store counts again when it inserts; looked at before, so that a caller who asks again
        // and again does not fill the book.
        let pending = crate::Filter {
            state: Some(State::Pending),
            identity: Some(approval.identity.clone()),
            limit: self.0.limits.open,
            ..crate::Filter::default()
        };
        if self.0.store.approvals(&pending).await?.len() >= self.0.limits.open {
            return Ok(Opening::Full);
        }
        self.0.witness.note(&event).await?;
        match self.0.store.open(&approval, self.0.limits.open).await {
            Ok(Opened::New) => {
                self.tell(event);
                Ok(Opening::Open(Box::new(approval)))
            }
            Ok(Opened::Joined(joined)) => {
                self.superseded(event).await?;
                Ok(Opening::Open(joined))
            }
            Ok(Opened::Full) => {
                self.superseded(event).await?;
                Ok(Opening::Full)
            }
            Err(error) => {
                let _noted = self.superseded(event).await;
                Err(error.into())
            }
        }
    }

    fn new_approval(&self, ask: &Ask, identity: String) -> Result<Approval, Error> {
        let limits = &self.0.limits;
        let created = self.0.clock.now();
        let action = ask.action.as_inner();
        let (owner, facts) = (ask.owner(), facts(action));
        let mut approval = Approval {
            id: ApprovalId::generate()?,
            state: State::Pending,
            version: 1,
            requester: ask.principal.clone(),
            identity,
            slot: self.slot(ask, &owner),
            owner,
            connection: ask.connection.clone(),
            protocol: ask.protocol.clone(),
            action: action.name.clone().into_owned(),
            labels: labels(action),
            risk: risk(action),
            facts,
            excerpt: Excerpt::of(&ask.shown, limits.excerpt),
            digests: ask.digests.clone(),
            bind: ask.bind,
            view_digest: String::new(),
            requires: ask.decision.requires.clone(),
            rules: ask.decision.rules.clone(),
            reason: ask.decision.reason.clone(),
            policy_hash: ask.decision.policy_hash.clone(),
            exchange: ask.exchange,
            mode: ask.mode,
            created,
            expires: Timestamp::after_micros(created, micros(limits.decide_within)),
            use_window: u32::try_from(limits.use_within.as_secs()).unwrap_or(u32::MAX),
            votes: Vec::new(),
            approved_at: None,
            use_until: None,
            consumed_by: None,
            ended: None,
        };
        approval.view_digest = approval.view().digest(&approval.digests.exact);
        Ok(approval)
    }

    fn slot(&self, ask: &Ask, owner: &str) -> String {
        let digests = &ask.digests;
        let same = match (ask.bind, &digests.semantic) {
            (Bind::Semantic, Some(semantic)) => json!(["semantic", semantic, digests.max_tokens]),
            _ => json!(["exact", digests.exact]),
        };
        let parts = json!([
            owner,
            ask.connection,
            ask.protocol,
            ask.action.as_inner().name,
            same,
            ask.decision.requires,
        ]);
        let parts = parts.to_string();
        (self.0.key).digest("tollbook approval, slot, 1", &[parts.as_bytes()])
    }
}

enum Opening {
    Open(Box<Approval>),
    Full,
}

fn facts(action: &Action) -> Map<String, Value> {
    let facts = action.facts.iter();
    facts
        .map(|(name, fact)| (name.clone().into_owned(), json!(fact)))
        .collect()
}

fn labels(action: &Action) -> BTreeSet<String> {
    match action.fact("labels") {
        Some(Fact::Set(labels)) => labels.clone(),
        _ => BTreeSet::new(),
    }
}

/// From 0 to 100; what nobody has rated is 0, and what is rated beyond the scale is its end.
fn risk(action: &Action) -> u8 {
    match action.fact("risk") {
        Some(Fact::Long(risk)) => u8::try_from((*risk).clamp(0, 100)).unwrap_or(100),
        _ => 0,
    }
}
