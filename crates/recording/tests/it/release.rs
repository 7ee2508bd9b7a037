//! Answers of which each byte is durable before the caller gets it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tollbook_exchange::{Exchange, http::Cut};
use tollbook_recording::{Health, Reader, Release};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Book, Stall, masked};

/// What an upstream sends, and what of it the record has by then.
#[derive(Debug)]
enum Sent {
    /// Bytes, of which the record has all but the last so many.
    Data(Bytes, u64),
    Trailers,
    Fail,
}

/// An answer that comes when the test says so, watched as the inspect layer watches one.
struct Upstream {
    sent: mpsc::Receiver<Sent>,
    exchange: Exchange,
    /// What came and is not in the record.
    behind: Vec<u8>,
    polled: Arc<AtomicUsize>,
}

impl Upstream {
    fn note(&mut self, bytes: &Bytes, behind: u64) {
        self.behind.extend_from_slice(bytes);
        let noted = self.behind.len() - usize::try_from(behind).unwrap();
        let noted: Vec<u8> = self.behind.drain(..noted).collect();
        self.exchange.draft(|draft| {
            draft.response.seen += bytes.len() as u64;
            draft.response.settled = draft.response.seen - behind;
        });
        if !noted.is_empty() {
            self.exchange.answered(masked(noted.into()));
        }
    }
}

impl Body for Upstream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let sent = std::task::ready!(self.sent.poll_recv(cx));
        self.polled.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(match sent {
            Some(Sent::Data(bytes, behind)) => {
                self.note(&bytes, behind);
                Some(Ok(Frame::data(bytes)))
            }
            Some(Sent::Trailers) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("1"));
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Sent::Fail) => Some(Err(std::io::Error::other("reset"))),
            None => {
                let rest = std::mem::take(&mut self.behind);
                self.exchange
                    .draft(|draft| draft.response.settled = draft.response.seen);
                if !rest.is_empty() {
                    self.exchange.answered(masked(rest.into()));
                }
                None
            }
        })
    }
}

struct Call {
    id: String,
    upstream: mpsc::Sender<Sent>,
    body: Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Send>>,
    polled: Arc<AtomicUsize>,
}

impl Call {
    /// A request that was forwarded, and whose answer begins.
    async fn new(book: &Book, release: Release) -> Self {
        let (upstream, sent) = mpsc::channel(256);
        let sent = Arc::new(std::sync::Mutex::new(Some(sent)));
        let polled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polled);
        let inner = service_fn(move |request: Request<()>| {
            let exchange = request.extensions().get::<Exchange>().unwrap().clone();
            let body = Upstream {
                sent: sent.lock().unwrap().take().unwrap(),
                exchange,
                behind: Vec::new(),
                polled: Arc::clone(&counted),
            };
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let stack = (book.record().release(release)).layer(book.commit().layer(inner));
        let response = stack.oneshot(Request::new(())).await.unwrap();
        let id = response.headers()["x-tollbook-exchange"]
            .to_str()
            .unwrap()
            .to_owned();
        Self {
            id,
            upstream,
            body: Box::pin(response.into_body()),
            polled,
        }
    }

    fn send(&self, bytes: &[u8], behind: u64) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.upstream.try_send(Sent::Data(bytes, behind)).unwrap();
    }

    async fn next(
        &mut self,
    ) -> Option<Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>> {
        self.body.frame().await
    }

    /// Nothing comes within this time.
    async fn is_silent(&mut self, time: Duration) {
        let waited = tokio::time::timeout(time, self.body.frame()).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    /// What comes next, which must be in the book.
    async fn durable(&mut self, book: &Book, so_far: &mut Vec<u8>) {
        let frame = self.next().await.unwrap().unwrap();
        so_far.extend_from_slice(frame.data_ref().unwrap());
        let reader = Reader::open(book.folder()).unwrap();
        let shown = reader.exchange(&self.id).unwrap().unwrap();
        let recorded = shown["response"]["body"].as_str().unwrap();
        assert!(
            recorded.as_bytes().starts_with(so_far),
            "{} released, {} recorded",
            so_far.len(),
            recorded.len()
        );
    }
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn no_byte_reaches_the_caller_before_it_is_durable() {
    for release in [
        Release::strict(),
        Release::new(1000, LONG),
        Release::new(64 << 10, Duration::from_millis(20)),
    ] {
        let book = Book::new();
        let mut call = Call::new(&book, release).await;
        let mut so_far = Vec::new();
        for piece in 0..40_u8 {
            call.send(&[b'a' + piece % 26; 100], 0);
        }
        drop(std::mem::replace(&mut call.upstream, mpsc::channel(1).0));
        while so_far.len() < 4000 {
            call.durable(&book, &mut so_far).await;
        }
        assert!(call.next().await.is_none());
        let id = call.id.clone();
        drop(call);
        let book = book.close();
        let shown = book.show(&id);
        assert_eq!(shown["outcome"], "complete", "{release:?}");
        assert_eq!(shown["level"], "release");
        assert_eq!(shown["response"]["bytes"], 4000);
        assert!(book.reader().verify(None).unwrap().is_verified());
    }
}

#[tokio::test]
async fn a_step_is_made_by_its_size_or_its_time() {
    let book = Book::new();
    let mut call = Call::new(&book, Release::new(1000, Duration::from_millis(300))).await;
    // By size: at once.
    let began = Instant::now();
    call.send(&[b'a'; 1000], 0);
    call.durable(&book, &mut Vec::new()).await;
    assert!(began.elapsed() < Duration::from_millis(250));
    // By time: a sign of life waits as well, and not for ever.
    call.send(b": ping\n\n", 0);
    call.is_silent(Duration::from_millis(150)).await;
    let ping = call.next().await.unwrap().unwrap();
    assert_eq!(ping.data_ref().unwrap(), &b": ping\n\n"[..]);
    drop(call);
}

#[tokio::test]
async fn what_masking_holds_back_holds_the_answer_back() {
    let book = Book::new();
    let mut call = Call::new(&book, Release::strict()).await;
    let mut so_far = Vec::new();
    call.send(b"data: one\n\ndata: tw", 8);
    call.is_silent(Duration::from_millis(100)).await;
    // The record has all of the first piece now, and not all of this one.
    call.send(b"o\n\ndata: th", 8);
    call.durable(&book, &mut so_far).await;
    assert_eq!(so_far, b"data: one\n\ndata: tw");
    call.is_silent(Duration::from_millis(100)).await;
    call.send(b"ree\n\n", 0);
    call.durable(&book, &mut so_far).await;
    call.durable(&book, &mut so_far).await;
    // What never gets into the record never gets to the caller.
    call.send(b"sk-", 3);
    call.upstream.try_send(Sent::Fail).unwrap();
    assert!(call.next().await.unwrap().is_err());
    assert!(call.next().await.is_none());
    let id = call.id.clone();
    drop(call);
    let shown = book.close().show(&id);
    assert_eq!(shown["outcome"], "upstream_reset");
    assert_eq!(shown["response"]["bytes"], so_far.len());
}

#[tokio::test]
async fn what_came_before_a_failure_and_trailers_pass_in_their_order() {
    let book = Book::new();
    let mut call = Call::new(&book, Release::new(1 << 20, LONG)).await;
    call.send(b"some", 0);
    call.upstream.try_send(Sent::Fail).unwrap();
    assert_eq!(
        call.next().await.unwrap().unwrap().data_ref().unwrap(),
        &b"some"[..]
    );
    assert!(call.next().await.unwrap().is_err());

    let mut call = Call::new(&book, Release::new(1 << 20, LONG)).await;
    call.send(b"some", 0);
    call.upstream.try_send(Sent::Trailers).unwrap();
    assert_eq!(
        call.next().await.unwrap().unwrap().data_ref().unwrap(),
        &b"some"[..]
    );
    assert!(call.next().await.unwrap().unwrap().is_trailers());
    assert!(call.body.is_end_stream());
    assert!(call.next().await.is_none());
    let id = call.id.clone();
    drop(call);
    assert_eq!(book.close().show(&id)["outcome"], "complete");
}

#[tokio::test]
async fn a_journal_that_hangs_cuts_the_answer_and_the_record_says_so() {
    let book = Book::with(|config| config.deadline = Duration::from_millis(200));
    let mut call = Call::new(&book, Release::strict()).await;
    let mut so_far = Vec::new();
    call.send(b"one", 0);
    call.durable(&book, &mut so_far).await;
    let stall = Stall::new(&book.folder());
    call.send(b"two", 0);
    let error = call.next().await.unwrap().unwrap_err();
    let refusal = Cut::of(&*error).unwrap();
    assert_eq!(refusal.code.as_str(), "not_recordable");
    assert!(call.next().await.is_none());
    drop(stall);
    let id = call.id.clone();
    drop(call);
    book.becomes(Health::Healthy).await;
    let shown = book.close().show(&id);
    assert_eq!(shown["outcome"], "policy_cut");
    assert_eq!(shown["refusal"]["reason"], "journal_deadline");
    assert_eq!(shown["response"]["bytes"], 3);
}

#[tokio::test]
async fn a_caller_that_leaves_while_the_end_waits_does_not_have_it() {
    let book = Book::new();
    let mut call = Call::new(&book, Release::new(1 << 20, LONG)).await;
    call.send(b"some", 0);
    call.is_silent(Duration::from_millis(50)).await;
    let id = call.id.clone();
    drop(call);
    let shown = book.close().show(&id);
    assert_eq!(shown["outcome"], "client_gone");
    assert_eq!(shown["response"]["bytes"], 0);
    assert_eq!(shown["response"]["body"], "some");
}

#[tokio::test]
async fn the_upstream_waits_while_the_journal_does() {
    let book = Book::with(|config| config.deadline = Duration::from_secs(20));
    let mut call = Call::new(&book, Release::new(1000, LONG)).await;
    let stall = Stall::new(&book.folder());
    for _ in 0..100 {
        call.send(&[b'x'; 500], 0);
    }
    call.is_silent(Duration::from_millis(300)).await;
    // A step that is being written, and about two that gather.
    let polled = call.polled.load(Ordering::Relaxed);
    assert!(polled <= 8, "{polled}");
    drop(stall);
    let mut so_far = Vec::new();
    // Half a step may be left, which waits for more.
    while so_far.len() < 49_500 {
        call.durable(&book, &mut so_far).await;
    }
}
