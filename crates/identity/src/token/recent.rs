//! Tokens that were verified lately.
//!
//! An agent shows one token with every request. A signature does not come undone, so what has to be
//! looked at again is what can change: the time, and whether the issuer still publishes the key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{TOKEN_LIMIT, Verified, claims::Times};
use crate::digest::sha256;

/// What is remembered of tokens: never the token, and never that one was refused.
///
/// Two generations, each of half the size: what is used moves to the young one, and when that is
/// full the old one goes. What was used lately stays, and no entry costs more than another to drop.
pub(crate) struct Recent {
    /// The most tokens in one generation.
    most: usize,
    generations: Mutex<Generations>,
}

/// A token that held when it was verified.
pub(crate) struct Held {
    pub(crate) verified: Verified,
    pub(crate) times: Times,
}

/// Names a token: the SHA-256 of all of it, its signature included, so that another signature is
/// another token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name([u8; 32]);

#[derive(Default)]
struct Generations {
    young: HashMap<Name, Entry>,
    old: HashMap<Name, Entry>,
    /// Of the tokens in the young generation, in bytes.
    young_size: usize,
}

#[derive(Clone)]
struct Entry {
    held: Arc<Held>,
    /// The token's length in bytes, to which what is remembered of it is proportional.
    size: usize,
}

/// The most that the tokens of one generation may weigh together, in bytes.
const MOST_SIZE: usize = 4 * 1024 * 1024;

impl Recent {
    /// Room for this many tokens; none is remembered if it is zero.
    pub(crate) fn new(tokens: usize) -> Self {
        Self {
            most: tokens.div_ceil(2),
            generations: Mutex::default(),
        }
    }

    /// The name of a token, if it could be in here.
    pub(crate) fn name(&self, token: &str) -> Option<Name> {
        (self.most > 0 && token.len() <= TOKEN_LIMIT).then(|| Name(sha256(token.as_bytes())))
    }

    /// What is remembered under this name.
    pub(crate) fn find(&self, name: &Name) -> Option<Arc<Held>> {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.get(name) {
            return Some(Arc::clone(&entry.held));
        }
        let entry = generations.old.remove(name)?;
        let held = Arc::clone(&entry.held);
        self.add(&mut generations, *name, entry);
        Some(held)
    }

    /// Remembers a token of this many bytes.
    pub(crate) fn keep(&self, name: Name, size: usize, held: Held) {
        let held = Arc::new(held);
        self.add(&mut self.lock(), name, Entry { held, size });
    }

    /// Forgets a token.
    pub(crate) fn forget(&self, name: &Name) {
        let mut generations = self.lock();
        generations.old.remove(name);
        if let Some(entry) = generations.young.remove(name) {
            generations.young_size -= entry.size;
        }
    }

    fn add(&self, generations: &mut Generations, name: Name, entry: Entry) {
        let full =
            generations.young.len() >= self.most || generations.young_size + entry.size > MOST_SIZE;
        if full && !generations.young.contains_key(&name) {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_size = 0;
        }
        generations.young_size += entry.size;
        if let Some(before) = generations.young.insert(name, entry) {
            generations.young_size -= before.size;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Whatever a panic left undone, at worst a token is verified again.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use tollbook_exchange::{Principal, PrincipalKind};

    use super::*;
    use crate::{Algorithm, KeyFingerprint, SigningKey};

    fn held(subject: &str) -> Held {
        Held {
            verified: Verified {
                principal: Principal::new(PrincipalKind::Ci, "ci", subject),
                expires: 300,
                issued: 0,
                assertion: [0; 32],
                claims: Map::new(),
                signed_by: SigningKey {
                    issuer: "https://ci.example".to_owned(),
                    kid: None,
                    algorithm: Algorithm::EdDsa,
                    fingerprint: KeyFingerprint([0; 32]),
                },
            },
            times: Times::for_test(0, 300),
        }
    }

    fn keep(recent: &Recent, token: &str, size: usize) {
        recent.keep(recent.name(token).unwrap(), size, held(token));
    }

    fn has(recent: &Recent, token: &str) -> bool {
        let found = recent.find(&recent.name(token).unwrap());
        if let Some(held) = &found {
            assert_eq!(held.verified.principal.subject, token);
        }
        found.is_some()
    }

    fn entries(recent: &Recent) -> usize {
        let generations = recent.lock();
        generations.young.len() + generations.old.len()
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let recent = Recent::new(100);
        keep(&recent, "used", 1);
        for index in 0..1000 {
            keep(&recent, &index.to_string(), 1);
            assert!(has(&recent, "used"), "{index}");
            assert!(entries(&recent) <= 100);
        }
        assert!(has(&recent, "999"));
        assert!(!has(&recent, "0"));
    }

    #[test]
    fn large_tokens_take_more_of_the_room() {
        let recent = Recent::new(1_000_000);
        for index in 0..2_000 {
            keep(&recent, &index.to_string(), 16 * 1024);
        }
        assert!(entries(&recent) <= 2 * MOST_SIZE / (16 * 1024));
    }

    #[test]
    fn what_is_forgotten_is_gone_and_its_room_is_free() {
        let recent = Recent::new(10);
        keep(&recent, "a", 7);
        keep(&recent, "a", 7);
        assert_eq!(recent.lock().young_size, 7);
        recent.forget(&recent.name("a").unwrap());
        assert!(!has(&recent, "a"));
        assert_eq!(recent.lock().young_size, 0);
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        assert!(Recent::new(0).name("a").is_none());
        let long = "a".repeat(TOKEN_LIMIT + 1);
        assert!(Recent::new(10).name(&long).is_none());
    }
}
