//! Asking the upstream's catalog on a session of the gate's own.

use std::{fmt, time::Duration};

use tokio::{sync::Mutex, time::timeout};

use super::{
    Lookup, LookupFuture, NoAnswer, Relation, Upstream, catalog::ask, upstream::Connected,
};

/// A session of the gate's own with an upstream, begun when it is first needed and again when it broke.
pub(super) struct Aside {
    upstream: Upstream,
    max_message: usize,
    begun: Mutex<Option<Connected>>,
}

impl Aside {
    pub(super) fn new(upstream: Upstream, max_message: usize) -> Self {
        Self {
            upstream,
            max_message,
            begun: Mutex::new(None),
        }
    }

    async fn ask(&self, number: u32) -> Result<Option<Relation>, NoAnswer> {
        let mut begun = self.begun.lock().await;
        // One that has been begun before may have broken meanwhile, a new one has not.
        for is_last in [begun.is_none(), true] {
            let mut session = match begun.take() {
                Some(session) => session,
                None => {
                    let connected = self.upstream.connect(NAME, &[], self.max_message).await;
                    connected.map_err(|_| NoAnswer)?
                }
            };
            // Left in the middle of an answer, it would give the next one this one's.
            match timeout(PATIENCE, ask(&mut session.wire, number)).await {
                Ok(Ok(relation)) => {
                    *begun = Some(session);
                    return Ok(relation);
                }
                _ if is_last => break,
                _ => {}
            }
        }
        Err(NoAnswer)
    }
}

impl Lookup for Aside {
    fn relation(&self, number: u32) -> LookupFuture<'_> {
        Box::pin(self.ask(number))
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").finish_non_exhaustive()
    }
}

/// How the session calls itself.
const NAME: &str = "tollbook";
/// How long the catalog may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
