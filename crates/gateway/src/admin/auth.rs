//! Who may do what with the admin API.

use tollbook_exchange::{Principal, PrincipalKind};

use super::No;
use crate::config::AdminConfig;

/// The roles that groups have.
pub(super) struct Roles<'a> {
    config: &'a AdminConfig,
}

impl<'a> Roles<'a> {
    pub(super) const fn new(config: &'a AdminConfig) -> Self {
        Self { config }
    }

    /// Refuses those who are not people: an agent's token is no key to this door, whatever groups
    /// it has. Where issuers are named, those decide instead.
    pub(super) fn enter(&self, principal: &Principal) -> Result<(), No> {
        let admitted = if self.config.issuers.is_empty() {
            principal.kind == PrincipalKind::Human
        } else {
            self.config.issuers.contains(&principal.issuer)
        };
        if admitted {
            Ok(())
        } else {
            Err(No::denied(
                "the admin API is for people: show a token of your own, from an issuer of people",
                "not_admitted",
            ))
        }
    }

    /// Refuses those who may not give their word about what an agent wants: beside whoever may not
    /// enter, gateway tokens. Those are what agents are given to work with, a person's agent among
    /// them, and an agent decides nothing.
    pub(super) fn speak(&self, principal: &Principal) -> Result<(), No> {
        self.enter(principal)?;
        let access = principal.access.as_ref();
        if access.is_some_and(|access| access.token.is_some()) {
            Err(No::denied(
                "a gateway token is for agents: decide with the token of your own sign-in",
                "gateway_token",
            ))
        } else {
            Ok(())
        }
    }

    /// May see everything that goes on.
    pub(super) fn sees(&self, principal: &Principal) -> bool {
        let config = self.config;
        [&config.viewer, &config.auditor, &config.operator]
            .iter()
            .any(|groups| holds(principal, groups))
    }

    /// Refuses those who may not see everything.
    pub(super) fn may_see(&self, principal: &Principal) -> Result<(), No> {
        self.enter(principal)?;
        if self.sees(principal) {
            Ok(())
        } else {
            Err(No::denied(
                "this needs the role viewer, auditor or operator",
                "no_role",
            ))
        }
    }

    /// Refuses those who may not change how the gate works.
    pub(super) fn may_operate(&self, principal: &Principal) -> Result<(), No> {
        self.enter(principal)?;
        if holds(principal, &self.config.operator) {
            Ok(())
        } else {
            Err(No::denied("this needs the role operator", "no_role"))
        }
    }
}

/// Whether the principal is known to be in one of the groups.
fn holds(principal: &Principal, groups: &[String]) -> bool {
    principal
        .groups
        .iter()
        .any(|group| groups.iter().any(|named| named == group))
}

#[cfg(test)]
mod tests {
    use tollbook_exchange::{Access, Groups};

    use super::*;

    fn human(groups: &[&str]) -> Principal {
        Principal::new(PrincipalKind::Human, "corp", "ana")
            .with_groups(groups.iter().copied().collect())
    }

    #[test]
    fn roles_come_from_groups_and_people_alone() {
        let config = AdminConfig {
            issuers: Vec::new(),
            viewer: vec!["devs".to_owned()],
            auditor: vec!["audit".to_owned()],
            operator: vec!["platform".to_owned()],
        };
        let roles = Roles::new(&config);
        // groups, sees, operates
        for (groups, sees, operates) in [
            (&["devs"][..], true, false),
            (&["audit"], true, false),
            (&["platform"], true, true),
            (&["leads"], false, false),
            (&[], false, false),
        ] {
            let ana = human(groups);
            assert_eq!(roles.may_see(&ana).is_ok(), sees, "{groups:?}");
            assert_eq!(roles.may_operate(&ana).is_ok(), operates, "{groups:?}");
            let mut job = ana.clone();
            job.kind = PrincipalKind::Ci;
            assert!(roles.may_see(&job).is_err(), "a job is nobody here");
        }
        let unknown = human(&[]).with_groups(Groups::Unknown);
        assert!(roles.may_see(&unknown).is_err());
    }

    #[test]
    fn what_agents_are_given_decides_nothing() {
        let config = AdminConfig::default();
        let roles = Roles::new(&config);
        let mut ana = human(&["leads"]);
        assert!(roles.speak(&ana).is_ok());
        ana.access = Some(Access {
            token: Some("00112233aabbccdd".to_owned()),
            signed_in: Some(1),
            ..Access::default()
        });
        assert!(roles.enter(&ana).is_ok());
        assert!(roles.speak(&ana).is_err());
    }

    #[test]
    fn named_issuers_decide_who_enters() {
        let config = AdminConfig {
            issuers: vec!["corp".to_owned()],
            ..AdminConfig::default()
        };
        let roles = Roles::new(&config);
        assert!(roles.enter(&human(&[])).is_ok());
        let mut other = human(&[]);
        other.issuer = "other".to_owned();
        assert!(roles.enter(&other).is_err());
    }
}
