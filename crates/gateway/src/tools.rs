//! Tool calls, judged before they are released.

use std::time::Duration;

use tokio::time::Instant;
use tollbook_approvals::{Approvals, Ask, Bind, Patience, Payload};
use tollbook_exchange::{Decision, Verdict};
use tollbook_inspect::{JudgeToolCall, Judged, Judging, ToolCall};
use tollbook_policy::{Decide, Policies, refusal};

use crate::stack::PROTOCOL;

/// Judges the tool calls of one connection's answers by its policies, and asks people where those
/// say so.
#[derive(Clone, Debug)]
pub(crate) struct ToolGate {
    pub(crate) policies: Policies,
    pub(crate) approvals: Approvals,
    pub(crate) connection: String,
    /// The upstream's address, to which an approval is bound as well.
    pub(crate) upstream: String,
    /// Whether calls are judged whatever the policies are about.
    pub(crate) always: bool,
    /// How long an answer that is no stream waits for people.
    pub(crate) hold: Duration,
}

impl JudgeToolCall for ToolGate {
    fn is_asked(&self) -> bool {
        self.always || self.policies.current().judges_calls()
    }

    fn judge(&self, call: ToolCall) -> Judging {
        let gate = self.clone();
        Box::pin(async move {
            let decision = gate.decide(&call);
            let judged = match decision.verdict {
                Verdict::Approve if decision.errors.is_empty() => gate.ask(&call, &decision).await,
                _ => match refusal(&decision) {
                    None => Judged::allow(),
                    Some(refusal) => Judged::refuse(refusal),
                },
            };
            let mut judged = judged
                .with("rules", decision.rules)
                .with("policy_hash", decision.policy_hash);
            if !decision.shadow.is_empty() {
                judged = judged.with("shadow", decision.shadow);
            }
            judged
        })
    }
}

impl ToolGate {
    fn decide(&self, call: &ToolCall) -> Decision {
        self.policies.decide(
            &call.principal,
            &self.connection,
            PROTOCOL,
            &call.action,
            &call.findings,
        )
    }

    /// Waits for people. What they say is about this call and no other.
    async fn ask(&self, call: &ToolCall, decision: &Decision) -> Judged {
        let tool = call.action.text("tool").unwrap_or_default();
        let head: [&[u8]; 3] = [b"tool.call", self.upstream.as_bytes(), tool.as_bytes()];
        let digests = self.approvals.digests(Payload {
            head: &head,
            body: &call.input,
            semantic: None,
        });
        let ask = Ask::new(
            call.principal.clone(),
            self.connection.clone(),
            PROTOCOL,
            call.masked_action.clone(),
            digests,
            decision.clone(),
        )
        .showing(call.view.clone())
        .in_exchange(call.exchange.as_ref().map(tollbook_exchange::Exchange::id))
        .bound(Bind::Exact);
        let patience = Patience {
            until: Some(Instant::now() + self.patience(call)),
            ..Patience::default()
        };
        let judge = || self.decide(call);
        match self.approvals.clear(ask, patience, judge).await {
            Ok(decision) => Judged::allow().with("approval", decision.approval),
            Err(refusal) => Judged::refuse(refusal),
        }
    }

    /// A stream is kept alive for as long as people may take; anything else is held as a request
    /// would be.
    fn patience(&self, call: &ToolCall) -> Duration {
        let streams = call.exchange.as_ref().is_some_and(|exchange| {
            exchange.draft(|draft| {
                let action = draft.action.as_ref();
                action.is_some_and(|action| action.as_inner().is("stream"))
            })
        });
        if streams {
            self.approvals.limits().decide_within
        } else {
            self.hold
        }
    }
}
