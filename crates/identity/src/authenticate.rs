//! The seam between the gate and whatever vouches for callers.

use std::sync::Arc;

use tollbook_exchange::Principal;

use crate::{Credentials, Rejection, Watch};

/// Turns credentials into a principal.
///
/// Implementations answer from what they know or refuse; an error of their own, such as a store
/// that does not answer, is a rejection too. They never let an unknown caller through as somebody.
pub trait Authenticate: Send + Sync + 'static {
    /// The principal that `credentials` prove.
    ///
    /// # Errors
    ///
    /// When they prove nobody. The reason is for the record, never for the caller.
    fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Principal, Rejection>> + Send;

    /// The principal that `credentials` prove, and how to hear that they prove nobody any more.
    /// What was let in with them is ended then.
    ///
    /// Unless an implementation says otherwise, what it let in stays.
    ///
    /// # Errors
    ///
    /// As for [`authenticate`](Self::authenticate).
    fn admit(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Admitted, Rejection>> + Send {
        async move {
            Ok(Admitted {
                principal: self.authenticate(credentials).await?,
                revoked: Watch::never(),
            })
        }
    }
}

/// A caller who was let in.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub principal: Principal,
    /// Ends when the caller's credential counts no more.
    pub revoked: Watch,
}

impl<A: Authenticate> Authenticate for Arc<A> {
    fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Principal, Rejection>> + Send {
        A::authenticate(self, credentials)
    }

    fn admit(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Admitted, Rejection>> + Send {
        A::admit(self, credentials)
    }
}
