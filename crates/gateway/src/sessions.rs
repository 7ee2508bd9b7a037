//! Connections of databases: a listener each, and a session for whoever comes there.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tollbook_exchange::Draft;
use tollbook_identity::Authenticate;
use tollbook_proxy::{CommandCredential, Credential, ProvideCredential};
use tollbook_relay::postgres::{
    Door, Front, NoPassword, Options, PasswordFuture, Protected, ProvidePassword, Rows, Upstream,
};
use zeroize::Zeroizing;

use crate::{
    config::{PostgresConfig, RowsConfig},
    edge::EdgeError,
};

/// The protocol of PostgreSQL's connections, as records name it.
pub(crate) const POSTGRES: &str = "postgres";
/// How long a statement is held for people, unless the configuration says.
pub(crate) const HOLD: Duration = Duration::from_secs(55);
/// How often a client is told that its statement waits, unless the configuration says.
pub(crate) const NOTICE: Duration = Duration::from_secs(30);
/// How many clients a connection has at once; more wait to be accepted.
const CLIENTS: usize = 1024;
/// How long the tasks of cut sessions may take to close their exchanges.
const CUT: Duration = Duration::from_secs(5);

/// What a connection of PostgreSQL needs beside its engines, built and found right.
#[derive(Clone, Debug)]
pub(crate) struct PostgresPlan {
    pub(crate) config: PostgresConfig,
    pub(crate) upstream: Upstream,
    pub(crate) door: Door,
}

impl PostgresPlan {
    /// How its sessions are relayed.
    pub(crate) fn options(&self) -> Options {
        let config = &self.config;
        let mut options = Options::default();
        options.max_message = config.max_message;
        options.rows = match config.rows {
            RowsConfig::All => Rows::All,
            RowsConfig::First(count) => Rows::First(count),
            RowsConfig::Digest => Rows::Digest,
            RowsConfig::None => Rows::None,
        };
        let protected = config.protected_columns.iter().cloned();
        options.protected =
            Protected::new(protected).deny_expressions(config.deny_protected_expressions);
        options.harmless_functions = config.harmless_functions.iter().cloned().collect();
        options
    }
}

/// Whether a statement only reads what is there, as far as its text tells. To begin a session and to end
/// what one is doing changes nothing either.
pub(crate) fn only_reads(draft: &Draft) -> bool {
    let action = draft.action.as_ref().map(|action| action.as_inner());
    action.is_some_and(|action| match &*action.name {
        "sql.query" => action.text("statement_class") == Some("read"),
        "sql.connect" | "sql.cancel" => true,
        _ => false,
    })
}

/// A bound listener of one connection.
pub(crate) struct Sessions(TcpListener);

impl Sessions {
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, EdgeError> {
        let listen = |source| EdgeError::Listen { address, source };
        TcpListener::bind(address).await.map(Self).map_err(listen)
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until `stop` is cancelled, which sessions hear of too, and gives them `drain` to end.
    pub(crate) async fn serve<A: Authenticate>(
        self,
        front: Front<A>,
        stop: CancellationToken,
        drain: Duration,
    ) {
        let permits = Arc::new(Semaphore::new(CLIENTS));
        let mut sessions = JoinSet::new();
        loop {
            while sessions.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&permits) => accepted,
            };
            let Some((stream, from, permit)) = accepted else {
                continue;
            };
            let (front, stop) = (front.clone(), stop.clone());
            sessions.spawn(async move {
                let _permit = permit;
                if let Some(end) = front.serve(stream, from, stop).await {
                    tracing::debug!(?end, "a session of a database ended");
                }
            });
        }
        drop(self.0);
        let ended = async { while sessions.join_next().await.is_some() {} };
        if timeout(drain, ended).await.is_err() {
            let open = sessions.len();
            tracing::warn!(open, "drain deadline passed; cutting sessions of databases");
        }
        // Dropping the tasks closes their exchanges by their guards.
        if timeout(CUT, sessions.shutdown()).await.is_err() {
            tracing::warn!("cut sessions do not end");
        }
    }

    async fn accept(
        &self,
        permits: &Arc<Semaphore>,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        match self.0.accept().await {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY not set");
                }
                Some((stream, from, permit))
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end before one can begin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

/// A password that a program prints, renewed as the credentials of other connections are.
pub(crate) struct PrintedPassword {
    source: CommandCredential,
    /// What was given last: it is what an upstream refuses.
    last: Mutex<Option<Credential>>,
}

impl PrintedPassword {
    pub(crate) const fn new(source: CommandCredential) -> Self {
        Self {
            source,
            last: Mutex::new(None),
        }
    }
}

impl ProvidePassword for PrintedPassword {
    fn current(&self) -> PasswordFuture<'_> {
        Box::pin(async {
            let credential = self.source.current().await.map_err(|error| {
                tracing::warn!(%error, "no credential for an upstream");
                NoPassword
            })?;
            let password = std::str::from_utf8(credential.expose()).map_err(|_| NoPassword)?;
            let password = Zeroizing::new(password.to_owned());
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(credential);
            Ok(password)
        })
    }

    fn refused(&self) -> bool {
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        last.is_some_and(|credential| self.source.refused(&credential))
    }
}

impl fmt::Debug for PrintedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrintedPassword(..)")
    }
}
