//! What the whole gate costs: a call through it, beside the same call made directly and through a
//! bare reverse proxy of the same HTTP library.
//!
//! Identity, policy, masking and durable recording are on. Upstream, proxy, gate and clients share
//! this machine and this process, so the ratios count and not the absolute numbers; the three
//! ways, and one bare write and sync of 4 KiB to the same disk, are measured in turn, call by call, so that a slow moment of the machine meets all alike.
//! In the end the records are counted and the book is proven: a gate that is fast because it
//! loses records is no gate.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints a table"
)]

use std::{
    convert::Infallible,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use tokio::{net::TcpListener, runtime::Builder, task::JoinSet};
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::{Health, Reader};
use tollbook_testkit::issuer::{Config as IssuerConfig, OidcIssuer};

/// Request bodies, in bytes: a small call, a chat, an agent with its history.
const SIZES: [usize; 3] = [300, 10_000, 120_000];
/// Events of a streamed answer.
const EVENTS: usize = 40;
/// Clients at once, for throughput.
const CLIENTS: usize = 16;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (calls, time) = if quick { (40, 300) } else { (400, 3_000) };
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench(calls, Duration::from_millis(time)));
}

async fn bench(calls: usize, time: Duration) {
    let upstream = serve(answer).await;
    let proxy = reverse_proxy(&upstream).await;
    let folder = tempfile::tempdir().unwrap();
    let issuer = OidcIssuer::start(IssuerConfig::default()).await.unwrap();
    let config = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"book\"\n\
         [[issuer]]\nname = \"ci\"\nissuer = \"{}\"\naudience = \"tollbook\"\ngroups_claim = \"groups\"\n\
         [[connection]]\nname = \"claude\"\nprotocol = \"claude\"\nupstream = \"{upstream}\"\nallow = [\"all\"]\n",
        issuer.issuer_url()
    );
    let gateway = Gateway::start(Plan::read(&config, folder.path(), []).unwrap())
        .await
        .unwrap();
    let token = issuer
        .token("bench")
        .audience("tollbook")
        .groups(["all"])
        .lifetime(Duration::from_secs(3000))
        .sign()
        .unwrap();

    let ways = [
        ("direct", upstream.clone()),
        ("proxy", proxy),
        ("gate", format!("http://{}/claude", gateway.address())),
    ];
    let through_gate = Arc::new(AtomicUsize::new(0));
    println!("one client at a time, {calls} calls of each kind and way, in turn; microseconds");
    println!(
        "{:>9} {:>8} | {:>7} {:>7} {:>7} {:>7} | {:>7} {:>7} {:>7} {:>7} | {:>9} {:>10}",
        "request",
        "answer",
        "direct",
        "proxy",
        "gate",
        "sync",
        "direct",
        "proxy",
        "gate",
        "sync",
        "gate adds",
        "proxy adds"
    );
    println!(
        "{:>9} {:>8} | {:^31} | {:^31} | {:^20}",
        "bytes", "", "median", "99th percentile", "to direct's median"
    );
    let mut disk = std::fs::File::create(folder.path().join("disk")).unwrap();
    for size in SIZES {
        for stream in [false, true] {
            let clients: Vec<_> = ways
                .iter()
                .map(|(_, base)| caller(base, size, stream, &token))
                .collect();
            let mut times = [const { Vec::new() }; 4];
            // The first calls open connections and fill caches.
            for call in 0..calls + 20 {
                for (way, caller) in clients.iter().enumerate() {
                    let began = Instant::now();
                    caller.call().await;
                    times[way].push((call, began.elapsed()));
                }
                through_gate.fetch_add(1, Ordering::Relaxed);
                // What no gate that records before it forwards can be faster than.
                let began = Instant::now();
                disk.write_all(&[0; 4096])
                    .and_then(|()| disk.sync_data())
                    .unwrap();
                times[3].push((call, began.elapsed()));
            }
            let times = times.map(|way| {
                let counted = way.into_iter().filter(|(call, _)| *call >= 20);
                let mut way: Vec<f64> = counted.map(|(_, time)| time.as_secs_f64() * 1e6).collect();
                way.sort_by(f64::total_cmp);
                way
            });
            let at =
                |way: usize, percent: usize| times[way][(times[way].len() - 1) * percent / 100];
            println!(
                "{size:>9} {:>8} | {:>7.0} {:>7.0} {:>7.0} {:>7.0} | {:>7.0} {:>7.0} {:>7.0} {:>7.0} | {:>9.0} {:>10.0}",
                if stream { "stream" } else { "json" },
                at(0, 50),
                at(1, 50),
                at(2, 50),
                at(3, 50),
                at(0, 99),
                at(1, 99),
                at(2, 99),
                at(3, 99),
                at(2, 50) - at(0, 50),
                at(1, 50) - at(0, 50),
            );
        }
    }

    println!(
        "\n{CLIENTS} clients at once for {} ms each way; calls a second",
        time.as_millis()
    );
    println!(
        "{:>9} {:>8} | {:>8} {:>8} {:>8} | {:>11} {:>12}",
        "request", "answer", "direct", "proxy", "gate", "gate/direct", "gate/proxy"
    );
    for size in SIZES {
        for stream in [false, true] {
            let mut rates = [0.0; 3];
            for (way, (name, base)) in ways.iter().enumerate() {
                let done = hammer(caller(base, size, stream, &token), time).await;
                rates[way] = done as f64 / time.as_secs_f64();
                if *name == "gate" {
                    through_gate.fetch_add(done, Ordering::Relaxed);
                }
            }
            println!(
                "{size:>9} {:>8} | {:>8.0} {:>8.0} {:>8.0} | {:>11.2} {:>12.2}",
                if stream { "stream" } else { "json" },
                rates[0],
                rates[1],
                rates[2],
                rates[2] / rates[0],
                rates[2] / rates[1],
            );
        }
    }

    assert_eq!(gateway.shutdown().await, Health::Healthy);
    let reader = Reader::open(folder.path().join("book")).unwrap();
    // That the gateway started is in the book too, and is no call.
    let recorded = usize::try_from(reader.count().unwrap()).unwrap() - 1;
    let intact = reader.verify(None).unwrap().is_verified();
    let sent = through_gate.load(Ordering::Relaxed);
    println!(
        "\n{sent} calls through the gate, {recorded} in the book, lost {}",
        sent.abs_diff(recorded)
    );
    println!(
        "the book is {}",
        if intact { "intact" } else { "NOT INTACT" }
    );
    assert!(recorded == sent && intact);
}

/// One kind of call, ready to be made again and again.
#[derive(Clone)]
struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    authorization: String,
    body: Bytes,
}

impl Caller {
    async fn call(&self) {
        let request = Request::post(&self.uri)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .header("anthropic-version", "2023-06-01")
            .body(Full::new(self.body.clone()))
            .unwrap();
        let response = self.client.request(request).await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!body.is_empty());
    }
}

fn caller(base: &str, size: usize, stream: bool, token: &str) -> Caller {
    let words = "Please look at src/main.rs and tell me why the build of commit 3f2504e fails. ";
    let text: String = words.chars().cycle().take(size - 120).collect();
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 64, "stream": stream,
        "messages": [{ "role": "user", "content": text }],
    });
    Caller {
        client: client(),
        uri: format!("{base}/v1/messages").parse().unwrap(),
        authorization: format!("Bearer {token}"),
        body: body.to_string().into(),
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// As many calls as `CLIENTS` get done in `time`.
async fn hammer(caller: Caller, time: Duration) -> usize {
    let until = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let caller = caller.clone();
        clients.spawn(async move {
            let mut done = 0;
            while Instant::now() < until {
                caller.call().await;
                done += 1;
            }
            done
        });
    }
    clients.join_all().await.into_iter().sum()
}

type AnswerBody = BoxBody<Bytes, hyper::Error>;

/// Answers as the API does: at once, and streams in many small events.
async fn answer(request: Request<Incoming>) -> Response<AnswerBody> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let stream = memchr::memmem::find(&body, b"\"stream\":true").is_some();
    if !stream {
        let message = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
            "content": [{ "type": "text", "text": "The build fails because a bracket is missing. ".repeat(20) }],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": 10, "output_tokens": 200 },
        });
        let body = Full::new(Bytes::from(message.to_string()))
            .map_err(|never| match never {})
            .boxed();
        return Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap();
    }
    let event = |name: &str, data: serde_json::Value| {
        Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
    };
    let mut events = vec![
        event(
            "message_start",
            json!({ "type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
        ),
        event(
            "content_block_start",
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
    ];
    for _ in 0..EVENTS {
        let delta = json!({ "type": "text_delta", "text": "because a bracket " });
        events.push(event(
            "content_block_delta",
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        ));
    }
    events.push(event(
        "content_block_stop",
        json!({ "type": "content_block_stop", "index": 0 }),
    ));
    events.push(event("message_delta", json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 80 } })));
    events.push(event("message_stop", json!({ "type": "message_stop" })));
    let body = http_body_util::StreamBody::new(Events(events.into_iter())).boxed();
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(body)
        .unwrap()
}

struct Events(std::vec::IntoIter<Bytes>);

impl futures_core::Stream for Events {
    type Item = Result<hyper::body::Frame<Bytes>, hyper::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(
            self.0
                .next()
                .map(|event| Ok(hyper::body::Frame::data(event))),
        )
    }
}

/// The least that a reverse proxy does: read the body, send it on, relay the answer.
async fn reverse_proxy(upstream: &str) -> String {
    let (client, upstream) = (client(), upstream.to_owned());
    serve(move |request: Request<Incoming>| {
        let (client, upstream) = (client.clone(), upstream.clone());
        async move {
            let (mut head, body) = request.into_parts();
            head.uri = format!("{upstream}{}", head.uri.path_and_query().unwrap())
                .parse()
                .unwrap();
            head.headers.remove(header::HOST);
            let body = body.collect().await.unwrap().to_bytes();
            let answer = client
                .request(Request::from_parts(head, Full::new(body)))
                .await
                .unwrap();
            answer.map(BodyExt::boxed)
        }
    })
    .await
}

async fn serve<F, R>(answer: F) -> String
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            let answer = answer.clone();
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(socket);
                drop(
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await,
                );
            });
        }
    });
    url
}
