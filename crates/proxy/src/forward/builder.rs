//! From an address and a few knobs to a forwarder.

use std::{sync::Arc, time::Duration};

use http::Uri;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Forward,
    connector::{Connector, Tls},
    service::Upstream,
};
use crate::{BuildError, Credential, ProvideCredential, error::Fault};

/// Sets up a [`Forward`].
#[derive(Debug)]
#[must_use]
pub struct ForwardBuilder {
    upstream: String,
    credential: Option<Arc<dyn ProvideCredential>>,
    ca_pem: Option<Vec<u8>>,
    connect_timeout: Duration,
    head_timeout: Duration,
    idle_timeout: Duration,
    pool_idle_timeout: Duration,
}

impl ForwardBuilder {
    pub(super) fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            credential: None,
            ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(300),
            pool_idle_timeout: Duration::from_secs(30),
        }
    }

    /// The credential to send with every request. Without one none is sent: the caller's own is
    /// taken off in any case.
    pub fn credential(self, credential: Credential) -> Self {
        self.provider(Arc::new(credential))
    }

    /// Where the credential of each request comes from, in place of one that stays.
    pub fn provider(mut self, provider: Arc<dyn ProvideCredential>) -> Self {
        self.credential = Some(provider);
        self
    }

    /// Certificate authorities to trust besides those of the operating system, as PEM.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// How long it may take to resolve the name, connect and shake hands. 5 seconds unless told.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long the upstream may take until the head of its answer. 600 seconds unless told, which
    /// is how long the official SDKs wait.
    pub const fn head_timeout(mut self, time: Duration) -> Self {
        self.head_timeout = time;
        self
    }

    /// How long the upstream may be silent within its answer. 300 seconds unless told, after which
    /// Claude Code gives a stream up. There is no limit to the whole answer.
    pub const fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// How long a connection is kept without a request. 30 seconds unless told. It should be
    /// shorter than the upstream's, since a request on a connection that the upstream is closing
    /// fails and is not sent again.
    pub const fn pool_idle_timeout(mut self, time: Duration) -> Self {
        self.pool_idle_timeout = time;
        self
    }

    /// The forwarder. It connects when there is something to forward.
    ///
    /// # Errors
    ///
    /// When the upstream is not an `http` or `https` address with an authority and perhaps a path,
    /// or when TLS cannot be set up.
    pub fn build(self) -> Result<Forward, BuildError> {
        let base = Base::parse(&self.upstream)?;
        let tls = match base.is_tls {
            true => Tls::verified(self.ca_pem.as_deref())?,
            false => Tls::never()?,
        };
        let connector = Connector::new(tls, self.connect_timeout);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.pool_idle_timeout)
            // Finds out about a dead HTTP/2 connection before its silence does.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(20))
            // One call by the caller is one call to the upstream, where it may cost money.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Forward::new(Arc::new(Upstream {
            client,
            base: base.uri,
            prefix: base.prefix,
            credential: self.credential,
            head_timeout: self.head_timeout,
            idle_timeout: self.idle_timeout,
        })))
    }
}

/// The upstream's address, taken apart.
#[derive(Debug)]
pub(crate) struct Base {
    uri: Uri,
    /// What comes before every path, without a slash at its end.
    prefix: String,
    is_tls: bool,
}

impl Base {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        // A fragment would be dropped in silence.
        if text.contains('#') {
            return Err(Fault::Query);
        }
        let uri: Uri = text.parse().map_err(|_| Fault::Upstream)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Fault::Upstream),
        };
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => return Err(Fault::UserInfo),
            Some(authority) if !authority.host().is_empty() => {}
            _ => return Err(Fault::Upstream),
        }
        if uri.query().is_some() {
            return Err(Fault::Query);
        }
        Ok(Self {
            prefix: uri.path().trim_end_matches('/').to_owned(),
            uri,
            is_tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_mean_one_thing_are_taken() {
        for text in [
            "",
            "api.example.com",
            "/v1",
            "ftp://api.example.com",
            "https://",
            "https://user:pass@api.example.com",
            "https://api.example.com?x=1",
            "https://api.example.com/#x",
            "https://api example.com",
        ] {
            assert!(Base::parse(text).is_err(), "{text:?}");
        }
        for (text, prefix) in [
            ("https://api.example.com", ""),
            ("http://127.0.0.1:8080/", ""),
            ("https://[::1]:8443/base/v2/", "/base/v2"),
        ] {
            assert_eq!(Base::parse(text).unwrap().prefix, prefix);
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_refused() {
        for pem in [
            "",
            "not PEM",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let built = Forward::builder("https://127.0.0.1").ca_pem(pem).build();
            assert!(built.is_err(), "{pem:?}");
        }
    }
}
