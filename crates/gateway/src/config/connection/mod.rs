//! `[[connection]]`: what all of them have, and for each protocol a file of its own.

mod claude;
mod postgres;
mod secret;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tollbook_recording::Terms;

pub use self::{
    claude::{ClaudeConfig, CredentialConfig, ToolCalls, UpstreamFederation},
    postgres::{ClientTls, OAuthConfig, PostgresConfig, RowsConfig},
    secret::SecretSource,
};
use super::{document::Section, durability::Durability, masking::MaskConfig, retention};

/// The protocols that this version speaks.
const PROTOCOLS: &[&str] = &[CLAUDE, POSTGRES];
/// The first segment of a path that is the gate's own.
const RESERVED: &str = crate::mounts::OAUTH;
/// The protocol that stands in for one that is wrong.
const CLAUDE: &str = crate::stack::PROTOCOL;
const POSTGRES: &str = crate::sessions::POSTGRES;
/// Names of protocols to come, so that their users get a better answer than "unknown".
const PLANNED: &[&str] = &["http", "mcp", "kubernetes", "git", "mysql"];

/// One system that is reached through the gate.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The name, and the first segment of its path on the data plane; empty where it is missing.
    pub name: String,
    /// Its base address; empty where it is missing.
    pub upstream: String,
    /// Groups that may use it.
    pub allow: Vec<String>,
    /// What is masked in the record and on the wire, and for whom.
    pub mask: MaskConfig,
    /// What must be durable before what passes, and what passes when nothing can be.
    pub durability: Durability,
    /// Extra certificate authorities for the upstream, PEM.
    pub ca_file: Option<PathBuf>,
    /// The protocol it speaks, with what only that has.
    pub protocol: ProtocolConfig,
    /// How long what is recorded of it is kept, if that is told for it.
    pub retention: Option<Terms>,
}

/// The protocol of a connection, with what only connections of that protocol have.
#[derive(Clone, Debug)]
pub enum ProtocolConfig {
    /// The Claude API.
    Claude(Box<ClaudeConfig>),
    /// PostgreSQL.
    Postgres(Box<PostgresConfig>),
}

/// How something waits for its approval.
#[derive(Clone, Debug, Default)]
pub struct WaitConfig {
    /// Whether the caller is told at once that it has to come again.
    pub fail_fast: bool,
    /// How long it is held; of a request of the Claude API, one that wants no stream.
    pub hold: Option<Duration>,
    /// Whether an approval is withdrawn when its caller leaves.
    pub cancel_when_gone: bool,
    /// Of the Claude API: how long nothing is sent, so that the status can still be any.
    pub quiet: Option<Duration>,
    /// Of the Claude API: how often a held stream shows that it lives.
    pub ping: Option<Duration>,
    /// Of a database: how often a client is told that its statement waits.
    pub notice: Option<Duration>,
}

impl ConnectionConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path, usual: &Terms) -> Self {
        let name = section.required("name");
        if let Some(name) = &name
            && (name.value.len() > 64
                || !name
                    .value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
        {
            name.wrong(
                section.notes(),
                "a connection's `name` holds letters, digits, `-` and `_`, at most 64 of them",
            );
        }
        if let Some(name) = name.as_ref().filter(|name| name.value == RESERVED) {
            name.wrong(
                section.notes(),
                "no connection can be named `oauth`: tokens are exchanged at /oauth/token",
            );
        }
        let protocol = protocol(&section);
        let upstream = section.required("upstream");
        let allow = section.texts("allow").unwrap_or_default();
        let mask = MaskConfig::read(section.table("mask"));
        let (protocol, durability) = match protocol {
            POSTGRES => {
                let config = PostgresConfig::read(&section, folder, upstream.as_ref());
                let durability = Durability::of_sessions(&section);
                (ProtocolConfig::Postgres(Box::new(config)), durability)
            }
            _ => {
                let config = ClaudeConfig::read(&section, folder);
                (
                    ProtocolConfig::Claude(Box::new(config)),
                    Durability::read(&section),
                )
            }
        };
        let config = Self {
            line: section.line(),
            name: name.map_or_else(String::new, |name| name.value),
            upstream: upstream.map_or_else(String::new, |upstream| upstream.value),
            allow: allow.into_iter().map(|group| group.value).collect(),
            mask,
            durability,
            ca_file: section.text("ca_file").map(|file| folder.join(file.value)),
            protocol,
            retention: (section.has("retention"))
                .then(|| retention::read(section.table("retention"), usual)),
        };
        section.finish();
        config
    }
}

impl ProtocolConfig {
    /// Its name, as policies and records have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claude(_) => CLAUDE,
            Self::Postgres(_) => POSTGRES,
        }
    }

    /// How something waits for its approval.
    pub fn approvals(&self) -> &WaitConfig {
        match self {
            Self::Claude(config) => &config.approvals,
            Self::Postgres(config) => &config.approvals,
        }
    }
}

impl WaitConfig {
    /// What all protocols have.
    fn read(table: &Section<'_>) -> Self {
        Self {
            fail_fast: table.word("mode", &["hold", "fail_fast"]) == Some("fail_fast"),
            hold: table.duration("hold"),
            cancel_when_gone: table.flag("cancel_when_gone").unwrap_or(false),
            ..Self::default()
        }
    }
}

fn protocol(section: &Section<'_>) -> &'static str {
    if section.required("protocol").is_none() {
        return CLAUDE;
    }
    if let Some(planned) = section
        .peek("protocol")
        .filter(|name| PLANNED.contains(&&**name))
    {
        section.not_available(
            "protocol",
            &format!("`{planned}` is to come, `claude` and `postgres` are here"),
        );
        return CLAUDE;
    }
    section.word("protocol", PROTOCOLS).unwrap_or(CLAUDE)
}
