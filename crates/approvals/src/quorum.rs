//! Whether enough different people have spoken.
//!
//! **The law.** Rules that ask the same group ask together: the group owes as many people as the
//! rule that wants most. Then every place that any group owes must be filled by a person of that
//! group who spoke, and one person fills one place. So `leads: 1` and `security: 1` need two
//! people, even if the first is in both groups; and a person of both takes whichever place helps,
//! which makes it a matching (a system of distinct representatives), not a count. Nobody is ever
//! stuck for having too many groups.
//!
//! Nothing required is never satisfied: a verdict that asks for approval by nobody is a mistake,
//! and a mistake does not open the gate.

use std::collections::{BTreeMap, BTreeSet};

use tollbook_exchange::Requirement;

use crate::PersonId;

/// The most places that are tried to be filled. A requirement beyond them is never satisfied.
const MAX_PLACES: usize = 1024;

/// One person who said yes, and what to.
pub(crate) struct Voice<'a> {
    person: &'a PersonId,
    speaks: Box<dyn Fn(&Requirement) -> bool + 'a>,
}

impl<'a> Voice<'a> {
    /// A person who speaks for these groups.
    pub(crate) fn of_groups(person: &'a PersonId, groups: &'a BTreeSet<String>) -> Self {
        Self::new(person, |requirement| groups.contains(&requirement.group))
    }

    /// A person who speaks for what `speaks` says.
    pub(crate) fn new(person: &'a PersonId, speaks: impl Fn(&Requirement) -> bool + 'a) -> Self {
        Self {
            person,
            speaks: Box::new(speaks),
        }
    }
}

/// Whether everything in `asked` is covered by what `had` asks for: the same rule, the same group,
/// no more people. Nothing asked is covered by nothing.
pub(crate) fn covers(had: &[Requirement], asked: &[Requirement]) -> bool {
    !asked.is_empty()
        && asked.iter().all(|asked| {
            had.iter().any(|had| {
                had.rule == asked.rule
                    && had.group == asked.group
                    && had.people.max(1) >= asked.people.max(1)
            })
        })
}

/// Whether the voices fill every place that is required.
pub(crate) fn satisfied(requires: &[Requirement], voices: &[Voice<'_>]) -> bool {
    let places = places(requires);
    let Some(places) = places.filter(|places| !places.is_empty()) else {
        return false;
    };
    // Several voices of one person are one person, who can say all that any of them says.
    let mut people: BTreeMap<&PersonId, Vec<&Voice<'_>>> = BTreeMap::new();
    for voice in voices {
        people.entry(voice.person).or_default().push(voice);
    }
    let people: Vec<Vec<&Voice<'_>>> = people.into_values().collect();
    let can = |place: usize, person: usize| {
        places[place].iter().all(|requirement| {
            people[person]
                .iter()
                .any(|voice| (voice.speaks)(requirement))
        })
    };

    // Kuhn's augmenting paths: numbers are small, people and places both.
    let mut taken: Vec<Option<usize>> = vec![None; people.len()];
    (0..places.len()).all(|place| {
        let mut tried = vec![false; people.len()];
        fill(place, &can, &mut taken, &mut tried)
    })
}

/// The places to fill: for each group as many as the rule that wants most, each with all that the
/// group is asked. `None` when there are too many.
fn places(requires: &[Requirement]) -> Option<Vec<Vec<&Requirement>>> {
    let mut groups: BTreeMap<&str, (u32, Vec<&Requirement>)> = BTreeMap::new();
    for requirement in requires {
        let (people, asked) = groups.entry(&requirement.group).or_default();
        *people = (*people).max(requirement.people.max(1));
        asked.push(requirement);
    }
    let mut places = Vec::new();
    for (people, asked) in groups.into_values() {
        let people = usize::try_from(people).ok()?;
        if places.len().saturating_add(people) > MAX_PLACES {
            return None;
        }
        places.extend(std::iter::repeat_n(asked, people));
    }
    Some(places)
}

/// Finds somebody for the place, moving others to places they can fill as well.
fn fill(
    place: usize,
    can: &impl Fn(usize, usize) -> bool,
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for person in 0..taken.len() {
        if tried[person] || !can(place, person) {
            continue;
        }
        tried[person] = true;
        let free = match taken[person] {
            None => true,
            Some(other) => fill(other, can, taken, tried),
        };
        if free {
            taken[person] = Some(place);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(text: &str) -> Requirement {
        let mut parts = text.split(':');
        Requirement {
            rule: parts.next().unwrap().to_owned(),
            group: parts.next().unwrap().to_owned(),
            people: parts.next().unwrap().parse().unwrap(),
        }
    }

    /// `rule:group:people …` against `person=group+group …`.
    fn holds(requires: &str, voices: &str) -> bool {
        let requires: Vec<_> = requires.split_whitespace().map(requirement).collect();
        let voices: Vec<(PersonId, BTreeSet<String>)> = voices
            .split_whitespace()
            .map(|voice| {
                let (person, groups) = voice.split_once('=').unwrap();
                let groups = groups.split('+').map(str::to_owned).collect();
                (PersonId::account(person), groups)
            })
            .collect();
        let voices: Vec<_> = (voices.iter())
            .map(|(person, groups)| Voice::of_groups(person, groups))
            .collect();
        satisfied(&requires, &voices)
    }

    #[test]
    fn the_table_of_quorums() {
        for (requires, voices, holds_so) in [
            // Nobody asked for is never satisfied, nor is anybody by nobody.
            ("", "ann=leads", false),
            ("r:leads:1", "", false),
            ("r:leads:1", "ann=leads", true),
            ("r:leads:1", "ann=security", false),
            // A count of nought is one.
            ("r:leads:0", "", false),
            ("r:leads:0", "ann=leads", true),
            ("r:leads:2", "ann=leads", false),
            ("r:leads:2", "ann=leads ann=leads", false),
            ("r:leads:2", "ann=leads bob=leads", true),
            // One person in two groups is one person.
            ("r:leads:1 r:security:1", "ann=leads+security", false),
            (
                "r:leads:1 r:security:1",
                "ann=leads+security bob=leads",
                true,
            ),
            ("r:leads:1 r:security:1", "ann=leads bob=leads", false),
            // The first to speak is moved to where they help.
            (
                "r:leads:1 r:security:1",
                "bob=leads ann=leads+security",
                true,
            ),
            ("r:a:1 r:b:1 r:c:1", "x=a+b y=b+c z=a", true),
            ("r:a:1 r:b:1 r:c:1", "x=a+b y=a+b z=a+b", false),
            // More groups than needed do not stick.
            ("r:a:2", "x=a+b+c y=a+b", true),
            // Two rules that ask one group ask together, for the larger number.
            ("r:leads:1 s:leads:1", "ann=leads", true),
            ("r:leads:1 s:leads:2", "ann=leads", false),
            ("r:leads:1 s:leads:2", "ann=leads bob=leads", true),
            ("r:leads:4000000000", "ann=leads", false),
        ] {
            assert_eq!(holds(requires, voices), holds_so, "{requires} / {voices}");
        }
    }

    #[test]
    fn a_rule_that_was_not_shown_is_not_covered() {
        let had = [requirement("r:leads:2")];
        for (asked, covered) in [
            ("r:leads:2", true),
            ("r:leads:1", true),
            ("r:leads:3", false),
            ("s:leads:1", false),
            ("r:security:1", false),
        ] {
            assert_eq!(covers(&had, &[requirement(asked)]), covered, "{asked}");
        }
        assert!(!covers(&had, &[]));
    }
}
