//! The client that channels send with.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Certificate, Url, redirect::Policy};

use super::{address::Reach, error::Fault, outbox::Failure};

/// Posts to one address: without redirects, proxies of the environment or more time than 10
/// seconds, and to no address that the channel does not reach.
#[derive(Clone)]
pub(super) struct Client {
    inner: reqwest::Client,
    url: Url,
}

/// An answer, as far as it concerns a channel.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long the other side asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(10);
/// The largest message and the largest answer that is looked at.
pub(super) const BODY_LIMIT: usize = 64 << 10;

impl Client {
    pub(super) fn new(address: &str, reach: Reach, ca_pem: Option<&[u8]>) -> Result<Self, Fault> {
        let url = reach.judge(address)?;
        let mut client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("tollbook/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(reach));
        if url.scheme() == "http" {
            // Needs no roots, so that it works where the system has none.
            client = client.tls_certs_only([]);
        } else if let Some(pem) = ca_pem {
            let authorities = Certificate::from_pem_bundle(pem).map_err(Fault::Authorities)?;
            client = client.tls_certs_merge(authorities);
        }
        Ok(Self {
            inner: client.build().map_err(Fault::Client)?,
            url,
        })
    }

    /// Posts `body`. The answer's own body is read, up to a limit, if `read` says so.
    pub(super) async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        read: bool,
    ) -> Result<Answer, Failure> {
        self.post_to(self.url.clone(), headers, body, read).await
    }

    /// Posts to another address, which somebody has judged.
    pub(super) async fn post_to(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
        read: bool,
    ) -> Result<Answer, Failure> {
        let unreached = |error: reqwest::Error| {
            // Addresses hold secrets.
            Failure::again("no answer").with_source(error.without_url())
        };
        let mut answer = self
            .inner
            .post(url)
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(unreached)?;
        let mut body = Vec::new();
        while read && let Some(chunk) = answer.chunk().await.map_err(unreached)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(Failure::again("the answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: answer.status(),
            retry_after: retry_after(answer.headers()),
            body: body.into(),
        })
    }
}

/// Seconds only (RFC 9110 §10.2.3 has dates too, which nobody sends here).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of some addresses is a secret.
        f.debug_struct("Client")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}
