//! From what is written to what would run.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tollbook_exchange::PrincipalKind;
use tollbook_identity::{Issuer, OidcAuthenticator};
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_proxy::{Credential, Forward};

use crate::config::{
    Config, ConnectionConfig, CredentialSource, IssuerConfig, KeySource, Mistake, Mistakes,
    WireMasking,
};

/// A configuration whose every part was built and found right.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) config: Config,
    pub(crate) authenticator: OidcAuthenticator,
    pub(crate) policies: PolicySet,
    pub(crate) masker: Masker,
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
        let (config, all) = Config::read(text, folder, environment.clone());
        let mut builder = Builder {
            folder,
            environment,
            all,
        };
        let masker = builder.masker(&config.rules);
        let policies = builder.policies(&config);
        let authenticator = builder.authenticator(&config.issuers);
        let connections: Vec<_> = config
            .connections
            .iter()
            .filter_map(|connection| Some((connection.clone(), builder.forward(connection)?)))
            .collect();
        match (masker, policies, authenticator, builder.all) {
            (Some(masker), Some(policies), Some(authenticator), all) if all.is_empty() => {
                Ok(Self {
                    config,
                    authenticator,
                    policies,
                    masker,
                    connections,
                })
            }
            (.., all) => Err(Mistakes { file: None, all }),
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

/// Builds the parts and collects what is wrong with them.
struct Builder<'a> {
    folder: &'a Path,
    environment: BTreeMap<String, String>,
    all: Vec<Mistake>,
}

impl Builder<'_> {
    fn wrong(&mut self, message: impl Into<String>) {
        self.all.push(Mistake {
            line: None,
            message: message.into(),
        });
    }

    fn masker(&mut self, rules: &[String]) -> Option<Masker> {
        let mut masker = Masker::builder();
        for source in rules {
            if source == "builtin" {
                masker = masker.builtin();
                continue;
            }
            for (name, text) in self.texts(&self.folder.join(source), "toml") {
                masker = masker.rules(name, text);
            }
        }
        match masker.build() {
            Ok(masker) => Some(masker),
            Err(errors) => {
                errors
                    .mistakes()
                    .iter()
                    .for_each(|mistake| self.wrong(mistake.to_string()));
                None
            }
        }
    }

    fn policies(&mut self, config: &Config) -> Option<PolicySet> {
        let mut policies = PolicySet::builder();
        for connection in &config.connections {
            policies = policies.allow(&connection.name, connection.allow.iter().cloned());
        }
        if let Some(folder) = &config.policies {
            for (name, text) in self.texts(&folder.join("*.cedar"), "cedar") {
                policies = policies.file(name, text);
            }
        }
        match policies.build() {
            Ok(policies) => Some(policies),
            Err(errors) => {
                errors
                    .mistakes()
                    .iter()
                    .for_each(|mistake| self.wrong(mistake.to_string()));
                None
            }
        }
    }

    fn authenticator(&mut self, issuers: &[IssuerConfig]) -> Option<OidcAuthenticator> {
        let mut authenticator = OidcAuthenticator::builder();
        for config in issuers {
            match issuer(config) {
                Ok(issuer) => authenticator = authenticator.issuer(issuer),
                Err(error) => self.wrong(format!("issuer `{}`: {error}", config.name)),
            }
        }
        authenticator
            .build()
            .map_err(|error| self.wrong(format!("issuers: {error}")))
            .ok()
    }

    fn forward(&mut self, config: &ConnectionConfig) -> Option<Forward> {
        let mut forward = Forward::builder(&config.upstream);
        if let Some(credential) = &config.credential {
            let secret = match &credential.source {
                CredentialSource::Env(name) => match self.environment.get(name) {
                    Some(secret) if !secret.trim().is_empty() => secret.trim().to_owned(),
                    Some(_) => {
                        self.wrong(format!(
                            "connection `{}`: environment variable {name} is empty",
                            config.name
                        ));
                        return None;
                    }
                    None => {
                        self.wrong(format!(
                            "connection `{}`: environment variable {name} is not set",
                            config.name
                        ));
                        return None;
                    }
                },
                CredentialSource::File(path) => match secret_file(path) {
                    Ok(secret) => secret,
                    Err(why) => {
                        self.wrong(format!(
                            "connection `{}`: credential file {} {why}",
                            config.name,
                            path.display()
                        ));
                        return None;
                    }
                },
            };
            match Credential::new(&credential.header, &credential.prefix, &secret) {
                Ok(credential) => forward = forward.credential(credential),
                Err(error) => self.wrong(format!("connection `{}`: {error}", config.name)),
            }
        }
        if let Some(time) = config.head_timeout {
            forward = forward.head_timeout(time);
        }
        if let Some(time) = config.idle_timeout {
            forward = forward.idle_timeout(time);
        }
        if let Some(path) = &config.ca_file {
            match fs::read(path) {
                Ok(pem) => forward = forward.ca_pem(pem),
                Err(error) => self.wrong(format!(
                    "connection `{}`: ca_file {} cannot be read: {error}",
                    config.name,
                    path.display()
                )),
            }
        }
        forward
            .build()
            .map_err(|error| self.wrong(format!("connection `{}`: {error}", config.name)))
            .ok()
    }

    /// The files that `pattern` names: one file, or all `*.extension` of a folder in order.
    fn texts(&mut self, pattern: &Path, extension: &str) -> Vec<(String, String)> {
        let is_folder = pattern
            .file_name()
            .is_some_and(|name| *name == *format!("*.{extension}"));
        let files = if is_folder {
            let folder = pattern.parent().unwrap_or(pattern);
            let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            match entries {
                Ok(entries) => {
                    let mut files: Vec<PathBuf> = entries
                        .into_iter()
                        .map(|entry| entry.path())
                        .filter(|path| path.extension().is_some_and(|found| found == extension))
                        .collect();
                    files.sort();
                    files
                }
                Err(error) => {
                    self.wrong(format!(
                        "folder {} cannot be read: {error}",
                        folder.display()
                    ));
                    Vec::new()
                }
            }
        } else {
            vec![pattern.to_owned()]
        };
        let mut texts = Vec::new();
        for file in files {
            match fs::read_to_string(&file) {
                Ok(text) => {
                    let name = file.strip_prefix(self.folder).unwrap_or(&file);
                    texts.push((name.display().to_string(), text));
                }
                Err(error) => {
                    self.wrong(format!("file {} cannot be read: {error}", file.display()));
                }
            }
        }
        texts
    }
}

fn issuer(config: &IssuerConfig) -> Result<Issuer, String> {
    let mut issuer = Issuer::builder(&config.name, &config.issuer)
        .audience(&config.audience)
        .kind(match config.kind {
            "human" => PrincipalKind::Human,
            "service" => PrincipalKind::Service,
            _ => PrincipalKind::Ci,
        });
    if !config.claims.is_empty() {
        issuer = issuer.claims(&config.claims);
    }
    issuer = match &config.keys {
        KeySource::Discovery => issuer.discover(),
        KeySource::Url(url) => issuer.jwks_url(url),
        KeySource::File(path) => issuer.jwks_file(path),
    };
    if let Some(claim) = &config.groups_claim {
        issuer = issuer.groups_claim(claim);
    }
    if let Some(algorithms) = &config.algorithms {
        issuer = issuer.algorithms(algorithms.iter().map(String::as_str));
    }
    if let Some(life) = config.max_lifetime {
        issuer = issuer.max_lifetime(life);
    }
    issuer.build().map_err(|error| error.to_string())
}

/// The secret in a file that nobody but its owner can read.
fn secret_file(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err("can be read by others; run chmod 600 on it".to_owned());
        }
    }
    if metadata.len() > 64 << 10 {
        return Err("is too large to be a credential".to_owned());
    }
    let secret = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    match secret.trim() {
        "" => Err("is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}
