//! The sandbox on a port.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::Sandbox;

/// How long a client may take over a head.
const HEAD: Duration = Duration::from_secs(30);

impl Sandbox {
    /// Answers whoever connects, until `until` is there; what is under way then is cut off.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, until: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, Arc::clone(&self)));
                    }
                    // Out of file descriptors, most likely: some will come back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
            }
        }
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, sandbox: Arc<Sandbox>) {
    // A failure here or below means that the client is gone, or that a recorded answer broke off.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new());
    let service = service_fn(move |request| {
        let sandbox = Arc::clone(&sandbox);
        async move { Ok::<_, Infallible>(sandbox.answer(request).await) }
    });
    builder
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}
