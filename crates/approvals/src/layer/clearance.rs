//! Whether a request may pass, and the decision by which it does.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use tokio::{task, time::Instant};
use tollbook_exchange::{
    Action, Code, Decision, Exchange, Fact, Finding, Findings, Masked, Principal, Refusal, Verdict,
};

use super::settings::Settings;
use crate::{ApprovalId, Ask, Digests, Error, Patience, Payload, refusal};

/// The largest body, in bytes, that is digested on the thread that serves the connection.
const SMALL_BODY: usize = 256 << 10;

/// A request whose decision is *approve*, without what goes on the wire.
pub(super) struct Candidate {
    principal: Principal,
    action: Action,
    masked: Masked<Action>,
    found: Vec<Finding>,
    shown: Masked<Bytes>,
    digests: Digests,
    decision: Decision,
    exchange: Option<Exchange>,
}

impl Candidate {
    /// Reads what the layers before have left.
    pub(super) async fn of(
        settings: &Arc<Settings>,
        head: &Parts,
        body: &Bytes,
        decision: Decision,
    ) -> Result<Self, Refusal> {
        let extensions = &head.extensions;
        let (Some(principal), Some(action)) =
            (extensions.get::<Principal>(), extensions.get::<Action>())
        else {
            return Err(misassembled("no_principal_or_action"));
        };
        let exchange = extensions.get::<Exchange>().cloned();
        let masked = exchange
            .as_ref()
            .and_then(|exchange| exchange.draft(|draft| draft.action.clone()));
        let masked = masked.unwrap_or_else(|| without_texts(action));
        let (action, findings) = match extensions.get::<Findings>() {
            Some(findings) => (action.clone(), findings.clone()),
            // Nobody scanned, whatever the action says of itself.
            None => (
                action.clone().with("body_scanned", false),
                Findings::default(),
            ),
        };
        let principal = principal.clone();
        let digesting = Digesting::of(settings, head, &action, body);
        Ok(Self {
            principal,
            digests: digesting.digests().await?,
            action,
            masked,
            found: findings.found,
            shown: findings.masked,
            decision,
            exchange,
        })
    }

    /// Whether the caller asked for a stream.
    pub(super) fn wants_stream(&self) -> bool {
        self.action.is("stream")
    }

    /// The handle of its exchange.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }

    /// Waits until people have decided, at most until `until`, and judges again. Gives the decision
    /// that lets it pass; `seen` becomes the approval that is waited for.
    pub(super) async fn clear(
        self,
        settings: Arc<Settings>,
        until: Option<Instant>,
        seen: Arc<OnceLock<ApprovalId>>,
    ) -> Result<Decision, Refusal> {
        let ask = self.ask(&settings, self.decision.clone());
        let patience = Patience {
            until,
            cancel_when_gone: settings.cancel,
            seen,
        };
        let judge = || {
            let decision = (settings.judge)(&self.principal, &self.action, &self.found);
            // One that lets it pass is noted with its approval.
            if let (Some(exchange), Verdict::Deny) = (&self.exchange, decision.verdict) {
                exchange.decided(&decision);
            }
            decision
        };
        settings.approvals.clear(ask, patience, judge).await
    }

    fn ask(&self, settings: &Settings, decision: Decision) -> Ask {
        Ask::new(
            self.principal.clone(),
            &*settings.connection,
            &*settings.protocol,
            self.masked.clone(),
            self.digests.clone(),
            decision,
        )
        .showing(self.shown.clone())
        .in_exchange(self.exchange.as_ref().map(Exchange::id))
        .bound(settings.bind)
        .mode(settings.mode)
    }
}

/// What goes on when people have approved is what is digested here: method, path and query, upstream,
/// the headers that change what the body does, and the body.
struct Digesting {
    settings: Arc<Settings>,
    head: Vec<Vec<u8>>,
    action: Action,
    body: Bytes,
}

impl Digesting {
    fn of(settings: &Arc<Settings>, head: &Parts, action: &Action, body: &Bytes) -> Self {
        let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
        let mut parts = vec![
            head.method.as_str().into(),
            settings.upstream.as_bytes().into(),
            target.into(),
        ];
        for name in &*settings.headers {
            parts.push(name.as_str().into());
            parts.push(values(&head.headers, name.as_str()));
        }
        Self {
            settings: Arc::clone(settings),
            head: parts,
            action: action.clone(),
            body: body.clone(),
        }
    }

    /// The digests of a large body are made where nobody else waits for the thread.
    async fn digests(self) -> Result<Digests, Refusal> {
        if self.body.len() <= SMALL_BODY {
            return Ok(self.digest());
        }
        let digests = task::spawn_blocking(move || self.digest()).await;
        digests.map_err(|_| refusal::failed(&Error::Interrupted))
    }

    fn digest(&self) -> Digests {
        let settings = &self.settings;
        let meaning = settings.meaning.as_ref();
        let semantic = meaning.and_then(|meaning| meaning(&self.action, &self.body));
        let head: Vec<&[u8]> = self.head.iter().map(Vec::as_slice).collect();
        settings.approvals.digests(Payload {
            head: &head,
            body: &self.body,
            semantic: semantic.as_ref(),
        })
    }
}

/// All values of a header, each with a line end, which no value can hold.
fn values(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        all.extend_from_slice(value.as_bytes());
        all.push(b'\n');
    }
    all
}

/// The action without what a caller wrote, for where nothing has masked it.
fn without_texts(action: &Action) -> Masked<Action> {
    let mut bare = Action::new(action.name.clone());
    let plain = |fact: &Fact| matches!(fact, Fact::Bool(_) | Fact::Long(_));
    let facts = action.facts.iter().filter(|(_, fact)| plain(fact));
    bare.facts = facts
        .map(|(name, fact)| (name.clone(), fact.clone()))
        .collect::<BTreeMap<_, _>>();
    #[expect(
        clippy::disallowed_methods,
        reason = "numbers, and the name that the protocol gives the action"
    )]
    Masked::assume_masked(bare)
}

pub(super) fn misassembled(reason: &'static str) -> Refusal {
    let message = "the gate cannot hold a request that it did not judge";
    Refusal::new(Code::Misassembled, message).because(reason)
}
