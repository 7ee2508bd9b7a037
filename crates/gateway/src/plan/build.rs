//! Building the parts of a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use tollbook_exchange::PrincipalKind;
use tollbook_identity::{Issuer, IssuerBuilder, OidcAuthenticator, Problem};
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_proxy::{Credential, Forward};
use zeroize::Zeroizing;

use crate::{
    config::{
        Config, ConnectionConfig, CredentialSource, IssuerConfig, KeySource, Located, Mistake,
        TlsConfig,
    },
    tls::Tls,
};

/// Builds the parts and collects what is wrong with them.
pub(super) struct Builder<'a> {
    pub(super) folder: &'a Path,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) all: Vec<Mistake>,
}

impl Builder<'_> {
    fn wrong(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.all.push(Mistake {
            line,
            message: message.into(),
        });
    }

    pub(super) fn masker(&mut self, rules: &[Located<String>]) -> Option<Masker> {
        let mut masker = Masker::builder();
        for source in rules {
            if source.value == "builtin" {
                masker = masker.builtin();
                continue;
            }
            let pattern = self.folder.join(&source.value);
            for (name, text) in self.texts(&pattern, source.line, "toml") {
                masker = masker.rules(name, text);
            }
        }
        match masker.build() {
            Ok(masker) => Some(masker),
            Err(errors) => {
                errors
                    .mistakes()
                    .iter()
                    .for_each(|mistake| self.wrong(None, mistake.to_string()));
                None
            }
        }
    }

    pub(super) fn policies(&mut self, config: &Config) -> Option<PolicySet> {
        let mut policies = PolicySet::builder();
        let mut names = BTreeSet::new();
        for connection in &config.connections {
            // A name that is used twice is a mistake already.
            if names.insert(&connection.name) {
                policies = policies.allow(&connection.name, connection.allow.iter().cloned());
            }
        }
        if let Some(folder) = &config.policies {
            for (name, text) in self.texts(&folder.value.join("*.cedar"), folder.line, "cedar") {
                policies = policies.file(name, text);
            }
        }
        match policies.build() {
            Ok(policies) => Some(policies),
            Err(errors) => {
                errors
                    .mistakes()
                    .iter()
                    .for_each(|mistake| self.wrong(None, mistake.to_string()));
                None
            }
        }
    }

    pub(super) fn authenticator(&mut self, issuers: &[IssuerConfig]) -> Option<OidcAuthenticator> {
        let mut authenticator = OidcAuthenticator::builder();
        for config in issuers {
            if let KeySource::File(file) = &config.keys
                && let Err(why) = key_file(config, &file.value)
            {
                let message = format!("`jwks_file`: file {} {why}", file.value.display());
                self.wrong(file.line, message);
            }
            match issuer(config).build() {
                Ok(issuer) => authenticator = authenticator.issuer(issuer),
                Err(error) => {
                    for problem in error.problems().iter().filter(|one| !is_told(config, one)) {
                        self.wrong(Some(config.line), problem.to_string());
                    }
                }
            }
        }
        let error = match authenticator.build() {
            Ok(authenticator) => return Some(authenticator),
            Err(error) => error,
        };
        for problem in error.problems() {
            match problem {
                // Either none is written or each that is has a mistake; both were told.
                Problem::NoIssuer | Problem::DuplicateName(_) => {}
                Problem::DuplicateIdentifier(identifier) => {
                    let mut same = issuers.iter().filter(|one| one.issuer == *identifier);
                    let line = same.next_back().map(|one| one.line);
                    self.wrong(line, problem.to_string());
                }
                _ => self.wrong(None, format!("issuers: {problem}")),
            }
        }
        None
    }

    pub(super) fn tls(&mut self, config: Option<&TlsConfig>) -> Option<Tls> {
        match Tls::load(config?) {
            Ok(tls) => Some(tls),
            Err(faults) => {
                self.all.extend(faults);
                None
            }
        }
    }

    pub(super) fn forward(&mut self, config: &ConnectionConfig) -> Option<Forward> {
        let mut forward = Forward::builder(&config.upstream);
        let (mut faults, mut authorities) = (Vec::new(), None);
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
                Ok(pem) => {
                    authorities = Some(pem.clone());
                    forward = forward.ca_pem(pem);
                }
                Err(error) => {
                    faults.push(format!(
                        "ca_file {} cannot be read: {error}",
                        path.display()
                    ));
                }
            }
        }
        let built = match forward.build() {
            Ok(built) => Some(built),
            Err(error) => {
                // An upstream that is missing was told; what is wrong with one hides what may be
                // wrong with the authorities, so they are tried with another.
                let authorities = authorities.and_then(|pem| {
                    let any = Forward::builder("https://localhost").ca_pem(pem);
                    any.build().err().map(|error| error.to_string())
                });
                let error = error.to_string();
                if !config.upstream.is_empty() && authorities.as_ref() != Some(&error) {
                    faults.push(error);
                }
                faults.extend(authorities);
                None
            }
        };
        for fault in &faults {
            let message = format!("connection `{}`: {fault}", config.name);
            self.wrong(Some(config.line), message);
        }
        built.filter(|_| faults.is_empty())
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

    /// The files that `pattern`, written at `line`, names: one file, or all `*.extension` of a
    /// folder in order.
    fn texts(
        &mut self,
        pattern: &Path,
        line: Option<usize>,
        extension: &str,
    ) -> Vec<(String, String)> {
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
                    let folder = folder.display();
                    self.wrong(line, format!("folder {folder} cannot be read: {error}"));
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
                    let file = file.display();
                    self.wrong(line, format!("file {file} cannot be read: {error}"));
                }
            }
        }
        texts
    }
}

fn issuer(config: &IssuerConfig) -> IssuerBuilder {
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
        KeySource::File(file) => issuer.jwks_file(&file.value),
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
    issuer
}

/// Whether the problem is one of a key that is missing, which reading the configuration told.
fn is_told(config: &IssuerConfig, problem: &Problem) -> bool {
    match problem {
        Problem::Name(_) => config.name.is_empty(),
        Problem::Identifier { .. } => config.issuer.is_empty(),
        Problem::Url { url, .. } => url.is_empty() && config.issuer.is_empty(),
        Problem::Audience { .. } => config.audience.is_empty(),
        _ => false,
    }
}

/// Reads an issuer's key set as the authenticator will, to find out now whether it can.
fn key_file(config: &IssuerConfig, path: &Path) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(MAX_KEY_SET + 1).read_to_string(&mut text);
    read.map_err(unreadable)?;
    if text.len() as u64 > MAX_KEY_SET {
        return Err("is larger than 512 KiB".to_owned());
    }
    let Err(error) = issuer(config).jwks_json(text).build() else {
        return Ok(());
    };
    let fault = error.problems().iter().find_map(|problem| match problem {
        Problem::KeySet { fault, .. } => Some(format!("is no key set to use: it {fault}")),
        _ => None,
    });
    fault.map_or(Ok(()), Err)
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

/// The largest key set that an authenticator takes, in bytes.
const MAX_KEY_SET: u64 = 512 << 10;
/// The largest credential file, in bytes.
const MAX_SECRET: u64 = 64 << 10;
