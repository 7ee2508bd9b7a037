//! A session that was signed in on both sides.
//!
//! | file | what it is |
//! |---|---|
//! | `expected` | what the server owes: one entry for each message that it answers |
//! | `names` | statements and portals, and what becomes of their names when a message fails |
//! | `text` | the text of a statement, and what is known of it |
//! | `state` | all of that, with the settings: what both directions know |
//! | `from_client` | the pump to the server: judged, held, made durable, forwarded |
//! | `from_server` | the pump to the client: recorded, masked, let go |
//! | `document` | what is asked, as JSON |
//! | `answer` | what is recorded of an answer |
//! | `columns` | the columns of a result |
//! | `refused` | refusing by letting the server fail |
//!
//! Both pumps run in one task and share the state behind a lock that is held for moments. Neither keeps
//! more than some buffers: a client that does not read stops the reading from the server, and a server that
//! does not read stops the reading from the client.

mod answer;
mod columns;
mod document;
mod expected;
mod from_client;
mod from_server;
mod names;
mod refused;
mod state;
mod text;

pub(super) use columns::ColumnOf;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::stream::FuturesOrdered;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tollbook_exchange::{Outcome, Refusal};
use tollbook_identity::{Authenticate, Watch};
use tollbook_sql::Settings;
use tollbook_wire_postgres::{CancelKey, Version};

use self::{
    from_client::{FromClient, Left},
    from_server::{Broken, FromServer},
    state::{Bell, State},
};

use super::{Fault, Options, Wire, rows::Results};
use crate::{Caller, Gate};

/// A session that was signed in on both sides.
#[derive(Debug)]
pub struct Session<A, C, S> {
    /// The engines.
    pub gate: Gate<A>,
    /// Who asks.
    pub caller: Caller,
    /// The name of the database.
    pub database: String,
    /// The version that both sides speak.
    pub version: Version,
    /// What the server said of its settings while it signed in.
    pub parameters: BTreeMap<String, String>,
    /// How it is relayed.
    pub options: Arc<Options>,
    /// The client.
    pub client: Wire<C>,
    /// The server.
    pub server: Wire<S>,
    /// Told when the client cancels what runs: what is held ends then. The server is told by whoever
    /// routed it.
    pub cancelled: Arc<Notify>,
    /// The server's key, for those who want to know of it.
    pub upstream_key: CancelKey,
}

/// How a session ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The client said that it ends, or left.
    Client,
    /// The server ended it.
    Server,
    /// A side broke the protocol or broke off.
    Fault(Fault),
    /// The answer could not be recorded further.
    Unrecordable,
    /// The gateway stops, or the caller's credential counts no more.
    Stopped,
}

/// Why both directions end.
enum Over {
    /// The client left.
    Left,
    /// The client broke the protocol.
    Client(Fault),
    /// The server ended.
    Server,
    /// The server broke off or broke the protocol.
    Broken(Fault),
    /// The answer cannot be recorded further.
    Refused(Refusal),
    /// The gateway stops, or the caller's credential counts no more.
    Stopped,
}

impl<A, C, S> Session<A, C, S>
where
    A: Authenticate,
    C: AsyncRead + AsyncWrite + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Relays until one side ends.
    ///
    /// Everything that was begun is closed then: what ran with what became of it, what waited as never
    /// run.
    pub async fn run(self, stop: CancellationToken) -> End {
        let Self {
            gate,
            mut caller,
            database,
            parameters,
            options,
            client,
            server,
            cancelled,
            ..
        } = self;
        let mut revoked = mem::replace(&mut caller.revoked, Watch::never());
        let settings = Settings {
            protected_columns: options.protected.names(),
            harmless_functions: options.harmless_functions.clone(),
            ..Settings::default()
        };
        let results = Arc::new(Results::new(
            &caller.masks,
            options.rows,
            options.protected.clone(),
            options.catalog.clone(),
        ));
        let state = Mutex::new(State::new(settings, &parameters));
        let (bell, closing) = (Bell::default(), CancellationToken::new());
        let mut from_client = FromClient {
            gate: &gate,
            caller: &caller,
            database: &database,
            options: &options,
            results: &results,
            state: &state,
            bell: &bell,
            cancelled: &cancelled,
            closing: &closing,
            client: client.incoming,
            server: server.outgoing,
            steps: FuturesOrdered::new(),
            held: VecDeque::new(),
            bytes: 0,
            stalled: None,
            hurried: false,
        };
        let mut from_server = FromServer {
            gate: &gate,
            caller: &caller,
            database: &database,
            results: &results,
            state: &state,
            bell: &bell,
            server: server.incoming,
            client: client.outgoing,
            rows: Vec::new(),
            bytes: 0,
            unsent: Vec::new(),
            is_fatal: false,
        };
        let over = {
            let mut up = pin!(from_client.run());
            let mut down = pin!(from_server.run());
            let mut ends = false;
            loop {
                tokio::select! {
                    () = stop.cancelled() => break Over::Stopped,
                    _ = &mut revoked, if !ends => {
                        ends = true;
                        closing.cancel();
                    }
                    end = &mut up => break match end {
                        // What was sent before runs still, and its end is recorded.
                        Ok(Left::Said) => {
                            drop(timeout(LAST_WORDS, down).await);
                            Over::Left
                        }
                        Ok(Left::Gone) => Over::Left,
                        Ok(Left::Stopped) => Over::Stopped,
                        Err(Fault::Broken(_)) => {
                            // The server may have said why it does not take any more.
                            match timeout(LAST_WORDS, down).await {
                                Ok(end) => over(end),
                                Err(_) => Over::Left,
                            }
                        }
                        Err(fault) => Over::Client(fault),
                    },
                    end = &mut down => break over(end),
                }
            }
        };
        // What waits was not forwarded.
        drop(from_client);
        conclude(&state, &over);
        from_server.last_word(&over).await;
        over.end()
    }
}

fn over(end: Result<End, Broken>) -> Over {
    match end {
        Ok(_) => Over::Server,
        Err(Broken::Client) => Over::Left,
        Err(Broken::Server(fault)) => Over::Broken(fault),
        Err(Broken::Refused(refusal)) => Over::Refused(refusal),
    }
}

/// Closes what is open.
fn conclude(state: &Mutex<State>, over: &Over) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = match over {
        Over::Left | Over::Client(_) => Outcome::ClientGone,
        Over::Server | Over::Broken(_) => Outcome::UpstreamReset,
        Over::Refused(_) | Over::Stopped => Outcome::PolicyCut,
    };
    let open: Vec<_> = state.queue.drain().filter_map(|owed| owed.of.run).collect();
    for run in open {
        let open = run.finish(outcome);
        if let Over::Refused(refusal) = over {
            open.exchange().refused(refusal);
        }
    }
    if let Some(last) = state.last.take() {
        last.finish(Outcome::Complete);
    }
}

impl Over {
    fn end(self) -> End {
        match self {
            Self::Left => End::Client,
            Self::Server => End::Server,
            Self::Client(fault) | Self::Broken(fault) => End::Fault(fault),
            Self::Refused(_) => End::Unrecordable,
            Self::Stopped => End::Stopped,
        }
    }

    /// What the client is told: the code and the message.
    const fn told(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Left => return None,
            Self::Client(_) => ("08P01", "tollbook: protocol violation"),
            Self::Server | Self::Broken(Fault::Broken(_)) => {
                ("08006", "tollbook: the connection to the server broke")
            }
            Self::Broken(_) => ("08P01", "tollbook: the server broke the protocol"),
            Self::Refused(_) => (
                "58030",
                "tollbook: the answer could not be recorded further, so it was cut off",
            ),
            Self::Stopped => (
                "57P01",
                "terminating connection due to administrator command",
            ),
        })
    }
}

impl<A, C, S> FromServer<'_, A, C, S>
where
    A: Authenticate,
    C: AsyncRead + AsyncWrite + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Tells the client why the session ends, if it does not know, and ends it.
    async fn last_word(mut self, over: &Over) {
        let said = async {
            match over {
                Over::Refused(_) => self.client.discard(),
                // What came and may be known goes out first.
                _ => {
                    if self.send().await.is_err() {
                        self.client.discard();
                    }
                }
            }
            if let Some((code, message)) = over.told()
                && !self.is_fatal
                && let Ok(frame) = refused::fatal(code, message)
            {
                self.client.put(&frame);
            }
            self.client.close().await
        };
        // A client that does not read is not waited for.
        drop(timeout(LAST_WORDS, said).await);
    }
}

/// How long the last words of a session may take.
const LAST_WORDS: Duration = Duration::from_secs(5);
