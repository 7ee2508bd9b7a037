//! Fetching over HTTP.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderMap},
    redirect::Policy,
};

use super::{
    address::{is_forbidden, is_localhost},
    fetch::{Fetch, FetchError, FetchFuture, Fetched},
    load::DOCUMENT_LIMIT,
};

/// The gate's client for discovery documents and key sets.
///
/// No redirects, no proxy from the environment, no content coding, and no name that resolves to
/// this machine or its local link: what an issuer publishes must not steer where the gate connects.
#[derive(Debug)]
pub(crate) struct HttpFetch {
    client: Client,
}

const CONNECT_LIMIT: Duration = Duration::from_secs(3);

impl HttpFetch {
    /// A client for `https` addresses too, or for plain ones on this machine only. The second kind
    /// needs no root certificates, so that it works where the system has none.
    pub(crate) fn new(https: bool) -> Result<Self, FetchError> {
        let mut client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("tollbook/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedNames);
        if !https {
            client = client.tls_certs_only([]);
        }
        client
            .build()
            .map(|client| Self { client })
            .map_err(|error| FetchError::new("the client cannot be made").with_source(error))
    }

    async fn document(&self, url: &Url) -> Result<Fetched, FetchError> {
        let answer = self
            .client
            .get(url.clone())
            .header("accept", "application/json")
            .send()
            .await
            .map_err(|error| FetchError::new("no answer").with_source(error.without_url()))?;
        if answer.status().is_redirection() {
            return Err(FetchError::new("answered with a redirect"));
        }
        if answer.status() != StatusCode::OK {
            return Err(FetchError::new("answered with another status than 200"));
        }
        if answer.headers().contains_key(CONTENT_ENCODING) {
            return Err(FetchError::new("answered with a content coding"));
        }
        Ok(Fetched {
            max_age: max_age(answer.headers()),
            body: body(answer).await?,
        })
    }
}

impl Fetch for HttpFetch {
    fn fetch<'a>(&'a self, url: &'a Url) -> FetchFuture<'a> {
        Box::pin(self.document(url))
    }
}

async fn body(mut answer: Response) -> Result<Bytes, FetchError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| FetchError::new("the answer broke off").with_source(error.without_url()))?
    {
        if body.len() + chunk.len() > DOCUMENT_LIMIT {
            return Err(FetchError::new("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The freshness that the answer grants (RFC 9111 §5.2.2).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut age = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if matches!(directive.as_str(), "no-store" | "no-cache") {
                return Some(Duration::ZERO);
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                age = seconds
                    .trim_matches('"')
                    .parse()
                    .ok()
                    .map(Duration::from_secs);
            }
        }
    }
    age
}

/// The system's resolver, with the forbidden addresses left out of its answers. The client
/// connects to what this returns, so a name cannot change its mind after it was judged.
#[derive(Debug)]
struct GuardedNames;

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let home = is_localhost(name.as_str());
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| {
                    let address = address.ip().to_canonical();
                    if home {
                        address.is_loopback()
                    } else {
                        !is_forbidden(address)
                    }
                })
                .collect();
            if found.is_empty() {
                return Err(FetchError::new("the name has no address that may be asked").into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_name_must_not_lead_to_this_machine_or_its_link() {
        let resolve = async |name: &str| GuardedNames.resolve(name.parse().unwrap()).await;
        for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0"] {
            let error = resolve(address).await.err().unwrap();
            assert_eq!(
                error.to_string(),
                "the name has no address that may be asked"
            );
        }
        assert!(resolve("192.0.2.1").await.is_ok());
        let home: Vec<_> = resolve("localhost").await.unwrap().collect();
        assert!(home.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn freshness_is_what_the_answer_grants() {
        let age = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(age(&[]), None);
        assert_eq!(
            age(&["public, Max-Age=86400, must-revalidate"]),
            Some(86_400)
        );
        assert_eq!(age(&["public", "max-age=\"60\""]), Some(60));
        assert_eq!(age(&["max-age=60, no-store"]), Some(0));
        assert_eq!(age(&["no-cache"]), Some(0));
        assert_eq!(age(&["max-age=-1"]), None);
        assert_eq!(age(&["max-age=99999999999999999999"]), None);
    }
}
