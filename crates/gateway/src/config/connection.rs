//! `[[connection]]`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::document::Section;

/// The protocols that this version speaks.
const PROTOCOLS: &[&str] = &[CLAUDE];
/// The protocol that stands in for one that is wrong.
const CLAUDE: &str = "claude";
/// Names of protocols to come, so that their users get a better answer than "unknown".
const PLANNED: &[&str] = &["http", "mcp", "kubernetes", "git", "postgres", "mysql"];

/// One system that is reached through the gate.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The name, and the first segment of its path on the data plane; empty where it is missing.
    pub name: String,
    /// The protocol it speaks.
    pub protocol: &'static str,
    /// Its base address; empty where it is missing.
    pub upstream: String,
    /// The credential that the gate adds for the caller.
    pub credential: Option<CredentialConfig>,
    /// Groups that may use it.
    pub allow: Vec<String>,
    /// Whether bodies are masked on the wire as well as in the record.
    pub wire: WireMasking,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long the upstream may take until the head of its answer.
    pub head_timeout: Option<Duration>,
    /// How long the upstream may be silent within an answer.
    pub idle_timeout: Option<Duration>,
    /// Extra certificate authorities for the upstream, PEM.
    pub ca_file: Option<PathBuf>,
}

/// The credential of a connection.
#[derive(Clone, Debug)]
pub struct CredentialConfig {
    /// The header that carries it.
    pub header: String,
    /// What stands before it in the header, such as `Bearer `.
    pub prefix: String,
    /// Where it is.
    pub source: CredentialSource,
}

/// Where a credential is. The secret itself is never part of a configuration.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// An environment variable of this name.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
}

/// Whether bodies are masked on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireMasking {
    /// Bytes are forwarded exactly as they came.
    Off,
    /// What the rules match is masked in both directions.
    On,
}

impl ConnectionConfig {
    /// The default of `max_body`: what the Messages API takes.
    pub const MAX_BODY: usize = 32 << 20;

    pub(super) fn read(section: Section<'_>, folder: &Path) -> Self {
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
        let protocol = protocol(&section);
        let upstream = section.required("upstream");
        let credential = credential(&section, folder);
        let allow = section.texts("allow").unwrap_or_default();
        let wire = masking(&section);
        durability(&section);
        let max_body = section.size("max_body").unwrap_or(Self::MAX_BODY);
        let config = Self {
            line: section.line(),
            name: name.map_or_else(String::new, |name| name.value),
            protocol,
            upstream: upstream.map_or_else(String::new, |upstream| upstream.value),
            credential,
            allow: allow.into_iter().map(|group| group.value).collect(),
            wire,
            max_body,
            head_timeout: section.duration("head_timeout"),
            idle_timeout: section.duration("idle_timeout"),
            ca_file: section.text("ca_file").map(|file| folder.join(file.value)),
        };
        section.finish();
        config
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
            &format!("`{planned}` is to come, `claude` is here"),
        );
        return CLAUDE;
    }
    section.word("protocol", PROTOCOLS).unwrap_or(CLAUDE)
}

fn credential(section: &Section<'_>, folder: &Path) -> Option<CredentialConfig> {
    if !section.has("credential") {
        return None;
    }
    let table = section.table("credential");
    let header = table
        .text("header")
        .map_or_else(|| "x-api-key".to_owned(), |text| text.value);
    let prefix = table
        .text("prefix")
        .map_or_else(String::new, |text| text.value);
    let source = match (table.text("env"), table.text("file")) {
        (Some(env), None) => Some(CredentialSource::Env(env.value)),
        (None, Some(file)) => Some(CredentialSource::File(folder.join(file.value))),
        _ => {
            table.wrong("`credential` names its secret by `env` or by `file`");
            None
        }
    };
    table.finish();
    Some(CredentialConfig {
        header,
        prefix,
        source: source?,
    })
}

fn masking(section: &Section<'_>) -> WireMasking {
    let table = section.table("mask");
    // The record is always masked; the key exists so that a configuration can say so.
    table.word("record", &["default"]);
    let wire = table.word("wire", &["off", "default"]);
    table.finish();
    if wire == Some("default") {
        WireMasking::On
    } else {
        WireMasking::Off
    }
}

fn durability(section: &Section<'_>) {
    if section.peek("record").as_deref() == Some("release") {
        section.not_available(
            "record",
            "`intent` makes the request durable before it is forwarded",
        );
    } else {
        section.word("record", &["intent"]);
    }
    let later = ["block_writes", "spool", "allow"];
    if section
        .peek("on_record_failure")
        .is_some_and(|word| later.contains(&&*word))
    {
        section.not_available(
            "on_record_failure",
            "`block` refuses what cannot be recorded",
        );
    } else {
        section.word("on_record_failure", &["block"]);
    }
}
