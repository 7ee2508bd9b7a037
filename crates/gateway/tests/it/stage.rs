//! A gateway between a stand-in issuer and an upstream.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::{Filter, Health, Reader};
use tollbook_testkit::{
    issuer::{self, OidcIssuer},
    upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig},
};

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) gateway: Gateway,
    pub(crate) issuer: OidcIssuer,
    pub(crate) upstream: Option<ClaudeUpstream>,
    pub(crate) client: HttpClient,
}

impl Stage {
    /// With the stand-in for the Claude API behind the gate.
    pub(crate) async fn set() -> Self {
        let upstream = ClaudeUpstream::start(UpstreamConfig::default())
            .await
            .unwrap();
        let mut stage = Self::before(upstream.url(), STANDIN_API_KEY, "", "").await;
        stage.upstream = Some(upstream);
        stage
    }

    /// With any upstream, and more lines for the connection and the whole configuration.
    pub(crate) async fn before(upstream: &str, key: &str, connection: &str, more: &str) -> Self {
        let issuer = OidcIssuer::start(issuer::Config::default()).await.unwrap();
        let folder = TempDir::new().unwrap();
        let config = format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data = "book"
drain = "2s"

[[issuer]]
name = "ci"
issuer = "{}"
audience = "tollbook"
groups_claim = "groups"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "{upstream}"
credential = {{ header = "x-api-key", env = "UPSTREAM_KEY" }}
allow = ["developers"]
{connection}
{more}
"#,
            issuer.issuer_url()
        );
        let environment = [("UPSTREAM_KEY".to_owned(), key.to_owned())];
        let plan = Plan::read(&config, folder.path(), environment).unwrap();
        let gateway = Gateway::start(plan).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            folder,
            gateway,
            issuer,
            upstream: None,
            client,
        }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}/claude", self.gateway.address())
    }

    pub(crate) fn token(&self) -> String {
        self.issuer
            .token("repo:acme/payments")
            .audience("tollbook")
            .groups(["developers"])
            .lifetime(Duration::from_secs(600))
            .sign()
            .unwrap()
    }

    pub(crate) fn book(&self) -> std::path::PathBuf {
        self.folder.path().join("book")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A request with the usual headers of a client.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base()))
            .header("authorization", format!("Bearer {}", self.token()))
            .header("anthropic-version", "2023-06-01")
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    /// A Messages call with this text.
    pub(crate) fn message(&self, text: &str, stream: bool) -> Request<Full<Bytes>> {
        let body = json!({
            "model": "claude-haiku-4-5",
            "max_tokens": 256,
            "stream": stream,
            "messages": [{ "role": "user", "content": text }],
        });
        self.request(Method::POST, "/v1/messages?beta=true")
            .header("content-type", "application/json")
            .body(Full::new(body.to_string().into()))
            .unwrap()
    }

    /// Ends the gateway; the records of its book, oldest first, which is proven intact.
    pub(crate) async fn end(self) -> Records {
        assert_eq!(self.gateway.shutdown().await, Health::Healthy);
        drop(self.issuer);
        if let Some(upstream) = self.upstream {
            upstream.shutdown().await;
        }
        let reader = Reader::open(self.folder.path().join("book")).unwrap();
        let report = reader.verify(None).unwrap();
        assert!(report.is_verified(), "{report:?}");
        let mut filter = Filter::default();
        filter.limit = u64::MAX;
        let all: Vec<Value> = reader
            .exchanges(&filter)
            .unwrap()
            .iter()
            .map(|summary| reader.exchange(&summary.id.to_string()).unwrap().unwrap())
            .collect();
        // What the gate itself did is looked at where it matters.
        let (own, mut all): (Vec<Value>, Vec<Value>) =
            (all.into_iter()).partition(|record| record["connection"] == "(gate)");
        all.reverse();
        Records {
            all,
            own,
            folder: self.folder,
        }
    }
}

pub(crate) struct Records {
    pub(crate) all: Vec<Value>,
    /// What the gate itself did, the newest first.
    pub(crate) own: Vec<Value>,
    /// Still there, for tests that look at the files.
    pub(crate) folder: TempDir,
}

pub(crate) async fn whole(response: Response<Incoming>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

pub(crate) fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}
