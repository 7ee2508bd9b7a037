//! Tokens of OIDC issuers.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use tollbook_exchange::Principal;

use crate::{
    Algorithm, Authenticate, BuildError, Clock, Credentials, Fetch, Issuer, Problem, Reason,
    Rejection, SystemClock,
    issuer::KeySource,
    keys::{HttpFetch, Key, KeyCache, KeySet, Loader},
    token::Unverified,
};

/// Authenticates callers by the tokens that configured issuers signed for them.
///
/// A cheap handle: clones share the issuers and their keys. Key sets that come from the network or
/// from a file are loaded when the first token needs them, or by [`preload`](Self::preload); that
/// needs a tokio runtime.
#[derive(Clone)]
pub struct OidcAuthenticator(Arc<Inner>);

struct Inner {
    /// By the issuer's own name for itself.
    issuers: HashMap<String, Trusted>,
    clock: Arc<dyn Clock>,
}

struct Trusted {
    issuer: Issuer,
    keys: Keys,
}

enum Keys {
    Fixed(Arc<KeySet>),
    Cached(KeyCache),
}

/// What the provider's own keys and tokens begin with.
const PROVIDER_KEY: &str = "sk-ant-";

impl OidcAuthenticator {
    /// Starts an authenticator without issuers.
    pub fn builder() -> OidcAuthenticatorBuilder {
        OidcAuthenticatorBuilder {
            issuers: Vec::new(),
            clock: None,
            fetch: None,
        }
    }

    /// Loads the key sets that are not there yet, and names the issuers, in order, that have no
    /// usable key after that. Their tokens are refused until a later load brings one.
    pub async fn preload(&self) -> Vec<&str> {
        // All loads first, so that issuers that hang do so at the same time.
        for trusted in self.0.issuers.values() {
            if let Keys::Cached(cache) = &trusted.keys {
                cache.begin();
            }
        }
        let mut without = Vec::new();
        for trusted in self.0.issuers.values() {
            let keys = match &trusted.keys {
                Keys::Fixed(keys) => keys.len(),
                Keys::Cached(cache) => cache.warm().await,
            };
            if keys == 0 {
                without.push(trusted.issuer.name());
            }
        }
        without.sort_unstable();
        without
    }

    async fn principal(&self, credentials: &Credentials) -> Result<Principal, Reason> {
        let token = credentials.expose();
        if token.is_empty() {
            return Err(Reason::MissingCredential);
        }
        if token.starts_with(PROVIDER_KEY) {
            return Err(Reason::StaticApiKey);
        }
        let token = Unverified::parse(token)?;
        let trusted = self
            .0
            .issuers
            .get(token.issuer()?)
            .ok_or(Reason::UnknownIssuer)?;
        if !trusted.issuer.algorithms.contains(&token.algorithm()) {
            return Err(Reason::AlgNotAllowed);
        }
        let key = trusted.key(token.kid(), token.algorithm()).await?;
        token
            .verify(&key)?
            .principal(&trusted.issuer, self.0.clock.wall())
    }
}

impl Authenticate for OidcAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Rejection> {
        self.principal(credentials).await.map_err(Rejection::from)
    }
}

impl fmt::Debug for OidcAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.0.issuers.values().map(|trusted| &trusted.issuer);
        f.debug_list().entries(issuers).finish()
    }
}

impl Trusted {
    async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Reason> {
        match &self.keys {
            Keys::Fixed(keys) => keys.find(kid, algorithm),
            Keys::Cached(cache) => cache.find(kid, algorithm).await,
        }
    }
}

/// Puts an [`OidcAuthenticator`] together.
#[must_use]
pub struct OidcAuthenticatorBuilder {
    issuers: Vec<Issuer>,
    clock: Option<Arc<dyn Clock>>,
    fetch: Option<Arc<dyn Fetch>>,
}

impl OidcAuthenticatorBuilder {
    /// Trusts one more issuer.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Reads the time from `clock` instead of from the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Fetches discovery documents and key sets with `fetch` instead of the client of this crate.
    /// The limits on time, size and number hold all the same.
    pub fn fetch(mut self, fetch: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(fetch));
        self
    }

    /// The authenticator.
    ///
    /// # Errors
    ///
    /// When there is no issuer, when two cannot be told apart, or when the client that fetches key
    /// sets cannot be made.
    pub fn build(self) -> Result<OidcAuthenticator, BuildError> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(BuildError::new(problems));
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let fetch = match self.fetch {
            Some(fetch) => fetch,
            None => client(&self.issuers)?,
        };
        let trust = |issuer: Issuer| {
            let cached =
                |loader| Keys::Cached(KeyCache::new(issuer.name(), loader, Arc::clone(&clock)));
            let keys = match &issuer.source {
                KeySource::Fixed(keys) => Keys::Fixed(Arc::clone(keys)),
                KeySource::File(path) => cached(Loader::File(path.clone())),
                KeySource::Address(url) => cached(Loader::Address {
                    url: url.clone(),
                    fetch: Arc::clone(&fetch),
                }),
                KeySource::Discovery(url) => cached(Loader::Discovery {
                    identifier: issuer.identifier.clone(),
                    issuer: url.clone(),
                    fetch: Arc::clone(&fetch),
                }),
            };
            (issuer.identifier.clone(), Trusted { issuer, keys })
        };
        let issuers = self.issuers.into_iter().map(trust).collect();
        Ok(OidcAuthenticator(Arc::new(Inner { issuers, clock })))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.issuers.is_empty() {
            problems.push(Problem::NoIssuer);
        }
        let (mut names, mut identifiers) = (HashSet::new(), HashSet::new());
        for issuer in &self.issuers {
            if !names.insert(issuer.name()) {
                problems.push(Problem::DuplicateName(issuer.name().to_owned()));
            }
            if !identifiers.insert(issuer.identifier()) {
                problems.push(Problem::DuplicateIdentifier(issuer.identifier().to_owned()));
            }
        }
        problems
    }
}

impl fmt::Debug for OidcAuthenticatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcAuthenticatorBuilder")
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

fn client(issuers: &[Issuer]) -> Result<Arc<dyn Fetch>, Problem> {
    let https = issuers.iter().any(|issuer| match &issuer.source {
        KeySource::Discovery(url) | KeySource::Address(url) => url.scheme() == "https",
        KeySource::File(_) | KeySource::Fixed(_) => false,
    });
    match HttpFetch::new(https) {
        Ok(client) => Ok(Arc::new(client)),
        Err(source) => Err(Problem::Client { source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(name: &str, identifier: &str) -> Issuer {
        Issuer::builder(name, identifier)
            .audience("tollbook")
            .build()
            .unwrap()
    }

    #[test]
    fn issuers_must_be_there_and_be_told_apart() {
        let none = OidcAuthenticator::builder().build().unwrap_err();
        assert_eq!(none.to_string(), "no issuer is configured");

        let twice = OidcAuthenticator::builder()
            .issuer(issuer("a", "https://a.example"))
            .issuer(issuer("a", "https://b.example"))
            .issuer(issuer("b", "https://b.example"))
            .build()
            .unwrap_err();
        assert_eq!(
            twice.to_string(),
            "issuer name `a` is used twice; issuer identifier `https://b.example` is used twice"
        );
    }
}
