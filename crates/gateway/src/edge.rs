//! The HTTP edge: accepting connections and serving them.
//!
//! `axum::serve` would do less: it sets no timeout for the head of a request, so that a few
//! thousand half-open connections stop a gateway, and leaves `TCP_NODELAY` off, which delays each
//! small event of a stream by tens of milliseconds.

use std::{convert::Infallible, fs, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::config::TlsConfig;

/// How long a client may take for the head of a request, and for its TLS handshake.
const HEAD: Duration = Duration::from_secs(10);
/// How many connections are served at once; more wait to be accepted.
const CONNECTIONS: usize = 8192;
/// How many requests one HTTP/2 connection may have open.
const STREAMS: u32 = 256;
/// The largest head: two tokens of 16 KiB and what else a client sends.
const HEAD_BYTES: u32 = 64 << 10;

/// The edge cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate {file}")]
    Certificate {
        /// The file with the fault.
        file: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A bound listener.
pub(crate) struct Edge {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Edge {
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<&TlsConfig>,
    ) -> Result<Self, EdgeError> {
        let tls = tls.map(acceptor).transpose()?;
        let listen = |source| EdgeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        Ok(Self { listener, tls })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled, then lets open requests go on for at most `drain`.
    pub(crate) async fn serve<S, B>(self, service: S, stop: CancellationToken, drain: Duration)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&permits) => accepted,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let (tls, service) = (self.tls.clone(), service.clone());
            let watcher = graceful.watcher();
            connections.spawn(async move {
                let _permit = permit;
                // A client's fault at this level concerns nobody but the client: no exchange has
                // begun, so there is nothing to record.
                match tls {
                    None => connection(stream, service, watcher).await,
                    Some(tls) => match timeout(HEAD, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection(stream, service, watcher).await,
                        Ok(Err(_)) | Err(_) => tracing::debug!("TLS handshake failed"),
                    },
                }
            });
        }
        drop(self.listener);
        if timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "drain deadline passed; cutting open requests"
            );
        }
        // Dropping the tasks closes their exchanges by their guards.
        connections.shutdown().await;
    }

    async fn accept(
        &self,
        permits: &Arc<Semaphore>,
    ) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY not set");
                }
                Some((stream, permit))
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end before one can begin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

async fn connection<IO, S, B>(io: IO, service: S, watcher: hyper_util::server::graceful::Watcher)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(Duration::from_secs(30));
    let served = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(served.into_owned()).await {
        tracing::debug!(%error, "connection ended early");
    }
}

fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, EdgeError> {
    let fault = |file: &std::path::Path, source: Box<dyn std::error::Error + Send + Sync>| {
        EdgeError::Certificate {
            file: file.display().to_string(),
            source,
        }
    };
    let pem = fs::read(&config.cert).map_err(|error| fault(&config.cert, error.into()))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(&config.cert, error.into()))?;
    let pem = fs::read(&config.key).map_err(|error| fault(&config.key, error.into()))?;
    let pem = zeroize::Zeroizing::new(pem);
    let key =
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| fault(&config.key, error.into()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&config.cert, error.into()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| fault(&config.cert, error.into()))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}
