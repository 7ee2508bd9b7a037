//! The HTTP edge: accepting connections and serving them.
//!
//! `axum::serve` would do less: it sets no timeout for the head of a request, so that a few
//! thousand half-open connections stop a gateway, and leaves `TCP_NODELAY` off, which delays each
//! small event of a stream by tens of milliseconds.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, rt::Executor};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;

use crate::{
    opening::{Opened, Version, opening},
    tls::{self, Tls, WithPeer},
};

/// How long a client may take for its TLS handshake, and from there until the connection shows
/// which HTTP it speaks: its first byte, or the whole preface of HTTP/2.
const BEGIN: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may take for a head, once it has begun. hyper counts from the end
/// of the answer before, so this is also how long a connection may be idle: longer than the 60 s of
/// the usual load balancers and pools, which must be the ones that close. Where the gate closes
/// first, their next request can cross the close and be lost.
const HEAD: Duration = Duration::from_secs(75);
/// How long the tasks of cut requests may take to close their exchanges.
const CUT: Duration = Duration::from_secs(5);
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
}

/// A bound listener.
pub(crate) struct Edge {
    listener: TcpListener,
    tls: Option<Tls>,
    /// [`BEGIN`], but for tests.
    begin: Duration,
}

impl Edge {
    pub(crate) async fn bind(address: SocketAddr, tls: Option<Tls>) -> Result<Self, EdgeError> {
        let listen = |source| EdgeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        Ok(Self {
            listener,
            tls,
            begin: BEGIN,
        })
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
        let streams = Streams::default();
        // Also when this future is dropped, nothing goes on that nobody waits for.
        let _cut = streams.cut.clone().drop_guard();
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
            let (watcher, streams) = (graceful.watcher(), streams.clone());
            let patience = Patience {
                limit: self.begin,
                stop: stop.clone(),
            };
            connections.spawn(async move {
                let _permit = permit;
                // A client's fault at this level concerns nobody but the client: no exchange has
                // begun, so there is nothing to record.
                match tls {
                    None => {
                        let (version, io) = patience.wait(opening(stream)).await?;
                        let service = WithPeer {
                            service,
                            peer: None,
                        };
                        connection(version, io, service, watcher, streams).await;
                    }
                    Some(tls) => {
                        let stream = patience.wait(tls.acceptor().accept(stream)).await?;
                        let version = match stream.get_ref().1.alpn_protocol() {
                            Some(b"h2") => Version::Http2,
                            _ => Version::Http1,
                        };
                        let service = WithPeer {
                            service,
                            peer: tls::peer(stream.get_ref().1),
                        };
                        // What was agreed on counts; the bytes are awaited for their deadline.
                        let (_, io) = patience.wait(opening(stream)).await?;
                        connection(version, io, service, watcher, streams).await;
                    }
                }
                Some(())
            });
        }
        drop(self.listener);
        if timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "drain deadline passed; cutting open requests"
            );
        }
        // Dropping the tasks closes their exchanges by their guards. The requests of HTTP/2
        // connections are tasks of their own, which outlive the connection's.
        connections.shutdown().await;
        streams.end().await;
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

/// How long a client is waited for while it has not begun to speak HTTP.
struct Patience {
    limit: Duration,
    stop: CancellationToken,
}

impl Patience {
    /// What the step gives, unless it fails, takes too long or the gateway is told to stop.
    async fn wait<T>(&self, step: impl Future<Output = io::Result<T>>) -> Option<T> {
        tokio::select! {
            // A client that has begun is served, also at the last moment.
            biased;
            ended = timeout(self.limit, step) => match ended {
                Ok(Ok(value)) => Some(value),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "connection ended before it began");
                    None
                }
                Err(_) => {
                    tracing::debug!("connection did not begin in time");
                    None
                }
            },
            () = self.stop.cancelled() => None,
        }
    }
}

/// The tasks of HTTP/2 streams. hyper hands them to an executor and forgets them; this one knows
/// them, so that none goes on when the book is closed.
#[derive(Clone, Default)]
struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Streams {
    /// Cuts what still runs and waits until it is gone.
    async fn end(&self) {
        self.cut.cancel();
        self.tasks.close();
        if timeout(CUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "cut requests do not end");
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let cut = self.cut.clone();
        drop(self.tasks.spawn(cut.run_until_cancelled_owned(stream)));
    }
}

async fn connection<IO, S, B>(
    version: Version,
    io: Opened<IO>,
    service: S,
    watcher: Watcher,
    streams: Streams,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(streams);
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
    let builder = match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
    };
    let served = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(served.into_owned()).await {
        tracing::debug!(%error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::Empty;
    use hyper_util::rt::TokioExecutor;
    use sha2::{Digest, Sha256};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
    };
    use tollbook_identity::PeerCertificate;

    use super::*;

    async fn edge(tls: Option<Tls>) -> (Edge, SocketAddr) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut edge = Edge::bind(any, tls).await.unwrap();
        edge.begin = Duration::from_millis(200);
        let address = edge.address().unwrap();
        (edge, address)
    }

    async fn answer(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        Ok(Response::default())
    }

    fn serving(edge: Edge, stop: &CancellationToken) -> JoinHandle<()> {
        let service = tower::service_fn(answer);
        tokio::spawn(edge.serve(service, stop.clone(), Duration::from_secs(2)))
    }

    /// Whether the other side closes within a few seconds, which is far below [`HEAD`].
    async fn closes(mut io: impl AsyncRead + Unpin) -> bool {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(5), io.read_to_end(&mut rest))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_client_that_does_not_begin_is_not_waited_for() {
        let (edge, address) = edge(None).await;
        let stop = CancellationToken::new();
        let served = serving(edge, &stop);
        for start in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(start).await.unwrap();
            assert!(closes(socket).await, "{start:?}");
        }
        stop.cancel();
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_begin_after_its_handshake_is_not_waited_for() {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tls = crate::tls::tests::written(
            folder.path(),
            &certified.cert.pem(),
            &certified.signing_key.serialize_pem(),
        );
        let (edge, address) = edge(Some(Tls::load(&tls).unwrap())).await;
        let stop = CancellationToken::new();
        let served = serving(edge, &stop);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        for (protocols, start) in [
            (vec![], &b""[..]),
            (vec![b"http/1.1".to_vec()], b""),
            (vec![b"h2".to_vec()], b""),
            (vec![b"h2".to_vec()], b"PRI * HTTP"),
        ] {
            client.alpn_protocols = protocols;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client.clone()));
            let socket = TcpStream::connect(address).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let mut stream = connector.connect(name, socket).await.unwrap();
            stream.write_all(start).await.unwrap();
            stream.flush().await.unwrap();
            assert!(
                closes(stream).await,
                "{:?} {start:?}",
                client.alpn_protocols
            );
        }
        // Before the handshake as well.
        assert!(closes(TcpStream::connect(address).await.unwrap()).await);
        stop.cancel();
        served.await.unwrap();
    }

    /// Answers with the certificate that the edge saw.
    async fn tell(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
        let peer = request.extensions().get::<PeerCertificate>();
        Ok(Response::new(peer.map_or_else(
            || "none".to_owned(),
            PeerCertificate::to_string,
        )))
    }

    #[tokio::test]
    async fn a_client_is_known_by_the_certificate_it_proved_to_hold() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = crate::tls::tests::written(
            folder.path(),
            &own.cert.pem(),
            &own.signing_key.serialize_pem(),
        );
        let (authority, cert, key) = crate::tls::tests::client_of_an_authority();
        let (_, stranger, stranger_key) = crate::tls::tests::client_of_an_authority();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority).unwrap();
        config.client_ca = Some(crate::config::Located {
            line: None,
            value: file,
        });
        let print = PeerCertificate(Sha256::digest(cert.der()).into()).to_string();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let client = |pair: Option<(&rcgen::Certificate, &rcgen::KeyPair)>| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots.clone());
            match pair {
                None => builder.with_no_client_auth(),
                Some((cert, key)) => builder
                    .with_client_auth_cert(
                        vec![cert.der().clone()],
                        key.serialize_der().try_into().unwrap(),
                    )
                    .unwrap(),
            }
        };
        for (required, pair, expected) in [
            (false, None, Some("none")),
            (false, Some((&cert, &key)), Some(&*print)),
            (false, Some((&stranger, &stranger_key)), None),
            (true, None, None),
            (true, Some((&cert, &key)), Some(&*print)),
            (true, Some((&stranger, &stranger_key)), None),
        ] {
            config.client_required = required;
            let (edge, address) = edge(Some(Tls::load(&config).unwrap())).await;
            let stop = CancellationToken::new();
            let service = tower::service_fn(tell);
            let served = tokio::spawn(edge.serve(service, stop.clone(), BEGIN));
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client(pair)));
            // Twice: what one connection showed must not stand for another, nor be taken over.
            for _ in 0..2 {
                let socket = TcpStream::connect(address).await.unwrap();
                let name = "localhost".try_into().unwrap();
                let told = async {
                    let mut stream = connector.connect(name, socket).await?;
                    let head = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
                    stream.write_all(head).await?;
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await?;
                    assert_ne!(
                        stream.get_ref().1.handshake_kind(),
                        Some(rustls::HandshakeKind::Resumed)
                    );
                    io::Result::Ok(answer)
                };
                let told = told.await.ok();
                let told = told
                    .as_deref()
                    .and_then(|answer| answer.split("\r\n\r\n").nth(1));
                assert_eq!(told, expected, "required: {required}");
            }
            stop.cancel();
            served.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_begin_does_not_hold_up_the_end() {
        let (mut edge, address) = edge(None).await;
        edge.begin = HEAD;
        let stop = CancellationToken::new();
        let service = tower::service_fn(answer);
        let served = tokio::spawn(edge.serve(service, stop.clone(), HEAD));
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"PRI").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
        let ended = timeout(Duration::from_secs(5), served).await;
        ended.expect("the edge ends").unwrap();
        assert!(closes(socket).await);
    }

    #[tokio::test]
    async fn a_connection_that_has_begun_may_be_idle_for_longer() {
        let (edge, address) = edge(None).await;
        let stop = CancellationToken::new();
        let served = serving(edge, &stop);
        let mut socket = TcpStream::connect(address).await.unwrap();
        let mut answer = [0; 1024];
        for _ in 0..2 {
            let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
            socket.write_all(head).await.unwrap();
            let read = socket.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        stop.cancel();
        served.await.unwrap();
    }

    /// Takes its time to be dropped, as a guard does that closes an exchange.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(300));
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_stream_outlives_the_edge() {
        let (edge, address) = edge(None).await;
        let (stop, dropped) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let (begun, mut begins) = tokio::sync::mpsc::channel(1);
        let flag = Arc::clone(&dropped);
        let service = tower::service_fn(move |_: Request<Incoming>| {
            let (guard, begun) = (Slow(Arc::clone(&flag)), begun.clone());
            async move {
                begun.send(()).await.unwrap();
                std::future::pending::<()>().await;
                drop(guard);
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let served = tokio::spawn(edge.serve(service, stop.clone(), Duration::from_millis(100)));
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
                .await
                .unwrap();
        let driver = tokio::spawn(connection);
        let request = Request::new(Empty::<Bytes>::new());
        let response = tokio::spawn(sender.send_request(request));
        begins.recv().await.unwrap();
        stop.cancel();
        served.await.unwrap();
        assert!(dropped.load(Ordering::SeqCst), "the stream went on");
        assert!(response.await.unwrap().is_err());
        driver.abort();
    }
}
