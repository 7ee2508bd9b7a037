//! `tollbook.toml`: what may be written in it, and what it means.
//!
//! Reading goes on past mistakes, so that a person sees all of them at once; what was wrong is
//! left out of the [`Config`], and a configuration with mistakes never runs.

mod connection;
mod document;
mod gateway;
mod issuer;
mod mistake;

use std::path::Path;

pub use connection::{ConnectionConfig, CredentialConfig, CredentialSource, WireMasking};
pub use gateway::{GatewayConfig, TlsConfig};
pub use issuer::{IssuerConfig, KeySource};
pub use mistake::{Mistake, Mistakes};
use toml::de::DeTable;

use self::document::{Notes, Section};

/// A whole configuration. Paths are relative to the file's folder until they are resolved there.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[gateway]`: where the gateway listens and keeps its book.
    pub gateway: GatewayConfig,
    /// `[[issuer]]`: who may vouch for callers.
    pub issuers: Vec<IssuerConfig>,
    /// `[[connection]]`: what can be reached through the gate.
    pub connections: Vec<ConnectionConfig>,
    /// `[policy] path`: the folder of Cedar files.
    pub policies: Option<std::path::PathBuf>,
    /// `[masking] rules`: `builtin`, files, and `folder/*.toml`.
    pub rules: Vec<String>,
}

impl Config {
    /// Reads a configuration. Relative paths in it are resolved against `folder`;
    /// `environment` holds the variables that may override single keys, such as
    /// `TOLLBOOK_GATEWAY__LISTEN` or, for the connection of that name,
    /// `TOLLBOOK_CONNECTION__CLAUDE__UPSTREAM`.
    ///
    /// Returns what could be read, and everything that is wrong with it.
    pub fn read(
        text: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<Mistake>) {
        let (document, broken) = DeTable::parse_recoverable(text);
        let notes = Notes::new(text, environment);
        for error in &broken {
            notes.at(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        if !broken.is_empty() {
            // The keys of a text that is no TOML would only hide the mistake that matters.
            return (Self::default(), notes.finish());
        }

        let root = Section::root(&notes, document.get_ref());
        let mut config = Self {
            gateway: GatewayConfig::read(root.table("gateway"), folder),
            issuers: named(root.tables("issuer"), "issuer", |section| {
                IssuerConfig::read(section, folder)
            }),
            connections: named(root.tables("connection"), "connection", |section| {
                ConnectionConfig::read(section, folder)
            }),
            policies: None,
            rules: vec!["builtin".to_owned()],
        };
        let policy = root.table("policy");
        config.policies = policy.text("path").map(|path| folder.join(path.value));
        policy.finish();
        let masking = root.table("masking");
        if let Some(rules) = masking.texts("rules") {
            config.rules = rules.into_iter().map(|rule| rule.value).collect();
        }
        masking.finish();
        root.not_available(
            "federation",
            "callers present their issuer's token itself, and policies read its claims",
        );
        root.finish();
        if config.connections.is_empty() && notes.is_empty() {
            notes.anywhere("no [[connection]]: there is nothing to reach through the gate");
        }
        (config, notes.finish())
    }
}

/// Reads tables that go by a unique `name`.
fn named<T>(
    sections: Vec<Section<'_>>,
    kind: &'static str,
    read: impl Fn(Section<'_>) -> Option<(String, T)>,
) -> Vec<T> {
    let mut names: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for mut section in sections {
        let name = section.peek("name").unwrap_or_default();
        section.rename(format!("{kind}.{name}"));
        if names.contains(&name) {
            section.wrong(format!("there are two {kind}s named `{name}`"));
        }
        if let Some((name, value)) = read(section) {
            names.push(name);
            all.push(value);
        }
    }
    all
}

#[cfg(test)]
mod tests;
