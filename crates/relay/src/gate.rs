//! The engines of one connection, and the order in which they are asked.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tollbook_approvals::{ApprovalId, Approvals, Ask, Bind, Digests, Mode, Patience, Payload};
use tollbook_budget::Budgets;
use tollbook_exchange::{
    Action, Code, Decision, Exchange, ExchangeId, Finding, Level, Masked, Principal, Refusal,
    SessionId, Timestamp, Verdict,
};
use tollbook_identity::{Admitted, Authenticate, Credentials, Watch};
use tollbook_masking::Masker;
use tollbook_policy::Decide;
use tollbook_recording::{Book, Page, Release};

/// The engines of one connection.
///
/// A cheap handle.
pub struct Gate<A>(Arc<Parts<A>>);

/// What a [`Gate`] is put together from.
pub struct Parts<A> {
    /// The connection's name.
    pub name: String,
    /// Its protocol, as policies and records name it.
    pub protocol: &'static str,
    /// The upstream's address, to which an approval is bound as well.
    pub upstream: String,
    /// Who asks?
    pub authenticate: A,
    /// May it pass?
    pub decide: Arc<dyn Decide>,
    /// What must not be kept, and what must not be sent either.
    pub masks: Arc<dyn ChooseMasks>,
    /// What callers may use.
    pub budgets: Budgets,
    /// Who holds what people have to approve.
    pub approvals: Approvals,
    /// How what is held waits.
    pub wait: Wait,
    /// The book, and what becomes of what cannot be recorded.
    pub book: Book,
    /// How answers pass of which each byte must be durable first; `None` where only what was asked
    /// must be.
    pub release: Option<Release>,
}

/// How a statement waits for its approval.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Whether it is held, or told at once to come again.
    pub mode: Mode,
    /// How long it is held.
    pub hold: Duration,
    /// How often the client is told that it waits.
    pub notice: Duration,
    /// Whether the approval is cancelled when its caller leaves.
    pub cancel_when_gone: bool,
}

/// Says what masks a session, by who asks.
pub trait ChooseMasks: Send + Sync + 'static {
    /// The maskers for this caller; for somebody whom nobody knows yet, those for everybody.
    fn choose(&self, principal: Option<&Principal>) -> Masks;
}

/// What masks one session.
#[derive(Clone, Debug)]
pub struct Masks {
    /// What is recorded of statements.
    pub requests: Masker,
    /// What is recorded of answers.
    pub answers: Masker,
    /// What the caller gets of answers, where that is masked too.
    pub wire: Option<Masker>,
}

/// Somebody who was let in, for as long as their session lasts.
#[derive(Debug)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// The session in the book that their statements belong to.
    pub session: SessionId,
    /// What masks it.
    pub masks: Masks,
    /// Ends when the caller's credential counts no more.
    pub revoked: Watch,
}

/// One thing that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What kind of message asks, in the place of an HTTP method: `QUERY`, `EXECUTE`, `CONNECT`.
    pub method: &'static str,
    /// What it is asked of, such as the name of the database.
    pub target: String,
    /// What it does.
    pub action: Action,
    /// What exactly is asked, as a JSON document, before it is masked.
    pub document: Vec<u8>,
}

/// An exchange that is open. Dropping it closes the exchange.
#[derive(Debug)]
#[must_use = "dropping it closes the exchange"]
pub struct Open {
    page: Page,
    asked: Asked,
    found: Vec<Finding>,
    masked: Masked<Action>,
}

/// Leave for one thing that was asked to be forwarded. Only [`Gate::pass`] gives it, when what was asked
/// is durable.
#[derive(Debug)]
#[must_use]
pub struct Permit(());

/// Those who look on while something waits for people.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<OnceLock<ApprovalId>>);

impl<A: Authenticate> Gate<A> {
    /// A gate of these engines.
    pub fn new(parts: Parts<A>) -> Self {
        Self(Arc::new(parts))
    }

    /// Lets somebody in. `label` names the session among the caller's own; without one, or without a
    /// run that the credential names, the session is `alone`.
    ///
    /// # Errors
    ///
    /// When the credential proves nobody.
    pub async fn admit(
        &self,
        credentials: &Credentials,
        label: Option<&str>,
        alone: ExchangeId,
    ) -> Result<Caller, Refusal> {
        let admitted = self.0.authenticate.admit(credentials).await;
        let Admitted { principal, revoked } = admitted.map_err(|rejection| rejection.refusal())?;
        let session = SessionId::of(&principal, label).unwrap_or(SessionId::alone(alone));
        let masks = self.0.masks.choose(Some(&principal));
        Ok(Caller {
            principal,
            session,
            masks,
            revoked,
        })
    }

    /// Opens an exchange for what is asked, by nobody yet if there is no caller. What was asked is
    /// scanned once here, and noted as it may be kept.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded.
    pub async fn open(
        &self,
        id: ExchangeId,
        caller: Option<&Caller>,
        mut asked: Asked,
    ) -> Result<Open, Refusal> {
        let parts = &self.0;
        let exchange = Exchange::open(id, &*parts.name, parts.protocol, Timestamp::now());
        let masks = match caller {
            Some(caller) => caller.masks.clone(),
            None => parts.masks.choose(None),
        };
        let scan = masks.requests.json(&asked.document, "request");
        let scanned = scan.coverage.uninspected == 0;
        asked.action = asked.action.with("body_scanned", scanned);
        let masked = masks.requests.action(&asked.action);
        let (target, _) =
            tollbook_exchange::Redact::redact(&masks.requests, "target", &asked.target);
        exchange.draft(|draft| {
            if let Some(caller) = caller {
                draft.principal = Some(caller.principal.clone());
                draft.session = Some(caller.session);
            }
            draft.action = Some(masked.clone());
            draft.request.method = asked.method.to_owned();
            draft.request.target = target;
            draft.request.bytes = asked.document.len() as u64;
            draft.request.body = scan.masked.clone();
            draft.request.coverage = scan.coverage;
            if parts.release.is_some() {
                draft.level = Level::Release;
            }
        });
        exchange.found(scan.found.iter().cloned());
        let page = parts.book.open(&exchange).await?;
        let open = Open {
            page,
            asked,
            found: scan.found,
            masked,
        };
        if scan.blocked {
            let refusal = Refusal::new(
                Code::MaskingBlocked,
                "tollbook_masking_blocked: a masking rule lets nothing with this content pass",
            );
            return Err(open.refuse(refusal));
        }
        Ok(open)
    }

    /// The decision about what is asked, which is noted.
    pub fn judge(&self, caller: &Caller, open: &Open) -> Decision {
        let decision = self.decide(caller, &open.asked.action, &open.found);
        open.exchange().decided(&decision);
        decision
    }

    /// The decision about an action before there is an exchange of it, such as a statement that is
    /// prepared and not run.
    pub fn decide(&self, caller: &Caller, action: &Action, found: &[Finding]) -> Decision {
        let parts = &self.0;
        (parts.decide).decide(
            &caller.principal,
            &parts.name,
            parts.protocol,
            action,
            found,
        )
    }

    /// Takes what is asked through the gate: judges it, counts it, waits for people where they have to
    /// approve, and makes it durable. When this returns a permit, it may be forwarded.
    ///
    /// Nothing is lost when the future is dropped: the exchange stays open and is closed with its page.
    ///
    /// # Errors
    ///
    /// When it may not pass; that is noted in the exchange.
    pub async fn pass(
        &self,
        caller: &Caller,
        open: &Open,
        waiting: &Waiting,
    ) -> Result<Permit, Refusal> {
        let passed = self.pass_inner(caller, open, waiting).await;
        passed.map_err(|refusal| open.refuse_ref(refusal))
    }

    async fn pass_inner(
        &self,
        caller: &Caller,
        open: &Open,
        waiting: &Waiting,
    ) -> Result<Permit, Refusal> {
        let parts = &self.0;
        let decision = self.judge(caller, open);
        if let Some(refusal) = tollbook_policy::refusal(&decision) {
            return Err(refusal);
        }
        let ask =
            tollbook_budget::Ask::new(&caller.principal, &parts.name).session(Some(caller.session));
        let admission = parts.budgets.check(&ask)?;
        open.exchange()
            .afterwards(move |draft| admission.conclude(draft));
        if decision.verdict == Verdict::Approve {
            let decision = self.wait(caller, open, decision, waiting).await?;
            open.exchange().decided(&decision);
        }
        parts.book.commit(open.exchange()).await?;
        Ok(Permit(()))
    }

    async fn wait(
        &self,
        caller: &Caller,
        open: &Open,
        decision: Decision,
        waiting: &Waiting,
    ) -> Result<Decision, Refusal> {
        let parts = &self.0;
        let until = match parts.wait.mode {
            Mode::Hold => Instant::now() + parts.wait.hold,
            _ => Instant::now(),
        };
        let patience = Patience {
            until: Some(until),
            cancel_when_gone: parts.wait.cancel_when_gone,
            seen: Arc::clone(&waiting.0),
        };
        let ask = Ask::new(
            caller.principal.clone(),
            &*parts.name,
            parts.protocol,
            open.masked.clone(),
            self.digests(open),
            decision,
        )
        .showing(open.exchange().draft(|draft| draft.request.body.clone()))
        .in_exchange(Some(open.exchange().id()))
        .bound(Bind::Exact)
        .mode(parts.wait.mode);
        let judge = || self.judge(caller, open);
        parts.approvals.clear(ask, patience, judge).await
    }

    /// What an approval is bound to: what is asked, of what, and where.
    fn digests(&self, open: &Open) -> Digests {
        let Asked {
            method,
            target,
            action,
            document,
        } = &open.asked;
        let head = [
            action.name.as_bytes(),
            self.0.upstream.as_bytes(),
            method.as_bytes(),
            target.as_bytes(),
        ];
        self.0.approvals.digests(Payload {
            head: &head,
            body: document,
            semantic: None,
        })
    }
}

impl<A> Gate<A> {
    /// What it was put together from.
    pub fn parts(&self) -> &Parts<A> {
        &self.0
    }
}

impl Open {
    /// The exchange.
    pub const fn exchange(&self) -> &Exchange {
        self.page.exchange()
    }

    /// Where its answer is kept.
    pub const fn page(&self) -> &Page {
        &self.page
    }

    /// What is asked.
    pub const fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Notes a piece of the answer as it may be kept.
    pub fn answered(&self, bytes: Masked<Bytes>) {
        self.exchange().answered(bytes);
    }

    /// Whether something of the answer was noted and not handed to the writer of the book.
    pub fn has_said(&self) -> bool {
        self.exchange()
            .draft(|draft| !draft.response.parts.is_empty())
    }

    /// Notes that the gate refuses it, and closes it.
    pub fn refuse(self, refusal: Refusal) -> Refusal {
        self.refuse_ref(refusal)
    }

    fn refuse_ref(&self, refusal: Refusal) -> Refusal {
        self.page.refused(&refusal);
        refusal
    }
}

impl Waiting {
    /// The approval that is waited for, once there is one.
    pub fn approval(&self) -> Option<&ApprovalId> {
        self.0.get()
    }
}

impl<A> Clone for Gate<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for Gate<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Parts<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
