//! Upstreams behind TLS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tollbook_exchange::Code;

use crate::{allowed, assert_refused, builder, forward, send, text, upstream::Upstream};

/// An upstream that tells the version it was spoken to in, and its certificate.
async fn start(alpn: &[&str]) -> (Upstream, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            signing_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut upstream = Upstream::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(stream).await?;
            let tell = service_fn(|request: Request<Incoming>| async move {
                let told = format!("{:?} {}", request.version(), request.uri());
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(told))))
            });
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), tell)
                .await
                .map_err(std::io::Error::other)
        }
    })
    .await;
    upstream.url = upstream
        .url
        .replace("http://127.0.0.1", "https://localhost");
    (upstream, cert.pem())
}

#[tokio::test]
async fn the_newest_version_that_both_speak_is_spoken() {
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let (upstream, pem) = start(alpn).await;
        let forward = builder(&upstream.url).ca_pem(pem).build().unwrap();
        let odd = "/v1/a%2Fb/../c//d/%7Ex?q='";
        let response = send(&forward, allowed("POST", odd, "{}")).await;
        assert_eq!(response.version(), Version::HTTP_11);
        let told = text(response).await;
        assert!(told.starts_with(&format!("{version:?} ")), "{told}");
        assert!(told.ends_with(odd), "{told}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (upstream, _) = start(&[]).await;
    let (_, other) = start(&[]).await;
    for forward in [
        builder(&upstream.url).ca_pem(other).build().unwrap(),
        forward(&upstream.url),
    ] {
        let response = send(&forward, allowed("POST", "/", "{}")).await;
        assert_refused(&response, Code::UpstreamUnreachable);
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (upstream, pem) = start(&[]).await;
    let url = upstream.url.replace("localhost", "127.0.0.1");
    let forward = builder(&url).ca_pem(pem).build().unwrap();
    let response = send(&forward, allowed("POST", "/", "{}")).await;
    assert_refused(&response, Code::UpstreamUnreachable);
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let upstream = Upstream::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
        Ok(())
    })
    .await;
    let url = upstream.url.replace("http://", "https://");
    let limit = Duration::from_millis(200);
    let forward = builder(&url).connect_timeout(limit).build().unwrap();
    let answer = send(&forward, allowed("POST", "/", "{}"));
    let response = timeout(Duration::from_secs(2), answer).await.unwrap();
    assert_refused(&response, Code::UpstreamUnreachable);
}
