//! `[[connection]]`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tollbook_policy::PolicySet;
use tollbook_recording::Terms;

use super::{document::Section, durability::Durability, masking::MaskConfig, retention};

/// The protocols that this version speaks.
const PROTOCOLS: &[&str] = &[CLAUDE];
/// The first segment of a path that is the gate's own.
const RESERVED: &str = crate::mounts::OAUTH;
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
    /// What is masked in the record and on the wire, and for whom.
    pub mask: MaskConfig,
    /// What must be durable before what passes, and what passes when nothing can be.
    pub durability: Durability,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long the upstream may take until the head of its answer.
    pub head_timeout: Option<Duration>,
    /// How long the upstream may be silent within an answer.
    pub idle_timeout: Option<Duration>,
    /// Extra certificate authorities for the upstream, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether the tool calls of an answer are judged before they are released.
    pub tools: ToolCalls,
    /// How a request waits for its approval.
    pub approvals: WaitConfig,
    /// How long what is recorded of it is kept, if that is told for it.
    pub retention: Option<Terms>,
}

/// Whether the tool calls of an answer are judged before they are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolCalls {
    /// While the policies in force have something to say of them.
    Auto,
    /// Always.
    Judge,
    /// Never.
    Pass,
}

impl ToolCalls {
    /// Whether they are judged where these are the policies.
    pub(crate) fn judged(self, policies: &PolicySet) -> bool {
        match self {
            Self::Judge => true,
            Self::Pass => false,
            Self::Auto => policies.judges_calls(),
        }
    }
}

/// How a request waits for its approval.
#[derive(Clone, Debug, Default)]
pub struct WaitConfig {
    /// Whether the caller is told at once that it has to come again.
    pub fail_fast: bool,
    /// How long nothing is sent, so that the status can still be any.
    pub quiet: Option<Duration>,
    /// How long a request that wants no stream is held.
    pub hold: Option<Duration>,
    /// How often a held stream shows that it lives.
    pub ping: Option<Duration>,
    /// Whether an approval is withdrawn when its caller leaves.
    pub cancel_when_gone: bool,
}

/// The credential of a connection.
#[derive(Clone, Debug)]
pub enum CredentialConfig {
    /// A secret in a header.
    Secret {
        /// The header that carries it.
        header: String,
        /// What stands before it in the header, such as `Bearer `.
        prefix: String,
        /// Where it is.
        source: SecretSource,
        /// How long what a command printed is used.
        ttl: Option<Duration>,
    },
    /// A short-lived token for which the gate exchanges its own identity at the upstream.
    Federation(Box<UpstreamFederation>),
}

/// What the upstream's token exchange is asked with.
#[derive(Clone, Debug)]
pub struct UpstreamFederation {
    /// The upstream's rule for the gate.
    pub rule: String,
    /// The organization at the upstream.
    pub organization: String,
    /// The service account to become.
    pub service_account: Option<String>,
    /// The workspace to act in.
    pub workspace: Option<String>,
    /// Where the gate's own identity token is; read anew for every exchange.
    pub identity_token: SecretSource,
}

/// Where a secret is. The secret itself is never part of a configuration.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// An environment variable of this name.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A program and its arguments, which prints it.
    Command(Vec<String>),
}

impl SecretSource {
    /// The source in the table under `key`, which must be there.
    pub(super) fn read(section: &Section<'_>, key: &'static str, folder: &Path) -> Option<Self> {
        if !section.has(key) {
            section.wrong(format!("`{key}` is missing"));
            return None;
        }
        let table = section.table(key);
        let source = Self::of(&table, folder);
        table.finish();
        source
    }

    fn of(table: &Section<'_>, folder: &Path) -> Option<Self> {
        let command = table.has("command").then(|| table.values("command"));
        match (table.text("env"), table.text("file"), command) {
            (Some(env), None, None) => Some(Self::Env(env.value)),
            (None, Some(file), None) => Some(Self::File(folder.join(file.value))),
            (None, None, Some(command)) if !command.is_empty() => Some(Self::Command(command)),
            _ => {
                table.wrong("a secret is named by one of `env`, `file` and `command`");
                None
            }
        }
    }
}

impl ConnectionConfig {
    /// The default of `max_body`: what the Messages API takes.
    pub const MAX_BODY: usize = 32 << 20;

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
        let credential = credential(&section, folder);
        let allow = section.texts("allow").unwrap_or_default();
        let mask = MaskConfig::read(section.table("mask"));
        let durability = Durability::read(&section);
        let tools = match section.word("tools", &["auto", "judge", "pass"]) {
            Some("judge") => ToolCalls::Judge,
            Some("pass") => ToolCalls::Pass,
            _ => ToolCalls::Auto,
        };
        let approvals = waiting(&section);
        let max_body = section.size("max_body").unwrap_or(Self::MAX_BODY);
        let config = Self {
            line: section.line(),
            name: name.map_or_else(String::new, |name| name.value),
            protocol,
            upstream: upstream.map_or_else(String::new, |upstream| upstream.value),
            credential,
            allow: allow.into_iter().map(|group| group.value).collect(),
            mask,
            durability,
            max_body,
            head_timeout: section.duration("head_timeout"),
            idle_timeout: section.duration("idle_timeout"),
            ca_file: section.text("ca_file").map(|file| folder.join(file.value)),
            tools,
            approvals,
            retention: (section.has("retention"))
                .then(|| retention::read(section.table("retention"), usual)),
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
    let config = if table.has("federation") {
        federation(&table.table("federation"), folder)
    } else {
        let header = table.text("header");
        let prefix = table.text("prefix");
        let ttl = table.duration("ttl");
        SecretSource::of(&table, folder).map(|source| CredentialConfig::Secret {
            header: header.map_or_else(|| "x-api-key".to_owned(), |text| text.value),
            prefix: prefix.map_or_else(String::new, |text| text.value),
            source,
            ttl,
        })
    };
    table.finish();
    config
}

fn federation(table: &Section<'_>, folder: &Path) -> Option<CredentialConfig> {
    let text = |key| table.text(key).map(|text| text.value);
    let needed = |key| table.required(key).map(|text| text.value);
    let (rule, organization) = (needed("rule"), needed("organization"));
    let (service_account, workspace) = (text("service_account"), text("workspace"));
    let identity_token = SecretSource::read(table, "identity_token", folder);
    table.end();
    Some(CredentialConfig::Federation(Box::new(UpstreamFederation {
        rule: rule?,
        organization: organization?,
        service_account,
        workspace,
        identity_token: identity_token?,
    })))
}

fn waiting(section: &Section<'_>) -> WaitConfig {
    let table = section.table("approvals");
    let config = WaitConfig {
        fail_fast: table.word("mode", &["hold", "fail_fast"]) == Some("fail_fast"),
        quiet: table.duration("quiet"),
        hold: table.duration("hold"),
        ping: table.duration("ping"),
        cancel_when_gone: table.flag("cancel_when_gone").unwrap_or(false),
    };
    table.finish();
    config
}
