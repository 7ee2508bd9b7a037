//! What is done again and again for as long as the gateway runs.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tollbook_approvals::Approvals;
use tollbook_budget::Budgets;
use tollbook_identity::GateAuthenticator;
use tollbook_state::State;

use crate::masks::ConnectionMasks;

/// How often approvals are looked through for those whose time is up.
const SWEEP: Duration = Duration::from_secs(2);
/// How often the counters of budgets are kept.
const KEEP: Duration = Duration::from_secs(2);
/// How often tokens that have ended are forgotten.
const PURGE: Duration = Duration::from_secs(600);

/// Ends approvals whose time is up.
pub(super) async fn sweep(approvals: Approvals) {
    let mut ticks = ticks(SWEEP);
    loop {
        ticks.tick().await;
        if let Err(error) = approvals.sweep().await {
            tracing::warn!(%error, "approvals whose time is up could not be ended");
        }
    }
}

/// Keeps what was spent.
pub(super) async fn keep(state: State, budgets: Budgets) {
    let mut ticks = ticks(KEEP);
    let mut kept = budgets.revision();
    loop {
        ticks.tick().await;
        let revision = budgets.revision();
        if revision == kept {
            continue;
        }
        match state.keep_budgets(&budgets).await {
            Ok(()) => kept = revision,
            Err(error) => tracing::warn!(%error, "what was spent could not be kept"),
        }
    }
}

/// Forgets what tokens stood for in sessions that have ended.
pub(super) async fn forget(vaults: Vec<ConnectionMasks>) {
    let mut ticks = ticks(PURGE);
    loop {
        ticks.tick().await;
        vaults.iter().for_each(ConnectionMasks::sweep);
    }
}

/// Forgets tokens that have ended.
pub(super) async fn purge(gate: GateAuthenticator) {
    let mut ticks = ticks(PURGE);
    loop {
        ticks.tick().await;
        if let Err(error) = gate.purge().await {
            tracing::warn!(%error, "tokens that have ended could not be forgotten");
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
