//! `tollbook.toml`: what may be written in it, and what it means.
//!
//! Reading goes on past mistakes, so that a person sees all of them at once; what was wrong has its
//! default or is empty in the [`Config`], and a configuration with mistakes never runs.

mod admin;
mod approvals;
mod connection;
mod detection;
mod document;
mod durability;
mod federation;
mod gateway;
mod issuer;
mod keys;
mod limits;
mod masking;
mod mistake;
mod record;
mod retention;
mod search;
mod sink;
mod witness;

use std::path::{Path, PathBuf};

pub use admin::AdminConfig;
pub use approvals::{ApprovalsConfig, PersonConfig, SlackConfig, WebhookConfig};
pub use connection::{
    ClaudeConfig, ClientTls, ConnectionConfig, CredentialConfig, OAuthConfig, PostgresConfig,
    ProtocolConfig, RowsConfig, SecretSource, ToolCalls, UpstreamFederation, WaitConfig,
};
pub use detection::DetectionConfig;
pub use durability::Durability;
pub use federation::FederationConfig;
pub use gateway::{GatewayConfig, TlsConfig};
pub use issuer::{IssuerConfig, KeySource};
pub use limits::{BudgetConfig, LimitsConfig};
pub use masking::{MaskConfig, MaskProfiles, MaskingConfig, ProfileConfig};
pub(crate) use mistake::nearest;
pub use mistake::{Located, Mistake, Mistakes};
pub use record::RecordConfig;
pub use search::SearchConfig;
pub(crate) use sink::place;
pub use sink::{SinkConfig, SinkTo};
use tollbook_recording::{Retention, Terms};
use toml::de::DeTable;
pub use witness::{TimestampConfig, WITNESS, WitnessConfig, WitnessService, WitnessesConfig};

use self::document::{Notes, Section};

/// A whole configuration. Paths are relative to the file's folder until they are resolved there.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[gateway]`: where the gateway listens and keeps its book.
    pub gateway: GatewayConfig,
    /// `[record]`: how the book is written.
    pub record: RecordConfig,
    /// `[keys]`: where the top key of the book comes from.
    pub keys: tollbook_recording::KeySource,
    /// `[retention]`: how long what is recorded is kept.
    pub retention: tollbook_recording::Terms,
    /// `[witness]`: being a witness of others' logs.
    pub witness: Option<WitnessService>,
    /// `[search]`: how the book is searched.
    pub search: SearchConfig,
    /// `[[issuer]]`: who may vouch for callers.
    pub issuers: Vec<IssuerConfig>,
    /// `[[connection]]`: what can be reached through the gate.
    pub connections: Vec<ConnectionConfig>,
    /// `[[federation]]`: whose tokens may be exchanged for ones of the gate.
    pub federation: Vec<FederationConfig>,
    /// `[policy] path`: the folder of policies, in Cedar or in the short form, and of their tests.
    pub policies: Option<Located<PathBuf>>,
    /// `[policy] zone`: the time zone in which policies read the hour and the day.
    pub zone: Option<Located<String>>,
    /// `[detection]`: what detectors look for.
    pub detection: DetectionConfig,
    /// `[approvals]`: how approvals are asked for and given.
    pub approvals: ApprovalsConfig,
    /// `[[person]]`: whose accounts belong together.
    pub people: Vec<PersonConfig>,
    /// `[[budget]]`: what callers may use.
    pub budgets: Vec<BudgetConfig>,
    /// `[limits]`: limits for every caller.
    pub limits: LimitsConfig,
    /// `[admin]`: who may use the admin API.
    pub admin: AdminConfig,
    /// `[masking]`: what is found in bodies, and what becomes of it.
    pub masking: MaskingConfig,
    /// `[[sink]]`: where copies of records go.
    pub sinks: Vec<SinkConfig>,
}

impl Config {
    /// How the book is written that this configuration is about.
    pub fn book(&self) -> tollbook_recording::Config {
        let mut book = tollbook_recording::Config::new(&self.gateway.data, &self.gateway.name);
        let record = &self.record;
        book.anchor = record.anchor.clone();
        book.heartbeat = record.heartbeat.unwrap_or(book.heartbeat);
        book.idle = record.session_idle.unwrap_or(book.idle);
        let size = |size: Option<usize>, usual| size.map_or(usual, |size| size as u64);
        book.low_space = size(record.low_space, book.low_space);
        book.reserve = size(record.reserve, book.reserve);
        book.deadline = record.deadline.unwrap_or(book.deadline);
        book.keys = self.keys.clone();
        book.note = record.gaps.clone();
        book.farewell = record.close_deadline.unwrap_or(book.farewell);
        book
    }

    /// How long what is recorded is kept.
    pub fn retention(&self) -> Retention {
        let told = self.connections.iter().filter_map(|connection| {
            let terms = connection.retention.as_ref()?;
            Some((connection.name.clone(), *terms))
        });
        Retention {
            terms: self.retention,
            connections: told.collect(),
        }
    }

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
        let gateway = GatewayConfig::read(root.table("gateway"), folder);
        let retention = retention::read(root.table("retention"), &Terms::default());
        let (keys, sealed) = keys::read(root.table("keys"), folder);
        let mut config = Self {
            search: SearchConfig::read(root.table("search"), sealed),
            record: RecordConfig::read(root.table("record"), folder, &gateway.data),
            keys,
            retention,
            witness: WitnessService::read(root.table("witness"), &gateway.name),
            sinks: named(root.tables("sink"), "sink", |section| {
                SinkConfig::read(section, folder, &gateway.data, sealed)
            }),
            gateway,
            issuers: named(root.tables("issuer"), "issuer", |section| {
                IssuerConfig::read(section, folder)
            }),
            connections: named(root.tables("connection"), "connection", |section| {
                ConnectionConfig::read(section, folder, &retention)
            }),
            federation: tagged(
                root.tables("federation"),
                "federation",
                FederationConfig::read,
            ),
            policies: None,
            zone: None,
            detection: DetectionConfig::read(root.table("detection")),
            approvals: ApprovalsConfig::read(root.table("approvals"), folder),
            people: named(root.tables("person"), "person", PersonConfig::read),
            budgets: tagged(root.tables("budget"), "budget", BudgetConfig::read),
            limits: LimitsConfig::read(root.table("limits"), folder),
            admin: AdminConfig::read(root.table("admin")),
            masking: MaskingConfig::read(root.table("masking"), folder),
        };
        let policy = root.table("policy");
        config.policies = policy
            .text("path")
            .map(|path| path.located(&notes, |path| folder.join(path)));
        config.zone = policy
            .text("zone")
            .map(|zone| zone.located(&notes, |zone| zone));
        policy.finish();
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
    unique(sections, kind, "name", read)
}

/// Reads tables that go by a unique `id`.
fn tagged<T>(
    sections: Vec<Section<'_>>,
    kind: &'static str,
    read: impl Fn(Section<'_>) -> T,
) -> Vec<T> {
    unique(sections, kind, "id", read)
}

fn unique<T>(
    sections: Vec<Section<'_>>,
    kind: &'static str,
    key: &'static str,
    read: impl Fn(Section<'_>) -> T,
) -> Vec<T> {
    let mut names: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for mut section in sections {
        let name = section.peek(key).unwrap_or_default();
        section.rename(format!("{kind}.{name}"));
        if !name.is_empty() && names.contains(&name) {
            section.wrong(match key {
                "name" => format!("there are two {kind}s named `{name}`"),
                _ => format!("two [[{kind}]] have the {key} `{name}`"),
            });
        }
        names.push(name);
        all.push(read(section));
    }
    all
}

#[cfg(test)]
mod tests;
