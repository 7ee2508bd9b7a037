//! What a budget is asked.

use tollbook_exchange::{Action, Fact, Groups, Principal, SessionId};

use crate::{Bill, Budget, Per, Prices, Usage, batch::Batch, counters::Key};

/// One request that wants to spend.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Ask<'a> {
    principal: &'a Principal,
    connection: &'a str,
    session: Option<SessionId>,
    action: Option<&'a Action>,
}

impl<'a> Ask<'a> {
    /// A request of this caller through this connection.
    pub const fn new(principal: &'a Principal, connection: &'a str) -> Self {
        Self {
            principal,
            connection,
            session: None,
            action: None,
        }
    }

    /// As part of this session.
    pub const fn session(mut self, session: Option<SessionId>) -> Self {
        self.session = session;
        self
    }

    /// For this action. Its facts `repeated_tool_calls`, `model`, `max_tokens` and `body_bytes` are
    /// read; of a batch, which is the action `batches.create`, also `requests` and `models`.
    pub const fn action(mut self, action: &'a Action) -> Self {
        self.action = Some(action);
        self
    }

    /// How often the same tool call stands at the end of the conversation.
    pub(crate) fn repeated(&self) -> u64 {
        self.count("repeated_tool_calls")
    }

    /// What the request may take at most, as far as it says.
    pub(crate) fn most(&self) -> Bill {
        let output = self.count("max_tokens");
        Bill {
            usage: Usage::tokens(self.count("body_bytes").div_ceil(4), output),
            model: (self.action)
                .and_then(|action| action.text("model"))
                .map(str::to_owned),
            region: None,
        }
    }

    /// The batch that is asked for, if it is one.
    pub(crate) fn batch(&self, prices: &Prices) -> Option<Batch> {
        self.action.and_then(|action| Batch::of(action, prices))
    }

    /// The session, or what stands in for it.
    pub(crate) fn session_key(&self) -> Key {
        match self.session {
            Some(session) => Key::Session(session),
            None => Key::NoSession(self.principal.identity()),
        }
    }

    /// The counters that `budget` has for the request. None when it is not for requests like it.
    pub(crate) fn keys(&self, budget: &Budget) -> Vec<Key> {
        let elsewhere = |name: &String| name != self.connection;
        if budget.connection.as_ref().is_some_and(elsewhere) {
            return Vec::new();
        }
        let counts = |group: &str| {
            let among = budget.groups.as_ref();
            among.is_none_or(|groups| groups.contains(group))
        };
        let groups = &self.principal.groups;
        // Unknown groups may be any.
        if budget.groups.is_some() && groups.is_known() && !groups.iter().any(counts) {
            return Vec::new();
        }
        match budget.per {
            Per::Principal => vec![Key::Principal(self.principal.identity())],
            Per::Session => vec![self.session_key()],
            Per::Group => match groups {
                Groups::Known(_) => {
                    let groups = groups.iter().filter(|group| counts(group));
                    groups.map(|group| Key::Group(group.to_owned())).collect()
                }
                _ => vec![Key::UnknownGroups],
            },
        }
    }

    fn count(&self, name: &str) -> u64 {
        match self.action.and_then(|action| action.fact(name)) {
            Some(Fact::Long(number)) => u64::try_from(*number).unwrap_or(0),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tollbook_exchange::PrincipalKind;

    use super::*;

    fn keys(budget: &Budget, groups: Groups) -> Vec<Key> {
        let caller = Principal::new(PrincipalKind::Ci, "ci", "me").with_groups(groups);
        Ask::new(&caller, "claude").keys(budget)
    }

    fn budget(per: Per) -> Budget {
        Budget::new("b", per, Duration::from_secs(60))
    }

    #[test]
    fn whose_counters_a_request_is_counted_in() {
        let me = || vec![Key::Principal("ci/me".to_owned())];
        let group = |name: &str| Key::Group(name.to_owned());
        let known = || Groups::from_iter(["a", "b", "c"]);
        let none = || Groups::Known(std::collections::BTreeSet::new());

        let principal = budget(Per::Principal);
        assert_eq!(keys(&principal, known()), me());
        assert_eq!(keys(&principal, Groups::Unknown), me());
        let some = principal.groups(["b", "x"]);
        assert_eq!(keys(&some, known()), me());
        assert_eq!(keys(&some, Groups::from_iter(["a"])), []);
        assert_eq!(keys(&some, none()), []);
        assert_eq!(keys(&some, Groups::Unknown), me(), "may be in them");

        let every = budget(Per::Group);
        assert_eq!(keys(&every, known()), [group("a"), group("b"), group("c")]);
        assert_eq!(keys(&every, none()), []);
        assert_eq!(keys(&every, Groups::Unknown), [Key::UnknownGroups]);
        let some = every.groups(["b", "x"]);
        assert_eq!(keys(&some, known()), [group("b")]);
        assert_eq!(keys(&some, none()), []);
        assert_eq!(keys(&some, Groups::Unknown), [Key::UnknownGroups]);

        let session = budget(Per::Session);
        assert_eq!(keys(&session, none()), [Key::NoSession("ci/me".to_owned())]);
        assert_eq!(keys(&session.connection("orders"), none()), []);
    }

    #[test]
    fn what_a_request_may_take_is_read_from_its_facts() {
        let caller = Principal::new(PrincipalKind::Ci, "ci", "me");
        let action = Action::new("messages.create")
            .with("model", "claude-opus-5")
            .with("max_tokens", 1000_i64)
            .with("body_bytes", 401_usize)
            .with("repeated_tool_calls", -4_i64);
        let ask = Ask::new(&caller, "claude").action(&action);
        let most = Bill::new("claude-opus-5", Usage::tokens(101, 1000));
        assert_eq!(ask.most(), most);
        assert_eq!(ask.repeated(), 0);
    }
}
