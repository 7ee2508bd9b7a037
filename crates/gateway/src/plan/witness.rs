//! Who is asked to vouch for the book.

use std::time::Duration;

use tollbook_timestamp::Roots;
use tollbook_witness::{Authority, Client};

use super::build::Builder;
use crate::{
    config::{TimestampConfig, WitnessesConfig},
    witnesses::Asking,
};

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

    /// Who is asked for time stamps, and how often, if anybody is.
    pub(super) fn authority(
        &mut self,
        config: Option<&TimestampConfig>,
    ) -> Option<(Authority, Duration)> {
        let config = config?;
        let roots = match std::fs::read(&config.roots.value) {
            Ok(pem) => Roots::from_pem(&pem).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let roots = match roots {
            Ok(roots) => roots,
            Err(why) => {
                let file = config.roots.value.display();
                self.wrong(config.roots.line, format!("the roots in {file}: {why}"));
                return None;
            }
        };
        match Authority::new(&config.url.value, roots) {
            Ok(authority) => Some((authority, config.interval.unwrap_or(HOUR))),
            Err(_) => {
                let what = "`url` is no address of an authority; write `\"https://tsa.example\"`";
                self.wrong(config.url.line, what);
                None
            }
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
