//! `tollbook serve`.

use std::{env, process::ExitCode};

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::Health;

use crate::{
    command::{Configuration, Form, log},
    exit::Failure,
    memory, print,
};

/// Run the gateway.
///
/// At SIGHUP it loads its policies anew: all of them, or none and the ones in force stay.
/// It stops at SIGTERM or SIGINT: no new connection is taken, open exchanges come to their end
/// within the `drain` time of the configuration. A second signal ends it at once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    form: Form,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log("info")?;
        memory::keep()?;
        let file = self.configuration.file()?;
        let plan = Plan::load(&file, env::vars())
            .map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
        let signals = Signals::listen()?;
        let gateway = Gateway::start(plan)
            .await
            .map_err(|error| Failure::unknown("cannot start the gateway", error))?;
        if self.form.json {
            print::json(&json!({
                "listen": gateway.address().to_string(),
                "admin": gateway.admin().to_string(),
                "databases": gateway.databases(),
                "witness": gateway.witness().map(|address| address.to_string()),
            }))?;
        }
        signals.serve(gateway).await
    }
}

/// SIGTERM, SIGINT and SIGHUP, listened for from the moment this is made: whoever reads where the gateway
/// listens may tell it to stop at once.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::unknown("cannot take signals", error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one that tells it to stop.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Serves until a signal comes, then drains. SIGHUP loads the policies anew.
    pub(crate) async fn serve(mut self, gateway: Gateway) -> Result<ExitCode, Failure> {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => gateway.reload_policies().await,
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        tokio::select! {
            closed = gateway.shutdown() => match closed {
                Health::Blocked { reason } => {
                    let message = format!("the book could not be written to its end: {reason}");
                    Err(Failure::Unknown(message))
                }
                _ => Ok(ExitCode::SUCCESS),
            },
            () = self.next() => {
                let message = "stopped at the second signal; open exchanges were cut";
                Err(Failure::Unknown(message.to_owned()))
            }
        }
    }
}
