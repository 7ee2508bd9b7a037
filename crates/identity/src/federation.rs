//! Federation rules: what an issuer's tokens are good for here.

mod error;
mod matcher;
mod pin;
mod rule;

use std::collections::{BTreeSet, HashMap};

use tollbook_exchange::Groups;

pub use self::{
    error::{RuleProblem, RulesError},
    rule::{Rule, RuleBuilder},
};
use crate::{OidcAuthenticator, PeerCertificate, Verified};

/// The federation rules of a gate.
///
/// A rule speaks for a token when the token is of its issuer and has every claim that the rule
/// asks for. It gives the caller groups, and lets the token be exchanged for a gateway token of a
/// limited life. Rules give nothing else, and take nothing away.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tollbook_identity::{Issuer, OidcAuthenticator, Rule, Rules};
///
/// let gitlab = Issuer::builder("gitlab", "https://gitlab.example").audience("tollbook");
/// let oidc = OidcAuthenticator::builder().issuer(gitlab.build()?).build()?;
/// let payments = Rule::builder("payments-ci", "gitlab")
///     .claim("project_id", "4711")
///     .claim("ref_protected", "true")
///     .groups(["ci-payments"]);
/// let rules = Rules::new([payments], &oidc)?;
/// assert!(rules.rule("payments-ci").is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Rules {
    rules: HashMap<String, Rule>,
    /// The ids of an issuer's rules, in order.
    by_issuer: HashMap<String, Vec<String>>,
}

impl Rules {
    /// The rules, held against the issuers that `oidc` knows.
    ///
    /// # Errors
    ///
    /// Every mistake in every rule.
    pub fn new(
        rules: impl IntoIterator<Item = RuleBuilder>,
        oidc: &OidcAuthenticator,
    ) -> Result<Self, RulesError> {
        let mut checked = Self::default();
        let mut problems = Vec::new();
        let mut ids = BTreeSet::new();
        for builder in rules {
            if !ids.insert(builder.id().to_owned()) {
                problems.push(RuleProblem::DuplicateId(builder.id().to_owned()));
            }
            match builder.check(oidc) {
                Ok(rule) => {
                    let ids = checked.by_issuer.entry(rule.issuer.clone()).or_default();
                    ids.push(rule.id.clone());
                    checked.rules.insert(rule.id.clone(), rule);
                }
                Err(mistakes) => problems.extend(mistakes),
            }
        }
        if problems.is_empty() {
            checked.by_issuer.values_mut().for_each(|ids| ids.sort());
            Ok(checked)
        } else {
            Err(RulesError::new(problems))
        }
    }

    /// The rule of this id.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }

    /// The rules that speak for a token, in the order of their ids.
    pub(crate) fn speaking_for(
        &self,
        verified: &Verified,
        certificate: Option<PeerCertificate>,
    ) -> impl Iterator<Item = &Rule> {
        self.by_issuer
            .get(&verified.principal.issuer)
            .into_iter()
            .flatten()
            .filter_map(|id| self.rules.get(id))
            .filter(move |rule| rule.speaks_for(verified, certificate))
    }
}

/// The groups that a caller is in when rules add theirs to the issuer's.
///
/// Groups that the issuer did not say stay unknown, and the rules' are left out: a set that holds
/// only the rules' groups would pass for the whole, and a policy that forbids one of the issuer's
/// would not deny any more.
pub(crate) fn joined<'a>(groups: Groups, rules: impl IntoIterator<Item = &'a Rule>) -> Groups {
    match groups {
        Groups::Known(mut known) => {
            for rule in rules {
                known.extend(rule.groups.iter().cloned());
            }
            Groups::Known(known)
        }
        unknown => unknown,
    }
}
