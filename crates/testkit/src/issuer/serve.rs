//! The issuer's two documents over HTTP.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use super::{Fault, Shared};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEY_SET: &str = "/jwks";
/// Where redirects lead. The documents there are good, so that a client that follows them shows.
const MOVED: &str = "/moved";
const HUGE: usize = 10 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the task is ended; the connections end with it.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others have to end first.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is its own business.
            connection.await.ok();
        });
    }
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let path = request.uri().path();
    let (path, fault) = match path.strip_prefix(MOVED) {
        Some(path) => (path, None),
        None => (path, shared.fault()),
    };
    match path {
        DISCOVERY => shared.discoveries.fetch_add(1, Ordering::SeqCst),
        KEY_SET => shared.fetches.fetch_add(1, Ordering::SeqCst),
        _ => return status(StatusCode::NOT_FOUND),
    };
    match (fault, path) {
        (Some(Fault::Down), _) => status(StatusCode::INTERNAL_SERVER_ERROR),
        (Some(Fault::Hang), _) => std::future::pending().await,
        (Some(Fault::Redirect), _) => redirect(path),
        (Some(Fault::WrongIssuer), DISCOVERY) => {
            document(discovery("https://other.example", &shared.jwks_url()))
        }
        (Some(Fault::HugeBody), KEY_SET) => {
            // Padded with spaces: it would be a good key set if it were not for its length.
            document(format!("{}{}", " ".repeat(HUGE), shared.jwks_json()))
        }
        (_, KEY_SET) => document(shared.jwks_json()),
        _ => document(discovery(&shared.url, &shared.jwks_url())),
    }
}

/// The members that a verifier of tokens needs (OpenID Connect Discovery 1.0 §3).
fn discovery(issuer: &str, jwks: &str) -> String {
    serde_json::json!({
        "issuer": issuer,
        "jwks_uri": jwks,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
    })
    .to_string()
}

fn document(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn redirect(path: &str) -> Response<Full<Bytes>> {
    let mut response = status(StatusCode::FOUND);
    if let Ok(target) = HeaderValue::from_str(&format!("{MOVED}{path}")) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
