//! Which rules of values a place can be meant by, told by its first bytes.

use std::{collections::HashMap, fmt};

use crate::engine::{
    class::Class,
    keywords::{Context, Keywords},
    lane::{self, Lane, Lanes},
    rule::Rule,
    window::Window,
    words::{self, Look, MOST},
};

/// How many bytes are looked at.
const REACH: usize = 16;
/// How many of them are looked at in any case.
const FIRST: usize = 4;
/// The lanes of values besides the run lane.
const NUMBERS: Lanes = Lanes::of(Lane::Digit).and(Lane::Upper).and(Lane::Hex);
/// How many rules share a table.
const GROUP: usize = 256;

/// Some rules of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Set([u64; GROUP / 64]);

/// Rules, by what their first bytes may be.
#[derive(Debug)]
pub(crate) struct Starts {
    /// Those in the run lane.
    run: Vec<Group>,
    others: Vec<Group>,
}

struct Group {
    rules: Vec<usize>,
    /// Which of them belong to a lane.
    lanes: Vec<(Lanes, Set)>,
    /// Bytes that no rule tells apart have the same number.
    kinds: [u8; 256],
    /// For each position and kind of bytes, the rules that may have it there.
    tables: Vec<Vec<Set>>,
    /// For each position, the rules whose values may end before it.
    short: [Set; REACH],
    looks: Looks,
    /// Those that want no word before them, or are not looked up by their words.
    wordless: Set,
    /// Those that go with a word.
    with_word: Vec<Set>,
}

/// Which rules of a group go with what stands at a place.
struct Looks {
    /// By the length of the first word; and if it may be longer.
    words: Box<[[Set; MOST + 1]; 2]>,
    /// By how many bytes that tokens are made of.
    tokens: Box<[Set; MOST + 1]>,
    /// Those that need no digit.
    digitless: Set,
    /// Those that need no digit if upper and lower case are mixed.
    mixed: Set,
    /// Those that may begin behind `/` and `+`.
    joined: Set,
}

impl Starts {
    /// For the rules with these indexes and lanes.
    pub(crate) fn new(rules: &[Rule], keywords: &Keywords, values: &[(usize, Lanes)]) -> Self {
        let (run, others): (Vec<_>, Vec<_>) = values
            .iter()
            .copied()
            .partition(|(_, lanes)| lanes.has(Lane::Run));
        let groups = |values: &[(usize, Lanes)]| {
            let groups = values.chunks(GROUP);
            groups
                .map(|values| Group::new(rules, keywords, values))
                .collect()
        };
        Self {
            run: groups(&run),
            others: groups(&others),
        }
    }

    /// Whether the very first bytes allow any rule in one of the lanes. At the `end` of the text
    /// nothing follows `bytes`.
    #[inline(always)]
    pub(crate) fn may_begin(&self, (lanes, look): (Lanes, Look), bytes: &[u8], end: bool) -> bool {
        let Some(first) = bytes.first_chunk() else {
            return !end || self.of(lanes).next().is_some();
        };
        let mut may = Set::default();
        for group in self.of(lanes) {
            may = may.or(group.allow(first).and(group.looks.like(look)));
        }
        !may.is_empty()
    }

    /// Whether a rule in one of the lanes may match that wants no word before it, or one of these.
    #[inline(always)]
    pub(crate) fn may_stand(
        &self,
        (lanes, look): (Lanes, Look),
        bytes: &[u8],
        end: bool,
        words: impl Iterator<Item = usize> + Clone,
    ) -> bool {
        for group in self.of(lanes) {
            let like = group.looks.like(look).and(group.with_words(words.clone()));
            if !like.is_empty() && !group.live(like, lanes, bytes, end).is_empty() {
                return true;
            }
        }
        false
    }

    #[inline]
    fn live(
        &self,
        (lanes, look): (Lanes, Look),
        bytes: &[u8],
        end: bool,
    ) -> impl Iterator<Item = (Set, &Group)> {
        let groups = self.of(lanes);
        groups.map(move |group| {
            let live = group.live(group.looks.like(look), lanes, bytes, end);
            (live, group)
        })
    }

    #[inline]
    fn of(&self, lanes: Lanes) -> impl Iterator<Item = &Group> {
        let if_any = |is_any: bool, groups| if is_any { groups } else { &[][..] };
        let run = if_any(lanes.has(Lane::Run), &self.run[..]);
        let others = if_any(!lanes.meet(NUMBERS).is_empty(), &self.others);
        run.iter().chain(others)
    }

    /// Tells each of the rules in one of the lanes that the first bytes allow, and the words before
    /// the place as far as they can be told.
    pub(crate) fn each(
        &self,
        (lanes, look): (Lanes, Look),
        window: &Window<'_>,
        at: usize,
        context: &mut Context<'_>,
        mut tell: impl FnMut(usize, &mut Context<'_>),
    ) {
        let (bytes, end) = (&window.bytes[at..], window.end);
        for (live, group) in self.live((lanes, look), bytes, end) {
            let wordless = live.and(group.wordless);
            let admitted = if wordless == live {
                live
            } else if let Some(words) = context.words() {
                live.and(group.with_words(words))
            } else {
                live
            };
            admitted.each(|bit| tell(group.rules[bit], context));
        }
    }
}

impl Group {
    fn new(rules: &[Rule], keywords: &Keywords, values: &[(usize, Lanes)]) -> Self {
        let starts: Vec<Vec<Class>> = values
            .iter()
            .map(|(rule, _)| lane::starts(&rules[*rule]))
            .collect();
        let has = |byte: u8| -> [Set; REACH] {
            std::array::from_fn(|position| {
                let has =
                    |starts: &Vec<Class>| starts.get(position).is_none_or(|class| class.has(byte));
                Set::of(starts.iter().map(has))
            })
        };
        let mut known: Vec<[Set; REACH]> = Vec::new();
        let mut numbers = HashMap::new();
        let mut kinds = [0; 256];
        for byte in 0..=u8::MAX {
            let columns = has(byte);
            let kind = *numbers.entry(columns).or_insert_with(|| {
                known.push(columns);
                // There are no more kinds than bytes.
                u8::try_from(known.len() - 1).unwrap_or(u8::MAX)
            });
            kinds[usize::from(byte)] = kind;
        }
        let mut lanes: Vec<(Lanes, Set)> = Vec::new();
        for (bit, (_, rule_lanes)) in values.iter().enumerate() {
            match lanes.iter_mut().find(|(lanes, _)| lanes == rule_lanes) {
                Some((_, rules)) => rules.add(bit),
                None => {
                    let mut rules = Set::default();
                    rules.add(bit);
                    lanes.push((*rule_lanes, rules));
                }
            }
        }
        let tables = (0..REACH)
            .map(|position| known.iter().map(|columns| columns[position]).collect())
            .collect();
        let short = std::array::from_fn(|position| {
            Set::of(starts.iter().map(|starts| starts.len() <= position))
        });
        let mut wordless = Set::default();
        let mut with_word = vec![Set::default(); keywords.count()];
        for (bit, (rule, _)) in values.iter().enumerate() {
            match keywords.words_of(*rule) {
                Some(words) => words.for_each(|word| with_word[word].add(bit)),
                None => wordless.add(bit),
            }
        }
        Self {
            wordless,
            with_word,
            rules: values.iter().map(|(rule, _)| *rule).collect(),
            lanes,
            kinds,
            tables,
            short,
            looks: Looks::new(values.iter().map(|(rule, _)| &rules[*rule])),
        }
    }

    #[inline(always)]
    fn allow(&self, first: &[u8; FIRST]) -> Set {
        let mut may = Set::ALL;
        for (table, byte) in self.tables.iter().zip(first) {
            may = may.and(self.of(table, *byte));
        }
        may
    }

    #[inline(always)]
    fn of(&self, table: &[Set], byte: u8) -> Set {
        let kind = usize::from(self.kinds[usize::from(byte)]);
        table.get(kind).copied().unwrap_or_default()
    }

    /// The rules that want none but these words.
    #[inline(always)]
    fn with_words(&self, words: impl Iterator<Item = usize>) -> Set {
        let mut with = self.wordless;
        for word in words {
            with = with.or(self.with_word.get(word).copied().unwrap_or_default());
        }
        with
    }

    #[inline(always)]
    fn live(&self, like: Set, lanes: Lanes, bytes: &[u8], end: bool) -> Set {
        let mut own = Set::default();
        for (of_lanes, rules) in &self.lanes {
            own = own.or(rules.and(Set::all_if(!of_lanes.meet(lanes).is_empty())));
        }
        let mut live = like.and(own);
        for (position, table) in self.tables.iter().enumerate() {
            match bytes.get(position) {
                _ if live.is_empty() => return live,
                Some(byte) => live = live.and(self.of(table, *byte)),
                None if end => return live.and(self.short[position]),
                None => return live,
            }
        }
        live
    }
}

impl Looks {
    fn new<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut looks = Self {
            words: Box::new([[Set::default(); MOST + 1]; 2]),
            tokens: Box::new([Set::default(); MOST + 1]),
            digitless: Set::default(),
            mixed: Set::default(),
            joined: Set::default(),
        };
        for (bit, rule) in rules.enumerate() {
            let (lengths, least) = (words::lengths(rule), words::tokens(rule));
            for length in 0..=MOST {
                if lengths >> length & 1 != 0 {
                    looks.words[0][length].add(bit);
                }
                if lengths >> length != 0 {
                    looks.words[1][length].add(bit);
                }
                if length >= least {
                    looks.tokens[length].add(bit);
                }
            }
            if !words::goes_over_joints(rule) {
                looks.joined.add(bit);
            }
            if rule
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.random() > 0)
            {
                looks.mixed.add(bit);
            } else if !words::wants_digit(rule) {
                looks.digitless.add(bit);
            }
        }
        looks
    }

    #[inline(always)]
    fn like(&self, look: Look) -> Set {
        // What has not come may be a digit, and more of the word.
        let open = usize::from(look.open);
        let tokens = self.tokens[look.token.min(MOST)].or(Set::all_if(look.open));
        let joined = self.joined.or(Set::all_if(!look.joined));
        let random = Set::all_if(look.digit | look.open)
            .or(self.mixed.and(Set::all_if(look.mixed)))
            .or(self.digitless);
        let words = self.words[open][look.word.min(MOST)];
        words.and(tokens).and(joined).and(random)
    }
}

impl Set {
    const ALL: Self = Self([u64::MAX; GROUP / 64]);

    fn of(bits: impl Iterator<Item = bool>) -> Self {
        let mut set = Self::default();
        let ones = bits.enumerate().filter(|(_, is)| *is);
        ones.for_each(|(bit, _)| set.add(bit));
        set
    }

    #[inline(always)]
    fn all_if(is: bool) -> Self {
        Self([0u64.wrapping_sub(u64::from(is)); GROUP / 64])
    }

    fn add(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    #[inline(always)]
    fn is_empty(self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    fn each(self, mut tell: impl FnMut(usize)) {
        for (word, mut bits) in self.0.into_iter().enumerate() {
            while bits != 0 {
                tell(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
