//! A session that was signed in on both sides.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use tollbook_identity::Authenticate;
use tollbook_wire_postgres::{CancelKey, Version};

use super::{Fault, Options, Wire};
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
    pub async fn run(mut self, stop: CancellationToken) -> End {
        loop {
            let relayed = tokio::select! {
                () = stop.cancelled() => return End::Stopped,
                frame = self.client.incoming.next() => match frame {
                    Ok(Some(frame)) => {
                        self.server.outgoing.put(&frame);
                        self.server.outgoing.flush().await
                    }
                    Ok(None) => return End::Client,
                    Err(fault) => Err(fault),
                },
                frame = self.server.incoming.next() => match frame {
                    Ok(Some(frame)) => {
                        self.client.outgoing.put(&frame);
                        self.client.outgoing.flush().await
                    }
                    Ok(None) => return End::Server,
                    Err(fault) => Err(fault),
                },
            };
            if let Err(fault) = relayed {
                return End::Fault(fault);
            }
        }
    }
}
