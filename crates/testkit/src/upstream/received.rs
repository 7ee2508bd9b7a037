//! What has come in.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Method};

/// A request as it came. `Debug` shows no header value and no body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Received {
    /// The method.
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: String,
    /// The headers, with every value of a name that came several times.
    pub headers: HeaderMap,
    /// The body, as far as it was taken.
    pub body: Bytes,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How many bytes of bodies are kept.
const KEEP_BYTES: usize = 64 << 20;

/// The last requests, within limits.
pub(super) struct Inbox {
    keep: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    kept: VecDeque<Received>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            state: Mutex::default(),
        }
    }

    /// Adds a request. Its number, from 1.
    pub(super) fn add(&self, received: Received) -> u64 {
        let mut state = self.lock();
        state.count += 1;
        state.bytes += received.body.len();
        state.kept.push_back(received);
        while state.kept.len() > self.keep || state.bytes > KEEP_BYTES {
            let Some(oldest) = state.kept.pop_front() else {
                break;
            };
            state.bytes -= oldest.body.len();
        }
        state.count
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.lock().kept.iter().cloned().collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let inbox = Inbox::new(2);
        for n in 0..5_usize {
            inbox.add(Received {
                method: Method::POST,
                target: format!("/{n}"),
                headers: HeaderMap::new(),
                body: Bytes::from(vec![0; if n == 4 { KEEP_BYTES } else { 1 }]),
            });
        }
        let targets: Vec<String> = inbox.received().into_iter().map(|r| r.target).collect();
        assert_eq!(targets, ["/4"]);
        assert_eq!(inbox.count(), 5);
    }
}
