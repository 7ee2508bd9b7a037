//! The seam between the gate and whatever vouches for callers.

use std::sync::Arc;

use tollbook_exchange::Principal;

use crate::{Credentials, Rejection};

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
}

impl<A: Authenticate> Authenticate for Arc<A> {
    fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Principal, Rejection>> + Send {
        A::authenticate(self, credentials)
    }
}
