//! Puts a gate together.

use std::{fmt, sync::Arc};

use tokio::sync::OnceCell;

use super::{GateAuthenticator, Inner};
use crate::{
    Clock, MemoryTokenStore, OidcAuthenticator, Revocations, Rules, SystemClock, TokenStore,
};

/// Puts a [`GateAuthenticator`] together.
#[must_use]
pub struct GateBuilder {
    oidc: OidcAuthenticator,
    rules: Rules,
    store: Option<Arc<dyn TokenStore>>,
    revocations: Revocations,
    clock: Option<Arc<dyn Clock>>,
}

impl GateBuilder {
    pub(super) fn new(oidc: OidcAuthenticator) -> Self {
        Self {
            oidc,
            rules: Rules::default(),
            store: None,
            revocations: Revocations::new(),
            clock: None,
        }
    }

    /// Gives callers the groups of these rules, and lets them exchange tokens under them.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Keeps gateway tokens in `store`.
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Goes on with the revocations of a gate that came before, so that what it let in can still
    /// be ended.
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = revocations;
        self
    }

    /// Reads the time from `clock` instead of from the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The gate.
    pub fn build(self) -> GateAuthenticator {
        GateAuthenticator(Arc::new(Inner {
            oidc: self.oidc,
            rules: self.rules,
            store: (self.store).unwrap_or_else(|| Arc::new(MemoryTokenStore::new())),
            revocations: self.revocations,
            restored: OnceCell::new(),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
        }))
    }
}

impl fmt::Debug for GateBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateBuilder")
            .field("oidc", &self.oidc)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
