//! A plan that runs.

use std::{io, net::SocketAddr};

use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tollbook_exchange::{Code, Refusal};
use tollbook_recording::{Health, Recorder};

use crate::{
    admin::{self, Admin},
    config::WireMasking,
    edge::{Edge, EdgeError},
    mounts::Mounts,
    plan::Plan,
    stack::{self, ClaudeConnection},
};

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
    /// The data plane. Shutdown waits for it, and for nothing else.
    edge: AbortOnDropHandle<()>,
    /// What else runs, owned here so that it ends with the gateway.
    tasks: JoinSet<()>,
    recorder: Recorder,
}

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The book cannot be opened.
    #[error("cannot open the book")]
    Book(#[source] tollbook_recording::Error),
    /// A listener cannot be set up.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The system does not say which address was bound.
    #[error("cannot tell the address of a listener")]
    Address(#[from] io::Error),
}

impl Gateway {
    /// Opens the book, binds both listeners and begins to serve.
    ///
    /// # Errors
    ///
    /// When the book or a listener cannot be had. Nothing is left running then.
    pub async fn start(plan: Plan) -> Result<Self, StartError> {
        let config = plan.config.gateway.clone();
        let book = tollbook_recording::Config::new(&config.data, &config.name);
        let opened = tokio::task::spawn_blocking(move || Recorder::open(book)).await;
        let recorder = opened.map_err(io::Error::from)?.map_err(StartError::Book)?;
        let edge = Edge::bind(config.listen, plan.tls.clone()).await?;
        let admin_edge = Edge::bind(config.admin, None).await?;
        let (address, admin) = (edge.address()?, admin_edge.address()?);

        let stop = CancellationToken::new();
        let router = admin::router(Admin {
            recorder: recorder.clone(),
            stop: stop.clone(),
        });
        let mut tasks = JoinSet::new();
        let authenticator = plan.authenticator.clone();
        tasks.spawn(async move {
            // So that the first caller does not wait for the keys; without them callers are
            // refused until they can be had.
            for issuer in authenticator.preload().await {
                tracing::warn!(issuer, "no key of this issuer could be loaded yet");
            }
        });
        let mounts = mounts(plan, &recorder);
        let edge =
            AbortOnDropHandle::new(tokio::spawn(edge.serve(mounts, stop.clone(), config.drain)));
        // Never told to stop: it answers until the last exchange is closed, and is cut then.
        tasks.spawn(admin_edge.serve(router, CancellationToken::new(), config.drain));
        tracing::info!(%address, %admin, "gateway serves");
        Ok(Self {
            address,
            admin,
            stop,
            edge,
            tasks,
            recorder,
        })
    }

    /// The address of the data plane.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin listener.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The book.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Stops accepting, lets open exchanges come to their end for as long as the plan allows,
    /// closes the rest, and closes the book when the last record is written.
    ///
    /// Tells whether all of them could be: a book that was blocked before stays so.
    pub async fn shutdown(mut self) -> Health {
        tracing::info!("gateway drains");
        self.stop.cancel();
        drop((&mut self.edge).await);
        self.tasks.shutdown().await;
        let (recorder, health) = (self.recorder.clone(), self.recorder.health());
        // A panic while closing loses nothing that is not lost already.
        drop(tokio::task::spawn_blocking(move || recorder.close()).await);
        health
    }
}

fn mounts(plan: Plan, recorder: &Recorder) -> Mounts<Incoming> {
    let nowhere = Refusal::new(
        Code::UnknownConnection,
        "no connection is mounted at this path",
    );
    let ambiguous = Refusal::new(
        Code::MalformedRequest,
        "the request's head can be read in more than one way",
    );
    let refusing = |refusal| stack::refusing(recorder.clone(), plan.masker.clone(), refusal);
    let (nowhere, ambiguous) = (refusing(nowhere), refusing(ambiguous));
    let connections = plan.connections.into_iter().map(|(config, forward)| {
        let connection = ClaudeConnection {
            name: config.name.clone(),
            authenticate: plan.authenticator.clone(),
            decide: plan.policies.clone(),
            masker: plan.masker.clone(),
            mask_wire: config.wire == WireMasking::On,
            max_body: config.max_body,
            recorder: recorder.clone(),
            forward,
        };
        (config.name, connection.stack())
    });
    Mounts::new(connections, nowhere, ambiguous)
}
