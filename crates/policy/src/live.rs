//! Policies that can be changed while they are asked.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use tollbook_exchange::{Action, Decision, Finding, Principal};

use crate::{Decide, PolicySet};

/// A handle to the policies that hold now. Clones share them.
///
/// A [`PolicySet`] only exists once everything about it is right, and replaces the one before as
/// a whole: no question ever meets half of one. A decision that is under way finishes with the
/// set it began with, and names it by hash.
///
/// ```
/// use tollbook_policy::{Decide, Policies, PolicySet};
///
/// let policies = Policies::new(PolicySet::builder().build()?);
/// let next = PolicySet::builder().allow("claude", ["ci".to_owned()]).build()?;
/// let (before, after) = policies.swap(next);
/// assert_ne!(before, after);
/// assert_eq!(policies.current().hash(), after);
/// # Ok::<(), tollbook_policy::LoadError>(())
/// ```
#[derive(Clone)]
pub struct Policies(Arc<ArcSwap<PolicySet>>);

impl Policies {
    /// A handle to `set`.
    pub fn new(set: PolicySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(set)))
    }

    /// Puts `set` in the place of the one that held until now, and returns the hashes of both:
    /// the old one first.
    pub fn swap(&self, set: PolicySet) -> (String, String) {
        let new = set.hash().to_owned();
        let old = self.0.swap(Arc::new(set));
        (old.hash().to_owned(), new)
    }

    /// The set that holds now.
    pub fn current(&self) -> PolicySet {
        PolicySet::clone(&self.0.load())
    }
}

impl Decide for Policies {
    fn decide(
        &self,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
    ) -> Decision {
        let set = self.0.load();
        set.decide(principal, connection, protocol, action, findings)
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Policies").field(&self.current()).finish()
    }
}
