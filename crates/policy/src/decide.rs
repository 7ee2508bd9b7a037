//! The seam between the layer and whatever decides.

use std::{fmt, sync::Arc};

use tollbook_exchange::{Action, Decision, Finding, Principal};

/// Decides whether a principal may do something.
///
/// [`PolicySet`](crate::PolicySet) does; [`policy_fn`] makes one of a closure.
pub trait Decide: Send + Sync + 'static {
    /// The verdict about `action` by `principal` on `connection`, in whose request `findings`
    /// were found.
    fn decide(
        &self,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
    ) -> Decision;
}

impl<D: Decide + ?Sized> Decide for Arc<D> {
    fn decide(
        &self,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
    ) -> Decision {
        (**self).decide(principal, connection, protocol, action, findings)
    }
}

/// Lets a closure over principal, action and findings decide.
///
/// ```
/// use tollbook_exchange::{Decision, PrincipalKind, Verdict};
/// use tollbook_policy::policy_fn;
///
/// let people_only = policy_fn(|principal, _action, _findings| {
///     let verdict = match principal.kind {
///         PrincipalKind::Human => Verdict::Allow,
///         _ => Verdict::Deny,
///     };
///     Decision::new(verdict, vec!["people-only".to_owned()], "people-only v1")
/// });
/// # let _ = people_only;
/// ```
pub const fn policy_fn<F>(function: F) -> PolicyFn<F>
where
    F: Fn(&Principal, &Action, &[Finding]) -> Decision + Send + Sync + 'static,
{
    PolicyFn(function)
}

/// A closure that decides. See [`policy_fn`].
#[derive(Clone, Copy)]
pub struct PolicyFn<F>(F);

impl<F> fmt::Debug for PolicyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyFn").finish_non_exhaustive()
    }
}

impl<F> Decide for PolicyFn<F>
where
    F: Fn(&Principal, &Action, &[Finding]) -> Decision + Send + Sync + 'static,
{
    fn decide(
        &self,
        principal: &Principal,
        _connection: &str,
        _protocol: &str,
        action: &Action,
        findings: &[Finding],
    ) -> Decision {
        (self.0)(principal, action, findings)
    }
}
