//! What connections of the Claude API have of their own.

use std::{path::Path, time::Duration};

use tollbook_policy::PolicySet;

use super::{super::document::Section, SecretSource, WaitConfig};

/// What a connection of the Claude API has of its own.
#[derive(Clone, Debug)]
pub struct ClaudeConfig {
    /// The credential that the gate adds for the caller.
    pub credential: Option<CredentialConfig>,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long the upstream may take until the head of its answer.
    pub head_timeout: Option<Duration>,
    /// How long the upstream may be silent within an answer.
    pub idle_timeout: Option<Duration>,
    /// Whether the tool calls of an answer are judged before they are released.
    pub tools: ToolCalls,
    /// How a request waits for its approval.
    pub approvals: WaitConfig,
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

impl ClaudeConfig {
    /// The default of `max_body`: what the Messages API takes.
    pub const MAX_BODY: usize = 32 << 20;

    pub(super) fn read(section: &Section<'_>, folder: &Path) -> Self {
        let credential = credential(section, folder);
        let tools = match section.word("tools", &["auto", "judge", "pass"]) {
            Some("judge") => ToolCalls::Judge,
            Some("pass") => ToolCalls::Pass,
            _ => ToolCalls::Auto,
        };
        let waiting = section.table("approvals");
        let approvals = WaitConfig {
            quiet: waiting.duration("quiet"),
            ping: waiting.duration("ping"),
            ..WaitConfig::read(&waiting)
        };
        waiting.finish();
        Self {
            credential,
            max_body: section.size("max_body").unwrap_or(Self::MAX_BODY),
            head_timeout: section.duration("head_timeout"),
            idle_timeout: section.duration("idle_timeout"),
            tools,
            approvals,
        }
    }
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
