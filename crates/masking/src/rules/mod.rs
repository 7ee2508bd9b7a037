//! Rules as data: from TOML to the checked form that the engine runs.

mod check;
mod error;
mod explain;
mod import;
mod source;
mod vectors;

use std::collections::HashMap;

use self::source::{Checked, read};
pub use self::{
    error::{BuildError, RuleError},
    explain::RuleCost,
    import::{Imported, Kept, LeftOut},
};
use crate::engine::{Engine, Keys, MAX_RULES, rule::Shape};

/// The rules that come with this crate.
static BUILTIN: &[(&str, &str)] = &[
    (
        "rules/secrets/ai.toml",
        include_str!("../../rules/secrets/ai.toml"),
    ),
    (
        "rules/secrets/cloud.toml",
        include_str!("../../rules/secrets/cloud.toml"),
    ),
    (
        "rules/secrets/forge.toml",
        include_str!("../../rules/secrets/forge.toml"),
    ),
    (
        "rules/secrets/ci.toml",
        include_str!("../../rules/secrets/ci.toml"),
    ),
    (
        "rules/secrets/registry.toml",
        include_str!("../../rules/secrets/registry.toml"),
    ),
    (
        "rules/secrets/payment.toml",
        include_str!("../../rules/secrets/payment.toml"),
    ),
    (
        "rules/secrets/messaging.toml",
        include_str!("../../rules/secrets/messaging.toml"),
    ),
    (
        "rules/secrets/saas.toml",
        include_str!("../../rules/secrets/saas.toml"),
    ),
    (
        "rules/secrets/monitoring.toml",
        include_str!("../../rules/secrets/monitoring.toml"),
    ),
    (
        "rules/secrets/database.toml",
        include_str!("../../rules/secrets/database.toml"),
    ),
    (
        "rules/secrets/identity.toml",
        include_str!("../../rules/secrets/identity.toml"),
    ),
    (
        "rules/secrets/generic.toml",
        include_str!("../../rules/secrets/generic.toml"),
    ),
    (
        "rules/personal.toml",
        include_str!("../../rules/personal.toml"),
    ),
];

/// Where rules come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// This crate. Its tests run the vectors of these rules, so nobody else has to.
    Builtin,
    /// A file of somebody else.
    File { name: String, toml: String },
}

/// Compiles all rules of all origins, or tells everything that is wrong with them.
///
/// # Errors
///
/// When anything is wrong with any rule. Nothing is used then.
pub(crate) fn compile(origins: &[Origin]) -> Result<Engine, BuildError> {
    let mut mistakes = Vec::new();
    let mut rules = Vec::new();
    for origin in origins {
        match origin {
            Origin::Builtin => {
                for (name, toml) in BUILTIN {
                    rules.extend(read(name, toml, true, &mut mistakes));
                }
            }
            Origin::File { name, toml } => rules.extend(read(name, toml, false, &mut mistakes)),
        }
    }
    refuse_twins(&rules, &mut mistakes);
    refuse_crowds(&rules, &mut mistakes);
    let engine = vectors::check(rules, &mut mistakes);
    if mistakes.is_empty() {
        Ok(engine)
    } else {
        Err(BuildError::new(mistakes))
    }
}

/// Two rules of one id could not be told apart.
fn refuse_twins(rules: &[Checked], mistakes: &mut Vec<RuleError>) {
    let mut known = HashMap::new();
    for checked in rules {
        if let Some(there) = known.insert(&*checked.rule.id, &checked.place) {
            let reason = format!("a rule of this id is already at {there}");
            mistakes.push(checked.mistake(reason));
        }
    }
}

/// Of too many rules for one name the last would not be tried.
fn refuse_crowds(rules: &[Checked], mistakes: &mut Vec<RuleError>) {
    let names = rules.iter().enumerate().flat_map(|(index, checked)| {
        let is_key = matches!(
            checked.rule.shape,
            Shape::Assignment { .. } | Shape::JsonKey { .. }
        );
        let names = checked.rule.literals.iter().filter(move |_| is_key);
        names.map(move |name| (&name[..], index))
    });
    let mut last: Vec<usize> = Keys::new(names)
        .rules()
        .filter_map(|rules| rules.get(MAX_RULES).copied())
        .collect();
    last.sort_unstable();
    last.dedup();
    for index in last {
        let reason = format!("a name of it has more than {MAX_RULES} rules");
        mistakes.push(rules[index].mistake(reason));
    }
}

/// The one rule in a text, for tests of what rules do.
#[cfg(test)]
pub(crate) fn one(toml: &str) -> crate::engine::Rule {
    let mut mistakes = Vec::new();
    let rules = read("test.toml", toml, false, &mut mistakes);
    assert_eq!(mistakes, []);
    rules.into_iter().next().unwrap().rule
}

/// The vectors of the rules of this crate, those that must not match too.
#[cfg(test)]
pub(crate) fn texts() -> Vec<String> {
    let mut mistakes = Vec::new();
    let rules = BUILTIN
        .iter()
        .flat_map(|(name, toml)| read(name, toml, false, &mut mistakes));
    rules
        .flat_map(|rule| rule.positive.into_iter().chain(rule.negative))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::validate::Validator;

    #[test]
    fn the_rules_of_this_crate_pass_the_checks_that_others_pass() {
        let files = BUILTIN.iter().map(|(name, toml)| Origin::File {
            name: (*name).to_owned(),
            toml: (*toml).to_owned(),
        });
        if let Err(error) = compile(&files.collect::<Vec<_>>()) {
            let told = error.mistakes().iter().map(ToString::to_string);
            panic!("{:#?}", told.collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_rule_of_a_name_is_left_out_unseen() {
        let rules = |count: usize| {
            let rules = (0..count).map(|number| {
                format!(
                    "[[rule]]\nid = \"x{number}\"\ndescription = \"d\"\nsource = \"s\"\n\
                     shape = \"assignment\"\nliterals = [\"blue\"]\nbody = {{ class = \"hex\", \
                     min = {0} }}\npositive = [\"blue = {1}\"]\nnegative = [\"x\"]\n",
                    8 + number,
                    "0a".repeat(20)
                )
            });
            compile(&[Origin::File {
                name: "own.toml".to_owned(),
                toml: rules.collect(),
            }])
        };
        let told = |error: BuildError| {
            let told = error.mistakes().iter().map(ToString::to_string);
            told.collect::<Vec<_>>().join("\n")
        };
        let few = rules(MAX_RULES).map_err(told);
        assert!(few.is_ok(), "{few:?}");
        let many = rules(MAX_RULES + 1).map_err(told).unwrap_err();
        assert!(many.contains("more than 12 rules"), "{many}");
        assert!(many.contains("x12"), "{many}");
    }

    #[test]
    fn the_documented_validators_are_those_there_are() {
        let page = include_str!("../lib.rs");
        let row = page
            .lines()
            .find(|line| line.starts_with("//! | `validate` |"));
        let mut told: Vec<&str> = row.unwrap().split('`').skip(1).step_by(2).collect();
        let mut known: Vec<&str> = Validator::names().collect();
        known.extend(["validate", "entropy:BITS", "contains:TEXT"]);
        told.sort_unstable();
        known.sort_unstable();
        assert_eq!(told, known);
    }

    #[test]
    fn rules_are_the_same_without_their_vectors() {
        let told = |trusted| {
            let mut mistakes = Vec::new();
            let mut told = Vec::new();
            for (name, toml) in BUILTIN {
                for checked in read(name, toml, trusted, &mut mistakes) {
                    assert_eq!(checked.positive.is_empty(), trusted, "{:?}", checked.place);
                    assert_eq!(checked.negative.is_empty(), trusted, "{:?}", checked.place);
                    told.push(format!("{}: {:?}", checked.place, checked.rule));
                }
            }
            assert_eq!(mistakes, []);
            told
        };
        assert_eq!(told(true), told(false));
    }
}
