//! The seam behind which credentials come from.

use std::{error::Error, fmt, pin::Pin, sync::Arc};

use http::HeaderName;

use crate::Credential;

/// Where the upstream's credential comes from.
///
/// A [`Credential`] provides itself. [`CommandCredential`](crate::CommandCredential) and
/// [`Federation`](crate::Federation) bring ones that do not last.
///
/// `Debug` is asked for because whoever holds a provider shows it; like that of a credential it must
/// print no secret.
pub trait ProvideCredential: fmt::Debug + Send + Sync + 'static {
    /// The header that every credential goes into. It does not change, so that a record can take
    /// what callers send under this name for a credential before there is one.
    fn header(&self) -> &HeaderName;

    /// The credential to send now. Called for each request, so it is to have one at hand.
    ///
    /// # Errors
    ///
    /// When there is none. Nothing is forwarded then.
    fn current(&self) -> CredentialFuture<'_>;

    /// Takes note that the upstream refused `credential` with status 401. Answers whether
    /// [`current`](Self::current) may bring another, in which case the request is sent once more.
    fn refused(&self, credential: &Credential) -> bool {
        let _ = credential;
        false
    }
}

/// What [`ProvideCredential::current`] returns; boxed, because the provider is chosen at run time.
pub type CredentialFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Credential, CredentialError>> + Send + 'a>>;

impl ProvideCredential for Credential {
    fn header(&self) -> &HeaderName {
        self.header()
    }

    fn current(&self) -> CredentialFuture<'_> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

/// Why there is no credential at the moment. It holds nothing of what a program printed or an
/// upstream answered, but for the status.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}{}", .status.map(|status| format!(" (status {status})")).unwrap_or_default())]
pub struct CredentialError {
    what: &'static str,
    status: Option<u16>,
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl CredentialError {
    /// An error that says no more than `what`.
    pub const fn new(what: &'static str) -> Self {
        Self {
            what,
            status: None,
            source: None,
        }
    }

    /// The same error with its cause, which must not hold a secret either.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same error with the status that was answered.
    #[must_use]
    pub(super) const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}
