//! What the public surface of the crate promises.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod cookbook;
mod decisions;
#[cfg(feature = "tower")]
mod layer;
mod loading;
mod looking;
mod model;
mod short;
mod verdicts;

use tollbook_exchange::{Action, Decision, Groups, Principal, PrincipalKind};
use tollbook_policy::{Decide, PolicySet};

fn caller(groups: &[&str]) -> Principal {
    Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay")
        .with_groups(Groups::from_iter(groups.iter().copied()))
}

fn create() -> Action {
    Action::new("messages.create")
        .with("model", "claude-haiku-4-5")
        .with("stream", true)
        .with("max_tokens", 1024_i64)
        .with("messages", 3_usize)
        .with("body_bytes", 2048_usize)
        .with("body_scanned", true)
}

/// Everything is permitted to `ci-payments`, except what `text` forbids.
fn policies(text: &str) -> PolicySet {
    PolicySet::builder()
        .allow("claude", ["ci-payments".to_owned()])
        .file("policies/test.cedar", text)
        .build()
        .unwrap()
}

fn ask(policies: &PolicySet, principal: &Principal, action: &Action) -> Decision {
    policies.decide(principal, "claude", "claude", action, &[])
}
