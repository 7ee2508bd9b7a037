//! Building the parts of a plan.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use tollbook_approvals::{
    People, Person,
    channel::{ChannelError, Slack, Webhook, WebhookSecret},
};
use tollbook_budget::{Budget, Budgets, Per, Prices, RepeatLimit};
use tollbook_detection::Detectors;
use tollbook_exchange::PrincipalKind;
use tollbook_identity::{
    Issuer, IssuerBuilder, OidcAuthenticator, Preset, Problem, Rule, RuleBuilder, Rules,
};
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_proxy::{
    CommandCredential, Credential, Federation, Forward, IdentityToken, Program, ProvideCredential,
};
use zeroize::Zeroizing;

use crate::{
    config::{
        ApprovalsConfig, ClaudeConfig, Config, ConnectionConfig, CredentialConfig, DetectionConfig,
        FederationConfig, IssuerConfig, KeySource, LimitsConfig, Located, Mistake, PersonConfig,
        SecretSource, TlsConfig,
    },
    policies::PolicySource,
    tls::Tls,
};

/// The channels by which approvals are announced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channels {
    pub(crate) webhooks: Vec<Arc<Webhook>>,
    pub(crate) slack: Option<Arc<Slack>>,
}

/// Builds the parts and collects what is wrong with them.
pub(super) struct Builder<'a> {
    pub(super) folder: &'a Path,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) all: Vec<Mistake>,
}

impl Builder<'_> {
    pub(super) fn wrong(&mut self, line: Option<usize>, message: impl Into<String>) {
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

    pub(super) fn policies(
        &mut self,
        source: &PolicySource,
        line: Option<usize>,
    ) -> Option<PolicySet> {
        match source.load() {
            Ok(policies) => Some(policies),
            Err(mistakes) => {
                for mistake in mistakes {
                    // What is wrong inside a file names the file and its line itself.
                    let here = mistake.starts_with("folder ") || mistake.starts_with("file ");
                    self.wrong(line.filter(|_| here), mistake);
                }
                None
            }
        }
    }

    pub(super) fn detectors(&mut self, config: &DetectionConfig) -> Option<Detectors> {
        let mut detectors = Detectors::builder();
        for source in &config.rules {
            if source.value == "builtin" {
                detectors = detectors.builtin();
                continue;
            }
            let pattern = self.folder.join(&source.value);
            for (name, text) in self.texts(&pattern, source.line, "toml") {
                detectors = detectors.rules(name, text);
            }
        }
        if !config.known_mcp_servers.is_empty() {
            detectors = detectors.known_mcp_servers(&config.known_mcp_servers);
        }
        match detectors.build() {
            Ok(detectors) => Some(detectors),
            Err(errors) => {
                for mistake in errors.mistakes() {
                    self.wrong(None, mistake.to_string());
                }
                None
            }
        }
    }

    /// The federation rules, held against the issuers.
    pub(super) fn rules(
        &mut self,
        configs: &[FederationConfig],
        oidc: Option<&OidcAuthenticator>,
    ) -> Option<Rules> {
        // What is wrong with the issuers was told; without them nothing can be said of the rules.
        let oidc = oidc?;
        let mut sound = true;
        let mut builders = Vec::new();
        for config in configs {
            let builder = rule(config);
            // Alone first, so that what is wrong stands at its line.
            if let Err(errors) = Rules::new([builder.clone()], oidc) {
                sound = false;
                for problem in errors.problems() {
                    self.wrong(Some(config.line), problem.to_string());
                }
            }
            builders.push(builder);
        }
        if !sound {
            return None;
        }
        match Rules::new(builders, oidc) {
            Ok(rules) => Some(rules),
            Err(errors) => {
                for problem in errors.problems() {
                    self.wrong(None, problem.to_string());
                }
                None
            }
        }
    }

    pub(super) fn people(&mut self, configs: &[PersonConfig]) -> Option<People> {
        for config in configs {
            // Nobody could tell that such a person approves what they asked for themselves.
            if config
                .accounts
                .iter()
                .all(|account| account.value.starts_with("slack/"))
                && !config.accounts.is_empty()
            {
                let message = format!(
                    "person `{}` has no account but in Slack: name the account by which they sign \
                     in, or nobody can tell their own requests",
                    config.name
                );
                self.wrong(Some(config.line), message);
            }
        }
        let people = configs.iter().map(|config| {
            let accounts = config.accounts.iter().map(|account| account.value.clone());
            Person::new(&config.name, accounts).in_groups(config.groups.iter().cloned())
        });
        match People::new(people) {
            Ok(people) => Some(people),
            Err(error) => {
                self.wrong(configs.first().map(|config| config.line), error.to_string());
                None
            }
        }
    }

    /// What answers cost.
    pub(super) fn prices(&mut self, config: &LimitsConfig) -> Option<Prices> {
        let (line, read) = match &config.prices {
            None => (None, Prices::built_in().map_err(|error| error.to_string())),
            Some(file) => {
                let text = fs::read_to_string(&file.value).map_err(|error| {
                    let file = file.value.display();
                    format!("file {file} cannot be read: {error}")
                });
                let parse = |text: String| {
                    Prices::parse(&text).map_err(|error| format!("`prices`: {error}"))
                };
                (file.line, text.and_then(parse))
            }
        };
        read.map_err(|why| self.wrong(line, why)).ok()
    }

    pub(super) fn budgets(&mut self, config: &Config, prices: Option<&Prices>) -> Option<Budgets> {
        let mut budgets = Budgets::builder();
        for one in &config.budgets {
            let per = match one.per {
                "group" => Per::Group,
                "session" => Per::Session,
                _ => Per::Principal,
            };
            let mut budget = Budget::new(&one.id, per, one.window);
            if let Some(requests) = one.requests {
                budget = budget.requests(requests);
            }
            if let Some(tokens) = one.tokens {
                budget = budget.tokens(tokens);
            }
            if let Some(cost) = one.cost {
                budget = budget.cost(cost);
            }
            if let Some(connection) = &one.connection {
                let known = config
                    .connections
                    .iter()
                    .any(|known| known.name == connection.value);
                if !known {
                    let message = format!("there is no connection `{}`", connection.value);
                    self.wrong(connection.line, message);
                }
                budget = budget.connection(&connection.value);
            }
            if !one.groups.is_empty() {
                budget = budget.groups(one.groups.iter().cloned());
            }
            if let Some(reason) = &one.reason {
                budget = budget.reason(reason);
            }
            budgets = budgets.budget(budget);
        }
        if let Some(calls) = config.limits.repeated_tool_calls {
            budgets = budgets.repeat(RepeatLimit::new(calls));
        }
        if let Some(prices) = prices {
            budgets = budgets.prices(prices.clone());
        }
        match budgets.build() {
            Ok(budgets) => Some(budgets),
            Err(error) => {
                let line = config.budgets.first().map(|budget| budget.line);
                for mistake in error.mistakes() {
                    self.wrong(line, mistake.clone());
                }
                None
            }
        }
    }

    /// The channels by which approvals are announced.
    pub(super) fn channels(&mut self, config: &ApprovalsConfig) -> Channels {
        let mut channels = Channels::default();
        for webhook in &config.webhooks {
            let Some(secret) = &webhook.secret else {
                continue;
            };
            let built = self.secret(secret).and_then(|secret| {
                let told = |error: ChannelError| error.to_string();
                let secret = WebhookSecret::parse(&secret).map_err(told)?;
                let mut built = Webhook::builder(&webhook.url, secret);
                if webhook.allow_private {
                    built = built.allow_private().allow_loopback();
                }
                built.build().map_err(told)
            });
            match built {
                Ok(built) => channels.webhooks.push(Arc::new(built)),
                Err(why) => self.wrong(Some(webhook.line), format!("webhook: {why}")),
            }
        }
        if let Some(slack) = &config.slack
            && let (Some(signing), Some(token)) = (&slack.signing_secret, &slack.bot_token)
        {
            let built = self.secret(signing).and_then(|signing| {
                let token = self.secret(token)?;
                let mut app = Slack::bot(&token, &slack.channel).signing_secret(&signing);
                if let Some(api) = &slack.api {
                    app = app.api(api);
                }
                app.build().map_err(|error| error.to_string())
            });
            match built {
                Ok(built) => channels.slack = Some(Arc::new(built)),
                Err(why) => self.wrong(Some(slack.line), format!("slack: {why}")),
            }
        }
        channels
    }

    pub(super) fn authenticator(&mut self, config: &Config) -> Option<OidcAuthenticator> {
        let issuers = &config.issuers;
        let mut authenticator =
            OidcAuthenticator::builder().cache_dir(config.gateway.data.join("keys"));
        for config in issuers {
            if let Some(preset) = &config.preset
                && Preset::from_name(&preset.value).is_none()
            {
                let all: Vec<&str> = Preset::ALL.iter().map(|preset| preset.as_str()).collect();
                let message = format!(
                    "`preset` cannot be `{}`; it is one of {}",
                    preset.value,
                    all.join(", ")
                );
                self.wrong(preset.line, message);
            }
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

    pub(super) fn forward(
        &mut self,
        config: &ConnectionConfig,
        own: &ClaudeConfig,
    ) -> Option<Forward> {
        let mut forward = Forward::builder(&config.upstream);
        let (mut faults, mut authorities) = (Vec::new(), None);
        if let Some(credential) = &own.credential {
            match self.credential(config, credential) {
                Ok(provider) => forward = forward.provider(provider),
                Err(why) => faults.push(why),
            }
        }
        if let Some(time) = own.head_timeout {
            forward = forward.head_timeout(time);
        }
        if let Some(time) = own.idle_timeout {
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

    /// Where the credential of a connection comes from.
    fn credential(
        &self,
        connection: &ConnectionConfig,
        config: &CredentialConfig,
    ) -> Result<Arc<dyn ProvideCredential>, String> {
        let told = |error: tollbook_proxy::BuildError| error.to_string();
        match config {
            CredentialConfig::Secret {
                header,
                prefix,
                source: SecretSource::Command(command),
                ttl,
            } => {
                let program = Program::new(command).map_err(told)?;
                let ttl = ttl.unwrap_or(CommandCredential::TTL);
                let made = CommandCredential::new(header, prefix, program, ttl).map_err(told)?;
                Ok(Arc::new(made))
            }
            CredentialConfig::Secret {
                header,
                prefix,
                source,
                ..
            } => {
                let secret = self.secret(source)?;
                let made = Credential::new(header, prefix, &secret).map_err(told)?;
                Ok(Arc::new(made))
            }
            CredentialConfig::Federation(config) => {
                let token = match &config.identity_token {
                    SecretSource::Env(name) => IdentityToken::variable(name).map_err(told)?,
                    SecretSource::File(path) => IdentityToken::file(path),
                    SecretSource::Command(command) => {
                        IdentityToken::program(Program::new(command).map_err(told)?)
                    }
                };
                let (rule, organization) = (&config.rule, &config.organization);
                let mut made = Federation::builder(&connection.upstream, rule, organization, token);
                if let Some(account) = &config.service_account {
                    made = made.service_account(account);
                }
                if let Some(workspace) = &config.workspace {
                    made = made.workspace(workspace);
                }
                if let Some(path) = &connection.ca_file
                    && let Ok(pem) = fs::read(path)
                {
                    made = made.ca_pem(pem);
                }
                Ok(Arc::new(made.build().map_err(told)?))
            }
        }
    }

    /// A secret that stays as it is.
    pub(super) fn secret(&self, source: &SecretSource) -> Result<Zeroizing<String>, String> {
        match source {
            SecretSource::Command(_) => Err(
                "a command gives a credential of an upstream only; use `env` or `file`".to_owned(),
            ),
            SecretSource::Env(name) => match self.environment.get(name).map(|text| text.trim()) {
                Some("") => Err(format!("environment variable {name} is empty")),
                Some(secret) => Ok(Zeroizing::new(secret.to_owned())),
                None => Err(format!("environment variable {name} is not set")),
            },
            SecretSource::File(path) => {
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
    let mut issuer = Issuer::builder(&config.name, &config.issuer).audience(&config.audience);
    let preset = config.preset.as_ref();
    let preset = preset.and_then(|preset| Preset::from_name(&preset.value));
    if let Some(preset) = preset {
        issuer = issuer.preset(preset);
    }
    issuer = match config.kind {
        Some("human") => issuer.kind(PrincipalKind::Human),
        Some("service") => issuer.kind(PrincipalKind::Service),
        Some(_) => issuer.kind(PrincipalKind::Ci),
        None if preset.is_none() => issuer.kind(PrincipalKind::Ci),
        None => issuer,
    };
    if let Some(claim) = &config.roles_claim {
        issuer = issuer.roles_claim(claim);
    }
    if let Some(groups) = config.groups_cut_at {
        issuer = issuer.groups_cut_at(groups);
    }
    if let Some(typ) = &config.token_type {
        issuer = issuer.token_type(typ);
    }
    if !config.authorized_parties.is_empty() {
        issuer = issuer.authorized_parties(&config.authorized_parties);
    }
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

fn rule(config: &FederationConfig) -> RuleBuilder {
    let mut rule = Rule::builder(&config.id, &config.issuer)
        .groups(config.groups.iter().cloned())
        .require_certificate(config.require_certificate);
    if !config.subjects.is_empty() {
        rule = rule.subject_in(config.subjects.iter().cloned());
    }
    for (name, values) in &config.claims {
        rule = rule.claim_in(name, values.iter().cloned());
    }
    if let Some(audience) = &config.audience {
        rule = rule.audience(audience);
    }
    if let Some(lifetime) = config.lifetime {
        rule = rule.lifetime(lifetime);
    }
    rule
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_an_account_to_sign_in_with() {
        for (accounts, sound) in [
            (&["slack/T1/U1"][..], false),
            (&["slack/T1/U1", "slack/T2/U1"], false),
            (&["slack/T1/U1", "corp/ana"], true),
            (&["corp/ana"], true),
        ] {
            let mut builder = Builder {
                folder: Path::new("."),
                environment: BTreeMap::new(),
                all: Vec::new(),
            };
            let accounts = accounts.iter().map(|account| Located {
                value: (*account).to_owned(),
                line: Some(7),
            });
            let person = PersonConfig {
                line: 5,
                name: "ana".to_owned(),
                accounts: accounts.collect(),
                groups: Vec::new(),
            };
            builder.people(&[person]);
            assert_eq!(builder.all.is_empty(), sound, "{:?}", builder.all);
        }
    }
}
