//! Tokens of OIDC issuers.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use tollbook_exchange::Principal;

use crate::{
    Algorithm, Authenticate, BuildError, Clock, Credentials, Fetch, Issuer, KeyStatus, Problem,
    Reason, Rejection, SigningKey, SystemClock,
    issuer::KeySource,
    keys::{Feed, HttpFetch, Key, KeyCache, KeySet, Loader},
    token::{Held, Recent, Unverified, Verified},
};

/// Authenticates callers by the tokens that configured issuers signed for them.
///
/// A cheap handle: clones share the issuers, their keys, and what is remembered of tokens that were
/// verified lately: one that is shown again costs no signature, but its times are looked at again,
/// and whether its key is still published. Key sets that come from the network or
/// from a file are loaded when the first token needs them, or by [`preload`](Self::preload); that
/// needs a tokio runtime.
#[derive(Clone)]
pub struct OidcAuthenticator(Arc<Inner>);

struct Inner {
    /// By the issuer's own name for itself.
    issuers: HashMap<String, Trusted>,
    recent: Recent,
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
/// How many verified tokens are remembered: some tens of megabytes at the very most.
const RECENT: usize = 4_096;

impl OidcAuthenticator {
    /// Starts an authenticator without issuers.
    pub fn builder() -> OidcAuthenticatorBuilder {
        OidcAuthenticatorBuilder {
            issuers: Vec::new(),
            clock: None,
            fetch: None,
            cache_dir: None,
            recent: RECENT,
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

    /// The issuer of this name.
    pub fn issuer(&self, name: &str) -> Option<&Issuer> {
        let mut issuers = self.0.issuers.values().map(|trusted| &trusted.issuer);
        issuers.find(|issuer| issuer.name() == name)
    }

    /// How the keys of every issuer are, in the order of the issuers' names. Loads nothing.
    pub fn key_status(&self) -> Vec<KeyStatus> {
        let mut all: Vec<_> = self.0.issuers.values().map(Trusted::status).collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// What `token` says, if an issuer vouches for it here and now.
    ///
    /// # Errors
    ///
    /// The first check that the token fails. It is for the record, never for the caller.
    pub async fn verify(&self, token: &str) -> Result<Verified, Reason> {
        if token.is_empty() {
            return Err(Reason::MissingCredential);
        }
        if token.starts_with(PROVIDER_KEY) {
            return Err(Reason::StaticApiKey);
        }
        let Some(name) = self.0.recent.name(token) else {
            return self.examine(token).await.map(|held| held.verified);
        };
        if let Some(held) = self.0.recent.find(&name) {
            if self.still_holds(&held).await {
                return Ok(held.verified.clone());
            }
            // Whatever has changed, the whole way finds it and gives the reason.
            self.0.recent.forget(&name);
        }
        let held = self.examine(token).await?;
        let verified = held.verified.clone();
        self.0.recent.keep(name, token.len(), held);
        Ok(verified)
    }

    /// Whether the issuer still publishes this key, or did when it was last reached.
    pub(crate) async fn still_publishes(&self, key: &SigningKey) -> bool {
        let Some(trusted) = self.0.issuers.get(&key.issuer) else {
            return false;
        };
        let published = trusted.key(key.kid.as_deref(), key.algorithm).await;
        published.is_ok_and(|published| *published.fingerprint() == key.fingerprint)
    }

    async fn still_holds(&self, held: &Held) -> bool {
        let key = &held.verified.signed_by;
        let Some(trusted) = self.0.issuers.get(&key.issuer) else {
            return false;
        };
        let now = self.0.clock.wall();
        held.times.check(&trusted.issuer, now).is_ok() && self.still_publishes(key).await
    }

    async fn examine(&self, token: &str) -> Result<Held, Reason> {
        let token = Unverified::parse(token)?;
        let trusted = self
            .0
            .issuers
            .get(token.issuer()?)
            .ok_or(Reason::UnknownIssuer)?;
        let issuer = &trusted.issuer;
        if !token.names_issuer() && !issuer.preset().profile().issuer_in_subject {
            return Err(Reason::ClaimMissing);
        }
        let (kid, algorithm) = (token.kid().map(str::to_owned), token.algorithm());
        if !issuer.algorithms.contains(&algorithm) {
            return Err(Reason::AlgNotAllowed);
        }
        if !issuer.takes_type(token.typ()) {
            return Err(Reason::HeaderTyp);
        }
        let key = trusted.key(kid.as_deref(), algorithm).await?;
        let signed_by = SigningKey {
            issuer: issuer.identifier().to_owned(),
            kid,
            algorithm,
            fingerprint: *key.fingerprint(),
        };
        let now = self.0.clock.wall();
        let (verified, times) = token.verify(&key)?.hold(issuer, signed_by, now)?;
        Ok(Held { verified, times })
    }
}

impl Authenticate for OidcAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Rejection> {
        let verified = self.verify(credentials.expose()).await?;
        Ok(verified.principal)
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

    fn status(&self) -> KeyStatus {
        match &self.keys {
            Keys::Cached(cache) => cache.status(),
            Keys::Fixed(keys) => KeyStatus {
                name: self.issuer.name().to_owned(),
                keys: keys.len(),
                fetched_ago: None,
                stale: false,
                last_error: None,
            },
        }
    }
}

/// Puts an [`OidcAuthenticator`] together.
#[must_use]
pub struct OidcAuthenticatorBuilder {
    issuers: Vec<Issuer>,
    clock: Option<Arc<dyn Clock>>,
    fetch: Option<Arc<dyn Fetch>>,
    cache_dir: Option<PathBuf>,
    recent: usize,
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

    /// Saves the last good key sets in this folder, which is made if it is not there, so that a
    /// gate that starts while an issuer is down knows its keys. They count for a day from when they
    /// were fetched.
    ///
    /// The folder must be this process's alone: whoever can write there can make keys that count.
    /// A set that others could have written is not used.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Remembers this many verified tokens instead of 4,096; with zero, every token is verified
    /// every time.
    pub fn recent_tokens(mut self, tokens: usize) -> Self {
        self.recent = tokens;
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
            let cached = |loader| {
                let feed = Feed {
                    name: issuer.name(),
                    identifier: issuer.identifier(),
                    uses: issuer.preset().profile().key_uses,
                    loader,
                    folder: self.cache_dir.as_deref(),
                };
                Keys::Cached(KeyCache::new(feed, Arc::clone(&clock)))
            };
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
        Ok(OidcAuthenticator(Arc::new(Inner {
            issuers,
            recent: Recent::new(self.recent),
            clock,
        })))
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
