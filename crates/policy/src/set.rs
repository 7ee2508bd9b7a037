//! The checked set of policies.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as CedarDecision, Effect, PolicyId,
    PolicySet as CedarSet,
};
use jiff::tz::TimeZone;
use tollbook_exchange::{Action, Decision, Finding, Principal, Requirement, Timestamp, Verdict};

use crate::{
    Decide, LoadError, Mistake, PolicySetBuilder, PolicyTests,
    clock::Clock,
    index::{Index, Part},
    mentions::Mentions,
    request::{Asked, Known, Question, Unfit},
    rule::Rule,
    source::Source,
    vocabulary::Vocabulary,
};

/// A checked set of policies. Cheap to clone. See the [crate documentation](crate).
#[derive(Clone)]
pub struct PolicySet(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) rules: HashMap<String, Rule>,
    /// For callers whose groups are known.
    pub(crate) known: Index,
    /// For callers whose groups are not.
    pub(crate) unknown: Index,
    pub(crate) mentions: Mentions,
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) sources: Vec<Source>,
    pub(crate) zone: TimeZone,
    pub(crate) clock: Clock,
    pub(crate) hash: String,
    pub(crate) authorizer: Authorizer,
    pub(crate) judges_calls: bool,
}

/// What one round over some of the policies brought.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The permits that apply. Some may be left out where a forbid applies.
    permits: BTreeSet<String>,
    forbids: BTreeSet<String>,
    errors: BTreeSet<String>,
}

/// Whether a policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Satisfied {
    Yes,
    No,
    Failed,
}

impl PolicySet {
    /// Gathers policies.
    pub fn builder() -> PolicySetBuilder {
        PolicySetBuilder::default()
    }

    /// Names exactly these policies: `sha256:` and 64 hexadecimal digits over every text that has
    /// a say, the built-in ones and the schema included, the time zone, and what the set is
    /// [bound](PolicySetBuilder::bound) to. The order of loading does not count.
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// How many policies there are, built-in and generated ones included.
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    /// Whether there are no policies. Never so: some are built in.
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// Every text of the set in Cedar's language, by its name: the schema is not among them, what
    /// was generated is.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let sources = self.0.sources.iter();
        sources.map(|source| (source.name.as_str(), source.text.as_str()))
    }

    /// The text of this name in Cedar's language: what a file in the short form stands for, or the
    /// file itself.
    pub fn to_cedar(&self, name: &str) -> Option<&str> {
        self.texts()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| text)
    }

    /// What the policies may speak about, in Cedar's schema language: [`SCHEMA`](crate::SCHEMA), and the
    /// part of each protocol under the protocol's name.
    pub fn schemas(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts = self.0.vocabulary.parts.iter();
        parts.map(|part| (part.protocol(), part.schema()))
    }

    /// Reads the cases of `text`, which may speak about what the policies may speak about. `name` is
    /// for error messages.
    ///
    /// # Errors
    ///
    /// As of [`PolicyTests::parse`].
    pub fn parse_tests(&self, name: &str, text: &str) -> Result<PolicyTests, LoadError> {
        PolicyTests::read(name, text, &self.0.vocabulary)
    }

    /// Whether the policies have something to say of the tool calls in answers: one names them in its
    /// scope, or applies to every action and looks at what tells one call from another, such as
    /// `labels` or `tool`. A rule about the caller or the model alone has said it of the request.
    pub fn judges_calls(&self) -> bool {
        self.0.judges_calls
    }

    /// What is no mistake and deserves a look: policies that have expired by now.
    pub fn warnings(&self) -> Vec<Mistake> {
        let now = self.0.clock.now().as_micros().div_euclid(1_000_000);
        let expired = self.0.rules.values().filter_map(|rule| {
            let expiry = rule.annotations.expires.as_ref()?;
            let (source, line) = rule.origin;
            (expiry.end <= now).then(|| {
                Mistake::new(
                    &self.0.sources[source].name,
                    Some(line),
                    format!("`{}` expired with {}", rule.id, expiry.text),
                )
            })
        });
        let mut expired: Vec<Mistake> = expired.collect();
        expired.sort();
        expired
    }

    /// The decision about `action` by `principal` on `connection` at a time of choice. What
    /// [`Decide::decide`] answers is this for the time of the set's clock.
    pub fn decide_at(
        &self,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
        at: Timestamp,
    ) -> Decision {
        self.judge(Asked {
            principal,
            connection,
            protocol,
            action,
            findings,
            at,
        })
    }

    pub(crate) fn judge(&self, asked: Asked<'_>) -> Decision {
        let parts = self.0.parts(asked);
        match self.0.question(asked, &parts) {
            Ok(question) => self.0.judge(&question, &parts),
            Err(unfit) => {
                let rule = unfit.rule();
                tracing::warn!(unfit = rule, "a request does not fit the policy schema");
                Decision::new(Verdict::Deny, Vec::new(), self.hash())
                    .with_errors(vec![rule.to_owned()])
            }
        }
    }
}

impl Inner {
    /// The policies that can concern what is asked.
    pub(crate) fn parts(&self, asked: Asked<'_>) -> Vec<&Part> {
        let groups = &asked.principal.groups;
        let index = if groups.is_known() {
            &self.known
        } else {
            &self.unknown
        };
        index.parts(&asked.action.name, asked.connection, groups)
    }

    pub(crate) fn question(&self, asked: Asked<'_>, parts: &[&Part]) -> Result<Question, Unfit> {
        let watches = parts.iter().flat_map(|part| &part.watches);
        let known = Known {
            vocabulary: &self.vocabulary,
            mentions: &self.mentions,
            zone: &self.zone,
        };
        Question::new(asked, known, watches)
    }

    /// Denies before it asks, and asks before it allows.
    fn judge(&self, question: &Question, parts: &[&Part]) -> Decision {
        let rules = self.ask(question, parts, |part| &part.rules);
        let mut errors = rules.errors;
        let (verdict, determining) = if !rules.forbids.is_empty() {
            (Verdict::Deny, rules.forbids)
        } else if rules.permits.is_empty() || !errors.is_empty() {
            (Verdict::Deny, rules.permits)
        } else {
            let approvals = self.ask(question, parts, |part| &part.approvals);
            errors = approvals.errors;
            if !errors.is_empty() {
                (Verdict::Deny, rules.permits)
            } else if approvals.forbids.is_empty() {
                (Verdict::Allow, rules.permits)
            } else {
                (Verdict::Approve, approvals.forbids)
            }
        };
        if !errors.is_empty() {
            tracing::warn!(rules = ?errors, "a policy cannot be evaluated");
        }
        let nothing_permits =
            verdict == Verdict::Deny && determining.is_empty() && errors.is_empty();
        let shadow = self.shadow(question, parts, nothing_permits);
        let requires = match verdict {
            Verdict::Approve => self.requirements(&determining),
            _ => Vec::new(),
        };
        let reason = match verdict {
            Verdict::Allow => None,
            _ => self.reasons(&determining),
        };
        Decision::new(verdict, determining.into_iter().collect(), &self.hash)
            .with_reason(reason)
            .with_errors(errors.into_iter().collect())
            .requiring(requires)
            .with_shadow(shadow)
    }

    /// The rules on trial that have something to say.
    fn shadow(&self, question: &Question, parts: &[&Part], nothing_permits: bool) -> Vec<String> {
        let mut shadow = BTreeSet::new();
        let forbids = self.ask(question, parts, |part| &part.trial_forbids);
        shadow.extend(forbids.forbids);
        // One that cannot be evaluated would have denied.
        shadow.extend(forbids.errors);
        let permits = self.ask(question, parts, |part| &part.trial_permits);
        shadow.extend(permits.errors);
        if nothing_permits {
            shadow.extend(permits.permits);
        }
        shadow.into_iter().collect()
    }

    /// Puts the question to the policies that `pick` takes of each part.
    fn ask(
        &self,
        question: &Question,
        parts: &[&Part],
        pick: impl Fn(&Part) -> &CedarSet,
    ) -> Answer {
        let mut answer = Answer::default();
        for set in parts.iter().map(|part| pick(part)) {
            if !set.is_empty() {
                answer.add(&self.authorizer, question, set);
            }
        }
        answer
    }

    /// Whether the one policy of `set` applies.
    pub(crate) fn alone(&self, question: &Question, set: &CedarSet) -> Satisfied {
        let mut answer = Answer::default();
        answer.add(&self.authorizer, question, set);
        if !answer.errors.is_empty() {
            Satisfied::Failed
        } else if answer.permits.is_empty() && answer.forbids.is_empty() {
            Satisfied::No
        } else {
            Satisfied::Yes
        }
    }

    fn requirements(&self, rules: &BTreeSet<String>) -> Vec<Requirement> {
        let mut requires: Vec<Requirement> = rules
            .iter()
            .filter_map(|id| self.rules.get(id))
            .flat_map(|rule| {
                let groups = rule.annotations.approval.iter();
                groups.map(|(group, people)| Requirement {
                    rule: rule.id.clone(),
                    group: group.clone(),
                    people: *people,
                })
            })
            .collect();
        requires.sort_unstable();
        requires.dedup();
        requires
    }

    fn reasons(&self, rules: &BTreeSet<String>) -> Option<String> {
        let rules = rules.iter().filter_map(|id| self.rules.get(id));
        let reasons: Vec<&str> = rules
            // A permit stands here where another policy failed; its reason is none for that.
            .filter(|rule| rule.effect == Effect::Forbid)
            .filter_map(|rule| rule.annotations.reason.as_deref())
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

impl Answer {
    fn add(&mut self, authorizer: &Authorizer, question: &Question, set: &CedarSet) {
        let answer = authorizer.is_authorized(&question.request, set, &question.entities);
        let determining = answer.diagnostics().reason().map(PolicyId::to_string);
        match answer.decision() {
            CedarDecision::Allow => self.permits.extend(determining),
            CedarDecision::Deny => self.forbids.extend(determining),
        }
        let errors = answer.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
        });
        self.errors.extend(errors);
    }
}

impl Decide for PolicySet {
    fn decide(
        &self,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
    ) -> Decision {
        let at = self.0.clock.now();
        self.decide_at(principal, connection, protocol, action, findings, at)
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet")
            .field("policies", &self.len())
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}
