//! `tollbook.toml`: what may be written in it, and what it means.
//!
//! Reading goes on past mistakes, so that a person sees all of them at once; what was wrong has its
//! default or is empty in the [`Config`], and a configuration with mistakes never runs.

mod connection;
mod document;
mod gateway;
mod issuer;
mod mistake;

use std::path::{Path, PathBuf};

pub use connection::{ConnectionConfig, CredentialConfig, CredentialSource, WireMasking};
pub use gateway::{GatewayConfig, TlsConfig};
pub use issuer::{IssuerConfig, KeySource};
pub use mistake::{Located, Mistake, Mistakes};
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
    pub policies: Option<Located<PathBuf>>,
    /// `[masking] rules`: `builtin`, files, and `folder/*.toml`.
    pub rules: Vec<Located<String>>,
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
        Self::parse(text, folder, environment).unwrap_or_else(|broken| (Self::default(), broken))
    }

    /// As [`read`](Self::read), but only mistakes where the text is no TOML: everything else that
    /// seems wrong then would only hide the mistake that matters.
    pub(crate) fn parse(
        text: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Mistake>), Vec<Mistake>> {
        let (document, broken) = DeTable::parse_recoverable(text);
        let notes = Notes::new(text, environment);
        for error in &broken {
            notes.at(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        if !broken.is_empty() {
            return Err(notes.finish());
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
            rules: vec![Located {
                line: None,
                value: "builtin".to_owned(),
            }],
        };
        let policy = root.table("policy");
        config.policies = policy
            .text("path")
            .map(|path| path.located(&notes, |path| folder.join(path)));
        policy.finish();
        let masking = root.table("masking");
        if let Some(rules) = masking.texts("rules") {
            let located = rules
                .into_iter()
                .map(|rule| rule.located(&notes, |rule| rule));
            config.rules = located.collect();
        }
        masking.finish();
        root.not_available(
            "federation",
            "callers present their issuer's token itself, and policies read its claims",
        );
        if root.is_without("issuer") {
            notes.anywhere("no issuer is configured: nobody could pass the gate");
        }
        if root.is_without("connection") {
            notes.anywhere("no [[connection]]: there is nothing to reach through the gate");
        }
        root.finish();
        notes.unused();
        Ok((config, notes.finish()))
    }
}

/// Reads tables that go by a unique `name`.
fn named<T>(
    sections: Vec<Section<'_>>,
    kind: &'static str,
    read: impl Fn(Section<'_>) -> T,
) -> Vec<T> {
    let mut names: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for mut section in sections {
        let name = section.peek("name").unwrap_or_default();
        section.rename(format!("{kind}.{name}"));
        if !name.is_empty() && names.contains(&name) {
            section.wrong(format!("there are two {kind}s named `{name}`"));
        }
        names.push(name);
        all.push(read(section));
    }
    all
}

#[cfg(test)]
mod tests;
