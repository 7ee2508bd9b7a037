//! `tollbook witness`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use tollbook_gateway::config::WITNESS;

use crate::{
    command::{Configuration, Form},
    exit::Failure,
    print::{self, field},
};

/// Being a witness of other gateways' books.
#[derive(Debug, Subcommand)]
pub(crate) enum Witness {
    Key(Key),
}

/// Print the public key that this gateway signs with as a witness, and that of its own book.
///
/// Both are for the other gateway: the first for its `[[record.witness]]`, the second for the `logs`
/// of its `[witness]`. The witness's key is made here if there is none; the book's is made when the
/// gateway first starts.
#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    form: Form,
}

impl Witness {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Key(key) => key.run(),
        }
    }
}

impl Key {
    fn run(self) -> Result<ExitCode, Failure> {
        let (_, config) = self.configuration.read()?;
        let data = &config.gateway.data;
        let name = match &config.witness {
            Some(witness) => witness.name.clone(),
            None => format!("{}/witness", config.gateway.name),
        };
        let signer = tollbook_witness::witness_key(data.join(WITNESS), &name)
            .map_err(|error| Failure::unknown("cannot read or make the key", error))?;
        let witness = signer.witness_key().to_string();
        let log = std::fs::read_to_string(data.join("log.vkey"));
        let log = log.ok().map(|text| text.trim_end().to_owned());
        if self.form.json {
            print::json(&json!({ "witness": witness, "log": log }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let missing = "none yet: it is made when the gateway first starts";
        print::page(&[
            field("witness", &witness),
            field("log", log.as_deref().unwrap_or(missing)),
        ])?;
        if config.witness.is_none() {
            print::aside("The gateway is no witness yet: give `[witness]` a `listen`, and `logs`.");
        }
        Ok(ExitCode::SUCCESS)
    }
}
