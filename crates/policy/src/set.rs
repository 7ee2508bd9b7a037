//! The checked set of policies.

use std::{fmt, sync::Arc};

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as CedarDecision, PolicyId, PolicySet as CedarSet,
    Schema,
};
use tollbook_exchange::{Action, Decision, Finding, Principal, Verdict};

use crate::{Decide, PolicySetBuilder, names::Names, request::Question};

/// A checked set of policies. Cheap to clone. See the [crate documentation](crate).
#[derive(Clone)]
pub struct PolicySet(Arc<Inner>);

struct Inner {
    rules: Rules,
    names: Names,
    schema: Schema,
    authorizer: Authorizer,
    hash: String,
}

/// The rules for callers whose groups are known, and for those whose are not.
pub(crate) struct Rules {
    pub(crate) known: CedarSet,
    pub(crate) unknown: CedarSet,
}

impl PolicySet {
    /// Gathers policies.
    pub fn builder() -> PolicySetBuilder {
        PolicySetBuilder::default()
    }

    pub(crate) fn new(rules: Rules, names: Names, schema: Schema, hash: String) -> Self {
        Self(Arc::new(Inner {
            rules,
            names,
            schema,
            authorizer: Authorizer::new(),
            hash,
        }))
    }

    /// Names exactly these policies: `sha256:` and 64 hexadecimal digits over every text that has
    /// a say, the built-in ones and the schema included. The order of loading does not count.
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// How many policies there are, built-in and generated ones included.
    pub fn len(&self) -> usize {
        self.0.rules.known.num_of_policies()
    }

    /// Whether there are no policies. Never so: some are built in.
    pub fn is_empty(&self) -> bool {
        self.0.rules.known.is_empty()
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
        let Inner {
            rules,
            names,
            schema,
            authorizer,
            hash,
        } = &*self.0;
        let question = Question::new(
            names, schema, principal, connection, protocol, action, findings,
        );
        let Question { request, entities } = match question {
            Ok(question) => question,
            Err(unfit) => {
                tracing::warn!(
                    unfit = unfit.rule(),
                    "a request does not fit the policy schema"
                );
                return Decision::new(Verdict::Deny, Vec::new(), hash)
                    .with_errors(vec![unfit.rule().to_owned()]);
            }
        };
        let rules = if principal.groups.is_known() {
            &rules.known
        } else {
            &rules.unknown
        };
        let answer = authorizer.is_authorized(&request, rules, &entities);
        let determining = ids(answer.diagnostics().reason());
        let errors = ids(answer.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        }));
        if !errors.is_empty() {
            tracing::warn!(rules = ?errors, "a policy cannot be evaluated");
        }
        let verdict = match answer.decision() {
            CedarDecision::Allow if errors.is_empty() => Verdict::Allow,
            _ => Verdict::Deny,
        };
        let reason = match answer.decision() {
            CedarDecision::Allow => None,
            CedarDecision::Deny => reasons(rules, &determining),
        };
        Decision::new(verdict, determining, hash)
            .with_reason(reason)
            .with_errors(errors)
    }
}

/// The ids in order: Cedar's own order differs from one evaluation to the next.
fn ids<'a>(ids: impl Iterator<Item = &'a PolicyId>) -> Vec<String> {
    let mut ids: Vec<String> = ids.map(PolicyId::to_string).collect();
    ids.sort_unstable();
    ids
}

fn reasons(rules: &CedarSet, determining: &[String]) -> Option<String> {
    let reasons: Vec<&str> = determining
        .iter()
        .filter_map(|id| rules.annotation(&PolicyId::new(id), "reason"))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet")
            .field("policies", &self.len())
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}
