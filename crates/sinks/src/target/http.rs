//! The client that webhooks and collectors are sent to with.

use std::{fmt, time::Duration};

use bytes::Bytes;
use reqwest::{Certificate, header::HeaderMap, redirect::Policy};

use super::address::{Address, Trust};
use crate::{Error, ErrorKind, Failure};

/// Posts to one address: without redirects and without proxies of the environment.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    address: Address,
}

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer that is looked at.
const ANSWER: usize = 64 << 10;

impl Http {
    pub(super) fn new(address: Address, trust: &Trust) -> Result<Self, Error> {
        let mut client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("tollbook/", env!("CARGO_PKG_VERSION")));
        if address.is_plain("https") {
            // Needs no roots, so that it works where the system has none.
            client = client.tls_certs_only([]);
        } else if let Some(pem) = trust.pem()? {
            let why = ErrorKind::Target("the CA certificates cannot be used");
            let authorities =
                Certificate::from_pem_bundle(&pem).map_err(|error| Error::because(why, error))?;
            client = client.tls_certs_merge(authorities);
        }
        let client = client.build().map_err(|error| {
            Error::because(ErrorKind::Target("the client cannot be made"), error)
        })?;
        Ok(Self { client, address })
    }

    /// Posts it, and gives what the other side answered where it took it.
    pub(super) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Bytes, Failure> {
        let sent = self.client.post(self.address.url().clone());
        let sent = sent.headers(headers).body(body).send().await;
        // Its error may quote the address, which may hold a secret.
        let mut answer = sent.map_err(|_| Failure::again("no answer"))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(judged(status.as_u16()).after(retry_after(answer.headers())));
        }
        let mut body = Vec::new();
        // What it says may be that it did not take all. Where it breaks off nobody knows.
        let broken = |_| Failure::again("the answer broke off");
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > ANSWER {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }
}

/// What a status other than success says of the records. What tells of the address, the credential or
/// the server holds for any record, so it is waited for.
fn judged(status: u16) -> Failure {
    let failure = match status {
        400 | 413 | 415 | 422 => Failure::refused("the other side refuses it"),
        300..=399 => Failure::again("the other side sends elsewhere, which is not followed"),
        401 | 403 => Failure::again("the other side does not take the credential"),
        429 | 503 => Failure::again("the other side is busy"),
        _ => Failure::again("the other side did not take it"),
    };
    failure.with_status(status)
}

/// Seconds only (RFC 9110 §10.2.3 has dates too, which nobody sends here).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.address).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wrong credential must not have every record set aside.
    #[test]
    fn only_what_speaks_of_the_record_refuses_it() {
        for status in [400, 413, 422] {
            assert!(judged(status).refused, "{status}");
        }
        for status in [
            301, 307, 401, 403, 404, 405, 408, 409, 410, 429, 500, 502, 503,
        ] {
            assert!(!judged(status).refused, "{status}");
        }
        assert_eq!(judged(503).to_string(), "the other side is busy (503)");
    }
}
