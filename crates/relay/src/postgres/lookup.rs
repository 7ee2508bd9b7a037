//! Asking an upstream's catalog on a session of the gate's own.

use std::{fmt, time::Duration};

use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use tollbook_wire_postgres::Frames;

use super::{
    Upstream, Wire,
    catalog::{Catalog, Lookup, LookupFuture, NoAnswer, Relation, ask},
    link::Link,
};

/// One session with the upstream, begun when something is asked and kept for what is asked next. One
/// question at a time: answers are known for a while.
struct OwnSession {
    upstream: Upstream,
    wire: Mutex<Option<Wire<Link<TcpStream>>>>,
}

impl Upstream {
    /// What is known of its relations.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(OwnSession {
            upstream: self.clone(),
            wire: Mutex::new(None),
        })
    }
}

impl OwnSession {
    async fn relation(&self, number: u32) -> Result<Option<Relation>, NoAnswer> {
        let mut kept = self.wire.lock().await;
        // Taken out, so that one that is left in the middle of an answer is not used again.
        if let Some(mut wire) = kept.take()
            && let Ok(relation) = ask(&mut wire, number).await
        {
            *kept = Some(wire);
            return Ok(relation);
        }
        // The server may have ended a session that rested.
        let connected = self.upstream.connect(NAME, &[], Frames::SMALL).await;
        let mut wire = match connected {
            Ok(connected) => connected.wire,
            Err(fault) => {
                tracing::warn!(%fault, "the catalog of an upstream cannot be asked");
                return Err(NoAnswer);
            }
        };
        let relation = ask(&mut wire, number).await.map_err(|_| NoAnswer)?;
        *kept = Some(wire);
        Ok(relation)
    }
}

impl Lookup for OwnSession {
    fn relation(&self, number: u32) -> LookupFuture<'_> {
        Box::pin(async move {
            let asked = timeout(PATIENCE, self.relation(number)).await;
            asked.map_err(|_| NoAnswer)?
        })
    }
}

impl fmt::Debug for OwnSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnSession").finish_non_exhaustive()
    }
}

/// What the server's own log calls it.
const NAME: &str = "tollbook catalog";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
