//! The seam behind which documents come from the network.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use reqwest::Url;

/// Fetches discovery documents and key sets.
///
/// The gate brings a client of its own; this seam is for tests and for those whose network is
/// reached in another way. Whatever stands here must not follow redirects: the address that was
/// judged is the address that is asked.
pub trait Fetch: Send + Sync + 'static {
    /// The document at `url`, answered with status 200.
    fn fetch<'a>(&'a self, url: &'a Url) -> FetchFuture<'a>;
}

/// What [`Fetch::fetch`] returns; boxed, because the client is chosen at run time.
pub type FetchFuture<'a> = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + 'a>>;

/// A fetched document.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The document, without content coding.
    pub body: Bytes,
    /// How long it may be used before it is asked for again (`Cache-Control: max-age`, zero for
    /// `no-cache` and `no-store`); `None` when the answer does not say.
    pub max_age: Option<Duration>,
}

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct FetchError {
    what: &'static str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl FetchError {
    /// An error that says no more than `what`.
    pub const fn new(what: &'static str) -> Self {
        Self { what, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}
