//! Passing by grants.

use tollbook_exchange::Requirement;

use crate::{
    Approvals, Ask, Error, EventKind, Grant, GrantFilter, Passed, Subject,
    quorum::{self, Voice},
};

impl Approvals {
    /// Leave to pass by grants, if there are such.
    pub(crate) async fn granted(&self, ask: &Ask) -> Result<Option<Passed>, Error> {
        let filter = GrantFilter {
            identity: Some(ask.principal.identity()),
            connection: Some(ask.connection.clone()),
            active_at: Some(self.0.clock.now()),
            ..GrantFilter::default()
        };
        let used = self.sufficient(ask, self.0.store.grants(&filter).await?);
        let Some(first) = used.first() else {
            return Ok(None);
        };
        let passed = Passed {
            by: first.id.to_string(),
            requires: ask.decision.requires.clone(),
        };
        for grant in used {
            let subject = Subject::Grant(Box::new(grant));
            let event = self.event(EventKind::GrantUsed, subject, None, ask.exchange)?;
            self.0.witness.note(&event).await?;
            self.tell(event);
        }
        Ok(Some(passed))
    }

    /// Those of the grants that together let the request pass: standing ones, each of which is one
    /// person's word, or else one made in an emergency. None when they do not suffice.
    fn sufficient(&self, ask: &Ask, grants: Vec<Grant>) -> Vec<Grant> {
        let identity = ask.principal.identity();
        let (requires, action) = (&ask.decision.requires, &ask.action.as_inner().name);
        let speaks = |grant: &Grant, requirement: &Requirement| {
            grant.speaks_for(&identity, &ask.connection, action, requirement)
        };
        let (break_glass, mut standing): (Vec<_>, Vec<_>) =
            grants.into_iter().partition(Grant::is_break_glass);
        // That its maker stands behind this very request is found out only now.
        standing.retain(|grant| !self.0.people.is_self(&grant.by, &ask.principal));
        if self.hides_its_actor(&ask.principal) {
            standing.clear();
        }
        standing.retain(|grant| requires.iter().any(|it| speaks(grant, it)));

        // People as the directory has them now: two accounts may have been linked since.
        let makers: Vec<_> = (standing.iter())
            .map(|grant| (self.0.people.person(&grant.by), grant))
            .collect();
        let voices: Vec<_> = (makers.iter())
            .map(|(person, grant)| Voice::new(person, |it| speaks(grant, it)))
            .collect();
        let enough = quorum::satisfied(requires, &voices);
        drop(voices);
        if enough {
            return standing;
        }
        let all = |grant: &Grant| requires.iter().all(|it| speaks(grant, it));
        break_glass.into_iter().find(all).into_iter().collect()
    }
}
