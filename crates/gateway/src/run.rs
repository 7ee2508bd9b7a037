//! A plan that runs.

mod chores;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tollbook_approvals::{ApprovalLayer, Approvals, Key, Mode, Notify};
use tollbook_budget::Budgets;
use tollbook_exchange::{Code, Refusal};
use tollbook_identity::{GateAuthenticator, TokenExchange};
use tollbook_inspect::JudgeToolCall;
use tollbook_masking::MaskKey;
use tollbook_policy::Decide;
use tollbook_proxy::Forward;
use tollbook_recording::{Book, ErrorKind, Health, Recorder};
use tollbook_relay::{Gate, Parts, Wait, postgres::Front};
use tollbook_sinks::{Sinks, SystemClock};
use tollbook_state::State;

use crate::{
    admin::{self, Admin, BookTerms},
    approvals::{self, BookWitness},
    claude,
    config::{ClaudeConfig, ConnectionConfig, ToolCalls},
    control::{self, Control, Listening},
    edge::{Edge, EdgeError},
    events::{Event, Events},
    index,
    masks::ConnectionMasks,
    monitor::{self, Alarm},
    mounts::{Mount, Mounts, OAUTH},
    oauth,
    plan::{Channels, Plan, PlannedConnection, Reached},
    policies::LivePolicies,
    retention,
    sessions::{self, PostgresPlan, Sessions},
    sinks::SinkWitness,
    stack::{self, ClaudeConnection},
    tools::ToolGate,
    witness,
    witnesses::{Witnessing, stamp},
};

/// How long an answer that is no stream waits for people, unless the configuration says.
const HOLD: Duration = Duration::from_secs(50);
/// How long a command may have the book when the gateway starts.
const TAKEOVER: Duration = Duration::from_secs(3);
/// How long channels may take to deliver what is waiting when the gateway ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// The headers, beside `content-type`, that change what a request does.
const BOUND: [&str; 2] = ["anthropic-beta", "anthropic-version"];
/// What the key is for under which held requests are digested.
const APPROVALS_KEY: &str = "approvals";
/// What the key is for with which hashes and tokens are made, unless the configuration names one.
const MASKING_KEY: &str = "masking";
/// What the key is for with which digests of secrets are made.
const DIGEST_KEY: &str = "digests of secrets";

/// The key with which the gateway on this folder leaves digests of the secrets that it masks: who has
/// a secret as well finds where it was masked.
///
/// # Errors
///
/// When the folder has no key, as a copy may not have, or one that cannot be used.
pub fn digest_key(folder: &Path) -> Result<MaskKey, tollbook_state::Error> {
    Ok(MaskKey::new(*tollbook_state::key_of(folder, DIGEST_KEY)?))
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    admin: SocketAddr,
    witness: Option<SocketAddr>,
    stop: CancellationToken,
    /// Where connections of databases are reached, by name.
    databases: BTreeMap<String, SocketAddr>,
    /// The data plane. Shutdown waits for it and for the sessions of databases, and for nothing else.
    edge: AbortOnDropHandle<()>,
    sessions: Vec<AbortOnDropHandle<()>>,
    /// What else runs, owned here so that it ends with the gateway.
    tasks: JoinSet<()>,
    policies: LivePolicies,
    approvals: Approvals,
    budgets: Budgets,
    channels: Channels,
    /// What is still to be told to people.
    replies: TaskTracker,
    /// What sends copies of records elsewhere.
    sinks: Sinks,
    state: State,
    recorder: Recorder,
}

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The book cannot be opened.
    #[error("cannot open the book")]
    Book(#[source] tollbook_recording::Error),
    /// What the gateway remembers beside the book cannot be opened.
    #[error("cannot open the state")]
    State(#[source] tollbook_state::Error),
    /// The start cannot be written into the book.
    #[error("cannot record the start")]
    Recorded(#[source] tollbook_recording::Error),
    /// Approvals that were pending cannot be taken up again.
    #[error("cannot take up approvals")]
    Approvals(#[source] tollbook_approvals::Error),
    /// The gateway cannot be a witness.
    #[error("cannot be a witness")]
    Witness(#[source] tollbook_witness::Error),
    /// What sends copies of records elsewhere cannot be started.
    #[error("cannot start the sinks")]
    Sinks(#[source] tollbook_sinks::Error),
    /// A listener cannot be set up.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The system does not say which address was bound.
    #[error("cannot tell the address of a listener")]
    Address(#[from] io::Error),
}

/// What all connections share.
struct Shared {
    recorder: Recorder,
    gate: GateAuthenticator,
    tokens: TokenExchange,
    policies: LivePolicies,
    approvals: Approvals,
    budgets: Budgets,
}

impl Gateway {
    /// Opens book and state, binds both listeners and begins to serve.
    ///
    /// # Errors
    ///
    /// When the book, the state or a listener cannot be had. Nothing is left running then.
    pub async fn start(plan: Plan) -> Result<Self, StartError> {
        let config = plan.config.gateway.clone();
        let book = plan.config.book();
        let opened = tokio::task::spawn_blocking(move || open(&book)).await;
        let recorder = opened.map_err(io::Error::from)?.map_err(StartError::Book)?;
        let folder = config.data.clone();
        let opened = tokio::task::spawn_blocking(move || State::open(folder)).await;
        let state = opened
            .map_err(io::Error::from)?
            .map_err(StartError::State)?;
        let edge = Edge::bind(config.listen, plan.tls.clone()).await?;
        let admin_edge = Edge::bind(config.admin, None).await?;
        let (address, admin) = (edge.address()?, admin_edge.address()?);
        let witness = match &plan.config.witness {
            Some(witness) => Some(witness::Bound::bind(witness, &config.data).await?),
            None => None,
        };

        let mut listeners = Vec::new();
        for connection in &plan.connections {
            if let Reached::Postgres(plan) = &connection.reached
                && let Some(address) = plan.config.listen
            {
                listeners.push(Sessions::bind(address).await?);
            }
        }

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let authenticator = plan.authenticator.clone();
        tasks.spawn(async move {
            // So that the first caller does not wait for the keys; without them callers are
            // refused until they can be had.
            for issuer in authenticator.preload().await {
                tracing::warn!(issuer, "no key of this issuer could be loaded yet");
            }
        });

        let Plan {
            config: plan_config,
            authenticator,
            rules,
            source,
            policies,
            detectors,
            people,
            budgets,
            prices,
            sinks,
            channels,
            masker,
            mask_key,
            connections,
            witnesses,
            authority,
            ..
        } = plan;
        let events = Events::new(recorder.clone(), masker.clone());
        let started = Event::new("gateway.started")
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("policy_hash", policies.hash())
            .with("policies", policies.len());
        events.note(started).await.map_err(StartError::Recorded)?;

        let alarm = Alarm::default();
        tasks.spawn(monitor::watch(
            config.data.clone(),
            alarm.clone(),
            events.clone(),
        ));
        let retention = Arc::new(plan_config.retention());
        let unfollowed = (!plan_config.search.index).then(|| (config.data.clone(), prices.clone()));
        let book_terms = BookTerms {
            retention: Arc::clone(&retention),
            unfollowed: unfollowed.clone(),
        };
        let keeping = retention::keep(recorder.clone(), Arc::clone(&retention), unfollowed);
        tasks.spawn(keeping);
        if plan_config.search.index {
            let (folder, keys) = (config.data.clone(), plan_config.keys.clone());
            let retention = Arc::clone(&retention);
            tasks.spawn(index::follow(folder, keys, prices.clone(), retention));
        }
        match Listening::at(&config.data) {
            Ok(socket) => {
                let control = Control {
                    recorder: recorder.clone(),
                    masker: masker.clone(),
                    retention: Arc::clone(&retention),
                };
                tasks.spawn(control::serve(socket, control));
            }
            // What passes the gate is recorded all the same; commands that show some of it refuse.
            Err(error) => {
                tracing::error!(%error, "no command can read the book: no control socket");
            }
        }
        let witnessing = Witnessing::default();
        if let Some(asking) = witnesses {
            let anchor = plan_config.record.anchor.clone();
            let (folder, witnessing) = (config.data.clone(), witnessing.clone());
            tasks.spawn(asking.ask(folder, anchor, witnessing, events.clone()));
        }
        if let Some((authority, every)) = authority {
            let (folder, witnessing) = (config.data.clone(), witnessing.clone());
            tasks.spawn(stamp(authority, every, folder, witnessing));
        }
        let witness_address = match witness {
            Some(witness::Bound { edge, key, service }) => {
                let address = edge.address()?;
                tracing::info!(%address, %key, "is a witness");
                let router = witness::router(service, events.clone());
                tasks.spawn(edge.serve(router, stop.clone(), config.drain));
                Some(address)
            }
            None => None,
        };
        let gate = GateAuthenticator::builder(authenticator)
            .rules(rules)
            .store(state.tokens())
            .build();
        let key = state.key(APPROVALS_KEY).map_err(StartError::State)?;
        let witness = Arc::new(BookWitness(events.clone()));
        let mut approvals =
            Approvals::builder(Arc::new(state.approvals()), Key::new(*key), witness)
                .people(people)
                .limits(approvals::limits(&plan_config.approvals))
                .break_glass(plan_config.approvals.break_glass.clone());
        if let Some(address) = &plan_config.approvals.address {
            approvals = approvals.page(format!("{}/approvals/", address.trim_end_matches('/')));
        }
        for channel in channels.all() {
            approvals = approvals.notify(channel);
        }
        let approvals = approvals.build();
        state
            .restore_budgets(&budgets)
            .await
            .map_err(StartError::State)?;
        approvals.resume().await.map_err(StartError::Approvals)?;
        tasks.spawn(chores::sweep(approvals.clone()));
        tasks.spawn(chores::keep(state.clone(), budgets.clone()));
        tasks.spawn(chores::purge(gate.clone()));

        let witness = SinkWitness(events.clone());
        let sinks = Sinks::start(
            &config.data,
            &plan_config.keys,
            sinks,
            prices,
            SystemClock,
            witness,
        )
        .await
        .map_err(StartError::Sinks)?;

        let shared = Shared {
            tokens: TokenExchange::new(gate.clone()),
            policies: LivePolicies::new(source, policies, events),
            recorder: recorder.clone(),
            gate: gate.clone(),
            approvals: approvals.clone(),
            budgets: budgets.clone(),
        };
        let replies = TaskTracker::new();
        let router = admin::router(Admin {
            recorder: recorder.clone(),
            alarm,
            witnessing,
            sinks: Arc::new(sinks.watch()),
            stop: stop.clone(),
            masker: masker.clone(),
            gate,
            policies: shared.policies.clone(),
            approvals: approvals.clone(),
            slack: channels.slack.clone(),
            connections: connections
                .iter()
                .map(|PlannedConnection { config, .. }| {
                    (config.name.clone(), config.durability.clone())
                })
                .collect(),
            replies: replies.clone(),
            config: Arc::new(plan_config.admin.clone()),
            book: book_terms,
        });
        let mask_key = match mask_key {
            Some(key) => key,
            None => MaskKey::new(*state.key(MASKING_KEY).map_err(StartError::State)?),
        };
        let digest_key = MaskKey::new(*state.key(DIGEST_KEY).map_err(StartError::State)?);
        let masks_of = |masks: ConnectionMasks| masks.keyed(&mask_key).digesting(&digest_key);
        let (mut mounted, mut vaults, mut databases) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut listeners = listeners.into_iter();
        let mut sessions = Vec::new();
        for connection in connections {
            let PlannedConnection {
                config,
                masks,
                reached,
            } = connection;
            let masks = masks_of(masks);
            vaults.push(masks.clone());
            match reached {
                Reached::Claude(own, forward) => mounted.push((config, *own, masks, forward)),
                Reached::Postgres(plan) => {
                    if let Some(listener) = listeners.next() {
                        let address = listener.address()?;
                        tracing::info!(connection = config.name, %address, "a database's connection serves");
                        databases.insert(config.name.clone(), address);
                        sessions.push((listener, shared.front(&config, &plan, masks)));
                    }
                }
            }
        }
        tasks.spawn(chores::forget(vaults));
        let mounts = shared.mounts(mounted, &masker, &detectors);
        let sessions = sessions.into_iter().map(|(listener, front)| {
            let served = listener.serve(front, stop.clone(), config.drain);
            AbortOnDropHandle::new(tokio::spawn(served))
        });
        let sessions = sessions.collect();
        let edge =
            AbortOnDropHandle::new(tokio::spawn(edge.serve(mounts, stop.clone(), config.drain)));
        // Never told to stop: it answers until the last exchange is closed, and is cut then.
        tasks.spawn(admin_edge.serve(router, CancellationToken::new(), config.drain));
        tracing::info!(%address, %admin, "gateway serves");
        Ok(Self {
            address,
            admin,
            witness: witness_address,
            stop,
            databases,
            edge,
            sessions,
            tasks,
            policies: shared.policies,
            approvals,
            budgets,
            channels,
            replies,
            sinks,
            state,
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

    /// Where connections of databases are reached, by name.
    pub const fn databases(&self) -> &BTreeMap<String, SocketAddr> {
        &self.databases
    }

    /// The address where it is a witness of others' logs.
    pub const fn witness(&self) -> Option<SocketAddr> {
        self.witness
    }

    /// The book.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Loads the policies anew: all of them or none. What comes of it is in the book and the log.
    pub async fn reload_policies(&self) {
        // Whoever asks by a signal reads the outcome in the log.
        drop(self.policies.reload(None).await);
    }

    /// Stops accepting, lets open exchanges come to their end for as long as the plan allows,
    /// closes the rest, and closes the book when the last record is written.
    ///
    /// Tells whether all of them could be: a book that was blocked before stays so.
    pub async fn shutdown(mut self) -> Health {
        tracing::info!("gateway drains");
        self.stop.cancel();
        drop((&mut self.edge).await);
        for sessions in &mut self.sessions {
            drop(sessions.await);
        }
        self.tasks.shutdown().await;
        // What they have not sent by then is in the book, and goes out after the next start.
        self.sinks.close(FAREWELL).await;
        self.approvals.settle().await;
        self.replies.close();
        // What people were to be told is lost with a channel that does not answer, and nothing else.
        drop(tokio::time::timeout(FAREWELL, self.replies.wait()).await);
        self.channels.close().await;
        // A disk that hangs must not hold the end back; the counters were kept seconds ago.
        let kept = tokio::time::timeout(FAREWELL, self.state.keep_budgets(&self.budgets)).await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what was spent last could not be kept"),
            Err(_) => tracing::warn!("what was spent last could not be kept in time"),
        }
        let (recorder, health) = (self.recorder.clone(), self.recorder.health());
        let closed = tokio::task::spawn_blocking(move || recorder.close()).await;
        // A panic while closing loses nothing that is not lost already.
        closed.unwrap_or(health)
    }
}

impl Shared {
    fn mounts(
        &self,
        connections: Vec<(ConnectionConfig, ClaudeConfig, ConnectionMasks, Forward)>,
        masker: &tollbook_masking::Masker,
        detectors: &tollbook_detection::Detectors,
    ) -> Mounts<Incoming> {
        let nowhere = Refusal::new(
            Code::UnknownConnection,
            "no connection is mounted at this path",
        );
        let ambiguous = Refusal::new(
            Code::MalformedRequest,
            "the request's head can be read in more than one way",
        );
        let refusing = |refusal| stack::refusing(self.recorder.clone(), masker.clone(), refusal);
        let (nowhere, ambiguous) = (refusing(nowhere), refusing(ambiguous));
        let tokens = |connection: &str| {
            oauth::stack(
                self.tokens.clone(),
                self.recorder.clone(),
                masker.clone(),
                connection,
            )
        };
        let mounted = connections
            .into_iter()
            .map(|(config, own, masks, forward)| {
                let connection = ClaudeConnection {
                    name: config.name.clone(),
                    authenticate: self.gate.clone(),
                    decide: self.policies.handle().clone(),
                    masks,
                    max_body: own.max_body,
                    detectors: detectors.clone(),
                    tools: self.tools(&config, &own),
                    budgets: self.budgets.clone(),
                    approvals: self.approvals(&config, &own),
                    recorder: self.recorder.clone(),
                    durability: config.durability.clone(),
                    forward,
                };
                let mount = Mount {
                    stack: connection.stack(),
                    tokens: tokens(&config.name),
                };
                (config.name, mount)
            });
        Mounts::new(mounted, tokens(OAUTH), nowhere, ambiguous)
    }

    /// Who judges the tool calls of this connection's answers.
    fn tools(
        &self,
        config: &ConnectionConfig,
        own: &ClaudeConfig,
    ) -> Option<Arc<dyn JudgeToolCall>> {
        (own.tools != ToolCalls::Pass).then(|| {
            Arc::new(ToolGate {
                policies: self.policies.handle().clone(),
                approvals: self.approvals.clone(),
                connection: config.name.clone(),
                upstream: config.upstream.clone(),
                always: own.tools == ToolCalls::Judge,
                hold: own.approvals.hold.unwrap_or(HOLD),
            }) as Arc<dyn JudgeToolCall>
        })
    }

    /// Who holds what people have to approve on this connection.
    fn approvals(&self, config: &ConnectionConfig, own: &ClaudeConfig) -> ApprovalLayer {
        let protocol = config.protocol.name();
        let policies = self.policies.handle().clone();
        let connection = config.name.clone();
        let judge = move |principal: &_, action: &_, findings: &[_]| {
            policies.decide(principal, &connection, protocol, action, findings)
        };
        let mut layer = ApprovalLayer::new(self.approvals.clone(), &*config.name, protocol, judge)
            .upstream(&*config.upstream)
            .max_body(own.max_body)
            .meaning(claude::meaning)
            .streams(claude::ping(), claude::late_error)
            .bound_headers(BOUND.map(http::HeaderName::from_static))
            .cancel_when_gone(own.approvals.cancel_when_gone);
        if own.approvals.fail_fast {
            layer = layer.fail_fast();
        }
        if let Some(time) = own.approvals.quiet {
            layer = layer.quiet(time);
        }
        if let Some(time) = own.approvals.hold {
            layer = layer.hold(time);
        }
        if let Some(time) = own.approvals.ping {
            layer = layer.ping_every(time);
        }
        layer
    }

    /// What stands before the sessions of a database's connection.
    fn front(
        &self,
        config: &ConnectionConfig,
        plan: &PostgresPlan,
        masks: ConnectionMasks,
    ) -> Front<GateAuthenticator> {
        let approvals = &plan.config.approvals;
        let on_failure = Arc::clone(&config.durability.on_failure);
        let gate = Gate::new(Parts {
            name: config.name.clone(),
            protocol: config.protocol.name(),
            upstream: config.upstream.clone(),
            authenticate: self.gate.clone(),
            decide: Arc::new(self.policies.handle().clone()),
            masks: Arc::new(masks),
            budgets: self.budgets.clone(),
            approvals: self.approvals.clone(),
            wait: Wait {
                mode: match approvals.fail_fast {
                    true => Mode::FailFast,
                    false => Mode::Hold,
                },
                hold: approvals.hold.unwrap_or(sessions::HOLD),
                notice: approvals.notice.unwrap_or(sessions::NOTICE),
                cancel_when_gone: approvals.cancel_when_gone,
            },
            book: Book::new(self.recorder.clone(), on_failure),
            release: config.durability.release,
        });
        let (door, upstream) = (plan.door.clone(), plan.upstream.clone());
        Front::new(gate, door, upstream, plan.options())
    }
}

impl Channels {
    /// Each channel that learns of events.
    fn all(&self) -> impl Iterator<Item = Arc<dyn Notify>> {
        let webhooks = self.webhooks.iter().cloned();
        let webhooks = webhooks.map(|webhook| webhook as Arc<dyn Notify>);
        let slack = self.slack.clone().map(|slack| slack as Arc<dyn Notify>);
        webhooks.chain(slack)
    }

    /// Delivers what is waiting, for a short time.
    async fn close(&self) {
        for webhook in &self.webhooks {
            webhook.close(FAREWELL).await;
        }
        if let Some(slack) = &self.slack {
            slack.close(FAREWELL).await;
        }
    }
}

/// Opens the book, for which a command that notes a view may have to end first.
fn open(book: &tollbook_recording::Config) -> Result<Recorder, tollbook_recording::Error> {
    let begun = Instant::now();
    loop {
        match Recorder::open(book.clone()) {
            Err(error) if *error.kind() == ErrorKind::InUse && begun.elapsed() < TAKEOVER => {
                thread::sleep(TAKEOVER / 30);
            }
            opened => return opened,
        }
    }
}
