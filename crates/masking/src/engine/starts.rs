//! Which rules of values a place can be meant by, told by its first bytes.

use std::fmt;

use crate::engine::{
    class::Class,
    lane::{self, Lane, Lanes},
    rule::Rule,
    window::Window,
    words::{self, Look, MOST},
};

/// How many bytes are looked at.
const REACH: usize = 16;
/// How many of them are looked at in any case.
const FIRST: usize = 4;
/// How many rules share a table.
const GROUP: usize = 64;

/// Rules, by what their first bytes may be.
#[derive(Debug)]
pub(crate) struct Starts {
    groups: Vec<Group>,
}

struct Group {
    rules: Vec<usize>,
    /// Which of them belong to a lane.
    lanes: Vec<(Lanes, u64)>,
    /// Those outside the run lane, and those in it.
    of: [u64; 2],
    /// For each of the first bytes, the rules that allow it.
    first: Box<[[u64; 256]; FIRST]>,
    /// Bytes that no rule tells apart have the same number.
    kinds: [u8; 256],
    /// For each position and kind of bytes, the rules that may have it there.
    tables: Vec<Vec<u64>>,
    /// For each position, the rules whose values may end before it.
    short: [u64; REACH],
    looks: Looks,
}

/// Which rules of a group go with what stands at a place.
struct Looks {
    /// By the length of the first word; and if it may be longer.
    words: Box<[[u64; MOST + 1]; 2]>,
    /// By how many bytes that tokens are made of.
    tokens: Box<[u64; MOST + 1]>,
    /// Those that need no digit.
    digitless: u64,
    /// Those that need no digit if upper and lower case are mixed.
    mixed: u64,
    /// Those that may begin behind `/` and `+`.
    joined: u64,
}

impl Starts {
    /// For the rules with these indexes and lanes.
    pub(crate) fn new(rules: &[Rule], values: &[(usize, Lanes)]) -> Self {
        Self {
            groups: values
                .chunks(GROUP)
                .map(|values| Group::new(rules, values))
                .collect(),
        }
    }

    /// Whether the very first bytes allow any rule in the run lane, or in the others. At the `end`
    /// of the text nothing follows `bytes`.
    #[inline]
    pub(crate) fn may_begin(&self, run: bool, bytes: &[u8], end: bool, look: Look) -> bool {
        match bytes.first_chunk() {
            Some(first) => self.groups.iter().fold(false, |may, group| {
                may | (group.allow(first) & group.of[usize::from(run)] & group.looks.like(look)
                    != 0)
            }),
            None => !end || !self.groups.is_empty(),
        }
    }

    /// The rules in one of the lanes that the first bytes allow.
    pub(crate) fn each(
        &self,
        lanes: Lanes,
        window: &Window<'_>,
        at: usize,
    ) -> impl Iterator<Item = usize> {
        let (bytes, end) = (&window.bytes[at..], window.end);
        let look = Look::at(window.bytes, at, window.floor, end);
        self.groups.iter().flat_map(move |group| {
            let mut live = group.live(group.looks.like(look), lanes, bytes, end);
            std::iter::from_fn(move || {
                let bit = live.trailing_zeros();
                live &= live.checked_sub(1)?;
                group.rules.get(bit as usize).copied()
            })
        })
    }
}

impl Group {
    fn new(rules: &[Rule], values: &[(usize, Lanes)]) -> Self {
        let starts: Vec<Vec<Class>> = values
            .iter()
            .map(|(rule, _)| lane::starts(&rules[*rule]))
            .collect();
        let has = |byte: u8| {
            let columns = (0..REACH).map(|position| {
                starts.iter().enumerate().fold(0u64, |may, (bit, starts)| {
                    let here = starts.get(position).is_none_or(|class| class.has(byte));
                    may | u64::from(here) << bit
                })
            });
            columns.collect::<Vec<u64>>()
        };
        let mut known: Vec<Vec<u64>> = Vec::new();
        let mut kinds = [0; 256];
        for byte in 0..=u8::MAX {
            let columns = has(byte);
            let kind = known.iter().position(|other| *other == columns);
            let kind = kind.unwrap_or_else(|| {
                known.push(columns);
                known.len() - 1
            });
            // There are no more kinds than bytes.
            kinds[usize::from(byte)] = u8::try_from(kind).unwrap_or(u8::MAX);
        }
        let mut lanes: Vec<(Lanes, u64)> = Vec::new();
        for (bit, (_, rule_lanes)) in values.iter().enumerate() {
            match lanes.iter_mut().find(|(lanes, _)| lanes == rule_lanes) {
                Some((_, rules)) => *rules |= 1 << bit,
                None => lanes.push((*rule_lanes, 1 << bit)),
            }
        }
        let mut first = Box::new([[0; 256]; FIRST]);
        for (position, allowed) in first.iter_mut().enumerate() {
            for (byte, allowed) in allowed.iter_mut().enumerate() {
                *allowed = known[usize::from(kinds[byte])][position];
            }
        }
        let in_run = lanes.iter().filter(|(lanes, _)| lanes.has(Lane::Run));
        let in_run = in_run.fold(0, |all, (_, rules)| all | rules);
        let in_others = lanes.iter().filter(|(lanes, _)| !lanes.has(Lane::Run));
        let in_others = in_others.fold(0, |all, (_, rules)| all | rules);
        let tables = (0..REACH)
            .map(|position| known.iter().map(|columns| columns[position]).collect())
            .collect();
        let short = std::array::from_fn(|position| {
            starts.iter().enumerate().fold(0, |short, (bit, starts)| {
                short | u64::from(starts.len() <= position) << bit
            })
        });
        Self {
            rules: values.iter().map(|(rule, _)| *rule).collect(),
            lanes,
            of: [in_others, in_run],
            first,
            kinds,
            tables,
            short,
            looks: Looks::new(values.iter().map(|(rule, _)| &rules[*rule])),
        }
    }

    #[inline]
    fn allow(&self, first: &[u8; FIRST]) -> u64 {
        let tables = self.first.iter().zip(first);
        tables.fold(u64::MAX, |may, (table, byte)| {
            may & table[usize::from(*byte)]
        })
    }

    fn live(&self, like: u64, lanes: Lanes, bytes: &[u8], end: bool) -> u64 {
        if like == 0 {
            return 0;
        }
        let of_lanes = self
            .lanes
            .iter()
            .filter(|(own, _)| !own.meet(lanes).is_empty());
        let mut live = like & of_lanes.fold(0, |live, (_, rules)| live | rules);
        for (position, table) in self.tables.iter().enumerate() {
            match bytes.get(position) {
                _ if live == 0 => return 0,
                Some(byte) => live &= table[usize::from(self.kinds[usize::from(*byte)])],
                None if end => return live & self.short[position],
                None => return live,
            }
        }
        live
    }
}

impl Looks {
    fn new<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut looks = Self {
            words: Box::new([[0; MOST + 1]; 2]),
            tokens: Box::new([0; MOST + 1]),
            digitless: 0,
            mixed: 0,
            joined: 0,
        };
        for (bit, rule) in rules.enumerate() {
            let (lengths, least) = (words::lengths(rule), words::tokens(rule));
            for length in 0..=MOST {
                looks.words[0][length] |= u64::from(lengths >> length & 1 != 0) << bit;
                looks.words[1][length] |= u64::from(lengths >> length != 0) << bit;
                looks.tokens[length] |= u64::from(length >= least) << bit;
            }
            looks.joined |= u64::from(!words::goes_over_joints(rule)) << bit;
            let is_random = rule
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.random() > 0);
            looks.mixed |= u64::from(is_random) << bit;
            looks.digitless |= u64::from(!is_random && !words::wants_digit(rule)) << bit;
        }
        looks
    }

    #[inline]
    fn like(&self, look: Look) -> u64 {
        // What has not come may be a digit, and more of the word.
        let open = usize::from(look.open);
        let digit = 0u64.wrapping_sub(u64::from(look.digit | look.open));
        let tokens = self.tokens[look.token.min(MOST)] | 0u64.wrapping_sub(u64::from(look.open));
        let joined = self.joined | 0u64.wrapping_sub(u64::from(!look.joined));
        let mixed = self.mixed & 0u64.wrapping_sub(u64::from(look.mixed));
        let random = digit | mixed | self.digitless;
        joined & self.words[open][look.word.min(MOST)] & tokens & random
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
