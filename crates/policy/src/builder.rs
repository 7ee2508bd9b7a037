//! From texts to a checked set.

use std::sync::Arc;

use cedar_policy::Authorizer;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use tollbook_exchange::{Timestamp, Vocabulary as Part};

use crate::{
    BUILT_IN, LoadError, Mistake, PolicySet, PolicyTests,
    clock::Clock,
    index::Index,
    load::{Loaded, load},
    mentions::Mentions,
    names::Names,
    rule::Rule,
    set::Inner,
    short::{self, Allowed},
    source::Source,
    vocabulary::Vocabulary,
    window,
};

const SCHEMA_ENDING: &str = ".cedarschema";
const BUILT_IN_NAME: &str = "tollbook.cedar";

/// Gathers policies for a [`PolicySet`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PolicySetBuilder {
    spoken: Vec<Part>,
    allows: Vec<(String, Vec<String>)>,
    files: Vec<Source>,
    shorts: Vec<Source>,
    tests: Vec<Source>,
    bound: Vec<(String, String)>,
    zone: Option<String>,
    clock: Clock,
    everywhere: bool,
}

impl PolicySetBuilder {
    /// Lets policies speak about one more protocol, besides the Claude API and SQL, about which they
    /// always can.
    pub fn speaks(mut self, protocol: Part) -> Self {
        self.spoken.push(protocol);
        self
    }

    /// Permits every action on `connection` to callers in any of `groups`, under the id
    /// `connection.<name>.allow`. Without groups it permits nothing.
    ///
    /// Where connections are named in this way, a policy about any other is a mistake: a misspelt
    /// name in a forbid would never forbid anything.
    pub fn allow(
        mut self,
        connection: impl Into<String>,
        groups: impl IntoIterator<Item = String>,
    ) -> Self {
        let groups = groups.into_iter().collect();
        self.allows.push((connection.into(), groups));
        self
    }

    /// Adds the Cedar policies of `text`. Each needs an `@id` of its own; the [crate
    /// documentation](crate) tells what other annotations there are. `name` is for error messages.
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.push(Source::new(name, text));
        self
    }

    /// Adds the rules of `text` in the [short form](crate::short_form). `name` is for error
    /// messages, and for [`PolicySet::to_cedar`].
    pub fn short(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.shorts.push(Source::new(name, text));
        self
    }

    /// Runs the table of tests in `text`, in the form of [`PolicyTests`], over the set. A case
    /// that fails is a mistake like any other: the set is not built. Tests are not part of the
    /// set's hash.
    pub fn tests(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.tests.push(Source::new(name, text));
        self
    }

    /// Binds the set's hash to something that has a say in its decisions without being a policy,
    /// such as the detectors that make the facts, by its own hash or version.
    pub fn bound(mut self, name: impl Into<String>, hash: impl Into<String>) -> Self {
        self.bound.push((name.into(), hash.into()));
        self
    }

    /// The IANA time zone of the facts `hour` and `weekday`, and of `@expires` with a date alone.
    /// UTC unless set.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// Where the time of a decision comes from: the system's clock unless set.
    pub fn clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(now);
        self
    }

    /// Puts every question to every policy, with everything that is known. Decisions are the same,
    /// and slower: for benches and tests that hold the two against each other.
    #[doc(hidden)]
    pub fn ask_all(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// The checked set.
    ///
    /// # Errors
    ///
    /// When anything at all is wrong; the error lists every mistake, not only the first.
    pub fn build(self) -> Result<PolicySet, LoadError> {
        let broken = |text: String| LoadError::new(vec![Mistake::new("schema", None, text)]);
        let shared = Vocabulary::of(&self.spoken).map_err(broken)?;
        let vocabulary = &*shared;
        let mut mistakes = Vec::new();
        let zone = self.time_zone(&mut mistakes);
        let connections: Vec<String> = self.allows.iter().map(|(name, _)| name.clone()).collect();
        let tests = self.cases(vocabulary, &mut mistakes);
        let (everywhere, clock) = (self.everywhere, self.clock.clone());
        let (bound, zone_name) = (self.bound.clone(), self.zone.clone());
        let sources = self.sources(vocabulary, &mut mistakes);
        let Loaded {
            rules,
            mut mentions,
        } = load(&sources, vocabulary, &zone, &connections, &mut mistakes);
        refuse(mistakes)?;
        if everywhere {
            mentions = Mentions::all();
        }

        let (mut known, mut unknown) = (Index::default(), Index::default());
        for rule in rules.values() {
            let add = |index: &mut Index, ready| match everywhere {
                true => index.add_everywhere(rule, ready),
                false => index.add(rule, ready, vocabulary),
            };
            add(&mut known, &rule.known).map_err(broken)?;
            if let Some(ready) = &rule.unknown {
                add(&mut unknown, ready).map_err(broken)?;
            }
        }
        // Built-in rules are about what every set has to be about.
        let mut written = rules.values().filter(|rule| rule.origin.0 != 0);
        let set = PolicySet(Arc::new(Inner {
            judges_calls: written.any(Rule::is_about_calls),
            hash: hash(
                &sources,
                &vocabulary.parts,
                &bound,
                zone_name.as_deref().unwrap_or("UTC"),
            ),
            rules,
            known,
            unknown,
            mentions,
            vocabulary: shared,
            sources,
            zone,
            clock,
            authorizer: Authorizer::new(),
        }));
        refuse(
            tests
                .iter()
                .flat_map(|tests| tests.mistakes(&set))
                .collect(),
        )?;
        Ok(set)
    }

    fn time_zone(&self, mistakes: &mut Vec<Mistake>) -> TimeZone {
        let zone = self.zone.as_deref().map(window::zone);
        zone.transpose()
            .unwrap_or_else(|message| {
                mistakes.push(Mistake::new("policy", None, message));
                None
            })
            .unwrap_or(TimeZone::UTC)
    }

    fn cases(&self, vocabulary: &Vocabulary, mistakes: &mut Vec<Mistake>) -> Vec<PolicyTests> {
        let mut tests = Vec::new();
        for source in &self.tests {
            match PolicyTests::read(&source.name, &source.text, vocabulary) {
                Ok(read) => tests.push(read),
                Err(error) => mistakes.extend(error.mistakes().iter().cloned()),
            }
        }
        tests
    }

    /// Every text of the set: built in, generated and given.
    fn sources(self, vocabulary: &Vocabulary, mistakes: &mut Vec<Mistake>) -> Vec<Source> {
        let names = &vocabulary.names;
        let built_in = Source::new(BUILT_IN_NAME, BUILT_IN);
        let allowed = Allowed {
            connections: &self.allows,
            zone: self.zone.as_deref().unwrap_or("UTC"),
        };
        let shorts: Vec<Source> = (self.shorts.iter())
            .map(|source| short::to_cedar(source, &allowed, vocabulary, mistakes))
            .collect();
        let generated = self.allows.iter().map(|(connection, groups)| {
            Source::new(
                format!("connection {connection:?}"),
                allow_text(names, connection, groups),
            )
        });
        let mut sources: Vec<Source> = Vec::new();
        for source in std::iter::once(built_in)
            .chain(generated)
            .chain(self.files)
            .chain(shorts)
        {
            if source.name.ends_with(SCHEMA_ENDING)
                || sources.iter().any(|other| other.name == source.name)
            {
                mistakes.push(Mistake::new(&source.name, None, "the name is taken"));
            } else {
                sources.push(source);
            }
        }
        sources
    }
}

fn refuse(mut mistakes: Vec<Mistake>) -> Result<(), LoadError> {
    if mistakes.is_empty() {
        return Ok(());
    }
    mistakes.sort();
    mistakes.dedup();
    Err(LoadError::new(mistakes))
}

/// The permit that a connection's list of groups stands for.
fn allow_text(names: &Names, connection: &str, groups: &[String]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let groups: Vec<String> = groups
        .iter()
        .map(|name| names.group(name).to_string())
        .collect();
    format!(
        "@id(\"connection.{}.allow\")\npermit (principal, action, resource == {})\nwhen {{ principal in [{}] }};\n",
        connection.escape_debug(),
        names.connection(connection),
        groups.join(", "),
    )
}

/// SHA-256 over every text that had a say, each with its name, in the order of names; then over
/// the zone and what the set is bound to.
fn hash(sources: &[Source], parts: &[Part], bound: &[(String, String)], zone: &str) -> String {
    let schemas: Vec<(String, &str)> = parts
        .iter()
        .map(|part| (format!("{}{SCHEMA_ENDING}", part.protocol()), part.schema()))
        .collect();
    let mut texts: Vec<(&str, &str)> = sources
        .iter()
        .map(|source| (source.name.as_str(), source.text.as_str()))
        .chain(schemas.iter().map(|(name, text)| (name.as_str(), *text)))
        .collect();
    texts.sort_unstable();
    let mut bound: Vec<(&str, &str)> = bound
        .iter()
        .map(|(name, hash)| (name.as_str(), hash.as_str()))
        .collect();
    bound.sort_unstable();

    let mut hash = Sha256::new();
    for list in [texts, bound, vec![("zone", zone)]] {
        // Lengths first, so that no two lists of texts run into the same bytes.
        hash.update((list.len() as u64).to_be_bytes());
        for part in list.into_iter().flat_map(|(name, text)| [name, text]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let mut text = String::from("sha256:");
    for byte in hash.finalize() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
