//! `tollbook connect`.

use std::{env, fs, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tollbook_gateway::{
    config::ProtocolConfig,
    tunnel::{
        NoPassword, PasswordFuture, ProvidePassword, Server, Tunnel, Upstream, UpstreamTls,
        is_local,
    },
};
use zeroize::Zeroizing;

use crate::{
    command::{Configuration, Form, log, remote, serve::Signals},
    exit::Failure,
    print,
};

/// What agents set to the id of their session, in the environment of what they start: Claude Code.
const AGENTS: [&str; 1] = ["CLAUDE_CODE_SESSION_ID"];
/// How long the gate may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Open a local port for the native clients of a database, with your identity at the gate.
///
/// Clients such as psql sign in at the port with the password that is printed; the tunnel shows your
/// token to the gate. It runs until it is told to stop.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The connection's name.
    name: String,
    /// Where the gate serves the connection, as `host:port`; else the configuration says.
    #[arg(long, value_name = "HOST:PORT")]
    gate: Option<String>,
    /// The authorities that sign the gate's certificate, in PEM; else those of the operating system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The local address to listen on; any free port unless told.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The session in the book that statements belong to; else that of the agent which this runs in.
    #[arg(long, value_name = "LABEL")]
    session: Option<String>,
    #[command(flatten)]
    token: remote::Token,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    form: Form,
}

impl Connect {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log("warn")?;
        if !self.listen.ip().is_loopback() {
            return Err(Failure::usage(
                "the port is for this machine alone: --listen takes a loopback address",
            ));
        }
        // Now, and not when the first client comes.
        self.token.read()?;
        let gate = self.gate()?;
        let session = self.session.clone().or_else(|| {
            let set = AGENTS.iter().filter_map(|name| env::var(name).ok());
            set.into_iter().find(|label| !label.is_empty())
        });
        let token = Arc::new(Token(self.token.clone()));
        let tunnel = Tunnel::new(gate, token, session.clone())
            .map_err(|error| Failure::unknown("cannot make a password", error))?;
        let mut signals = Signals::listen()?;
        let listening = TcpListener::bind(self.listen).await;
        let listener = listening.map_err(|error| {
            Failure::unknown(&format!("cannot listen on {}", self.listen), error)
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::unknown("cannot tell the port", error))?;
        self.tell(address, session.as_deref(), tunnel.password())?;
        let mut clients = JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            let stream = tokio::select! {
                () = signals.next() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a client");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let tunnel = tunnel.clone();
            clients.spawn(async move {
                if let Err(error) = tunnel.serve(stream).await {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "no session");
                }
            });
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(
        &self,
        address: SocketAddr,
        session: Option<&str>,
        password: &str,
    ) -> Result<(), Failure> {
        let (host, port, name) = (address.ip(), address.port(), &self.name);
        let psql =
            format!("psql 'host={host} port={port} user=tollbook dbname={name} sslmode=disable'");
        if self.form.json {
            return print::json(&json!({
                "connection": name,
                "listen": address.to_string(),
                "password": password,
                "session": session,
                "psql": psql,
            }));
        }
        let mut page = vec![format!("PGPASSWORD={password} \\\n  {psql}")];
        if let Some(session) = session {
            page.push(format!("statements belong to your session {session}"));
        }
        print::page(&page)
    }

    /// Where the gate is. Over a network its certificate is verified; on this machine TLS is spoken where
    /// an authority is named.
    fn gate(&self) -> Result<Upstream, Failure> {
        let (host, port) = match &self.gate {
            Some(gate) => place(gate).ok_or_else(|| {
                Failure::usage(format!("`{gate}` is no place; write `gate.example:6432`"))
            })?,
            None => self.configured()?,
        };
        let tls = match (&self.ca_file, is_local(&host)) {
            (None, true) => None,
            (file, _) => {
                let read = |file: &PathBuf| {
                    fs::read(file).map_err(|error| {
                        Failure::usage(format!("cannot read {}: {error}", file.display()))
                    })
                };
                let authorities = file.as_ref().map(read).transpose()?;
                let tls = UpstreamTls::verified(authorities.as_deref(), None);
                Some(tls.map_err(|error| Failure::usage(error.to_string()))?)
            }
        };
        let server = Server {
            host,
            port,
            user: String::new(),
            database: self.name.clone(),
            tls,
            password: None,
            patience: PATIENCE,
        };
        Upstream::new(server).map_err(|error| Failure::usage(error.to_string()))
    }

    fn configured(&self) -> Result<(String, u16), Failure> {
        let (_, config) = self.configuration.read().map_err(|failure| {
            Failure::usage(format!(
                "which gate? name where it serves the connection with --gate, or its --config: {}",
                failure.message()
            ))
        })?;
        let named = (config.connections.iter()).find(|connection| connection.name == self.name);
        let connection = named.ok_or_else(|| {
            Failure::usage(format!(
                "the configuration has no connection `{}`",
                self.name
            ))
        })?;
        match &connection.protocol {
            ProtocolConfig::Postgres(own) if own.listen.is_some_and(|at| at.port() != 0) => {
                let at = own.listen.unwrap_or(self.listen);
                let host = match at.ip().is_unspecified() {
                    true => "127.0.0.1".to_owned(),
                    false => at.ip().to_string(),
                };
                Ok((host, at.port()))
            }
            ProtocolConfig::Postgres(_) => Err(Failure::usage(
                "the connection listens on any port: name the one it has with --gate",
            )),
            _ => Err(Failure::usage(format!(
                "`{}` is no database: its clients take an address of HTTP, see `tollbook check`",
                self.name
            ))),
        }
    }
}

/// The caller's token, as it is now: what renews it writes the file anew.
#[derive(Debug)]
struct Token(remote::Token);

impl ProvidePassword for Token {
    fn current(&self) -> PasswordFuture<'_> {
        let token = self.0.read().map(Zeroizing::new).map_err(|_| NoPassword);
        Box::pin(std::future::ready(token))
    }
}

fn place(gate: &str) -> Option<(String, u16)> {
    let (host, port) = gate.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}
