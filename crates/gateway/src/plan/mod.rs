//! From what is written to what would run.

mod build;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tollbook_identity::OidcAuthenticator;
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_proxy::Forward;

use self::build::Builder;
use crate::{
    config::{Config, ConnectionConfig, Mistake, Mistakes, WireMasking},
    tls::Tls,
};

/// A configuration whose every part was built and found right.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) config: Config,
    pub(crate) authenticator: OidcAuthenticator,
    pub(crate) policies: PolicySet,
    pub(crate) masker: Masker,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections: Vec<(ConnectionConfig, Forward)>,
}

/// What would run, for a person to look at.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The address of the data plane.
    pub listen: String,
    /// The address of the admin listener.
    pub admin: String,
    /// The folder of the book.
    pub data: PathBuf,
    /// Whether the data plane speaks TLS.
    pub tls: bool,
    /// The issuers, by name.
    pub issuers: Vec<String>,
    /// The connections, by name, with their upstream.
    pub connections: Vec<ConnectionSummary>,
    /// Names the exact set of policies.
    pub policy_hash: String,
    /// How many policies there are, generated and built-in ones included.
    pub policies: usize,
    /// How many masking rules there are.
    pub rules: usize,
}

/// One connection of a [`Summary`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ConnectionSummary {
    /// The name.
    pub name: String,
    /// The protocol.
    pub protocol: &'static str,
    /// The upstream's base address.
    pub upstream: String,
    /// Groups that may use it.
    pub allow: Vec<String>,
    /// Whether bodies are masked on the wire.
    pub mask_wire: bool,
}

impl Plan {
    /// Loads the file at `path` and builds everything that it names.
    ///
    /// # Errors
    ///
    /// Every mistake of the file, of the policies and rules it names, and of its environment.
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        let text = fs::read_to_string(path).map_err(|error| {
            let message = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            Mistakes {
                file: Some(path.to_owned()),
                all: vec![Mistake {
                    line: None,
                    message,
                }],
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::read(&text, folder, environment).map_err(|mistakes| Mistakes {
            file: Some(path.to_owned()),
            ..mistakes
        })
    }

    /// Builds everything that `text` names; paths in it are relative to `folder`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn read(
        text: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let wrong = |all| Mistakes { file: None, all };
        let (config, all) = Config::parse(text, folder, environment.clone()).map_err(wrong)?;
        let mut builder = Builder {
            folder,
            environment,
            all,
        };
        let masker = builder.masker(&config.rules);
        let policies = builder.policies(&config);
        let authenticator = builder.authenticator(&config.issuers);
        let tls = builder.tls(config.gateway.tls.as_ref());
        let connections: Vec<_> = config
            .connections
            .iter()
            .filter_map(|connection| Some((connection.clone(), builder.forward(connection)?)))
            .collect();
        let mut all = builder.all;
        // What no line has comes last.
        all.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        match (masker, policies, authenticator, all) {
            (Some(masker), Some(policies), Some(authenticator), all) if all.is_empty() => {
                Ok(Self {
                    config,
                    authenticator,
                    policies,
                    masker,
                    tls,
                    connections,
                })
            }
            (.., all) => Err(wrong(all)),
        }
    }

    /// What would run.
    pub fn summary(&self) -> Summary {
        let gateway = &self.config.gateway;
        Summary {
            listen: gateway.listen.to_string(),
            admin: gateway.admin.to_string(),
            data: gateway.data.clone(),
            tls: gateway.tls.is_some(),
            issuers: self
                .config
                .issuers
                .iter()
                .map(|issuer| issuer.name.clone())
                .collect(),
            connections: self
                .config
                .connections
                .iter()
                .map(|connection| ConnectionSummary {
                    name: connection.name.clone(),
                    protocol: connection.protocol,
                    upstream: connection.upstream.clone(),
                    allow: connection.allow.clone(),
                    mask_wire: connection.wire == WireMasking::On,
                })
                .collect(),
            policy_hash: self.policies.hash().to_owned(),
            policies: self.policies.len(),
            rules: self.masker.rules().count(),
        }
    }

    /// The folder of the book.
    pub fn data(&self) -> &Path {
        &self.config.gateway.data
    }
}
