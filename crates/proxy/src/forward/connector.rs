//! Opening connections.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use crate::error::Fault;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects by TCP, and by TLS where the upstream asks for it, within a time limit for both.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(tls: Tls, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Otherwise each small piece of a stream waits for the acknowledgement of the last.
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls.config);
        let inner = if tls.in_use {
            builder
                .https_only()
                .enable_http1()
                .enable_http2()
                .wrap_connector(tcp)
        } else {
            builder.https_or_http().enable_http1().wrap_connector(tcp)
        };
        Self { inner, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    // Boxed, because the inner future is a box already and opening a connection is rare.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.inner.call(uri));
        Box::pin(async move { connecting.await? })
    }
}

/// How TLS is spoken, if it is.
pub(super) struct Tls {
    config: ClientConfig,
    in_use: bool,
}

impl Tls {
    /// Certificates are verified against the operating system's authorities and those in `pem`.
    pub(super) fn verified(pem: Option<&[u8]>) -> Result<Self, Fault> {
        let authorities = pem.map(authorities).transpose()?.unwrap_or_default();
        let builder = builder()?;
        let verifier =
            Verifier::new_with_extra_roots(authorities, Arc::clone(builder.crypto_provider()))
                .map_err(Fault::Tls)?;
        let config = builder
            // Not dangerous: it is the operating system's own verification, with its roots.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self {
            config,
            in_use: true,
        })
    }

    /// For an upstream without TLS. Trusts nobody, should it come to be used.
    pub(super) fn never() -> Result<Self, Fault> {
        let config = builder()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(Self {
            config,
            in_use: false,
        })
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Fault> {
    // Named, so that it does not depend on what another crate installed for the process.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Fault::Tls)
}

fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let authorities = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(Fault::CaPem)?;
    if authorities.is_empty() {
        return Err(Fault::NoCa);
    }
    Ok(authorities)
}
