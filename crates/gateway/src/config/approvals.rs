//! `[approvals]` and `[[person]]`.

use std::{path::Path, time::Duration};

use super::{connection::SecretSource, document::Section, mistake::Located};

/// How approvals are asked for and given.
#[derive(Clone, Debug, Default)]
pub struct ApprovalsConfig {
    /// How long an approval may be waited for.
    pub expires: Option<Duration>,
    /// How long an approval may be used once it is given.
    pub use_within: Option<Duration>,
    /// How long ago an approver may have signed in.
    pub login_age: Option<Duration>,
    /// The same where the risk is high.
    pub high_risk_login_age: Option<Duration>,
    /// How many requests of one caller may wait.
    pub per_caller: Option<usize>,
    /// How long a denied request is denied again without asking.
    pub cool_down: Option<Duration>,
    /// The address of the admin listener as approvers reach it, for links.
    pub address: Option<String>,
    /// The groups that may break the glass.
    pub break_glass: Vec<String>,
    /// Whether people may decide about jobs whose starter is in no `[[person]]`.
    pub unlinked_actors: bool,
    /// Where approvals are announced.
    pub webhooks: Vec<WebhookConfig>,
    /// The Slack workspace in which approvals are announced and given.
    pub slack: Option<SlackConfig>,
}

/// One receiver of Standard Webhooks.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// Its address.
    pub url: String,
    /// Where the secret is that signs what is sent: `whsec_` and base64.
    pub secret: Option<SecretSource>,
    /// Whether the address may be one of a private network.
    pub allow_private: bool,
}

/// A Slack app.
#[derive(Clone, Debug)]
pub struct SlackConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// Where the secret is with which Slack signs what it sends.
    pub signing_secret: Option<SecretSource>,
    /// Where the token is with which the gate posts.
    pub bot_token: Option<SecretSource>,
    /// The channel it posts to.
    pub channel: String,
    /// The base address of Slack's API; Slack's own when left out.
    pub api: Option<String>,
}

/// A person and the accounts that are theirs.
#[derive(Clone, Debug)]
pub struct PersonConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The name; empty where it is missing.
    pub name: String,
    /// `issuer/id`, `issuer/actor/id`, `slack/team/user`.
    pub accounts: Vec<Located<String>>,
    /// The groups that the person speaks for in a messenger, which knows none.
    pub groups: Vec<String>,
}

impl ApprovalsConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path) -> Self {
        let config = Self {
            expires: section.duration("expires"),
            use_within: section.duration("use_within"),
            login_age: section.duration("login_age"),
            high_risk_login_age: section.duration("high_risk_login_age"),
            per_caller: section
                .count("per_caller")
                .and_then(|count| usize::try_from(count).ok()),
            cool_down: section.duration("cool_down"),
            address: section.text("address").map(|text| text.value),
            break_glass: section.values("break_glass"),
            unlinked_actors: section.flag("unlinked_actors").unwrap_or(false),
            webhooks: section
                .tables("webhook")
                .into_iter()
                .map(|webhook| WebhookConfig::read(webhook, folder))
                .collect(),
            slack: section
                .has("slack")
                .then(|| SlackConfig::read(section.table("slack"), folder)),
        };
        section.finish();
        config
    }
}

impl WebhookConfig {
    fn read(section: Section<'_>, folder: &Path) -> Self {
        let config = Self {
            line: section.line(),
            url: section
                .required("url")
                .map_or_else(String::new, |url| url.value),
            secret: SecretSource::read(&section, "secret", folder),
            allow_private: section.flag("allow_private").unwrap_or(false),
        };
        section.finish();
        config
    }
}

impl SlackConfig {
    fn read(section: Section<'_>, folder: &Path) -> Self {
        let config = Self {
            line: section.line(),
            signing_secret: SecretSource::read(&section, "signing_secret", folder),
            bot_token: SecretSource::read(&section, "bot_token", folder),
            channel: section
                .required("channel")
                .map_or_else(String::new, |channel| channel.value),
            api: section.text("api").map(|text| text.value),
        };
        section.finish();
        config
    }
}

impl PersonConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let accounts = section.texts("accounts").unwrap_or_default();
        if accounts.is_empty() {
            section.wrong("`accounts` is missing or empty in a [[person]]");
        }
        let config = Self {
            line: section.line(),
            name: section
                .required("name")
                .map_or_else(String::new, |name| name.value),
            accounts: accounts
                .into_iter()
                .map(|account| account.located(section.notes(), |account| account))
                .collect(),
            groups: section.values("groups"),
        };
        section.finish();
        config
    }
}
