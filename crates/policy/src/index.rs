//! The policies, sorted by what they can concern.
//!
//! Cedar looks at every policy of a set for every question. Most cannot apply: they are about
//! another action, connection or group. So each lies in the places its [`Reach`] names, and a
//! question is put only to those it comes past. Outside its reach a policy neither applies nor
//! fails, so the answer is the same; a property in the crate's tests holds the two against each
//! other.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{PolicyId, PolicySet as CedarSet};
use tollbook_exchange::Groups;

use crate::{
    reach::Reach,
    rule::{Ready, Role, Rule},
    vocabulary::Vocabulary,
    watch::Watch,
};

/// Policies by action, connection and group.
#[derive(Debug, Default)]
pub(crate) struct Index(By<By<By<Part>>>);

/// What lies under any name, and what lies under one.
#[derive(Debug, Default)]
struct By<T> {
    any: T,
    named: HashMap<String, T>,
}

/// The policies of one place, by what their word counts for.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) rules: CedarSet,
    pub(crate) approvals: CedarSet,
    pub(crate) trial_permits: CedarSet,
    pub(crate) trial_forbids: CedarSet,
    pub(crate) watches: Vec<Arc<Watch>>,
}

impl Index {
    /// Adds `rule` in the form of `ready`, wherever it reaches.
    pub(crate) fn add(
        &mut self,
        rule: &Rule,
        ready: &Ready,
        vocabulary: &Vocabulary,
    ) -> Result<(), String> {
        let actions = ready.reach.actions.as_ref().map(|uids| {
            let mut names: Vec<String> = uids
                .iter()
                .flat_map(|uid| vocabulary.actions_in(uid).map(str::to_owned))
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        });
        let Reach {
            connections,
            groups,
            ..
        } = &ready.reach;
        self.0.each(actions.as_deref(), &mut |by| {
            by.each(connections.as_deref(), &mut |by| {
                by.each(groups.as_deref(), &mut |part| part.add(rule, ready))
            })
        })
    }

    /// Adds `rule` where every question comes past. For comparison: the answer stays the same.
    pub(crate) fn add_everywhere(&mut self, rule: &Rule, ready: &Ready) -> Result<(), String> {
        self.0.any.any.any.add(rule, ready)
    }

    /// The places that a question comes past.
    pub(crate) fn parts<'a>(
        &'a self,
        action: &str,
        connection: &str,
        groups: &Groups,
    ) -> Vec<&'a Part> {
        let mut parts = Vec::new();
        for by in self.0.of(action).flat_map(|by| by.of(connection)) {
            parts.push(&by.any);
            if !by.named.is_empty() {
                parts.extend(groups.iter().filter_map(|group| by.named.get(group)));
            }
        }
        parts.retain(|part| !part.is_empty());
        parts
    }
}

impl<T: Default> By<T> {
    /// Calls `add` with each place of these names, or with that of any.
    fn each(
        &mut self,
        names: Option<&[String]>,
        add: &mut impl FnMut(&mut T) -> Result<(), String>,
    ) -> Result<(), String> {
        match names {
            None => add(&mut self.any),
            Some(names) => names
                .iter()
                .try_for_each(|name| add(self.named.entry(name.clone()).or_default())),
        }
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &T> {
        std::iter::once(&self.any).chain(self.named.get(name))
    }
}

impl Part {
    fn add(&mut self, rule: &Rule, ready: &Ready) -> Result<(), String> {
        let set = match rule.role() {
            Role::Rule => &mut self.rules,
            Role::Approval => &mut self.approvals,
            Role::TrialPermit => &mut self.trial_permits,
            Role::TrialForbid => &mut self.trial_forbids,
        };
        // A rule that names a group twice comes to the same place twice.
        if set.policy(ready.policy.id()).is_some() {
            return Ok(());
        }
        set.add(ready.policy.clone())
            .map_err(|error| error.to_string())?;
        for watch in &rule.watches {
            if !self.watches.iter().any(|known| Arc::ptr_eq(known, watch)) {
                self.watches.push(Arc::clone(watch));
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.sets().all(CedarSet::is_empty)
    }

    /// The ids of all its policies.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &PolicyId> {
        self.sets()
            .flat_map(|set| set.policies().map(|policy| policy.id()))
    }

    fn sets(&self) -> impl Iterator<Item = &CedarSet> {
        [
            &self.rules,
            &self.approvals,
            &self.trial_permits,
            &self.trial_forbids,
        ]
        .into_iter()
    }
}
