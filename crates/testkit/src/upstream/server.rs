//! Accepting connections.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use super::{api::Api, faults::Garbage};

/// Accepts connections until the other end of `stopped` is dropped, then closes them all.
pub(super) async fn run(listener: TcpListener, api: Arc<Api>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&api)));
                }
                // Out of file descriptors, most likely: some will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, api: Arc<Api>) {
    // A failure here or below means that the client is gone, or that a body was broken off.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    if api.faults().plan().garbage == Some(Garbage::Http) {
        garbage(stream).await.ok();
        return;
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(api.answer(request).await) }
    });
    builder
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

/// Answers a connection with what is not HTTP.
async fn garbage(mut stream: TcpStream) -> io::Result<()> {
    // Whatever the client says, once it has begun to speak.
    stream.readable().await?;
    stream
        .write_all(b"\x15\x03\x01\x00\x02\x02\x50 this is not HTTP\r\n\r\n")
        .await?;
    stream.shutdown().await
}
