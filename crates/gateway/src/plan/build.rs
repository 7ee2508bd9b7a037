//! Building the parts of a plan.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use tollbook_exchange::PrincipalKind;
use tollbook_identity::{Issuer, OidcAuthenticator};
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_proxy::{Credential, Forward};
use zeroize::Zeroizing;

use crate::config::{Config, ConnectionConfig, CredentialSource, IssuerConfig, KeySource, Mistake};

/// Builds the parts and collects what is wrong with them.
pub(super) struct Builder<'a> {
    pub(super) folder: &'a Path,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) all: Vec<Mistake>,
}

impl Builder<'_> {
    fn wrong(&mut self, message: impl Into<String>) {
        self.all.push(Mistake {
            line: None,
            message: message.into(),
        });
    }

    pub(super) fn masker(&mut self, rules: &[String]) -> Option<Masker> {
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

    pub(super) fn policies(&mut self, config: &Config) -> Option<PolicySet> {
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

    pub(super) fn authenticator(&mut self, issuers: &[IssuerConfig]) -> Option<OidcAuthenticator> {
        let mut authenticator = OidcAuthenticator::builder();
        for config in issuers {
            match issuer(config) {
                Ok(issuer) => authenticator = authenticator.issuer(issuer),
                Err(error) => {
                    let message = format!("issuer `{}`: {error}", config.name);
                    self.all.push(Mistake {
                        line: Some(config.line),
                        message,
                    });
                }
            }
        }
        authenticator
            .build()
            .map_err(|error| self.wrong(format!("issuers: {error}")))
            .ok()
    }

    pub(super) fn forward(&mut self, config: &ConnectionConfig) -> Option<Forward> {
        let mut forward = Forward::builder(&config.upstream);
        let mut faults = Vec::new();
        if let Some(credential) = &config.credential {
            let secret = self.secret(&credential.source).and_then(|secret| {
                Credential::new(&credential.header, &credential.prefix, &secret)
                    .map_err(|error| error.to_string())
            });
            match secret {
                Ok(credential) => forward = forward.credential(credential),
                Err(why) => faults.push(why),
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
                Err(error) => {
                    faults.push(format!(
                        "ca_file {} cannot be read: {error}",
                        path.display()
                    ));
                }
            }
        }
        let built = forward
            .build()
            .map_err(|error| faults.push(error.to_string()));
        for fault in &faults {
            let message = format!("connection `{}`: {fault}", config.name);
            self.all.push(Mistake {
                line: Some(config.line),
                message,
            });
        }
        built.ok().filter(|_| faults.is_empty())
    }

    fn secret(&self, source: &CredentialSource) -> Result<Zeroizing<String>, String> {
        match source {
            CredentialSource::Env(name) => match self.environment.get(name).map(|text| text.trim())
            {
                Some("") => Err(format!("environment variable {name} is empty")),
                Some(secret) => Ok(Zeroizing::new(secret.to_owned())),
                None => Err(format!("environment variable {name} is not set")),
            },
            CredentialSource::File(path) => {
                secret_file(path).map_err(|why| format!("credential file {} {why}", path.display()))
            }
        }
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
fn secret_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err("can be read by others; run chmod 600 on it".to_owned());
        }
    }
    if metadata.len() > MAX_SECRET {
        return Err("is too large to be a credential".to_owned());
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    match text.trim() {
        "" => Err("is empty".to_owned()),
        secret => Ok(Zeroizing::new(secret.to_owned())),
    }
}

/// The largest credential file, in bytes.
const MAX_SECRET: u64 = 64 << 10;
