//! Upstreams that say byte for byte what a test tells them to.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A listener on loopback that is gone when the test ends.
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) connections: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Upstream {
    /// Hands every connection to `serve`.
    pub(crate) async fn start<F, S>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream));
            }
        });
        Self {
            url,
            connections,
            _accepting: accepting,
        }
    }

    /// Answers every request with `answer(head, body)`, on connections that stay open.
    pub(crate) async fn answering<A>(answer: A) -> Self
    where
        A: Fn(&str, &[u8]) -> Vec<u8> + Clone + Send + Sync + 'static,
    {
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                loop {
                    let (head, body) = read_request(&mut stream).await?;
                    stream.write_all(&answer(&head, &body)).await?;
                }
            }
        })
        .await
    }

    /// Sends the head of the request back as the body of its answer.
    pub(crate) async fn echoing_heads() -> Self {
        Self::answering(|head, _| ok(head.as_bytes())).await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}

/// The head as it came, and the body of the length it tells.
pub(crate) async fn read_request(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((head, body))
}
