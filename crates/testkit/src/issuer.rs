//! An OIDC issuer on this machine: it vouches for whomever it is told to.
//!
//! For tests, and for `tollbook quickstart`, where it stands in for a CI system. Its keys are made
//! when it starts and never leave the process, so that its tokens end with it. Switches make it
//! [rotate its keys](OidcIssuer::rotate) and [fail](OidcIssuer::fail) in the ways real issuers do.
//!
//! ```
//! use tollbook_testkit::issuer::{Config, OidcIssuer};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let issuer = OidcIssuer::start(Config::default()).await?;
//! let token = issuer
//!     .token("repo:acme/payments")
//!     .audience("tollbook")
//!     .groups(["ci-payments"])
//!     .sign()?;
//! assert_eq!(token.split('.').count(), 3);
//! # std::io::Result::Ok(())
//! # })?;
//! # std::io::Result::Ok(())
//! ```

mod key;
mod serve;
mod shape;
mod token;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use self::key::SigningKey;
pub use self::{key::Algorithm, shape::Shape, token::TokenBuilder};

/// A running issuer. It stops when this is dropped.
pub struct OidcIssuer {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// How an issuer is started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where it listens. A port of its own on loopback, unless told otherwise.
    pub listen: SocketAddr,
    /// What it signs with.
    pub algorithm: Algorithm,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            algorithm: Algorithm::Es256,
        }
    }
}

impl Config {
    /// The same configuration with this port; zero lets the system choose one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.listen.set_port(port);
        self
    }

    /// The same configuration with this algorithm.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }
}

/// What becomes of the old key when a new one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKey {
    /// It stays in the published set: its tokens are good until they expire.
    Kept,
    /// It leaves the published set, as after a theft.
    Dropped,
}

/// A way in which the issuer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Every answer has status 500.
    Down,
    /// There is no answer.
    Hang,
    /// Every answer is a redirect to a path where the same document is fine.
    Redirect,
    /// The discovery document names another issuer.
    WrongIssuer,
    /// The key set is ten megabytes long.
    HugeBody,
}

struct Shared {
    url: String,
    algorithm: Algorithm,
    keys: Mutex<Keys>,
    fault: Mutex<Option<Fault>>,
    discoveries: AtomicUsize,
    fetches: AtomicUsize,
}

struct Keys {
    signing: Arc<SigningKey>,
    published: Vec<Value>,
}

impl OidcIssuer {
    /// Starts an issuer with a fresh key.
    ///
    /// # Errors
    ///
    /// When the address is not on loopback, when it cannot be listened on, or when no key can be
    /// made.
    pub async fn start(config: Config) -> io::Result<Self> {
        // Anybody who reaches it may read its keys, which is harmless; but a development issuer on
        // a network invites being trusted there.
        if !config.listen.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a development issuer listens on loopback only",
            ));
        }
        let listener = TcpListener::bind(config.listen).await?;
        let signing = SigningKey::generate(config.algorithm)?;
        let shared = Arc::new(Shared {
            url: format!("http://{}", listener.local_addr()?),
            algorithm: config.algorithm,
            keys: Mutex::new(Keys {
                published: vec![signing.jwk()],
                signing: Arc::new(signing),
            }),
            fault: Mutex::new(None),
            discoveries: AtomicUsize::new(0),
            fetches: AtomicUsize::new(0),
        });
        let server = tokio::spawn(serve::run(listener, Arc::clone(&shared)));
        Ok(Self { shared, server })
    }

    /// The issuer's name for itself, and where its discovery document is found.
    pub fn issuer_url(&self) -> &str {
        &self.shared.url
    }

    /// The address of the key set.
    pub fn jwks_url(&self) -> String {
        self.shared.jwks_url()
    }

    /// The published key set.
    pub fn jwks_json(&self) -> String {
        self.shared.jwks_json()
    }

    /// Starts a token about this subject: for five minutes, and for the audience `tollbook`.
    pub fn token(&self, subject: impl Into<String>) -> TokenBuilder {
        let signing = Arc::clone(&self.shared.keys().signing);
        TokenBuilder::new(signing, &self.shared.url, subject.into())
    }

    /// Starts a token in a provider's shape, for five minutes and for the audience `tollbook`. It
    /// is this issuer's, and not the provider's; a JWT-SVID names no issuer.
    pub fn shaped(&self, shape: Shape) -> TokenBuilder {
        let token = self.token("");
        let token = if shape.names_issuer() {
            token
        } else {
            token.without("iss")
        };
        token.all_claims(shape.claims())
    }

    /// The published key set as a SPIFFE bundle has it: its keys are for JWT-SVIDs.
    pub fn bundle_json(&self) -> String {
        let mut keys = self.shared.keys().published.clone();
        for key in &mut keys {
            key["use"] = Value::from("jwt-svid");
        }
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// Signs with a fresh key from now on.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn rotate(&self, old: OldKey) -> io::Result<()> {
        let signing = SigningKey::generate(self.shared.algorithm)?;
        let mut keys = self.shared.keys();
        if old == OldKey::Dropped {
            keys.published.clear();
        }
        keys.published.push(signing.jwk());
        keys.signing = Arc::new(signing);
        Ok(())
    }

    /// Fails in this way from now on; `None` makes it well again.
    pub fn fail(&self, fault: Option<Fault>) {
        *self
            .shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How often the discovery document was asked for.
    pub fn discoveries(&self) -> usize {
        self.shared.discoveries.load(Ordering::SeqCst)
    }

    /// How often the key set was asked for.
    pub fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for OidcIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for OidcIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcIssuer")
            .field("url", &self.shared.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn jwks_url(&self) -> String {
        format!("{}/jwks", self.url)
    }

    fn jwks_json(&self) -> String {
        serde_json::json!({ "keys": self.keys().published }).to_string()
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_development_issuer_is_not_put_on_a_network() {
        let config = Config {
            listen: (Ipv4Addr::UNSPECIFIED, 0).into(),
            ..Config::default()
        };
        let error = OidcIssuer::start(config).await.err();
        assert_eq!(
            error.map(|error| error.kind()),
            Some(io::ErrorKind::InvalidInput)
        );
    }

    #[tokio::test]
    async fn keys_are_published_without_their_private_part_and_under_their_own_id() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let config = Config::default().algorithm(algorithm);
            let issuer = OidcIssuer::start(config).await.unwrap();
            issuer.rotate(OldKey::Kept).unwrap();
            let set: Value = serde_json::from_str(&issuer.jwks_json()).unwrap();
            let keys = set["keys"].as_array().unwrap();
            assert_eq!(keys.len(), 2);
            assert_ne!(keys[0]["kid"], keys[1]["kid"]);
            for key in keys {
                assert!(key.get("d").is_none());
            }
        }
    }

    #[tokio::test]
    async fn it_stops_listening_when_it_is_dropped() {
        let issuer = OidcIssuer::start(Config::default()).await.unwrap();
        let address = issuer.issuer_url().replace("http://", "");
        assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
        drop(issuer);
        tokio::task::yield_now().await;
        assert!(tokio::net::TcpStream::connect(&address).await.is_err());
    }
}
