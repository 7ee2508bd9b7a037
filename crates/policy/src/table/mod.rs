//! Tables of cases that a set of policies has to decide as they say.

mod read;

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use tollbook_exchange::{Action, Decision, Finding, Principal, Timestamp, Verdict};

use crate::{LoadError, Mistake, PolicySet, request::Asked, vocabulary::Vocabulary};

/// Cases that a [`PolicySet`] has to decide as they say, from a TOML text.
///
/// ```toml
/// [default]                            # what every case says that does not say otherwise
/// connection = "claude"                # where it is not "claude"
/// facts = { body_scanned = true }      # added to each case's own
///
/// [[case]]
/// name = "payments may not use opus"
/// principal = { issuer = "ci", subject = "repo:acme/pay", kind = "ci", groups = ["payments"] }
/// action = "messages.create"
/// facts = { model = "claude-opus-4-5" }
/// expect = "deny"                      # allow, deny or approve
/// rules = ["no-opus"]                  # the ids that determined it; not looked at when left out
/// ```
///
/// | key | meaning | when left out |
/// |---|---|---|
/// | `name` | what the case shows | required |
/// | `principal` | `issuer`, `subject`, `kind` (`ci`, `human`, `service`), `groups` (a list or `"unknown"`), `claims`, `roles`, `rules`, `stable_id`, `actor`, `environment`, `on_behalf_of` | a `ci` caller in no group |
/// | `connection`, `protocol` | where it comes in | `claude` |
/// | `action` | the action's name | `messages.create` |
/// | `facts` | what inspection would find, by the names of the [schema](crate::SCHEMA) | none |
/// | `findings` | ids of rules, or `{ rule = "…", count = 2 }` | none |
/// | `at` | the time of the decision, RFC 3339 | `2026-01-01T12:00:00Z`, a Thursday |
/// | `expect` | the verdict | required |
/// | `rules` | the ids that determined it | not looked at |
/// | `requires` | who has to approve, as `group:people` | not looked at |
/// | `shadow` | the rules on trial that had something to say | not looked at |
/// | `errors` | the ids that could not be evaluated | none may fail |
///
/// `[default]` takes `principal`, `connection`, `protocol`, `action`, `facts` and `at`. Nothing
/// depends on the clock of the machine the tests run on.
///
/// ```
/// use tollbook_policy::{PolicySet, PolicyTests};
///
/// let policies = PolicySet::builder().allow("claude", ["ci".to_owned()]).build()?;
/// let tests = PolicyTests::parse(
///     "claude.test.toml",
///     r#"
///     [[case]]
///     name = "strangers stay outside"
///     principal = { groups = ["strangers"] }
///     facts = { body_scanned = true }
///     expect = "allow"
///     "#,
/// )?;
/// let outcomes = tests.run(&policies);
/// assert!(!outcomes[0].passed());
/// assert_eq!(
///     outcomes[0].to_string(),
///     "case `strangers stay outside`: verdict: expected allow, got deny (no rule permits this)"
/// );
/// # Ok::<(), tollbook_policy::LoadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicyTests {
    file: String,
    cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    line: usize,
    principal: Principal,
    connection: String,
    protocol: String,
    action: Action,
    findings: Vec<Finding>,
    at: Timestamp,
    expect: Verdict,
    rules: Option<BTreeSet<String>>,
    requires: Option<BTreeSet<String>>,
    shadow: Option<BTreeSet<String>>,
    errors: BTreeSet<String>,
}

/// What came of one case.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The text that the case stands in.
    pub file: String,
    /// The line at which it begins, counted from 1.
    pub line: usize,
    /// Its name.
    pub case: String,
    /// Where the decision is another than the case says. Empty when it passed.
    pub differences: Vec<Difference>,
    /// The decision.
    pub decision: Decision,
}

/// One part of a decision that is not as a case says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The part: `verdict`, `rules`, `requires`, `shadow` or `errors`.
    pub part: &'static str,
    /// What the case says.
    pub expected: String,
    /// What the policies say.
    pub got: String,
}

impl PolicyTests {
    /// Reads the cases of `text`, about the protocols that every set speaks: about those of one set,
    /// [`PolicySet::parse_tests`]. `name` is for error messages.
    ///
    /// # Errors
    ///
    /// When anything at all is wrong; the error lists every mistake, not only the first.
    pub fn parse(name: &str, text: &str) -> Result<Self, LoadError> {
        let broken = |text: String| LoadError::new(vec![Mistake::new(name, None, text)]);
        let vocabulary = Vocabulary::of(&[]).map_err(broken)?;
        Self::read(name, text, &vocabulary)
    }

    pub(crate) fn read(name: &str, text: &str, vocabulary: &Vocabulary) -> Result<Self, LoadError> {
        read::cases(name, text, vocabulary).map(|cases| Self {
            file: name.to_owned(),
            cases,
        })
    }

    /// Lets `policies` decide every case.
    pub fn run(&self, policies: &PolicySet) -> Vec<Outcome> {
        let cases = self.cases.iter();
        cases.map(|case| case.run(&self.file, policies)).collect()
    }

    /// The cases that `policies` decide in another way, as mistakes.
    pub(crate) fn mistakes(&self, policies: &PolicySet) -> Vec<Mistake> {
        let failed = self.run(policies).into_iter();
        failed
            .filter(|outcome| !outcome.passed())
            .map(|outcome| Mistake::new(&outcome.file, Some(outcome.line), outcome.to_string()))
            .collect()
    }
}

impl Outcome {
    /// Whether everything is as the case says.
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Case {
    fn run(&self, file: &str, policies: &PolicySet) -> Outcome {
        let decision = policies.judge(Asked {
            principal: &self.principal,
            connection: &self.connection,
            protocol: &self.protocol,
            action: &self.action,
            findings: &self.findings,
            at: self.at,
        });
        Outcome {
            file: file.to_owned(),
            line: self.line,
            case: self.name.clone(),
            differences: self.differences(&decision),
            decision,
        }
    }

    fn differences(&self, decision: &Decision) -> Vec<Difference> {
        let mut differences = Vec::new();
        if decision.verdict != self.expect {
            differences.push(Difference {
                part: "verdict",
                expected: self.expect.as_str().to_owned(),
                got: verdict(decision),
            });
        }
        let requires = decision.requires.iter();
        let requires = requires.map(|one| format!("{}:{}", one.group, one.people));
        for (part, expected, got) in [
            ("rules", self.rules.as_ref(), names(&decision.rules)),
            ("requires", self.requires.as_ref(), requires.collect()),
            ("shadow", self.shadow.as_ref(), names(&decision.shadow)),
            ("errors", Some(&self.errors), names(&decision.errors)),
        ] {
            if let Some(expected) = expected.filter(|expected| **expected != got) {
                differences.push(Difference {
                    part,
                    expected: listed(expected),
                    got: listed(&got),
                });
            }
        }
        differences
    }
}

/// The verdict and what led to it.
fn verdict(decision: &Decision) -> String {
    let verdict = decision.verdict.as_str();
    if !decision.errors.is_empty() {
        return verdict.to_owned();
    }
    if decision.rules.is_empty() {
        return format!("{verdict} (no rule permits this)");
    }
    format!("{verdict} by {}", listed(&names(&decision.rules)))
}

fn names(names: &[String]) -> BTreeSet<String> {
    names.iter().cloned().collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "case `{}`", self.case)?;
        if self.passed() {
            return f.write_str(": ok");
        }
        for (index, difference) in self.differences.iter().enumerate() {
            let Difference {
                part,
                expected,
                got,
            } = difference;
            let between = if index == 0 { ": " } else { "; " };
            write!(f, "{between}{part}: expected {expected}, got {got}")?;
        }
        Ok(())
    }
}
