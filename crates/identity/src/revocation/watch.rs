//! Waiting for the end of a credential.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::Rejection;

/// Ends when a credential that was accepted counts no more, with the reason. Most never do.
#[must_use]
pub struct Watch(Option<Pin<Box<dyn Future<Output = Rejection> + Send + Sync>>>);

impl Watch {
    /// Never ends.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Ends when `revoked` does.
    pub fn new(revoked: impl Future<Output = Rejection> + Send + Sync + 'static) -> Self {
        Self(Some(Box::pin(revoked)))
    }
}

impl Future for Watch {
    type Output = Rejection;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rejection> {
        match &mut self.0 {
            Some(revoked) => revoked.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch(..)")
    }
}
