//! Who is the same person as whom.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use serde::{Deserialize, Serialize};
use tollbook_exchange::{Groups, Principal, PrincipalKind};

/// A person and the accounts they are known by.
///
/// An account is written `issuer/id`, `issuer/subject`, `slack/TEAM/USER`, or `issuer/actor/id` for
/// the person whom an issuer of jobs names as the actor. Case is ignored: a login that differs in
/// nothing else belongs to the same person, which can only cost a vote and never give one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The person's name, unique in the directory.
    pub name: String,
    /// The accounts.
    pub accounts: BTreeSet<String>,
    /// The groups that the person speaks for when they come by a messenger, which knows none.
    pub groups: BTreeSet<String>,
}

impl Person {
    /// A person with these accounts.
    pub fn new<A: Into<String>>(
        name: impl Into<String>,
        accounts: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.into(),
            accounts: accounts.into_iter().map(Into::into).collect(),
            groups: BTreeSet::new(),
        }
    }

    /// The same person, who speaks for these groups by messenger.
    #[must_use]
    pub fn in_groups<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }
}

/// Names a person: `person:NAME` from the directory, or `account:ISSUER/ID` for an account that is
/// not in it and so is a person of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(String);

impl PersonId {
    /// The person of this name in the directory.
    pub fn named(name: &str) -> Self {
        Self(format!("person:{name}"))
    }

    /// The person who is nobody but this account.
    pub fn account(account: &str) -> Self {
        Self(format!("account:{}", fold(account)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Two people cannot have one account or one name: each would vote for the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// Two people have this account.
    #[error("the account {0:?} belongs to two people")]
    SharedAccount(String),
    /// Two people have this name.
    #[error("two people are called {0:?}")]
    SharedName(String),
}

/// The directory of people with more than one account.
///
/// ```
/// use tollbook_approvals::{People, Person, PersonId};
/// use tollbook_exchange::{Actor, Principal, PrincipalKind};
///
/// let people = People::new([Person::new("ann", ["okta/00u1", "ci/actor/583231"])])?;
/// let ann = Principal::new(PrincipalKind::Human, "okta", "00u1");
/// assert_eq!(people.person(&ann), PersonId::named("ann"));
///
/// let mut job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay");
/// job.actor = Some(Actor { id: Some("583231".to_owned()), login: None });
/// assert!(people.is_self(&ann, &job), "she started it");
/// # Ok::<(), tollbook_approvals::PeopleError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct People {
    by_account: HashMap<String, String>,
    by_name: BTreeMap<String, Person>,
}

impl People {
    /// A directory of these people.
    ///
    /// # Errors
    ///
    /// When two of them have one name or one account.
    pub fn new(people: impl IntoIterator<Item = Person>) -> Result<Self, PeopleError> {
        let mut directory = Self::default();
        for person in people {
            for account in &person.accounts {
                let known = (directory.by_account).insert(fold(account), person.name.clone());
                if known.is_some_and(|known| known != person.name) {
                    return Err(PeopleError::SharedAccount(account.clone()));
                }
            }
            let name = person.name.clone();
            if directory.by_name.insert(name.clone(), person).is_some() {
                return Err(PeopleError::SharedName(name));
            }
        }
        Ok(directory)
    }

    /// The person who is this principal.
    pub fn person(&self, principal: &Principal) -> PersonId {
        let accounts = [principal.identity(), subject(principal)];
        let named = accounts.iter().find_map(|account| self.owner(account));
        named.unwrap_or_else(|| PersonId::account(&accounts[0]))
    }

    /// Whether `voter` is the requester, the person behind the requester's job, or the one whom the
    /// requester acts for.
    pub fn is_self(&self, voter: &Principal, requester: &Principal) -> bool {
        let voter = self.people_of([voter.identity(), subject(voter)]);
        let requester = self.people_of(accounts_behind(requester));
        !voter.is_disjoint(&requester)
    }

    /// Whether the account, as `issuer/id`, is one of this person's.
    pub fn has_account(&self, person: &Principal, account: &str) -> bool {
        let person = self.people_of([person.identity(), subject(person)]);
        !person.is_disjoint(&self.people_of([account.to_owned()]))
    }

    /// The person who has linked this account, as a principal with the person's groups.
    ///
    /// For votes that come by a messenger: `slack/TEAM/USER` is looked up as it is, and never by
    /// e-mail or display name. `None` when nobody has linked it.
    pub fn linked(&self, account: &str) -> Option<Principal> {
        let person = (self.by_account.get(&fold(account))).and_then(|it| self.by_name.get(it))?;
        let (issuer, subject) = account.split_once('/')?;
        let principal = Principal::new(PrincipalKind::Human, issuer, subject);
        Some(principal.with_groups(Groups::Known(person.groups.clone())))
    }

    /// Whether a job names a person behind it, none of whose accounts is in the directory.
    pub fn misses_actor(&self, requester: &Principal) -> bool {
        let accounts = actor_accounts(requester);
        requester.kind != PrincipalKind::Human
            && !accounts.is_empty()
            && !accounts.iter().any(|it| self.owner(it).is_some())
    }

    /// The person to whom the directory gives this account.
    pub(crate) fn owner(&self, account: &str) -> Option<PersonId> {
        (self.by_account.get(&fold(account))).map(|name| PersonId::named(name))
    }

    /// Both what the accounts are linked to and the accounts themselves.
    fn people_of(&self, accounts: impl IntoIterator<Item = String>) -> BTreeSet<PersonId> {
        let mut people = BTreeSet::new();
        for account in accounts {
            people.extend(self.owner(&account));
            people.insert(PersonId::account(&account));
        }
        people
    }
}

/// Every account that the requester is, or stands behind the requester.
fn accounts_behind(requester: &Principal) -> Vec<String> {
    let mut accounts = vec![requester.identity(), subject(requester)];
    accounts.extend(requester.on_behalf_of.clone());
    accounts.extend(actor_accounts(requester));
    accounts
}

/// Every account by which the person behind the requester's job may be known.
fn actor_accounts(requester: &Principal) -> Vec<String> {
    let names = (requester.actor.iter()).flat_map(|actor| [&actor.id, &actor.login]);
    let issuer = &requester.issuer;
    names
        .flatten()
        .flat_map(|name| [format!("{issuer}/actor/{name}"), format!("{issuer}/{name}")])
        .collect()
}

fn subject(principal: &Principal) -> String {
    format!("{}/{}", principal.issuer, principal.subject)
}

fn fold(account: &str) -> String {
    account.to_lowercase()
}

#[cfg(test)]
mod tests {
    use tollbook_exchange::Actor;

    use super::*;

    fn human(issuer: &str, subject: &str) -> Principal {
        Principal::new(PrincipalKind::Human, issuer, subject)
    }

    #[test]
    fn whoever_stands_behind_a_request_is_its_requester() {
        let people = People::new([
            Person::new("ann", ["okta/ann", "slack/T1/U1", "ci/actor/7"]),
            Person::new("bob", ["okta/bob", "gitlab/bob"]),
        ])
        .unwrap();
        let mut job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay");
        job.stable_id = Some("99".to_owned());
        job.actor = Some(Actor {
            id: Some("7".to_owned()),
            login: Some("Octo-Ann".to_owned()),
        });
        job.on_behalf_of = Some("gitlab/bob".to_owned());
        for (issuer, subject, is_self) in [
            ("okta", "ann", true),
            ("slack", "T1/U1", true),
            ("ci", "7", true),
            ("ci", "octo-ann", true),
            ("ci", "99", true),
            ("ci", "repo:acme/pay", true),
            ("okta", "bob", true),
            ("gitlab", "bob", true),
            ("okta", "7", false),
            ("okta", "carol", false),
        ] {
            let voter = human(issuer, subject);
            assert_eq!(people.is_self(&voter, &job), is_self, "{issuer}/{subject}");
        }
    }

    #[test]
    fn a_job_whose_starter_is_in_nobodys_accounts_is_known() {
        let people = People::new([
            Person::new("ann", ["ci/actor/7"]),
            Person::new("bob", ["ci/octo-bob"]),
        ])
        .unwrap();
        for (id, login, misses) in [
            (Some("7"), None, false),
            (None, Some("Octo-Bob"), false),
            (Some("8"), Some("octo-bob"), false),
            (Some("8"), Some("octo-ann"), true),
            (None, Some("octo-ann"), true),
            (None, None, false),
        ] {
            let mut job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay");
            assert!(!people.misses_actor(&job), "it names nobody");
            job.actor = Some(Actor {
                id: id.map(str::to_owned),
                login: login.map(str::to_owned),
            });
            assert_eq!(people.misses_actor(&job), misses, "{id:?} {login:?}");
            // Another issuer's ids are other people.
            job.issuer = "ci2".to_owned();
            assert_eq!(people.misses_actor(&job), id.or(login).is_some());
            job.kind = PrincipalKind::Human;
            assert!(!people.misses_actor(&job), "a person is the requester");
        }
    }

    #[test]
    fn a_renamed_subject_is_still_the_person() {
        let people = People::new([Person::new("ann", ["okta/00u1"])]).unwrap();
        let mut ann = human("okta", "ann@acme.test");
        ann.stable_id = Some("00u1".to_owned());
        assert_eq!(people.person(&ann), PersonId::named("ann"));
        assert_eq!(
            people.person(&human("okta", "x")),
            PersonId::account("okta/x")
        );
    }

    #[test]
    fn an_account_belongs_to_one_person() {
        let shared = [
            Person::new("ann", ["okta/A"]),
            Person::new("bob", ["okta/a"]),
        ];
        assert_eq!(
            People::new(shared).unwrap_err(),
            PeopleError::SharedAccount("okta/a".to_owned())
        );
        let twice = [Person::new("ann", ["a/1"]), Person::new("ann", ["a/2"])];
        assert_eq!(
            People::new(twice).unwrap_err(),
            PeopleError::SharedName("ann".to_owned())
        );
    }

    #[test]
    fn a_messenger_account_speaks_for_the_groups_of_its_person() {
        let ann = Person::new("ann", ["slack/T1/U1"]).in_groups(["leads"]);
        let people = People::new([ann]).unwrap();
        let voter = people.linked("slack/T1/U1").unwrap();
        assert_eq!(people.person(&voter), PersonId::named("ann"));
        assert_eq!(voter.groups, Groups::from_iter(["leads"]));
        assert!(people.linked("slack/T1/U2").is_none());
    }
}
