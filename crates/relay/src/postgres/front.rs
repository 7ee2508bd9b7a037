//! What stands before a session: from the first byte until both sides have signed in.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use bytes::BytesMut;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tollbook_exchange::{Action, Code, ExchangeId, Masked, Outcome, Refusal, SessionId, Verdict};
use tollbook_identity::{Authenticate, PeerCertificate};
use tollbook_wire_postgres::{
    CancelKey, Frames, Startup, Version, authentication_ok, backend_key, negotiate,
    parameter_status, ready,
};

use super::{
    Catalog, End, Fault, Options, Session, SignIn, Upstream, Wire,
    cancel::{Cancels, Registered},
    fatal::fatal,
    greet::{Greeted, Wants, greet},
    link::{Begun, Link},
    lookup::Aside,
    settings::{Wanted, spoken},
    sign_in::{Shown, ask},
    upstream::Connected,
};
use crate::{Asked, Caller, Gate, Open, Waiting};

/// What stands before the sessions of one connection.
///
/// A cheap handle. Whoever accepts connections hands each to [`serve`](Self::serve).
#[derive(Debug)]
pub struct Front<A>(Arc<Parts<A>>);

/// How clients are let in.
#[derive(Clone, Default)]
pub struct Door {
    /// What begins TLS, where it is spoken. Its protocols are to be [`ALPN`](super::ALPN) alone.
    pub tls: Option<TlsAcceptor>,
    /// Whether clients may do without.
    pub plain: bool,
    /// How they say who they are.
    pub sign_in: SignIn,
}

#[derive(Debug)]
struct Parts<A> {
    gate: Gate<A>,
    door: Door,
    upstream: Upstream,
    options: Arc<Options>,
    cancels: Cancels,
    /// How many failures are dealt with at once, each for a [`PENALTY`].
    failures: Semaphore,
}

type Client<S> = Begun<Link<S>>;

impl<A> Clone for Front<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("tls", &self.tls.is_some())
            .field("plain", &self.plain)
            .field("sign_in", &self.sign_in)
            .finish()
    }
}

impl<A: Authenticate> Front<A> {
    /// What stands before the sessions of `gate` with `upstream`.
    pub fn new(gate: Gate<A>, door: Door, upstream: Upstream, mut options: Options) -> Self {
        if !options.protected.is_empty() && options.catalog.is_none() {
            let aside = Aside::new(upstream.clone(), options.max_message);
            options.catalog = Some(Catalog::new(aside));
        }
        Self(Arc::new(Parts {
            gate,
            door,
            upstream,
            options: Arc::new(options),
            cancels: Cancels::default(),
            failures: Semaphore::new(FAILURES),
        }))
    }

    /// Serves one client that came from there, until it ends or is told to stop. `None` where no session
    /// came about.
    pub async fn serve<S>(
        &self,
        stream: S,
        from: SocketAddr,
        stop: CancellationToken,
    ) -> Option<End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let begun = tokio::select! {
            begun = Box::pin(self.begin(stream, from)) => begun,
            // Nobody has been let in, so nothing is lost.
            () = stop.cancelled() => return None,
        };
        match begun {
            Ok(Some((session, _registered))) => Some(Box::pin(session.run(stop)).await),
            Ok(None) => None,
            Err(fault) => {
                // A client's fault at this level concerns nobody but the client: it has asked for
                // nothing yet, so there is nothing to record.
                tracing::debug!(%fault, "a client ended before its session began");
                None
            }
        }
    }

    async fn begin<S>(
        &self,
        stream: S,
        from: SocketAddr,
    ) -> Result<
        Option<(
            Session<A, Client<S>, Link<tokio::net::TcpStream>>,
            Registered,
        )>,
        Fault,
    >
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let greeted = timeout(GREETING, greet(stream, self.0.door.tls.as_ref())).await;
        let Greeted { client, wants } = greeted.map_err(|_| late())??;
        match wants {
            Wants::Session(startup) => self.sign_in(client, &startup, from).await,
            Wants::Cancel(key) => {
                self.cancel(&key, from).await;
                // Nothing is answered, but inside TLS the end is said: clients take any other for
                // a failure.
                let mut client = client;
                end(&mut client, &[]).await?;
                Ok(None)
            }
        }
    }

    async fn sign_in<S>(
        &self,
        mut client: Client<S>,
        startup: &Startup,
        from: SocketAddr,
    ) -> Result<
        Option<(
            Session<A, Client<S>, Link<tokio::net::TcpStream>>,
            Registered,
        )>,
        Fault,
    >
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let parts = &*self.0;
        let id = ExchangeId::generate();
        let wanted = Wanted::read(startup);
        let tls = client.inner().tls().and_then(|tls| tls.protocol_version());
        let asked = asked(&wanted, startup.version, tls.is_some(), parts, from);
        if tls.is_none() && !parts.door.plain {
            let refusal = Refusal::new(
                Code::MalformedRequest,
                "the gate takes nothing in plain text here: connect with sslmode=require or better",
            );
            let hint =
                "Whoever runs the gate may allow plain text by the connection's `tls` setting.";
            let refusal = refusal.because("plain_text");
            return self.fail(client, id, asked, refusal, Some(hint)).await;
        }
        let version = spoken(startup.version);
        let unknown: Vec<&str> = startup.options().collect();
        if startup.version > Version::V3_2 || !unknown.is_empty() {
            say(&mut client, &[negotiate(version, unknown)?]).await?;
        }
        let shown = timeout(SIGN_IN, ask(&mut client, &parts.door.sign_in)).await;
        let credentials = match shown.map_err(|_| late())?? {
            Shown::Token(token) => match certificate(client.inner()) {
                Some(certificate) => token.with_certificate(certificate),
                None => token,
            },
            Shown::Nothing => {
                let refusal = Refusal::new(Code::AuthenticationFailed, NO_TOKEN);
                let refusal = refusal.because("missing_credential");
                return self.fail(client, id, asked, refusal, Some(WHERE)).await;
            }
        };
        let admitted = parts
            .gate
            .admit(&credentials, wanted.label.as_deref(), id)
            .await;
        drop(credentials);
        let caller = match admitted {
            Ok(caller) => caller,
            Err(refusal) => return self.fail(client, id, asked, refusal, Some(WHERE)).await,
        };
        let open = match parts.gate.open(id, Some(&caller), asked).await {
            Ok(open) => open,
            Err(refusal) => return refuse(client, id, &refusal).await,
        };
        let (connected, registered) = match self.admit(&caller, &open, &wanted, version).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                // Closed before the client hears of it.
                drop(open);
                return refuse(client, id, &refusal).await;
            }
        };
        let mut frames = vec![authentication_ok()];
        for (name, value) in &connected.parameters {
            frames.push(parameter_status(name, value)?);
        }
        frames.push(backend_key(&registered.key));
        frames.push(ready(connected.status));
        say(&mut client, &frames).await?;
        open.exchange().conclude(Outcome::Complete);
        drop(open);
        let session = Session {
            gate: parts.gate.clone(),
            caller,
            database: parts.upstream.database().to_owned(),
            version,
            parameters: connected.parameters,
            options: Arc::clone(&parts.options),
            client: Wire::new(
                client,
                BytesMut::new(),
                Frames::of_clients(parts.options.max_message),
            ),
            server: connected.wire,
            cancelled: Arc::clone(&registered.entry.cancelled),
            upstream_key: connected.key.unwrap_or(CancelKey {
                process: 0,
                secret: bytes::Bytes::new(),
            }),
        };
        Ok(Some((session, registered)))
    }

    /// Takes a caller through the gate and to the server.
    async fn admit(
        &self,
        caller: &Caller,
        open: &Open,
        wanted: &Wanted,
        version: Version,
    ) -> Result<(Connected, Registered), Refusal> {
        let parts = &*self.0;
        let database = parts.upstream.database();
        let mut refusal = wanted.refusal.clone();
        if let Some(asked) = &wanted.database
            && asked != database
            && *asked != parts.gate.parts().name
        {
            let message = format!("this connection has the database `{database}` and no other");
            let wrong = Refusal::new(Code::MalformedRequest, message).because("startup_database");
            refusal.get_or_insert(wrong);
        }
        if let Some(refusal) = refusal {
            open.page().refused(&refusal);
            return Err(refusal);
        }
        let _permit = parts.gate.pass(caller, open, &Waiting::default()).await?;
        let application = application(caller.session, wanted.application.as_deref());
        let connected = (parts.upstream)
            .connect(&application, &wanted.settings, parts.options.max_message)
            .await;
        let connected = connected.map_err(|fault| {
            let cause = std::error::Error::source(&fault).map(ToString::to_string);
            tracing::warn!(
                connection = parts.gate.parts().name,
                %fault,
                cause,
                "no session with the upstream"
            );
            if let Some(state) = fault.state() {
                note(open, "sqlstate", state.into());
            }
            let refusal = fault.refusal();
            open.page().refused(&refusal);
            refusal
        })?;
        if let Some(told) = connected.parameters.get("server_version") {
            note(open, "server_version", version_of(told).into());
        }
        note(open, "application_name", application.into());
        let key = connected.key.clone();
        let server = key.map(|key| (connected.address, key));
        let registered = (parts.cancels).register(version, caller, database, server);
        let registered = registered.map_err(|error| {
            tracing::error!(%error, "the system has no random numbers");
            let refusal =
                Refusal::new(Code::Misassembled, "the gateway has met a fault of its own");
            open.page().refused(&refusal);
            refusal
        })?;
        Ok((connected, registered))
    }

    /// Records and tells that nobody was let in, no faster than some so often: a client that tries
    /// again and again fills neither the book nor the log.
    async fn fail<S, T>(
        &self,
        mut client: Client<S>,
        id: ExchangeId,
        asked: Asked,
        refusal: Refusal,
        hint: Option<&str>,
    ) -> Result<Option<T>, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _turn = timeout(SIGN_IN, self.0.failures.acquire())
            .await
            .map_err(|_| late())?;
        let refusal = match self.0.gate.open(id, None, asked).await {
            Ok(open) => open.refuse(refusal),
            Err(refusal) => refusal,
        };
        sleep(PENALTY).await;
        end(&mut client, &fatal(&refusal, hint, Some(id))).await?;
        Ok(None)
    }

    /// Ends what a session is doing, if there is a session with this key. Nothing is answered.
    async fn cancel(&self, key: &CancelKey, from: SocketAddr) {
        let parts = &*self.0;
        let Some(entry) = parts.cancels.find(key) else {
            tracing::debug!("a cancel that fits no session");
            if let Ok(_turn) = parts.failures.acquire().await {
                sleep(PENALTY).await;
            }
            return;
        };
        let document = json!({
            "session": entry.caller.session,
            "address": from.ip().to_string(),
        });
        let asked = Asked {
            method: "CANCEL",
            target: entry.database.clone(),
            action: Action::new("sql.cancel").with("database", &*entry.database),
            document: document.to_string().into_bytes(),
        };
        let id = ExchangeId::generate();
        let Ok(open) = parts.gate.open(id, Some(&entry.caller), asked).await else {
            return;
        };
        // Neither counted nor held for people: what it ends was.
        let decision = parts.gate.judge(&entry.caller, &open);
        if decision.verdict != Verdict::Allow {
            if let Some(refusal) = tollbook_policy::refusal(&decision) {
                drop(open.refuse(refusal));
            } else {
                let refusal = Refusal::new(Code::PolicyDenied, "a cancel is not held for people");
                drop(open.refuse(refusal));
            }
            return;
        }
        if let Err(refusal) = parts.gate.parts().book.commit(open.exchange()).await {
            drop(open.refuse(refusal));
            return;
        }
        entry.cancelled.notify_waiters();
        if let Some((address, key)) = &entry.server
            && let Err(fault) = parts.upstream.cancel(*address, key).await
        {
            tracing::warn!(connection = parts.gate.parts().name, %fault, "a cancel did not reach the upstream");
            drop(open.refuse(fault.refusal()));
            return;
        }
        open.exchange().conclude(Outcome::Complete);
    }
}

/// What is asked for by beginning a session.
fn asked<A>(
    wanted: &Wanted,
    version: Version,
    tls: bool,
    parts: &Parts<A>,
    from: SocketAddr,
) -> Asked {
    let database = parts.upstream.database();
    let settings: Map<String, Value> = (wanted.settings.iter())
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let document = json!({
        "user": wanted.user,
        "database": wanted.database,
        "application": wanted.application,
        "session": wanted.label,
        "settings": settings,
        "address": from.ip().to_string(),
        "protocol": format!("{}.{}", version.major, version.minor),
        "tls": tls,
    });
    let mut action = Action::new("sql.connect")
        .with("database", database)
        .with("user", &*wanted.user)
        .with("tls", tls);
    if let Some(application) = &wanted.application {
        action = action.with("application", &**application);
    }
    Asked {
        method: "CONNECT",
        target: database.to_owned(),
        action,
        document: document.to_string().into_bytes(),
    }
}

/// What the server's own log calls the session: that of the book, and what the client calls itself as
/// far as there is room.
fn application(session: SessionId, client: Option<&str>) -> String {
    let mut name = format!("tollbook {session}");
    let client = client.unwrap_or_default().chars();
    let client: String = client.filter(|char| (' '..='~').contains(char)).collect();
    if !client.is_empty() {
        name.push(' ');
        name.extend(client.chars().take(LONGEST_NAME.saturating_sub(name.len())));
    }
    name
}

/// A version as servers tell it begins with its number; what a distribution says behind it is not needed.
fn version_of(told: &str) -> &str {
    let end = told.find(|char: char| !(char.is_ascii_digit() || char == '.'));
    &told[..end.unwrap_or(told.len()).min(20)]
}

/// Notes something that the gate itself made or checked.
fn note(open: &Open, key: &str, value: Value) {
    open.exchange().draft(|draft| {
        let mut result = std::mem::take(&mut draft.result).into_inner();
        result.insert(key.to_owned(), value);
        // Codes, numbers and the gate's own words: nothing of it is a text of caller or server.
        #[expect(
            clippy::disallowed_methods,
            reason = "codes, numbers, the gate's own words"
        )]
        let result = Masked::assume_masked(result);
        draft.result = result;
    });
}

/// The client's own certificate, once the handshake has proved that it holds the key.
fn certificate<S>(link: &Link<S>) -> Option<PeerCertificate> {
    let hash = digest::digest(&digest::SHA256, link.certificate()?);
    hash.as_ref().try_into().ok().map(PeerCertificate)
}

async fn refuse<S, T>(
    mut client: Client<S>,
    id: ExchangeId,
    refusal: &Refusal,
) -> Result<Option<T>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    end(&mut client, &fatal(refusal, None, Some(id))).await?;
    Ok(None)
}

async fn say<S: AsyncWrite + Unpin>(
    client: &mut S,
    frames: &[tollbook_wire_postgres::Frame],
) -> Result<(), Fault> {
    let mut out = BytesMut::new();
    frames.iter().for_each(|frame| frame.write(&mut out));
    client.write_all(&out).await?;
    Ok(client.flush().await?)
}

/// Says a last word and closes.
async fn end<S: AsyncWrite + Unpin>(client: &mut S, word: &[u8]) -> Result<(), Fault> {
    let said = async {
        client.write_all(word).await?;
        client.flush().await?;
        client.shutdown().await
    };
    // One that does not listen is not waited for.
    Ok(timeout(GREETING, said).await.map_err(|_| late())??)
}

fn late() -> std::io::Error {
    std::io::ErrorKind::TimedOut.into()
}

/// How long a client may take until it has said what it wants, TLS included.
const GREETING: Duration = Duration::from_secs(10);
/// How long it may take to say who it is. Clients that ask a person for a password leave for that time.
const SIGN_IN: Duration = Duration::from_secs(30);
/// How many failures of one connection are dealt with at once.
const FAILURES: usize = 8;
/// How long each of them takes.
const PENALTY: Duration = Duration::from_secs(1);
/// The longest name that a server takes, in bytes (`NAMEDATALEN` - 1).
const LONGEST_NAME: usize = 63;
const NO_TOKEN: &str = "no credential was shown";
const WHERE: &str = "Show a token of the gate or of an issuer in the place of the password.";
