//! From texts to a checked set.

use std::collections::HashMap;

use cedar_policy::{
    PolicyId, PolicySet as CedarSet, Schema, SchemaFragment, ValidationMode, ValidationWarning,
    Validator,
};
use sha2::{Digest, Sha256};

use crate::{
    BUILT_IN, LoadError, Mistake, PolicySet, SCHEMA,
    attributes::Attributes,
    names::Names,
    nearest::nearest,
    set::Rules,
    source::{Rule, Source},
    unknown_groups,
};

const SCHEMA_NAME: &str = "tollbook.cedarschema";
const BUILT_IN_NAME: &str = "tollbook.cedar";

/// Gathers policies for a [`PolicySet`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PolicySetBuilder {
    allows: Vec<(String, Vec<String>)>,
    files: Vec<Source>,
}

impl PolicySetBuilder {
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

    /// Adds the Cedar policies of `text`. Each needs an `@id` of its own and may have a `@reason`,
    /// which a caller sees when the policy forbids. `name` is for error messages.
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.push(Source {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// The checked set.
    ///
    /// # Errors
    ///
    /// When anything at all is wrong; the error lists every mistake, not only the first.
    pub fn build(self) -> Result<PolicySet, LoadError> {
        let broken = |text: String| LoadError::new(vec![Mistake::new(SCHEMA_NAME, None, text)]);
        let names = Names::new().map_err(broken)?;
        let (fragment, _) = SchemaFragment::from_cedarschema_str(SCHEMA)
            .map_err(|error| broken(error.to_string()))?;
        let attributes = fragment
            .clone()
            .to_json_value()
            .map(|json| Attributes::of_schema(&json))
            .map_err(|error| broken(error.to_string()))?;
        let schema =
            Schema::from_schema_fragments([fragment]).map_err(|error| broken(error.to_string()))?;

        let mut mistakes = Vec::new();
        let connections: Vec<String> = self.allows.iter().map(|(name, _)| name.clone()).collect();
        let sources = self.sources(&names, &mut mistakes);
        let loaded = load(&sources, &names, &attributes, &connections, &mut mistakes);
        validate(&schema, &sources, &loaded, &mut mistakes);
        if !mistakes.is_empty() {
            mistakes.sort();
            mistakes.dedup();
            return Err(LoadError::new(mistakes));
        }
        let rules = Rules {
            known: loaded.known,
            unknown: loaded.unknown,
        };
        Ok(PolicySet::new(rules, names, schema, hash(&sources)))
    }

    /// Every text of the set: built in, generated and given.
    fn sources(self, names: &Names, mistakes: &mut Vec<Mistake>) -> Vec<Source> {
        let built_in = Source {
            name: BUILT_IN_NAME.to_owned(),
            text: BUILT_IN.to_owned(),
        };
        let generated = self.allows.into_iter().map(|(connection, groups)| Source {
            text: allow_text(names, &connection, &groups),
            name: format!("connection {connection:?}"),
        });
        let mut sources: Vec<Source> = Vec::new();
        for source in std::iter::once(built_in).chain(generated).chain(self.files) {
            if source.name == SCHEMA_NAME || sources.iter().any(|other| other.name == source.name) {
                mistakes.push(Mistake::new(&source.name, None, "the name is taken"));
            } else {
                sources.push(source);
            }
        }
        sources
    }
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

/// The rules of all texts together, and where each came from.
#[derive(Default)]
struct Loaded {
    known: CedarSet,
    unknown: CedarSet,
    origins: HashMap<PolicyId, (usize, usize)>,
}

fn load(
    sources: &[Source],
    names: &Names,
    attributes: &Attributes,
    connections: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Loaded {
    let mut loaded = Loaded::default();
    for (index, source) in sources.iter().enumerate() {
        for rule in source.rules(mistakes) {
            let mut wrong = |line, message: String| {
                mistakes.push(Mistake::new(&source.name, Some(line), message));
            };
            match attributes.unknown_in(&rule.policy) {
                Ok(unknown) => unknown.into_iter().for_each(|unknown| {
                    wrong(source.line_of(&rule, &unknown.name), unknown.message);
                }),
                Err(error) => wrong(rule.line, error),
            }
            for unknown in unknown_connections(&rule, names, connections) {
                let hint = nearest(&unknown, connections.iter().map(String::as_str))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                let message = format!("there is no connection `{unknown}`{hint}");
                wrong(source.line_of(&rule, &unknown), message);
            }
            if let Err(message) = loaded.add(&rule, index, names, sources) {
                wrong(rule.line, message);
            }
        }
    }
    loaded
}

/// The connections that a rule names and that are not there.
fn unknown_connections(rule: &Rule, names: &Names, connections: &[String]) -> Vec<String> {
    let kind = names.connection("");
    let literals = rule.policy.entity_literals().into_iter();
    literals
        .filter(|literal| literal.type_name() == kind.type_name())
        .map(|literal| literal.id().unescaped().to_owned())
        .filter(|name| !connections.is_empty() && !connections.contains(name))
        .collect()
}

impl Loaded {
    fn add(
        &mut self,
        rule: &Rule,
        source: usize,
        names: &Names,
        sources: &[Source],
    ) -> Result<(), String> {
        let id = rule.policy.id();
        if let Some((other, line)) = self.origins.get(id) {
            let other = &sources[*other].name;
            return Err(format!("the id `{id}` is taken by {other}:{line}"));
        }
        self.origins.insert(id.clone(), (source, rule.line));
        if let Some(twin) = unknown_groups::twin(&rule.policy, names)? {
            self.unknown.add(twin).map_err(|error| error.to_string())?;
        }
        self.known
            .add(rule.policy.clone())
            .map_err(|error| error.to_string())
    }
}

fn validate(schema: &Schema, sources: &[Source], loaded: &Loaded, mistakes: &mut Vec<Mistake>) {
    let result = Validator::new(schema.clone()).validate(&loaded.known, ValidationMode::Strict);
    // A policy that can never apply, or that does not read as it looks, is not what was meant.
    let warnings = result.validation_warnings().filter(|warning| {
        matches!(
            warning,
            ValidationWarning::ImpossiblePolicy(_)
                | ValidationWarning::InvalidActionApplication(_)
                | ValidationWarning::BidiCharsInString(_)
                | ValidationWarning::BidiCharsInIdentifier(_)
        )
    });
    let errors = result
        .validation_errors()
        .map(|error| (error.policy_id(), error as &dyn miette::Diagnostic));
    let warnings =
        warnings.map(|warning| (warning.policy_id(), warning as &dyn miette::Diagnostic));
    for (id, diagnostic) in errors.chain(warnings) {
        let (source, line) = loaded.origins.get(id).copied().unwrap_or_default();
        let mut mistake = sources[source].mistake(diagnostic);
        mistake.line = mistake.line.or(Some(line));
        mistakes.push(mistake);
    }
}

/// SHA-256 over every text that had a say, each with its name, in the order of names.
fn hash(sources: &[Source]) -> String {
    let mut texts: Vec<(&str, &str)> = sources
        .iter()
        .map(|source| (source.name.as_str(), source.text.as_str()))
        .chain([(SCHEMA_NAME, SCHEMA)])
        .collect();
    texts.sort_unstable();
    let mut hash = Sha256::new();
    for part in texts.into_iter().flat_map(|(name, text)| [name, text]) {
        // The length first, so that no two lists of texts run into the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = String::from("sha256:");
    for byte in hash.finalize() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
