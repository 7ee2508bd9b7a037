//! The witnesses that are asked.

use tollbook_witness::Client;

use super::build::Builder;
use crate::{config::WitnessesConfig, witnesses::Asking};

impl Builder<'_> {
    /// Who is asked, if anybody is.
    pub(super) fn witnesses(&mut self, config: &WitnessesConfig) -> Option<Asking> {
        let mut clients = Vec::new();
        for witness in &config.all {
            let key = witness.key.clone()?;
            match Client::new(key, &witness.url.value) {
                Ok(client) => clients.push((witness.name.clone(), client)),
                Err(_) => self.wrong(
                    witness.url.line,
                    "`url` is no address of a witness; write `\"https://witness.example\"`",
                ),
            }
        }
        Some(Asking::new(clients, config.quorum()?, config.interval))
    }
}
