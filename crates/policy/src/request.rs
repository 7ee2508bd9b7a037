//! From the words of an exchange to a question for Cedar.
//!
//! Cedar can check a request against the schema itself, and takes longer for it than for the
//! answer. Everything here has its type by construction, except the facts, which are held against
//! the schema's types one by one. A property below shows that both checks say the same.

use std::{collections::BTreeSet, sync::Arc};

use cedar_policy::{Context, Entities, Entity, Request, RestrictedExpression};
use jiff::tz::TimeZone;
use serde_json::Value;
use tollbook_exchange::{Action, Fact, Finding, Operator, Principal, Timestamp};

use crate::{
    mentions::Mentions,
    names::Names,
    vocabulary::Vocabulary,
    watch::{Watch, WatchKind},
};

/// What is asked, in the words of the exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) connection: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) action: &'a Action,
    pub(crate) findings: &'a [Finding],
    pub(crate) at: Timestamp,
}

/// What is known of the policies that are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) mentions: &'a Mentions,
    /// The zone of hours and days.
    pub(crate) zone: &'a TimeZone,
}

/// A question, and the entities it is about.
pub(crate) struct Question {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// What does not fit the schema. Its details stay out: they may hold a caller's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Caller,
    Connection,
    Action,
    Facts,
    Time,
}

impl Unfit {
    /// The id under which it stands among the rules that could not be evaluated.
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Caller => "tollbook.caller",
            Self::Connection => "tollbook.connection",
            Self::Action => "tollbook.action",
            Self::Facts => "tollbook.facts",
            Self::Time => "tollbook.time",
        }
    }
}

impl Question {
    /// The question whether `asked` may be, with what the policies it goes to watch.
    pub(crate) fn new<'w>(
        asked: Asked<'_>,
        known: Known<'_>,
        watches: impl Iterator<Item = &'w Arc<Watch>>,
    ) -> Result<Self, Unfit> {
        let Known {
            vocabulary,
            mentions,
            ..
        } = known;
        let names = &vocabulary.names;
        let action = vocabulary.action(&asked.action.name).ok_or(Unfit::Action)?;
        let caller = caller(names, mentions, asked.principal).ok_or(Unfit::Caller)?;
        let mut attributes = Pairs::new(mentions);
        attributes.add("protocol", || text(asked.protocol));
        let upstream =
            Entity::new_with_tags(names.connection(asked.connection), attributes.pairs, [], [])
                .map_err(|_| Unfit::Connection)?;
        let request = Request::new(
            caller.uid(),
            action.uid.clone(),
            upstream.uid(),
            context(asked, known, watches)?,
            None,
        )
        .map_err(|_| Unfit::Facts)?;
        let entities = Entities::from_entities([caller, upstream, action.entity.clone()], None)
            .map_err(|_| Unfit::Caller)?;
        Ok(Self { request, entities })
    }
}

fn caller(names: &Names, mentions: &Mentions, principal: &Principal) -> Option<Entity> {
    // With a slash in the issuer's name two callers could have one uid.
    if principal.issuer.contains('/') {
        return None;
    }
    let mut attributes = Pairs::new(mentions);
    attributes.add("kind", || text(principal.kind.as_str()));
    attributes.add("issuer", || text(&principal.issuer));
    attributes.add("subject", || text(&principal.subject));
    attributes.add("groups_known", || {
        RestrictedExpression::new_bool(principal.groups.is_known())
    });
    attributes.add("roles", || set(principal.roles.iter().cloned()));
    attributes.add("rules", || {
        let rules = principal.access.iter().flat_map(|access| &access.rules);
        set(rules.cloned())
    });
    let actor = principal.actor.as_ref();
    let actor = actor.and_then(|actor| actor.id.as_ref().or(actor.login.as_ref()));
    for (name, value) in [
        ("stable_id", principal.stable_id.as_ref()),
        ("actor", actor),
        ("environment", principal.environment.as_ref()),
        ("on_behalf_of", principal.on_behalf_of.as_ref()),
    ] {
        if let Some(value) = value {
            attributes.add(name, || text(value));
        }
    }
    let claims = principal.claims.iter();
    let tags = claims
        .filter(|(name, _)| mentions.tag(name))
        .filter_map(|(name, value)| Some((name.clone(), set(claim(value)?))));
    Entity::new_with_tags(
        names.caller(&principal.issuer, &principal.subject),
        attributes.pairs,
        principal.groups.iter().map(|group| names.group(group)),
        tags,
    )
    .ok()
}

/// Names with their values, as far as policies mention them.
struct Pairs<'a> {
    mentions: &'a Mentions,
    pairs: Vec<(String, RestrictedExpression)>,
}

impl<'a> Pairs<'a> {
    const fn new(mentions: &'a Mentions) -> Self {
        Self {
            mentions,
            pairs: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, value: impl FnOnce() -> RestrictedExpression) {
        if self.mentions.name(name) {
            self.pairs.push((name.to_owned(), value()));
        }
    }
}

/// A claim as a set of texts. Objects and `null` have no such form and are no tags.
fn claim(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::Array(elements) => Some(elements.iter().filter_map(scalar).collect()),
        value => scalar(value).map(|value| BTreeSet::from([value])),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn context<'w>(
    asked: Asked<'_>,
    known: Known<'_>,
    watches: impl Iterator<Item = &'w Arc<Watch>>,
) -> Result<Context, Unfit> {
    let mut facts = Pairs::new(known.mentions);
    for (name, fact) in &asked.action.facts {
        // A name of the engine's own is refused here as well.
        if !known.vocabulary.takes(name, fact) {
            return Err(Unfit::Facts);
        }
        if known.mentions.name(name) {
            facts.pairs.push((name.to_string(), expression(fact)?));
        }
    }
    let findings = masked(asked.findings);
    facts.add("findings", || {
        set(findings.clone().map(|finding| finding.rule.clone()))
    });
    facts.add("finding_count", || {
        let counts = findings.clone().map(|finding| i64::from(finding.count));
        long(counts.fold(0, i64::saturating_add))
    });

    let at = jiff::Timestamp::from_microsecond(asked.at.as_micros()).map_err(|_| Unfit::Time)?;
    let local = known.zone.to_datetime(at);
    let day = local.weekday().to_monday_one_offset();
    // Always there: where a policy ends is not among what it mentions.
    let time = asked.at.as_micros().div_euclid(1_000_000);
    facts.pairs.push(("time".to_owned(), long(time)));
    facts.add("hour", || long(i64::from(local.hour())));
    facts.add("weekday", || long(i64::from(day)));

    let mut holding: [BTreeSet<String>; 3] = Default::default();
    let [windows, every, some] = &mut holding;
    for watch in watches {
        let these = match &watch.kind {
            WatchKind::Window(_) => &mut *windows,
            WatchKind::Every(_) => &mut *every,
            WatchKind::Some(_) => &mut *some,
        };
        if watch.holds(asked.action, asked.findings, at) {
            these.insert(watch.literal.clone());
        }
    }
    for (name, holding) in ["windows", "every", "some"].into_iter().zip(holding) {
        facts.add(name, || set(holding));
    }
    Context::from_pairs(facts.pairs).map_err(|_| Unfit::Facts)
}

/// The findings of masking. What detectors flag is in the facts `labels` and `risk`: with them a
/// rule against secrets would fire at every doubtful word.
pub(crate) fn masked(findings: &[Finding]) -> impl Iterator<Item = &Finding> + Clone {
    findings
        .iter()
        .filter(|finding| finding.operator != Operator::Flag)
}

fn expression(fact: &Fact) -> Result<RestrictedExpression, Unfit> {
    Ok(match fact {
        Fact::Bool(value) => RestrictedExpression::new_bool(*value),
        Fact::Long(value) => long(*value),
        Fact::Text(value) => text(value),
        Fact::Set(values) => set(values.iter().cloned()),
        _ => return Err(Unfit::Facts),
    })
}

fn long(value: i64) -> RestrictedExpression {
    RestrictedExpression::new_long(value)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn set(values: impl IntoIterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(RestrictedExpression::new_string))
}

#[cfg(test)]
mod tests {
    use cedar_policy::EntityUid;
    use proptest::{collection, prelude::*};
    use tollbook_exchange::{Access, Actor, Groups, PrincipalKind};

    use super::*;

    fn known(vocabulary: &Vocabulary) -> Known<'_> {
        static ALL: Mentions = Mentions::all();
        static UTC: TimeZone = TimeZone::UTC;
        Known {
            vocabulary,
            mentions: &ALL,
            zone: &UTC,
        }
    }

    fn fact() -> impl Strategy<Value = Fact> {
        prop_oneof![
            any::<bool>().prop_map(Fact::Bool),
            any::<i64>().prop_map(Fact::Long),
            "[a-z]{0,3}".prop_map(Fact::Text),
            collection::btree_set("[a-z]{0,3}", 0..3).prop_map(Fact::Set),
        ]
    }

    fn action() -> impl Strategy<Value = Action> {
        let vocabulary = &*Vocabulary::of(&[]).unwrap();
        let mut names: Vec<String> = vocabulary.action_names().map(str::to_owned).collect();
        names.push("messages.destroy".to_owned());
        let facts: Vec<String> = vocabulary
            .facts()
            .map(|(name, _)| name.to_owned())
            .collect();
        let known = proptest::sample::select(facts).prop_flat_map(|name| (Just(name), fact()));
        let other = ("[a-z]{3}", fact());
        let pairs = prop_oneof![9 => known, 1 => other];
        (
            proptest::sample::select(names),
            collection::vec(pairs, 0..4),
        )
            .prop_map(|(name, pairs)| {
                let mut action = Action::new(name);
                for (name, fact) in pairs {
                    action.facts.insert(name.into(), fact);
                }
                action
            })
    }

    fn principal() -> impl Strategy<Value = Principal> {
        let optional = || proptest::option::of("[a-z/]{0,4}");
        let claims = collection::btree_map("[a-z]{1,3}", claim_value(), 0..4);
        let groups = proptest::option::of(collection::btree_set("[a-z]{1,2}", 0..4));
        (
            ("[a-z]{1,3}", "[a-z:/]{1,6}", groups, claims),
            (optional(), optional(), optional(), optional()),
        )
            .prop_map(
                |((issuer, subject, groups, claims), (id, actor, environment, of))| {
                    let mut principal = Principal::new(PrincipalKind::Ci, issuer, subject)
                        .with_groups(groups.map_or(Groups::Unknown, Groups::Known))
                        .with_claims(claims);
                    principal.roles = id.clone().into_iter().collect();
                    principal.access = id.clone().map(|rule| Access {
                        rules: vec![rule],
                        ..Access::default()
                    });
                    principal.stable_id = id;
                    principal.actor = actor.map(|login| Actor {
                        login: Some(login),
                        ..Actor::default()
                    });
                    principal.environment = environment;
                    principal.on_behalf_of = of;
                    principal
                },
            )
    }

    fn claim_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from),
            collection::vec("[a-z]{0,2}", 0..3).prop_map(Value::from),
            Just(serde_json::json!({ "a": 1 })),
        ]
    }

    /// The same question, checked by Cedar against the schema.
    fn checked_by_cedar(question: &Question, vocabulary: &Vocabulary) -> Result<(), String> {
        let uid = |uid: Option<&EntityUid>| uid.cloned().unwrap();
        let request = &question.request;
        Request::new(
            uid(request.principal()),
            uid(request.action()),
            uid(request.resource()),
            request.context().cloned().unwrap(),
            Some(&vocabulary.schema),
        )
        .map_err(|error| error.to_string())?;
        let entities = question.entities.iter().cloned();
        Entities::from_entities(entities, Some(&vocabulary.schema))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// What Cedar says of the facts of `action` alone.
    fn facts_fit(action: &Action, vocabulary: &Vocabulary) -> bool {
        let own = Action::new(action.name.clone());
        let nobody = Principal::new(PrincipalKind::Ci, "i", "s");
        let ask = |action| Asked {
            principal: &nobody,
            connection: "c",
            protocol: "p",
            action,
            findings: &[],
            at: Timestamp::from_micros(0),
        };
        let Ok(question) = Question::new(ask(&own), known(vocabulary), [].iter()) else {
            return false;
        };
        let facts = action.facts.iter();
        let facts = facts.map(|(name, fact)| (name.to_string(), expression(fact).unwrap()));
        let facts = Context::from_pairs(facts).unwrap();
        // Fails where the facts name one of the engine's own.
        let Ok(context) = question.request.context().cloned().unwrap().merge(facts) else {
            return false;
        };
        let uid = |uid: Option<&EntityUid>| uid.cloned().unwrap();
        let request = &question.request;
        let (principal, action) = (uid(request.principal()), uid(request.action()));
        let resource = uid(request.resource());
        Request::new(
            principal,
            action,
            resource,
            context,
            Some(&vocabulary.schema),
        )
        .is_ok()
    }

    #[test]
    fn what_passes_here_passes_cedar_and_the_other_way_round() {
        let vocabulary = &*Vocabulary::of(&[]).unwrap();
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let law = |(principal, action, micros): (Principal, Action, i64)| {
            let asked = Asked {
                principal: &principal,
                connection: "claude",
                protocol: "claude",
                action: &action,
                findings: &[],
                at: Timestamp::from_micros(micros),
            };
            let question = Question::new(asked, known(vocabulary), [].iter());
            let fits = facts_fit(&action, vocabulary);
            prop_assert_eq!(question.is_ok(), fits, "{:?}", action);
            if let Ok(question) = question {
                prop_assert_eq!(checked_by_cedar(&question, vocabulary), Ok(()));
            }
            Ok(())
        };
        let micros = 0..4_000_000_000_000_000_i64;
        runner.run(&(principal(), action(), micros), law).unwrap();
    }

    #[test]
    fn a_time_that_no_calendar_has_is_unfit() {
        let vocabulary = &*Vocabulary::of(&[]).unwrap();
        let asked = Asked {
            principal: &Principal::new(PrincipalKind::Ci, "i", "s"),
            connection: "c",
            protocol: "p",
            action: &Action::new("models.list"),
            findings: &[],
            at: Timestamp::from_micros(i64::MAX),
        };
        let question = Question::new(asked, known(vocabulary), [].iter());
        assert_eq!(question.err(), Some(Unfit::Time));
    }
}
