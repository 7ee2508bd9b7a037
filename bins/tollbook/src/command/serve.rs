//! `tollbook serve`.

use std::{env, process::ExitCode};

use clap::Args;
use serde_json::json;
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::Health;

use crate::{
    Global,
    command::{configuration, log},
    exit::Failure,
    print,
};

/// Run the gateway.
///
/// It stops at SIGTERM or SIGINT: no new connection is taken, open exchanges come to their end
/// within the `drain` time of the configuration. A second signal ends it at once.
#[derive(Debug, Args)]
pub(crate) struct Serve {}

impl Serve {
    pub(crate) async fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        log("info");
        let file = configuration(global)?;
        let plan = Plan::load(&file, env::vars())
            .map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
        let gateway = Gateway::start(plan)
            .await
            .map_err(|error| Failure::unknown("cannot start the gateway", error))?;
        if global.json {
            print::json(&json!({
                "listen": gateway.address().to_string(),
                "admin": gateway.admin().to_string(),
            }))?;
        }
        until_told(gateway).await
    }
}

/// Serves until a signal comes, then drains.
pub(crate) async fn until_told(gateway: Gateway) -> Result<ExitCode, Failure> {
    signal().await?;
    tokio::select! {
        closed = gateway.shutdown() => match closed {
            Health::Blocked { reason } => {
                Err(Failure::Unknown(format!("the book could not be written to its end: {reason}")))
            }
            _ => Ok(ExitCode::SUCCESS),
        },
        again = signal() => {
            again?;
            Err(Failure::Unknown("stopped at the second signal; open exchanges were cut".to_owned()))
        }
    }
}

async fn signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen =
        |kind| signal(kind).map_err(|error| Failure::unknown("cannot take signals", error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
