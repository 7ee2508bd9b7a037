//! Random sets of policies against a model that is too simple to be wrong.

use std::collections::BTreeSet;

use proptest::{collection, prelude::*, test_runner::TestRunner};
use tollbook_exchange::{
    Action, Decision, Finding, Groups, Operator, Principal, PrincipalKind, Timestamp, Verdict,
};
use tollbook_policy::PolicySet;

/// What a policy may do in the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    Permit,
    Forbid,
    Approval,
}

/// How a policy speaks of groups.
#[derive(Clone, Debug)]
enum Whom {
    All,
    /// `principal in Group` in the scope.
    Scope(u8),
    /// `when { principal in [Group, …] }` before all other conditions.
    First(Vec<u8>),
    /// `unless { principal in Group }` behind all other conditions.
    Unless(u8),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Always,
    Streamed,
    Found,
    Shell,
    Morning,
    /// Cannot be evaluated.
    Fails,
}

#[derive(Clone, Debug)]
struct Rule {
    effect: Effect,
    shadow: bool,
    /// The hour of the first of January 2026 at which it ends.
    expires: Option<u8>,
    whom: Whom,
    actions: Vec<&'static str>,
    connections: Vec<&'static str>,
    when: When,
}

#[derive(Clone, Debug)]
struct Request {
    groups: Option<BTreeSet<u8>>,
    action: &'static str,
    connection: &'static str,
    streamed: bool,
    found: bool,
    shell: bool,
    hour: u8,
}

fn rule() -> impl Strategy<Value = Rule> {
    let effect = prop_oneof![
        3 => Just(Effect::Permit), 2 => Just(Effect::Forbid), 2 => Just(Effect::Approval)
    ];
    let whom = prop_oneof![
        Just(Whom::All),
        (0..3_u8).prop_map(Whom::Scope),
        collection::vec(0..3_u8, 1..3).prop_map(Whom::First),
        (0..3_u8).prop_map(Whom::Unless),
    ];
    let actions = collection::vec(
        prop::sample::select(vec!["claude", "messages", "models.list", "messages.create"]),
        0..3,
    );
    let connections = collection::vec(prop::sample::select(vec!["a", "b"]), 0..3);
    let when = prop_oneof![
        4 => Just(When::Always), 2 => Just(When::Streamed), 2 => Just(When::Found),
        2 => Just(When::Shell), 2 => Just(When::Morning), 1 => Just(When::Fails),
    ];
    let shadow = prop::bool::weighted(0.25);
    let expires = prop::option::weighted(0.3, 0..24_u8);
    (effect, shadow, expires, whom, actions, connections, when).prop_map(
        |(effect, shadow, expires, whom, actions, connections, when)| Rule {
            effect,
            shadow,
            expires,
            whom,
            actions,
            connections,
            when,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    (
        prop::option::weighted(0.8, collection::btree_set(0..3_u8, 0..3)),
        prop::sample::select(vec![
            "models.list",
            "messages.create",
            "messages.count_tokens",
        ]),
        prop::sample::select(vec!["a", "b", "c"]),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        0..24_u8,
    )
        .prop_map(
            |(groups, action, connection, (streamed, found, shell), hour)| Request {
                groups,
                action,
                connection,
                streamed,
                found,
                shell,
                hour,
            },
        )
}

impl Rule {
    fn cedar(&self, id: usize) -> String {
        let group = |group: &u8| format!("Tollbook::Group::\"g{group}\"");
        let list = |kind: &str, names: &[&str]| {
            let names: Vec<String> = names
                .iter()
                .map(|name| format!("Tollbook::{kind}::\"{name}\""))
                .collect();
            names.join(", ")
        };
        let mut text = format!("@id(\"{id}\")\n");
        if self.shadow {
            text += "@mode(\"shadow\")\n";
        }
        if let Some(hour) = self.expires {
            text += &format!("@expires(\"2026-01-01T{hour:02}:00:00Z\")\n");
        }
        text += match self.effect {
            Effect::Permit => "permit (",
            Effect::Forbid => "forbid (",
            Effect::Approval => "@approval(\"leads:1\")\nforbid (",
        };
        text += &match &self.whom {
            Whom::Scope(one) => format!("principal in {}, ", group(one)),
            _ => "principal, ".to_owned(),
        };
        text += &match self.actions.as_slice() {
            [] => "action, ".to_owned(),
            actions => format!("action in [{}], ", list("Action", actions)),
        };
        text += &match self.connections.as_slice() {
            [one] => format!("resource == Tollbook::Connection::\"{one}\")"),
            _ => "resource)".to_owned(),
        };
        if let Whom::First(groups) = &self.whom {
            let groups: Vec<String> = groups.iter().map(group).collect();
            text += &format!("\nwhen {{ principal in [{}] }}", groups.join(", "));
        }
        if self.connections.len() > 1 {
            let connections = list("Connection", &self.connections);
            text += &format!("\nwhen {{ resource in [{connections}] }}");
        }
        text += match self.when {
            When::Always => "",
            When::Streamed => "\nwhen { context has stream && context.stream }",
            When::Found => "\nwhen { context.some.contains(\"findings: aws-*\") }",
            When::Shell => "\nwhen { context has tools && context.tools.contains(\"bash\") }",
            When::Morning => "\nwhen { context.windows.contains(\"daily 06:00-12:00 UTC\") }",
            When::Fails => "\nwhen { context.time + 9223372036854775807 < 0 }",
        };
        if let Whom::Unless(one) = &self.whom {
            text += &format!("\nunless {{ principal in {} }}", group(one));
        }
        text + ";\n"
    }

    /// Whether it applies; `None` when it cannot be evaluated.
    fn applies(&self, request: &Request) -> Option<bool> {
        let expired = self.expires.is_some_and(|hour| hour <= request.hour);
        let about = |actions: &[&str]| {
            actions.iter().any(|action| {
                *action == "claude"
                    || *action == request.action
                    || *action == "messages" && request.action.starts_with("messages.")
            })
        };
        let here = self.connections.is_empty() || self.connections.contains(&request.connection);
        if expired || !(self.actions.is_empty() || about(&self.actions)) {
            return Some(false);
        }
        let when = || match self.when {
            When::Always => Some(true),
            When::Streamed => Some(request.streamed),
            When::Found => Some(request.found),
            When::Shell => Some(request.shell),
            When::Morning => Some((6..12).contains(&request.hour)),
            When::Fails => None,
        };
        let Some(groups) = &request.groups else {
            return match &self.whom {
                Whom::All => {
                    if here {
                        when()
                    } else {
                        Some(false)
                    }
                }
                _ if self.effect == Effect::Permit => Some(false),
                // As if in the group.
                Whom::Scope(_) => {
                    if here {
                        when()
                    } else {
                        Some(false)
                    }
                }
                // What the conditions would say is not known. The connection counts where the
                // scope has it, not where a condition does.
                _ => Some(self.connections.len() != 1 || here),
            };
        };
        match &self.whom {
            Whom::Scope(one) if !groups.contains(one) => Some(false),
            Whom::First(these) if !these.iter().any(|one| groups.contains(one)) => Some(false),
            _ if !here => Some(false),
            Whom::Unless(one) => Some(when()? && !groups.contains(one)),
            _ => when(),
        }
    }
}

/// The decision, by the words of the crate's documentation.
fn expected(rules: &[Rule], request: &Request) -> Decision {
    let id = |index: usize| index.to_string();
    let of = |effect: Effect, shadow: bool| {
        let mut applying = BTreeSet::new();
        let mut failing = BTreeSet::new();
        for (index, rule) in rules.iter().enumerate() {
            if rule.effect == effect && rule.shadow == shadow {
                match rule.applies(request) {
                    Some(true) => drop(applying.insert(id(index))),
                    Some(false) => {}
                    None => drop(failing.insert(id(index))),
                }
            }
        }
        (applying, failing)
    };
    let (permits, failing_permits) = of(Effect::Permit, false);
    let (forbids, failing_forbids) = of(Effect::Forbid, false);
    let (approvals, failing_approvals) = of(Effect::Approval, false);
    let mut errors = &failing_permits | &failing_forbids;
    let (verdict, determining) = if !forbids.is_empty() {
        (Verdict::Deny, forbids)
    } else if !errors.is_empty() || permits.is_empty() {
        (Verdict::Deny, permits)
    } else if !failing_approvals.is_empty() {
        errors = failing_approvals;
        (Verdict::Deny, permits)
    } else if !approvals.is_empty() {
        (Verdict::Approve, approvals)
    } else {
        (Verdict::Allow, permits)
    };
    let mut shadow = BTreeSet::new();
    for effect in [Effect::Forbid, Effect::Approval] {
        let (applying, failing) = of(effect, true);
        shadow.extend(applying);
        shadow.extend(failing);
    }
    let (applying, failing) = of(Effect::Permit, true);
    shadow.extend(failing);
    if verdict == Verdict::Deny && determining.is_empty() && errors.is_empty() {
        shadow.extend(applying);
    }
    let list = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>();
    Decision::new(verdict, list(determining), "")
        .with_errors(list(errors))
        .with_shadow(list(shadow))
}

fn decide(policies: &PolicySet, request: &Request) -> Decision {
    let groups = match &request.groups {
        Some(groups) => groups.iter().map(|group| format!("g{group}")).collect(),
        None => Groups::Unknown,
    };
    let principal = Principal::new(PrincipalKind::Ci, "i", "s").with_groups(groups);
    let tools: &[&str] = if request.shell { &["bash"] } else { &[] };
    let tools: BTreeSet<String> = tools.iter().map(|&tool| tool.to_owned()).collect();
    let action = Action::new(request.action)
        .with("body_scanned", true)
        .with("stream", request.streamed)
        .with("tools", tools);
    let found = [Finding::new("aws-key", "request.body", Operator::Redact, 1)];
    let found = if request.found { &found[..] } else { &[] };
    // Midnight of the first of January 2026, and hours after it.
    let at = Timestamp::from_micros((1_767_225_600 + i64::from(request.hour) * 3600) * 1_000_000);
    policies.decide_at(&principal, request.connection, "claude", &action, found, at)
}

/// What both must agree on. Who has to approve follows from the rules.
fn word(decision: &Decision) -> (Verdict, &[String], &[String], &[String]) {
    let Decision {
        verdict,
        rules,
        errors,
        shadow,
        ..
    } = decision;
    (*verdict, rules, errors, shadow)
}

fn texts(rules: &[Rule], keep: impl Fn(&Rule) -> bool) -> String {
    let rules = rules.iter().enumerate().filter(|(_, rule)| keep(rule));
    rules.map(|(id, rule)| rule.cedar(id)).collect()
}

fn build(text: String) -> PolicySet {
    PolicySet::builder().file("p.cedar", text).build().unwrap()
}

fn check(law: impl Fn((Vec<Rule>, Vec<Request>)) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let input = (
        collection::vec(rule(), 0..10),
        collection::vec(request(), 40),
    );
    runner.run(&input, law).unwrap();
}

#[test]
fn decisions_are_those_of_the_model() {
    check(|(rules, requests)| {
        let policies = build(texts(&rules, |_| true));
        for request in &requests {
            let decision = decide(&policies, request);
            let expected = expected(&rules, request);
            prop_assert_eq!(word(&decision), word(&expected), "{:?}", request);
            // The laws by themselves, whatever the model says.
            prop_assert!(decision.errors.is_empty() || decision.verdict == Verdict::Deny);
            prop_assert!(decision.verdict == Verdict::Deny || !decision.rules.is_empty());
            let asks = decision.verdict == Verdict::Approve;
            prop_assert_eq!(asks, !decision.requires.is_empty());
            let asking = decision.requires.iter().map(|one| &one.rule);
            prop_assert!(!asks || asking.eq(&decision.rules));
        }
        Ok(())
    });
}

#[test]
fn asking_only_those_that_can_apply_changes_nothing() {
    check(|(rules, requests)| {
        let text = texts(&rules, |_| true);
        let sliced = build(text.clone());
        let all = PolicySet::builder().file("p.cedar", text).ask_all();
        let all = all.build().unwrap();
        for request in &requests {
            prop_assert_eq!(decide(&sliced, request), decide(&all, request));
        }
        Ok(())
    });
}

#[test]
fn what_has_expired_is_as_if_it_were_not_there() {
    check(|(rules, requests)| {
        let policies = build(texts(&rules, |_| true));
        for request in requests.iter().take(2) {
            let hour = request.hour;
            let left = build(texts(&rules, |rule| {
                rule.expires.is_none_or(|end| end > hour)
            }));
            let (with, without) = (decide(&policies, request), decide(&left, request));
            prop_assert_eq!(word(&with), word(&without), "{:?}", request);
        }
        Ok(())
    });
}
