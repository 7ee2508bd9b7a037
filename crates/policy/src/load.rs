//! Reading the policies of all texts, and everything that can be wrong with them.

use std::collections::HashMap;

use cedar_policy::{PolicyId, PolicySet as CedarSet, ValidationMode, ValidationWarning, Validator};
use jiff::tz::TimeZone;

use crate::{
    Mistake,
    mentions::Mentions,
    nearest::nearest,
    rule::Rule,
    source::{self, Source},
    vocabulary::Vocabulary,
    watch::{Pool, Watch, Wrong},
};

/// The rules of a set, and what they speak of.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rules: HashMap<String, Rule>,
    pub(crate) mentions: Mentions,
}

/// The rules of all `sources`, by id. Whatever is wrong is added to `mistakes`.
pub(crate) fn load(
    sources: &[Source],
    vocabulary: &Vocabulary,
    zone: &TimeZone,
    connections: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Loaded {
    let mut loading = Loading {
        sources,
        vocabulary,
        connections,
        loaded: Loaded {
            rules: HashMap::new(),
            mentions: Mentions::default(),
        },
        written: CedarSet::new(),
        pool: Pool::new(),
    };
    for (index, source) in sources.iter().enumerate() {
        for rule in source.rules(zone, mistakes) {
            loading.add(index, &rule, mistakes);
        }
    }
    loading.validate(mistakes);
    loading.loaded
}

struct Loading<'a> {
    sources: &'a [Source],
    vocabulary: &'a Vocabulary,
    connections: &'a [String],
    loaded: Loaded,
    /// The policies as they are written, for the validator: it knows where they stand.
    written: CedarSet,
    pool: Pool,
}

impl Loading<'_> {
    fn add(&mut self, index: usize, rule: &source::Rule, mistakes: &mut Vec<Mistake>) {
        let source = &self.sources[index];
        let mut wrong = |line, message: String| {
            mistakes.push(Mistake::new(&source.name, Some(line), message));
        };
        // What Cedar's validator lets pass.
        match self.vocabulary.attributes.unknown_in(&rule.policy) {
            Ok(unknown) => unknown.into_iter().for_each(|unknown| {
                wrong(source.line_of(rule, &unknown.name), unknown.message);
            }),
            Err(error) => wrong(rule.line, error),
        }
        for unknown in self.unknown_connections(rule) {
            let known = self.connections.iter().map(String::as_str);
            let hint = nearest(&unknown, known)
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let message = format!("there is no connection `{unknown}`{hint}");
            wrong(source.line_of(rule, &unknown), message);
        }
        let mut unreadable = Vec::new();
        let added = self.keep(index, rule, &mut unreadable);
        for unreadable in unreadable {
            wrong(source.line_of(rule, &unreadable.word), unreadable.message);
        }
        if let Err(message) = added {
            wrong(rule.line, message);
        }
    }

    fn keep(
        &mut self,
        index: usize,
        rule: &source::Rule,
        wrong: &mut Vec<Wrong>,
    ) -> Result<(), String> {
        let id = rule.policy.id().to_string();
        if let Some(Rule {
            origin: (other, line),
            ..
        }) = self.loaded.rules.get(&id)
        {
            let other = &self.sources[*other].name;
            return Err(format!("the id `{id}` is taken by {other}:{line}"));
        }
        let parts = rule.policy.to_json().map_err(|error| error.to_string())?;
        let watches =
            Watch::in_conditions(&parts["conditions"], self.vocabulary, &mut self.pool, wrong);
        self.loaded.mentions.add(&parts);
        let annotations = rule.annotations.clone();
        let origin = (index, rule.line);
        let names = &self.vocabulary.names;
        let kept = Rule::new(&rule.policy, annotations, watches, origin, names)?;
        self.loaded.rules.insert(id, kept);
        self.written
            .add(rule.policy.clone())
            .map_err(|error| error.to_string())
    }

    /// The connections that a rule names and that are not there.
    fn unknown_connections(&self, rule: &source::Rule) -> Vec<String> {
        let literals = rule.policy.entity_literals().into_iter();
        literals
            .filter(|literal| self.vocabulary.names.is_connection(literal))
            .map(|literal| literal.id().unescaped().to_owned())
            .filter(|name| !self.connections.is_empty() && !self.connections.contains(name))
            .collect()
    }

    fn validate(&self, mistakes: &mut Vec<Mistake>) {
        let validator = Validator::new(self.vocabulary.schema.clone());
        let result = validator.validate(&self.written, ValidationMode::Strict);
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
            let (source, line) = self.origin(id);
            let mut mistake = self.sources[source].mistake(diagnostic);
            mistake.line = mistake.line.or(Some(line));
            mistakes.push(mistake);
        }
    }

    fn origin(&self, id: &PolicyId) -> (usize, usize) {
        let rule = self.loaded.rules.get::<str>(id.as_ref());
        rule.map(|rule| rule.origin).unwrap_or_default()
    }
}
