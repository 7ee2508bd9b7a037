//! From what is written to what would run.

mod build;
mod masks;
mod sessions;
mod sinks;
mod witness;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tollbook_approvals::People;
use tollbook_budget::{Budgets, Prices};
use tollbook_detection::Detectors;
use tollbook_identity::{OidcAuthenticator, Rules};
use tollbook_masking::{MaskKey, Masker};
use tollbook_policy::PolicySet;
use tollbook_proxy::Forward;
use tollbook_sinks::Sink;
use tollbook_witness::Authority;

use self::build::Builder;
pub(crate) use self::build::Channels;
use crate::{
    config::{ClaudeConfig, Config, ConnectionConfig, Mistake, Mistakes, ProtocolConfig},
    masks::ConnectionMasks,
    policies::PolicySource,
    sessions::PostgresPlan,
    tls::Tls,
    witnesses::Asking,
};

/// A configuration whose every part was built and found right.
#[derive(Debug)]
pub struct Plan {
    pub(crate) config: Config,
    pub(crate) authenticator: OidcAuthenticator,
    pub(crate) rules: Rules,
    pub(crate) source: PolicySource,
    pub(crate) policies: PolicySet,
    pub(crate) detectors: Detectors,
    pub(crate) people: People,
    pub(crate) budgets: Budgets,
    pub(crate) prices: Prices,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) channels: Channels,
    pub(crate) masker: Masker,
    /// The key that the configuration names for hashes, surrogates and tokens.
    pub(crate) mask_key: Option<MaskKey>,
    pub(crate) tls: Option<Tls>,
    /// Who is asked to sign the book's checkpoints.
    pub(crate) witnesses: Option<Asking>,
    /// Who is asked for time stamps, and how often.
    pub(crate) authority: Option<(Authority, Duration)>,
    pub(crate) connections: Vec<PlannedConnection>,
}

/// A connection, what is masked on it, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct PlannedConnection {
    pub(crate) config: ConnectionConfig,
    pub(crate) masks: ConnectionMasks,
    pub(crate) reached: Reached,
}

/// How a connection is reached.
#[derive(Clone, Debug)]
pub(crate) enum Reached {
    Claude(Box<ClaudeConfig>, Forward),
    Postgres(Box<PostgresPlan>),
}

/// What would run, for a person to look at.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The address of the data plane.
    pub listen: String,
    /// The address of the admin listener.
    pub admin: String,
    /// The folder of the book.
    pub data: PathBuf,
    /// The witnesses that are asked to sign the book's checkpoints, by name.
    pub witnesses: Vec<String>,
    /// How many of them must sign.
    pub witness_quorum: usize,
    /// Where the book's checkpoints get time stamps.
    pub timestamps: Option<String>,
    /// Where this gateway is a witness of others' logs.
    pub witness: Option<String>,
    /// Whether the data plane speaks TLS.
    pub tls: bool,
    /// The issuers, by name.
    pub issuers: Vec<String>,
    /// The connections, by name, with their upstream.
    pub connections: Vec<ConnectionSummary>,
    /// Names the exact set of policies.
    pub policy_hash: String,
    /// How many policies there are, generated and built-in ones included.
    pub policies: usize,
    /// What may be wrong with the policies, such as one that has expired.
    pub warnings: Vec<String>,
    /// The federation rules, by id.
    pub federation: Vec<String>,
    /// How many detectors there are.
    pub detectors: usize,
    /// The budgets, by id.
    pub budgets: Vec<String>,
    /// The people whose accounts are known to belong together, by name.
    pub people: Vec<String>,
    /// The groups that may change how the gate works.
    pub operators: Vec<String>,
    /// The groups that may break the glass.
    pub break_glass: Vec<String>,
    /// Where approvals are announced: the addresses of webhooks, and `slack`.
    pub channels: Vec<String>,
    /// How many masking rules there are.
    pub rules: usize,
    /// Where copies of records go: each sink's name and kind.
    pub sinks: Vec<String>,
}

/// One connection of a [`Summary`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ConnectionSummary {
    /// The name.
    pub name: String,
    /// The protocol.
    pub protocol: &'static str,
    /// Where clients reach it, if it has a listener of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Whether its clients speak TLS, where it has a listener of its own: `required`, `optional` or
    /// `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<&'static str>,
    /// What of the rows of results is recorded, of a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// The upstream's base address.
    pub upstream: String,
    /// Groups that may use it.
    pub allow: Vec<String>,
    /// What must be durable before what passes: `intent` or `release`.
    pub record: &'static str,
    /// What becomes of requests that cannot be recorded, now: `block`, `block_writes`, `spool` or
    /// `allow`.
    pub on_record_failure: &'static str,
    /// Both in a sentence.
    pub durability: String,
    /// Whether bodies are masked on the wire.
    pub mask_wire: bool,
    /// Whether the tool calls of answers are judged before they are released.
    pub judges_tools: bool,
    /// Whether a request that needs approval is turned away at once instead of held.
    pub fail_fast: bool,
}

impl PlannedConnection {
    fn summary(&self, policies: &PolicySet) -> ConnectionSummary {
        let Self { config, masks, .. } = self;
        let (mut judges_tools, mut listen, mut tls, mut rows) = (false, None, None, None);
        match &self.reached {
            Reached::Claude(own, _) => judges_tools = own.tools.judged(policies),
            Reached::Postgres(plan) => {
                listen = plan.config.listen.map(|address| address.to_string());
                tls = Some(match (&plan.door.tls, plan.door.plain) {
                    (Some(_), false) => "required",
                    (Some(_), true) => "optional",
                    (None, _) => "off",
                });
                rows = Some(plan.config.rows.to_string());
            }
        }
        ConnectionSummary {
            name: config.name.clone(),
            protocol: config.protocol.name(),
            listen,
            tls,
            rows,
            upstream: config.upstream.clone(),
            allow: config.allow.clone(),
            record: config.durability.level(),
            on_record_failure: config.durability.now(),
            durability: config.durability.sentence(),
            mask_wire: masks.masks_wire(),
            judges_tools,
            fail_fast: config.protocol.approvals().fail_fast,
        }
    }
}

impl Plan {
    /// Loads the file at `path` and builds everything that it names.
    ///
    /// # Errors
    ///
    /// Every mistake of the file, of the policies and rules it names, and of its environment.
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        let text = fs::read_to_string(path).map_err(|error| {
            let message = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            Mistakes {
                file: Some(path.to_owned()),
                all: vec![Mistake {
                    line: None,
                    message,
                }],
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::read(&text, folder, environment).map_err(|mistakes| Mistakes {
            file: Some(path.to_owned()),
            ..mistakes
        })
    }

    /// Builds everything that `text` names; paths in it are relative to `folder`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn read(
        text: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let wrong = |all| Mistakes { file: None, all };
        let (config, all) = Config::parse(text, folder, environment.clone()).map_err(wrong)?;
        let mut builder = Builder {
            folder,
            environment,
            all,
        };
        let masker = builder.masker(&config.masking.rules);
        let mask_key = builder.mask_key(&config.masking);
        let profiles = masker
            .as_ref()
            .map(|masker| builder.profiles(&config.masking, masker))
            .unwrap_or_default();
        let detectors = builder.detectors(&config.detection);
        let mut source = PolicySource::of(&config, folder);
        if let Some(detectors) = &detectors {
            source = source.bound(DETECTORS, &hexadecimal(&detectors.hash()));
        }
        let policies_line = config.policies.as_ref().and_then(|folder| folder.line);
        let policies = builder.policies(&source, policies_line);
        let authenticator = builder.authenticator(&config);
        let rules = builder.rules(&config.federation, authenticator.as_ref());
        let people = builder.people(&config.people);
        let prices = builder.prices(&config.limits);
        let budgets = builder.budgets(&config, prices.as_ref());
        let sinks = builder.sinks(&config);
        let channels = builder.channels(&config.approvals);
        let witnesses = builder.witnesses(&config.record.witnesses);
        let authority = builder.authority(config.record.timestamp.as_ref());
        let tls = builder.tls(config.gateway.tls.as_ref());
        builder.check_listeners(&config);
        let connections: Vec<_> = config
            .connections
            .iter()
            .filter_map(|connection| {
                let reached = match &connection.protocol {
                    ProtocolConfig::Claude(own) => (builder.forward(connection, own))
                        .map(|forward| Reached::Claude(own.clone(), forward)),
                    ProtocolConfig::Postgres(own) => {
                        let has_tls = config.gateway.tls.is_some();
                        let built = builder.postgres(connection, own, has_tls, tls.as_ref());
                        built.map(|plan| Reached::Postgres(Box::new(plan)))
                    }
                };
                // Without rules there are no profiles, which was told once.
                let masks = masker
                    .is_some()
                    .then(|| builder.masks(connection, &profiles))?;
                Some(PlannedConnection {
                    config: connection.clone(),
                    masks: masks?,
                    reached: reached?,
                })
            })
            .collect();
        let mut all = builder.all;
        // What no line has comes last.
        all.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        let built = (
            masker,
            detectors,
            policies,
            authenticator,
            rules,
            people,
            budgets,
            prices,
        );
        match built {
            (
                Some(masker),
                Some(detectors),
                Some(policies),
                Some(authenticator),
                Some(rules),
                Some(people),
                Some(budgets),
                Some(prices),
            ) if all.is_empty() => Ok(Self {
                config,
                authenticator,
                rules,
                source,
                policies,
                detectors,
                people,
                budgets,
                prices,
                sinks,
                channels,
                masker,
                mask_key,
                tls,
                witnesses,
                authority,
                connections,
            }),
            _ => Err(wrong(all)),
        }
    }

    /// Where the policies of a configuration come from, without building anything else of it.
    ///
    /// # Errors
    ///
    /// What is wrong with the detectors, which have a say in the hash of the policies.
    pub fn policy_source(config: &Config, folder: &Path) -> Result<PolicySource, Mistakes> {
        let mut builder = Builder {
            folder,
            environment: BTreeMap::new(),
            all: Vec::new(),
        };
        let source = PolicySource::of(config, folder);
        match builder.detectors(&config.detection) {
            Some(detectors) => Ok(source.bound(DETECTORS, &hexadecimal(&detectors.hash()))),
            None => Err(Mistakes {
                file: None,
                all: builder.all,
            }),
        }
    }

    /// What a configuration masks with under the name of this profile, without building anything
    /// else of it. A configuration without a key for hashes and surrogates gets one that is made
    /// here, so they are the same for the same value with this masker only. There are no tokens.
    ///
    /// # Errors
    ///
    /// What is wrong with the rules and profiles, and that there is no such profile.
    pub fn masker(
        config: &Config,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        profile: &str,
    ) -> Result<Masker, Mistakes> {
        let mut builder = Builder {
            folder,
            environment: environment.into_iter().collect(),
            all: Vec::new(),
        };
        let masker = builder.profile_named(&config.masking, profile);
        match masker {
            Some(masker) if builder.all.is_empty() => Ok(masker),
            _ => Err(Mistakes {
                file: None,
                all: builder.all,
            }),
        }
    }

    /// Loads the issuers' keys, and names the issuers that have none after that.
    pub async fn issuers_without_keys(&self) -> Vec<String> {
        let without = self.authenticator.preload().await;
        without.into_iter().map(str::to_owned).collect()
    }

    /// The issuers: each with its name and its own name for itself.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, &str)> {
        let known = self.config.issuers.iter();
        known.filter_map(|config| {
            let issuer = self.authenticator.issuer(&config.name)?;
            Some((issuer.name(), issuer.identifier()))
        })
    }

    /// The audiences that tokens must name, by the issuer's own name for itself.
    pub fn audiences(&self) -> BTreeMap<String, String> {
        let known = self.config.issuers.iter();
        known
            .filter_map(|config| {
                let issuer = self.authenticator.issuer(&config.name)?;
                Some((issuer.identifier().to_owned(), issuer.audience().to_owned()))
            })
            .collect()
    }

    /// Where the policies come from.
    pub const fn source(&self) -> &PolicySource {
        &self.source
    }

    /// The policies, as they were loaded.
    pub const fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// What would run.
    pub fn summary(&self) -> Summary {
        let gateway = &self.config.gateway;
        Summary {
            listen: gateway.listen.to_string(),
            admin: gateway.admin.to_string(),
            data: gateway.data.clone(),
            witnesses: (self.config.record.witnesses.all.iter())
                .map(|witness| witness.name.clone())
                .collect(),
            witness_quorum: (self.config.record.witnesses.quorum())
                .map_or(0, |quorum| quorum.needed()),
            timestamps: (self.config.record.timestamp.as_ref())
                .map(|timestamp| timestamp.url.value.clone()),
            witness: (self.config.witness.as_ref()).map(|witness| witness.listen.to_string()),
            tls: gateway.tls.is_some(),
            issuers: self
                .config
                .issuers
                .iter()
                .map(|issuer| issuer.name.clone())
                .collect(),
            connections: self
                .connections
                .iter()
                .map(|planned| planned.summary(&self.policies))
                .collect(),
            policy_hash: self.policies.hash().to_owned(),
            policies: self.policies.len(),
            warnings: self
                .policies
                .warnings()
                .iter()
                .map(ToString::to_string)
                .collect(),
            federation: self
                .config
                .federation
                .iter()
                .map(|rule| rule.id.clone())
                .collect(),
            detectors: self.detectors.detectors().count(),
            budgets: self
                .config
                .budgets
                .iter()
                .map(|budget| budget.id.clone())
                .collect(),
            people: self
                .config
                .people
                .iter()
                .map(|person| person.name.clone())
                .collect(),
            operators: self.config.admin.operator.clone(),
            break_glass: self.config.approvals.break_glass.clone(),
            channels: self.announced(),
            rules: self.masker.rules().count(),
            sinks: self
                .sinks
                .iter()
                .map(|sink| format!("{} ({})", sink.name(), sink.kind()))
                .collect(),
        }
    }

    /// Where approvals are announced. An address may have a secret in its path or query, so only
    /// its host is shown.
    fn announced(&self) -> Vec<String> {
        let approvals = &self.config.approvals;
        let webhooks = approvals.webhooks.iter();
        let host = |url: &str| {
            let uri = url.parse::<http::Uri>().ok();
            uri.and_then(|uri| uri.host().map(str::to_owned))
        };
        let mut all: Vec<String> = webhooks
            .map(|webhook| format!("webhook {}", host(&webhook.url).unwrap_or_default()))
            .collect();
        all.extend(approvals.slack.as_ref().map(|_| "slack".to_owned()));
        all
    }

    /// The folder of the book.
    pub fn data(&self) -> &Path {
        &self.config.gateway.data
    }
}

/// What the hash of the policies calls the detectors.
const DETECTORS: &str = "detectors";

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
