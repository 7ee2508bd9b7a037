//! An issuer that publishes what it is told to, and fails as it is told to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tollbook_identity::{Fetch, FetchError, FetchFuture, Fetched, Url};

use crate::forge::{Signer, VirtualClock, claims_but, key_set};

/// An issuer's web server, as the gate sees it.
#[derive(Clone)]
pub(crate) struct Server {
    answer: Arc<Mutex<Answer>>,
    fetches: Arc<AtomicUsize>,
}

#[derive(Clone)]
pub(crate) enum Answer {
    Keys(String, Option<Duration>),
    Down,
    Hang,
}

impl Server {
    /// A server that publishes these keys.
    pub(crate) fn new(keys: &[Value]) -> Self {
        Self {
            answer: Arc::new(Mutex::new(Answer::Keys(key_set(keys), None))),
            fetches: Arc::default(),
        }
    }

    pub(crate) fn publish(&self, keys: &[Value]) {
        self.set(Answer::Keys(key_set(keys), None));
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Fetch for Server {
    fn fetch<'a>(&'a self, _: &'a Url) -> FetchFuture<'a> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async move {
            // As on a network, nothing is there at once.
            tokio::task::yield_now().await;
            match answer {
                Answer::Keys(text, max_age) => Ok(Fetched {
                    body: text.into(),
                    max_age,
                }),
                Answer::Down => Err(FetchError::new("down")),
                Answer::Hang => std::future::pending().await,
            }
        })
    }
}

/// A token made now: the tests move the clock by hours, and the token must not be what fails.
pub(crate) fn fresh_token(signer: &Signer, kid: &str, clock: &VirtualClock) -> String {
    let now = clock.now();
    signer.token(kid, &claims_but(json!({"iat": now, "exp": now + 300})))
}
