//! What a policy says of itself.

use cedar_policy::{Effect, Policy};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use crate::nearest::nearest;

const KNOWN: [&str; 6] = ["id", "reason", "approval", "mode", "expires", "labels"];
/// More people than this never look at one request.
const MOST_PEOPLE: u32 = 100;

/// The annotations of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) reason: Option<String>,
    /// How many people of which group have to approve. Only a forbid has any.
    pub(crate) approval: Vec<(String, u32)>,
    /// On trial: what it says is noted and has no effect.
    pub(crate) shadow: bool,
    pub(crate) expires: Option<Expiry>,
    pub(crate) labels: Option<String>,
}

/// When a policy ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// The first second, since 1970, in which it has no part.
    pub(crate) end: i64,
    /// As it is written.
    pub(crate) text: String,
}

impl Annotations {
    /// The annotations of `policy`, or everything that is wrong with them. A date without a time
    /// is a day in `zone`.
    pub(crate) fn of(policy: &Policy, zone: &TimeZone) -> Result<Self, Vec<String>> {
        let mut known = Self::default();
        let mut wrong = Vec::new();
        for (name, value) in policy.annotations() {
            if let Err(message) = known.read(name, value, policy.effect(), zone) {
                wrong.push(message);
            }
        }
        if policy.annotation("id").is_none() {
            wrong.push("the policy has no @id".to_owned());
        }
        if wrong.is_empty() {
            Ok(known)
        } else {
            Err(wrong)
        }
    }

    fn read(
        &mut self,
        name: &str,
        value: &str,
        effect: Effect,
        zone: &TimeZone,
    ) -> Result<(), String> {
        if !KNOWN.contains(&name) {
            let nearest = nearest(name, KNOWN).unwrap_or("id");
            return Err(format!(
                "unknown annotation @{name}: the nearest known is @{nearest}"
            ));
        }
        if value.trim().is_empty() {
            return Err(format!("@{name} is empty"));
        }
        if value.contains(char::is_control) {
            return Err(format!("@{name} holds a control character"));
        }
        match name {
            "reason" => self.reason = Some(value.to_owned()),
            "labels" => self.labels = Some(value.to_owned()),
            "approval" if effect == Effect::Permit => {
                return Err(
                    "@approval is for a forbid: what the forbid covers then needs approval"
                        .to_owned(),
                );
            }
            "approval" => self.approval = approval(value)?,
            "mode" if value == "shadow" => self.shadow = true,
            "mode" => {
                return Err(format!(
                    "@mode(\"{value}\") is not known: the only mode is \"shadow\""
                ));
            }
            "expires" => self.expires = Some(Expiry::parse(value, zone)?),
            _ => {}
        }
        Ok(())
    }
}

/// Reads `group:people` with commas between several.
fn approval(text: &str) -> Result<Vec<(String, u32)>, String> {
    let mut groups: Vec<(String, u32)> = Vec::new();
    for part in text.split(',') {
        let (group, people) = part
            .trim()
            .rsplit_once(':')
            .map(|(group, people)| (group.trim(), people.trim()))
            .filter(|(group, _)| !group.is_empty())
            .ok_or_else(|| {
                format!(
                    "@approval(\"{text}\") names no group and number of people, as in \"leads:1\""
                )
            })?;
        let people = people
            .parse()
            .ok()
            .filter(|people| (1..=MOST_PEOPLE).contains(people))
            .ok_or_else(|| format!("@approval(\"{text}\"): people are from 1 to {MOST_PEOPLE}"))?;
        if groups.iter().any(|(known, _)| known == group) {
            return Err(format!("@approval(\"{text}\") names `{group}` twice"));
        }
        groups.push((group.to_owned(), people));
    }
    Ok(groups)
}

impl Expiry {
    fn parse(text: &str, zone: &TimeZone) -> Result<Self, String> {
        // A date ends with its last second, as on a ticket.
        let of_day = || {
            let next = text.parse::<Date>().ok()?.checked_add(1.day()).ok()?;
            next.to_zoned(zone.clone()).ok().map(|day| day.timestamp())
        };
        let is_date = text.len() == "2027-01-31".len();
        let end = if is_date {
            of_day()
        } else {
            text.parse::<Timestamp>().ok()
        };
        let end = end.ok_or_else(|| {
            format!("@expires(\"{text}\") is no date like 2027-01-31 and no RFC 3339 time")
        })?;
        Ok(Self {
            end: end.as_second() + i64::from(end.subsec_nanosecond() > 0),
            text: text.to_owned(),
        })
    }

    /// `policy`, but only until then.
    ///
    /// The condition comes first: what has expired is not evaluated and cannot fail.
    pub(crate) fn end(&self, policy: &Policy) -> Result<Policy, String> {
        let mut parts = policy.to_json().map_err(|error| error.to_string())?;
        let before = json!({
            "kind": "when",
            "body": { "<": {
                "left": { ".": { "left": { "Var": "context" }, "attr": "time" } },
                "right": { "Value": self.end },
            } },
        });
        if let Some(Value::Array(conditions)) = parts.get_mut("conditions") {
            conditions.insert(0, before);
        }
        Policy::from_json(Some(policy.id().clone()), parts).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvals_name_groups_and_people() {
        assert_eq!(
            approval("leads:2, security:1"),
            Ok(vec![("leads".to_owned(), 2), ("security".to_owned(), 1)])
        );
        assert_eq!(approval("a:b:3"), Ok(vec![("a:b".to_owned(), 3)]));
        for wrong in [
            "leads",
            ":1",
            "leads:0",
            "leads:-1",
            "leads:101",
            "leads:1,",
            "a:1,a:2",
        ] {
            assert!(approval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_date_ends_with_its_day_and_a_time_at_once() {
        let end = |text: &str, zone: &str| {
            let zone = TimeZone::get(zone).unwrap();
            let end = Expiry::parse(text, &zone).unwrap().end;
            Timestamp::from_second(end).unwrap().to_string()
        };
        assert_eq!(end("2027-01-31", "UTC"), "2027-02-01T00:00:00Z");
        assert_eq!(end("2027-01-31", "Europe/Berlin"), "2027-01-31T23:00:00Z");
        let at = "2027-01-31T12:00:00+02:00";
        assert_eq!(end(at, "Europe/Berlin"), "2027-01-31T10:00:00Z");
        assert_eq!(end("2027-01-31T12:00:00.5Z", "UTC"), "2027-01-31T12:00:01Z");
        for wrong in ["2030", "2027-02-30", "tomorrow", "2027-01-31T12:00:00"] {
            assert!(Expiry::parse(wrong, &TimeZone::UTC).is_err(), "{wrong}");
        }
    }
}
