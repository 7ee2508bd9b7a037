//! From an issuer's name to the text of its key set.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::Url;
use tokio::io::AsyncReadExt;

use super::{
    address::{fetchable, is_loopback},
    fetch::{Fetch, FetchError, Fetched},
    set::SetFault,
};
use crate::token::object;

/// Gets the text of an issuer's key set, wherever that is.
pub(crate) enum Loader {
    /// By way of the discovery document below the issuer.
    Discovery {
        /// The issuer as its tokens name it.
        identifier: String,
        issuer: Url,
        fetch: Arc<dyn Fetch>,
    },
    /// From its address.
    Address { url: Url, fetch: Arc<dyn Fetch> },
    /// From a file.
    File(PathBuf),
}

/// The largest discovery document or key set.
pub(super) const DOCUMENT_LIMIT: usize = 512 * 1024;
/// The longest that one document may take.
const DOCUMENT_TIME: Duration = Duration::from_secs(5);

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("cannot fetch {what}")]
    Fetch {
        what: &'static str,
        source: FetchError,
    },
    #[error("{what} took more than five seconds")]
    TooSlow { what: &'static str },
    #[error("{what} is larger than 512 KiB")]
    TooLarge { what: &'static str },
    #[error("the discovery document {0}")]
    Discovery(&'static str),
    #[error("cannot read the key set's file")]
    File(#[source] io::Error),
    #[error("the key set {}", .0.as_str())]
    Set(SetFault),
}

impl Loader {
    pub(crate) async fn load(&self) -> Result<Fetched, LoadError> {
        match self {
            Self::Discovery {
                identifier,
                issuer,
                fetch,
            } => {
                let document = get(&**fetch, &discovery(issuer), "the discovery document").await?;
                let url = key_set_address(identifier, issuer, &document.body)
                    .map_err(LoadError::Discovery)?;
                get(&**fetch, &url, "the key set").await
            }
            Self::Address { url, fetch } => get(&**fetch, url, "the key set").await,
            Self::File(path) => within(read(path), "the key set's file").await,
        }
    }

    /// The address where the way to the key set begins; none for a file.
    pub(super) fn address(&self) -> Option<&Url> {
        match self {
            Self::Discovery { issuer: url, .. } | Self::Address { url, .. } => Some(url),
            Self::File(_) => None,
        }
    }
}

/// OpenID Connect Discovery 1.0 §4: a slash that ends the issuer is not doubled.
fn discovery(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    let path = issuer.path().trim_end_matches('/');
    url.set_path(&format!("{path}/.well-known/openid-configuration"));
    url
}

/// The address of the key set, if the document is the issuer's own.
fn key_set_address(identifier: &str, issuer: &Url, document: &[u8]) -> Result<Url, &'static str> {
    let document = object(document).map_err(|_| "is not a JSON object that says all once")?;
    let text = |member: &str| document.get(member).and_then(serde_json::Value::as_str);
    // Otherwise one issuer could pass another's keys off as its own (discovery §4.3).
    if text("issuer") != Some(identifier) {
        return Err("is another issuer's");
    }
    let url = text("jwks_uri").ok_or("names no key set")?;
    let url = fetchable(url).map_err(|_| "names a key set that must not be fetched")?;
    // An issuer on the network must not point the gate at the gate's own machine.
    if url.scheme() != issuer.scheme() || is_loopback(&url) != is_loopback(issuer) {
        return Err("names a key set in another place than the issuer");
    }
    Ok(url)
}

async fn get(fetch: &dyn Fetch, url: &Url, what: &'static str) -> Result<Fetched, LoadError> {
    let fetched = async {
        fetch
            .fetch(url)
            .await
            .map_err(|source| LoadError::Fetch { what, source })
    };
    let fetched = within(fetched, what).await?;
    // The client counts while it reads; another implementation of the seam may not.
    if fetched.body.len() > DOCUMENT_LIMIT {
        return Err(LoadError::TooLarge { what });
    }
    Ok(fetched)
}

async fn read(path: &PathBuf) -> Result<Fetched, LoadError> {
    let file = tokio::fs::File::open(path).await.map_err(LoadError::File)?;
    let mut body = Vec::new();
    file.take(DOCUMENT_LIMIT as u64 + 1)
        .read_to_end(&mut body)
        .await
        .map_err(LoadError::File)?;
    if body.len() > DOCUMENT_LIMIT {
        return Err(LoadError::TooLarge {
            what: "the key set's file",
        });
    }
    Ok(Fetched {
        body: Bytes::from(body),
        max_age: None,
    })
}

async fn within<T>(
    work: impl Future<Output = Result<T, LoadError>>,
    what: &'static str,
) -> Result<T, LoadError> {
    tokio::time::timeout(DOCUMENT_TIME, work)
        .await
        .map_err(|_| LoadError::TooSlow { what })?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(identifier: &str, document: &str) -> Result<String, &'static str> {
        let issuer = Url::parse(identifier).unwrap();
        key_set_address(identifier, &issuer, document.as_bytes()).map(Into::into)
    }

    #[test]
    fn the_discovery_document_is_below_the_issuer() {
        for (issuer, document) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/t/v2.0",
                "https://a.example/t/v2.0/.well-known/openid-configuration",
            ),
            (
                "https://a.example/t/",
                "https://a.example/t/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery(&Url::parse(issuer).unwrap()).as_str(), document);
        }
    }

    #[test]
    fn a_document_must_be_the_issuers_own_and_point_outward() {
        let issuer = "https://a.example";
        assert_eq!(
            address(
                issuer,
                r#"{"issuer":"https://a.example","jwks_uri":"https://b.example/k"}"#
            ),
            Ok("https://b.example/k".to_owned())
        );
        for document in [
            r"[]",
            r#"{"jwks_uri":"https://a.example/k"}"#,
            r#"{"issuer":"https://a.example/","jwks_uri":"https://a.example/k"}"#,
            r#"{"issuer":"https://b.example","jwks_uri":"https://a.example/k"}"#,
            r#"{"issuer":"https://b.example","issuer":"https://a.example","jwks_uri":"https://a.example/k"}"#,
            r#"{"issuer":"https://a.example"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"http://a.example/k"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"http://127.0.0.1/k"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"https://127.0.0.1/k"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"https://169.254.169.254/k"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"file:///k"}"#,
        ] {
            assert!(address(issuer, document).is_err(), "{document}");
        }
        let home = "http://127.0.0.1:9";
        assert!(
            address(
                home,
                r#"{"issuer":"http://127.0.0.1:9","jwks_uri":"http://127.0.0.1:9/k"}"#
            )
            .is_ok()
        );
    }
}
