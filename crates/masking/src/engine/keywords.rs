//! Words that make what stands behind them a value.

use std::{collections::HashMap, fmt, ops::Range};

use crate::engine::{
    kernel::{BLOCK, FIRST, Fingerprint, Kernel},
    look_back::{LookBack, SHORT_WORD, is_alone},
    rule::{Rule, Shape},
    window::{LOOK_BACK, Window},
};

/// The length of the shortest word.
const TRIGRAM: usize = 3;
const BUCKETS: usize = 1 << 10;
/// So many words of bits tell which beginnings there are: small enough for the first-level cache.
const FILTER: usize = 1 << 9;
/// How many rules can be looked up at once; whatever is beyond is looked up one by one.
const MAX_RULES: usize = 512;

/// The keywords of all rules for values, which are looked for together: many rules have the same
/// form and differ in their words only.
pub(crate) struct Keywords {
    kernel: Kernel,
    /// How words begin.
    fingerprint: Fingerprint,
    words: Vec<Word>,
    /// Words of three letters, and the others by four.
    buckets: [Buckets; 2],
    /// For each rule, its bit, if it has one.
    bits: Vec<Option<usize>>,
}

/// Words by the hash of their first letters.
struct Buckets {
    filter: Box<[u64; FILTER]>,
    words: Vec<Vec<Beginning>>,
}

struct Word {
    text: Vec<u8>,
    /// The rules that it is a keyword of.
    rules: Bits,
}

/// How a word begins: its first eight bytes or fewer, with the bit for lower case.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    letters: u64,
    mask: u64,
    word: usize,
}

/// Where words may begin, in the order of the text.
struct Beginnings {
    first: usize,
    found: u64,
}

impl Beginnings {
    /// Leaves out those of which `may` does not say so. There is no branch on what is there.
    #[inline(always)]
    fn leave_out(&mut self, may: impl Fn(usize) -> bool) {
        let (mut left, mut kept) = (self.found, 0);
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            kept |= u64::from(may(self.first + bit as usize)) << bit;
        }
        self.found = kept;
    }
}

impl Iterator for Beginnings {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let start = self.first + self.found.trailing_zeros() as usize;
        self.found &= self.found.checked_sub(1)?;
        Some(start)
    }
}

/// Which rules have a keyword before one place. Looked for when it is first asked.
pub(crate) struct Context<'a> {
    keywords: &'a Keywords,
    window: &'a Window<'a>,
    at: usize,
    seen: &'a mut Seen,
    near: Option<Near>,
}

/// What stands before a place.
#[derive(Clone, Copy, Debug)]
enum Near {
    /// These words, by their numbers.
    Words([u16; MAX_SEEN], usize),
    /// So many words that only the rules they belong to are told.
    Rules(Bits),
}

/// The keywords of one text, as far as it was looked through: places on one line share them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// No word begins before this that is not in the list.
    upto: usize,
    words: [Hit; MAX_SEEN],
    count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hit {
    start: usize,
    word: usize,
}

/// One bit for each rule that has keywords.
type Bits = [u64; MAX_RULES / 64];

/// So many words before one place are remembered.
const MAX_SEEN: usize = 32;

impl Keywords {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let words = rules
            .iter()
            .filter(|rule| matches!(rule.shape, Shape::Value { .. }));
        let words = words.flat_map(|rule| &rule.keywords);
        let words: Vec<Vec<u8>> = words
            .filter(|word| word.len() >= TRIGRAM)
            .map(|word| word.iter().map(|byte| byte | 0x20).collect())
            .collect();
        let mut keywords = Self {
            kernel: Kernel::best(),
            fingerprint: Fingerprint::new(words.iter().map(Vec::as_slice).collect()),
            words: Vec::new(),
            buckets: [Buckets::new(), Buckets::new()],
            bits: Vec::new(),
        };
        let mut bits = 0..MAX_RULES;
        let mut known = HashMap::new();
        for rule in rules {
            let has_words = matches!(rule.shape, Shape::Value { .. }) && !rule.keywords.is_empty();
            let bit = if has_words { bits.next() } else { None };
            keywords.bits.push(bit);
            let Some(bit) = bit else { continue };
            for text in rule.keywords.iter().filter(|text| text.len() >= TRIGRAM) {
                let word = *known.entry(&text[..]).or_insert_with(|| {
                    let word = keywords.words.len();
                    keywords.words.push(Word {
                        text: text.clone(),
                        rules: [0; MAX_RULES / 64],
                    });
                    keywords.buckets[usize::from(text.len() > TRIGRAM)].add(text, word);
                    word
                });
                keywords.words[word].rules[bit >> 6] |= 1 << (bit & 63);
            }
        }
        keywords
    }

    /// The words in the look-back of `at`.
    fn near(&self, seen: &mut Seen, window: &Window<'_>, at: usize) -> Near {
        let look = LookBack::from(window, at, true)..at;
        if seen.upto < look.start {
            (seen.upto, seen.count) = (look.start, 0);
        }
        let all = self.remember(seen, window.bytes, at, look.start);
        if all {
            let (mut words, mut count) = ([0; MAX_SEEN], 0);
            for hit in &seen.words[..seen.count] {
                if self.counts(*hit, window, &look) {
                    // There are far fewer words than this can number.
                    words[count] = u16::try_from(hit.word).unwrap_or(u16::MAX);
                    count += 1;
                }
            }
            return Near::Words(words, count);
        }
        let mut near = [0; MAX_RULES / 64];
        for start in self.beginnings(window.bytes, look.clone()) {
            self.words_at(window.bytes, start, |word| {
                if self.counts(Hit { start, word }, window, &look) {
                    let rules = self.words[word].rules;
                    near.iter_mut()
                        .zip(rules)
                        .for_each(|(near, rules)| *near |= rules);
                }
                true
            });
        }
        Near::Rules(near)
    }

    /// The words before `at`, also those that a decision may not look at; or none if they are too
    /// many to tell. So many bytes before it are on the same line.
    #[inline(always)]
    pub(crate) fn seen_before<'s>(
        &self,
        seen: &'s mut Seen,
        bytes: &[u8],
        at: usize,
        on_line: usize,
    ) -> Option<impl Iterator<Item = usize> + Clone + use<'s>> {
        let first = at.saturating_sub(on_line.min(LOOK_BACK));
        if seen.upto < first {
            (seen.upto, seen.count) = (first, 0);
        }
        let all = self.remember(seen, bytes, at, first);
        all.then(|| seen.words[..seen.count].iter().map(|hit| hit.word))
    }

    /// How many words there are.
    pub(crate) const fn count(&self) -> usize {
        self.words.len()
    }

    /// The words of a rule, if it is looked up together with others.
    pub(crate) fn words_of(&self, rule: usize) -> Option<impl Iterator<Item = usize>> {
        let bit = self.bits.get(rule).copied().flatten()?;
        let words = self.words.iter().enumerate();
        Some(words.filter_map(move |(index, word)| {
            (word.rules[bit >> 6] & (1 << (bit & 63)) != 0).then_some(index)
        }))
    }

    /// Remembers the words that begin before `at`, and may forget those before `first`. False if
    /// they were too many; then nothing is remembered.
    #[inline(always)]
    fn remember(&self, seen: &mut Seen, bytes: &[u8], at: usize, first: usize) -> bool {
        let mut found = self.beginnings(bytes, seen.upto..at);
        found.leave_out(|start| self.may_begin(bytes, start));
        for start in found {
            let all = self.words_at(bytes, start, |word| {
                if seen.count == MAX_SEEN {
                    seen.forget_before(first);
                }
                let Some(slot) = seen.words.get_mut(seen.count) else {
                    return false;
                };
                *slot = Hit { start, word };
                seen.count += 1;
                true
            });
            if !all {
                *seen = Seen::default();
                return false;
            }
        }
        seen.upto = seen.upto.max((at + 1).saturating_sub(TRIGRAM));
        if seen.count > 0 && seen.words[0].start < first {
            seen.forget_before(first);
        }
        true
    }

    /// Where words may begin in a range of at most [`LOOK_BACK`] bytes that end in it.
    #[inline(always)]
    fn beginnings(&self, bytes: &[u8], range: Range<usize>) -> Beginnings {
        const { assert!(LOOK_BACK <= BLOCK) };
        let first = range.start.min(range.end);
        let mut found = match bytes[first..].first_chunk() {
            Some(block) => self.kernel.beginnings(block, &self.fingerprint),
            None => {
                let mut block = [0; BLOCK + FIRST - 1];
                block[..bytes.len() - first].copy_from_slice(&bytes[first..]);
                self.kernel.beginnings(&block, &self.fingerprint)
            }
        };
        let starts = (range.end + 1).saturating_sub(first + TRIGRAM);
        if starts < BLOCK {
            found &= (1 << starts) - 1;
        }
        Beginnings { first, found }
    }

    /// Whether the first letters allow a word.
    #[inline(always)]
    fn may_begin(&self, bytes: &[u8], start: usize) -> bool {
        let eight = letters(&bytes[start..]);
        let [three, more] = &self.buckets;
        three.has(hash(eight >> 40)) | more.has(hash(eight >> 32))
    }

    /// Tells the words that stand at `start`.
    #[inline]
    fn words_at(&self, bytes: &[u8], start: usize, mut tell: impl FnMut(usize) -> bool) -> bool {
        let rest = &bytes[start..];
        let eight = letters(rest);
        let hashes = [hash(eight >> 40), hash(eight >> 32)];
        for (hash, table) in hashes.into_iter().zip(&self.buckets) {
            if !table.has(hash) {
                continue;
            }
            for beginning in &table.words[hash % BUCKETS] {
                if eight & beginning.mask != beginning.letters {
                    continue;
                }
                let text = &self.words[beginning.word].text;
                let is_there = rest.get(..text.len());
                if is_there.is_some_and(|there| there.eq_ignore_ascii_case(text))
                    && !tell(beginning.word)
                {
                    return false;
                }
            }
        }
        true
    }

    /// Whether a word is within what is looked at, and stands alone if it must.
    fn counts(&self, hit: Hit, window: &Window<'_>, look: &Range<usize>) -> bool {
        let length = self.words[hit.word].text.len();
        let is_inside = hit.start >= look.start && hit.start + length <= look.end;
        is_inside && {
            let text = &window.bytes[look.clone()];
            length > SHORT_WORD || is_alone(text, hit.start - look.start, length)
        }
    }
}

impl Seen {
    /// Forgets what lies ahead: a stretch is looked through again from here.
    pub(crate) fn go_back_to(&mut self, from: usize) {
        if self.upto > from {
            (self.upto, self.count) = (0, 0);
        }
    }

    fn forget_before(&mut self, from: usize) {
        let mut kept = 0;
        for index in 0..self.count {
            if self.words[index].start >= from {
                self.words[kept] = self.words[index];
                kept += 1;
            }
        }
        self.count = kept;
    }
}

impl<'a> Context<'a> {
    pub(crate) const fn new(
        keywords: &'a Keywords,
        window: &'a Window<'a>,
        at: usize,
        seen: &'a mut Seen,
    ) -> Self {
        Self {
            keywords,
            window,
            at,
            seen,
            near: None,
        }
    }

    /// The words before the place, by their numbers; or none if they are too many to tell.
    pub(crate) fn words(&mut self) -> Option<impl Iterator<Item = usize> + Clone> {
        match self.near() {
            Near::Words(words, count) => {
                let words = words.iter().take(*count);
                Some(words.map(|word| usize::from(*word)))
            }
            Near::Rules(_) => None,
        }
    }

    /// Whether one of its keywords stands before the place, if the rule with this index has any. It
    /// is one that goes with [`Context::words`], if they are told.
    pub(crate) fn admits(&mut self, index: usize, rule: &Rule) -> bool {
        if rule.keywords.is_empty() {
            return true;
        }
        let Some(bit) = self.keywords.bits.get(index).copied().flatten() else {
            return rule.in_context(self.window, self.at);
        };
        match self.near() {
            Near::Words(..) => true,
            Near::Rules(near) => near[bit >> 6] & (1 << (bit & 63)) != 0,
        }
    }

    fn near(&mut self) -> &Near {
        self.near
            .get_or_insert_with(|| self.keywords.near(self.seen, self.window, self.at))
    }
}

impl fmt::Debug for Keywords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keywords")
            .field("words", &self.words.len())
            .finish_non_exhaustive()
    }
}

impl Buckets {
    fn new() -> Self {
        Self {
            filter: Box::new([0; FILTER]),
            words: vec![Vec::new(); BUCKETS],
        }
    }

    #[inline]
    fn has(&self, hash: usize) -> bool {
        self.filter[hash / 64 % FILTER] & (1 << (hash % 64)) != 0
    }

    fn add(&mut self, text: &[u8], word: usize) {
        let known = text.len().min(8);
        let mask = u64::MAX << (64 - 8 * known);
        let letters = letters(text) & mask;
        let first = if text.len() > TRIGRAM { 32 } else { 40 };
        let hash = hash(letters >> first);
        self.filter[hash / 64 % FILTER] |= 1 << (hash % 64);
        self.words[hash % BUCKETS].push(Beginning {
            letters,
            mask,
            word,
        });
    }
}

/// The first eight bytes, with the bit for lower case: upper and lower case are the same, and so are
/// a few signs.
#[inline]
fn letters(text: &[u8]) -> u64 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    match text.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight) | LOWER,
        None => {
            let mut eight = [0; 8];
            eight[..text.len()].copy_from_slice(text);
            u64::from_be_bytes(eight) | LOWER
        }
    }
}

/// Sixteen bits of a word's first letters.
#[inline]
const fn hash(letters: u64) -> usize {
    // Fibonacci hashing.
    (letters.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, words: &str) -> Rule {
        crate::rules::one(&format!(
            "[[rule]]\nid = \"{id}\"\ndescription = \"d\"\nsource = \"s\"\nshape = \"value\"\n\
             body = {{ class = \"hex\", min = 32, max = 32 }}\nkeywords = {words}\n\
             positive = [\"x\"]\nnegative = [\"x\"]"
        ))
    }

    #[test]
    fn words_are_found_together_as_one_by_one() {
        let rules = [
            rule("a", r#"["sin", "Datadog"]"#),
            rule("b", r#"["data", "dog-key"]"#),
            rule("c", r#"["heroku"]"#),
        ];
        let keywords = Keywords::new(&rules);
        let mut seen = [false; 6];
        for text in [
            "datadog",
            "DATADOG_KEY=",
            "data = ",
            "using ",
            "userSin:",
            "x dog-key",
            "dog-",
            "heroku\n",
            "heroku\ndata\r",
            "Heroku heroku sin data",
            "",
            "si",
            "sin",
        ] {
            for floor in 0..=text.len().min(3) {
                let window = Window {
                    bytes: text.as_bytes(),
                    floor,
                    after_match: false,
                    end: true,
                };
                let mut memory = Seen::default();
                let mut context = Context::new(&keywords, &window, text.len(), &mut memory);
                let words: Vec<usize> = context.words().unwrap().collect();
                for (index, rule) in rules.iter().enumerate() {
                    let alone = rule.in_context(&window, text.len());
                    let mut own = keywords.words_of(index).unwrap();
                    let together = own.any(|word| words.contains(&word));
                    assert_eq!(together, alone, "{text} from {floor}");
                    assert!(context.admits(index, rule));
                    seen[2 * index + usize::from(alone)] = true;
                }
            }
        }
        assert_eq!(seen, [true; 6]);
    }
}
