//! Calls that only ask whether anybody is there.

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tollbook_exchange::Outcome;
use tollbook_proxy::ProbeLayer;
use tower::{Layer, ServiceExt, service_fn};

use crate::{exchange, outcome};

async fn send(method: &str, path: &str) -> (StatusCode, String) {
    let inner = service_fn(|_: Request<()>| async {
        let mut response = Response::new(Full::<bytes::Bytes>::from("asked"));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        Ok::<_, Infallible>(response)
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .unwrap();
    let response = ProbeLayer::new()
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status();
    assert_eq!(response.body().is_end_stream(), status == StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn probes_are_answered_and_nothing_else_is() {
    for path in ["/", "/api/hello", "/?x=1"] {
        assert_eq!(send("HEAD", path).await, (StatusCode::OK, String::new()));
    }
    for (method, path) in [
        ("GET", "/"),
        ("POST", "/api/hello"),
        ("HEAD", "/v1/messages"),
        ("HEAD", "//"),
        ("HEAD", "/api/hello/"),
    ] {
        let (status, body) = send(method, path).await;
        assert_eq!((status, &*body), (StatusCode::IM_A_TEAPOT, "asked"));
    }
}

#[tokio::test]
async fn a_probe_is_an_exchange_like_any_other() {
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let exchange = exchange();
    let mut request = Request::head("/").body(()).unwrap();
    request.extensions_mut().insert(exchange.clone());
    ProbeLayer::new()
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(outcome(&exchange), Some(Outcome::Complete));
    let action = exchange.draft(|draft| draft.action.clone()).unwrap();
    assert_eq!(action.as_inner().name, "probe");
}
