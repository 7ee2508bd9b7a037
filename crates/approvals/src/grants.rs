//! Making grants, taking them back, and looking at them afterwards.

use std::{collections::BTreeSet, time::Duration};

use tollbook_exchange::{Principal, PrincipalKind, Timestamp};

use crate::{
    Approvals, Closed, Error, EventKind, Grant, GrantFilter, GrantId, GrantKind, Refused, Scope,
    Subject, Via,
    decide::{SignIn, plain},
    engine::micros,
};

/// A person's wish to make a grant.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantWish {
    /// By which right.
    pub kind: GrantKind,
    /// The person.
    pub by: Principal,
    /// How they came.
    pub via: Via,
    /// Why. Required.
    pub reason: String,
    /// What for.
    pub scope: Scope,
    /// For how long, from now on.
    pub lasting: Duration,
}

impl Approvals {
    /// Makes a grant.
    ///
    /// A standing one is made by a person of the group it speaks for, never for themselves, for
    /// some rules or actions, and for at most [`Limits::standing`](crate::Limits::standing). A
    /// break-glass one is made by a person of the groups that may break glass who has just signed
    /// in, as their issuer itself says, also for their own agent, and for at most
    /// [`Limits::break_glass`](crate::Limits::break_glass).
    ///
    /// # Errors
    ///
    /// When the person may not make it, it is too wide or too long, or the step cannot be taken.
    pub async fn grant(&self, wish: GrantWish) -> Result<Grant, Error> {
        let now = self.0.clock.now();
        let reason = self.may_grant(&wish, now)?;
        let grant = Grant {
            id: GrantId::generate()?,
            version: 1,
            kind: wish.kind,
            person: self.0.people.person(&wish.by),
            by: wish.by,
            reason,
            scope: wish.scope,
            from: now,
            until: now.after_micros(micros(wish.lasting)),
            revoked: None,
            reviewed: None,
        };
        let this = self.clone();
        self.to_its_end(async move {
            let subject = Subject::Grant(Box::new(grant.clone()));
            let by = Some(grant.person.clone());
            let event = this.event(EventKind::Granted, subject, by, None)?;
            this.0.witness.note(&event).await?;
            if let Err(error) = this.0.store.add_grant(&grant).await {
                let _noted = this.superseded(event).await;
                return Err(error.into());
            }
            this.tell(event);
            Ok(grant)
        })
        .await
    }

    /// The grants that the filter lets through, the newest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, Error> {
        Ok(self.0.store.grants(filter).await?)
    }

    /// Takes a grant back. Any person may: it only narrows.
    ///
    /// # Errors
    ///
    /// When it is over, or the step cannot be taken.
    pub async fn revoke_grant(
        &self,
        id: &GrantId,
        by: &Principal,
        note: Option<&str>,
    ) -> Result<Grant, Error> {
        if by.kind != PrincipalKind::Human {
            return Err(Refused::NotHuman.into());
        }
        self.change(id, by, note, EventKind::Revoked, |_, grant, now, closed| {
            grant.revoke(now, closed)
        })
        .await
    }

    /// Closes the review of a break-glass grant. Somebody else than its maker does, of the
    /// reviewers' groups, after a sign-in of which the issuer itself says when it was.
    ///
    /// # Errors
    ///
    /// When it has no open review, the person may not close it, or the step cannot be taken.
    pub async fn review(
        &self,
        id: &GrantId,
        by: &Principal,
        via: Via,
        note: Option<&str>,
    ) -> Result<Grant, Error> {
        if by.kind != PrincipalKind::Human {
            return Err(Refused::NotHuman.into());
        }
        let reviewers = match self.0.reviewers.is_empty() {
            true => &self.0.break_glass,
            false => &self.0.reviewers,
        };
        Self::must_be_in(by, reviewers)?;
        self.must_be_fresh(by, via, SignIn::Told, self.0.clock.now())?;
        let reviewer = by.clone();
        self.change(
            id,
            by,
            note,
            EventKind::Reviewed,
            move |this, grant, now, closed| {
                // By every account, as it is for votes, and not by the name of the person alone.
                if this.0.people.is_self(&reviewer, &grant.by) {
                    return Err(Refused::OwnRequest);
                }
                grant.review(now, closed)
            },
        )
        .await
    }

    /// The reason, if this person may make this grant.
    fn may_grant(&self, wish: &GrantWish, now: Timestamp) -> Result<String, Refused> {
        let (by, scope, limits) = (&wish.by, &wish.scope, &self.0.limits);
        if by.kind != PrincipalKind::Human {
            return Err(Refused::NotHuman);
        }
        let (groups, longest) = match &wish.kind {
            GrantKind::Standing { group } => {
                if self.0.people.has_account(by, &scope.identity) {
                    return Err(Refused::OwnRequest);
                }
                (&BTreeSet::from([group.clone()]), limits.standing)
            }
            GrantKind::BreakGlass => (&self.0.break_glass, limits.break_glass),
        };
        Self::must_be_in(by, groups)?;
        let break_glass = matches!(wish.kind, GrantKind::BreakGlass);
        let sign_in = if break_glass {
            SignIn::Fresh
        } else {
            SignIn::Usual
        };
        self.must_be_fresh(by, wish.via, sign_in, now)?;
        let anything = scope.rules.is_empty() && scope.actions.is_empty();
        if scope.identity.is_empty() || scope.connection.is_empty() || anything && !break_glass {
            return Err(Refused::WideScope);
        }
        if wish.lasting.is_zero() || wish.lasting > longest {
            return Err(Refused::TooLong);
        }
        plain(&wish.reason).ok_or(Refused::NoReason)
    }

    async fn change(
        &self,
        id: &GrantId,
        by: &Principal,
        note: Option<&str>,
        kind: EventKind,
        step: impl Fn(&Self, &Grant, Timestamp, Closed) -> Result<Grant, Refused>
        + Send
        + Sync
        + 'static,
    ) -> Result<Grant, Error> {
        let person = self.0.people.person(by);
        let note = note.and_then(plain);
        let (this, id) = (self.clone(), id.clone());
        self.to_its_end(async move {
            let _turn = this.0.stepping.of(id.as_str()).await;
            for _ in 0..8 {
                let found = this.0.store.grant(&id).await?;
                let old = found.ok_or(Refused::NotFound)?;
                let at = this.0.clock.now();
                let closed = Closed {
                    person: person.clone(),
                    at,
                    note: note.clone(),
                };
                let next = step(&this, &old, at, closed)?;
                let subject = Subject::Grant(Box::new(next.clone()));
                let event = this.event(kind, subject, Some(person.clone()), None)?;
                this.0.witness.note(&event).await?;
                match this.0.store.swap_grant(old.version, &next).await {
                    Ok(true) => {
                        this.tell(event);
                        return Ok(next);
                    }
                    Ok(false) => this.superseded(event).await?,
                    Err(error) => {
                        let _noted = this.superseded(event).await;
                        return Err(error.into());
                    }
                }
            }
            Err(Error::Contended)
        })
        .await
    }
}
