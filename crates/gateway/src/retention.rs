//! Destroying what was kept for long enough, once a day.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tollbook_budget::Prices;
use tollbook_recording::{Recorder, Retention};

use crate::index;

/// How long after the start the first look is: when those who wait for the gateway have been served.
const FIRST: Duration = Duration::from_secs(5 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Who asks for it, in tombstones.
const BY: &str = "(gate)";

/// Looks each day for what is due. What is destroyed is told by the tombstones in the log, and taken
/// out of the search index in this folder where the gateway does not follow the book.
pub(crate) async fn keep(
    recorder: Recorder,
    retention: Arc<Retention>,
    unfollowed: Option<(PathBuf, Prices)>,
) {
    if let Some((folder, prices)) = unfollowed.clone() {
        // What a gateway before this one did not come to.
        index::forget(folder, prices, Arc::clone(&retention)).await;
    }
    if *retention == Retention::default() {
        return;
    }
    let mut days = interval_at(Instant::now() + FIRST, DAY);
    days.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        days.tick().await;
        let (recorder, terms) = (recorder.clone(), Arc::clone(&retention));
        let done = tokio::task::spawn_blocking(move || recorder.retain(&terms, BY)).await;
        match done {
            Ok(Ok(expired)) => {
                let exchanges: u64 = expired.classes.iter().map(|class| class.exchanges).sum();
                if !expired.tombstones.is_empty() {
                    tracing::info!(exchanges, "what was kept for long enough is destroyed");
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the retention could not be kept"),
            Err(error) => tracing::error!(%error, "the retention was broken off"),
        }
        if let Some((folder, prices)) = unfollowed.clone() {
            index::forget(folder, prices, Arc::clone(&retention)).await;
        }
    }
}
