//! Words that make what stands behind them a value.

use std::{fmt, ops::Range};

use crate::engine::{
    rule::{Rule, Shape},
    window::{LOOK_BACK, Window},
};

/// A word of so many letters is found in many others: it must stand alone.
const SHORT_WORD: usize = 4;
/// By how many letters short words are looked up, and longer ones: many words begin alike.
const TRIGRAM: usize = 3;
const FIVE: usize = 5;
/// How many rules can be looked up at once; whatever is beyond is looked up one by one.
const MAX_RULES: usize = 512;

/// The keywords of all rules for values, which are looked for together: many rules have the same
/// form and differ in their words only.
pub(crate) struct Keywords {
    /// Which hashes of the first letters there are; of short words, and of the others.
    filters: Box<[[u64; 1 << 10]; 2]>,
    /// Short words, then the others, each by the hash of their first letters.
    words: Vec<Word>,
    short: usize,
    /// For each rule, its bit, if it has one.
    bits: Vec<Option<usize>>,
}

struct Word {
    hash: usize,
    text: Vec<u8>,
    bit: usize,
}

/// Which rules have a keyword before one place. Looked for when it is first asked.
pub(crate) struct Context<'a> {
    keywords: &'a Keywords,
    window: &'a Window<'a>,
    at: usize,
    seen: &'a mut Seen,
    near: Option<Bits>,
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
        let mut keywords = Self {
            filters: Box::new([[0; 1 << 10]; 2]),
            words: Vec::new(),
            short: 0,
            bits: Vec::new(),
        };
        let mut bits = 0..MAX_RULES;
        for rule in rules {
            let has_words = matches!(rule.shape, Shape::Value { .. }) && !rule.keywords.is_empty();
            let bit = if has_words { bits.next() } else { None };
            keywords.bits.push(bit);
            let Some(bit) = bit else { continue };
            for text in rule.keywords.iter().filter(|text| text.len() >= TRIGRAM) {
                let is_long = text.len() >= FIVE;
                let hash = hash(&text[..if is_long { FIVE } else { TRIGRAM }]);
                keywords.filters[usize::from(is_long)][hash >> 6] |= 1 << (hash & 63);
                keywords.short += usize::from(!is_long);
                keywords.words.push(Word {
                    hash,
                    text: text.clone(),
                    bit,
                });
            }
        }
        keywords
            .words
            .sort_by_key(|word| (word.text.len() >= FIVE, word.hash));
        keywords
    }

    /// The rules with a keyword in the look-back of `at`.
    fn near(&self, seen: &mut Seen, window: &Window<'_>, at: usize) -> Bits {
        let from = LookBack::from(window, at, true);
        if seen.upto < from {
            (seen.upto, seen.count) = (from, 0);
        }
        let mut near = [0; MAX_RULES / 64];
        for hit in &seen.words[..seen.count] {
            self.count_in(&mut near, *hit, window, from..at);
        }
        while seen.upto + TRIGRAM <= at {
            let start = seen.upto;
            seen.upto += 1;
            for word in self.words_at(window.bytes, start) {
                let hit = Hit { start, word };
                self.count_in(&mut near, hit, window, from..at);
                if seen.count == MAX_SEEN {
                    seen.forget_before(from);
                }
                match seen.words.get_mut(seen.count) {
                    Some(slot) => {
                        *slot = hit;
                        seen.count += 1;
                    }
                    // More words than are remembered: the next place looks anew.
                    None => {
                        let rest = start..(at + 1).saturating_sub(TRIGRAM);
                        for start in rest {
                            for word in self.words_at(window.bytes, start) {
                                self.count_in(&mut near, Hit { start, word }, window, from..at);
                            }
                        }
                        (seen.upto, seen.count) = (0, 0);
                        return near;
                    }
                }
            }
        }
        near
    }

    /// The words that stand at `start`.
    #[inline]
    fn words_at(&self, bytes: &[u8], start: usize) -> impl Iterator<Item = usize> {
        let rest = &bytes[start..];
        let short = self.known(0, rest.get(..TRIGRAM));
        let long = self.known(1, rest.get(..FIVE));
        let short = self.among(0..self.short, short);
        let long = self.among(self.short..self.words.len(), long);
        short.chain(long).filter(move |word| {
            let word = &self.words[*word].text;
            rest.get(..word.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(word))
        })
    }

    /// The hash of the first letters of a word, if there is a word with this hash.
    #[inline]
    fn known(&self, filter: usize, letters: Option<&[u8]>) -> Option<usize> {
        let hash = hash(letters?);
        (self.filters[filter][hash >> 6] & (1 << (hash & 63)) != 0).then_some(hash)
    }

    fn among(&self, range: Range<usize>, hash: Option<usize>) -> impl Iterator<Item = usize> {
        let words = &self.words[range.clone()];
        let first = hash.map_or(words.len(), |hash| {
            words.partition_point(|word| word.hash < hash)
        });
        words[first..]
            .iter()
            .take_while(move |word| Some(word.hash) == hash)
            .enumerate()
            .map(move |(index, _)| range.start + first + index)
    }

    fn count_in(&self, near: &mut Bits, hit: Hit, window: &Window<'_>, look: Range<usize>) {
        let word = &self.words[hit.word];
        let end = hit.start + word.text.len();
        if hit.start < look.start || end > look.end {
            return;
        }
        let text = &window.bytes[look.clone()];
        if word.text.len() > SHORT_WORD || is_alone(text, hit.start - look.start, word.text.len()) {
            near[word.bit >> 6] |= 1 << (word.bit & 63);
        }
    }
}

impl Seen {
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

    /// Whether one of its keywords stands before the place, if the rule with this index has any.
    pub(crate) fn admits(&mut self, index: usize, rule: &Rule) -> bool {
        if rule.keywords.is_empty() {
            return true;
        }
        let Some(bit) = self.keywords.bits.get(index).copied().flatten() else {
            return rule.in_context(self.window, self.at);
        };
        let near = self
            .near
            .get_or_insert_with(|| self.keywords.near(self.seen, self.window, self.at));
        near[bit >> 6] & (1 << (bit & 63)) != 0
    }
}

impl fmt::Debug for Keywords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keywords")
            .field("words", &self.words.len())
            .finish_non_exhaustive()
    }
}

/// Sixteen bits of a word's first letters. Upper and lower case are the same, and so are a few signs.
#[inline]
fn hash(text: &[u8]) -> usize {
    let all = text
        .iter()
        .fold(0u64, |all, byte| all << 8 | u64::from(*byte | 0x20));
    // Fibonacci hashing.
    (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

/// What stands before a place, as far as a decision may look.
pub(crate) struct LookBack {
    bytes: [u8; LOOK_BACK],
    lower: [u8; LOOK_BACK],
    length: usize,
}

impl LookBack {
    /// The bytes before `at`; with `line`, those on the same line only.
    pub(crate) fn new(window: &Window<'_>, at: usize, line: bool) -> Self {
        let near = &window.bytes[Self::from(window, at, line)..at];
        let mut bytes = [0; LOOK_BACK];
        bytes[..near.len()].copy_from_slice(near);
        Self {
            lower: bytes.map(|byte| byte.to_ascii_lowercase()),
            bytes,
            length: near.len(),
        }
    }

    /// Where the bytes before `at` begin.
    fn from(window: &Window<'_>, at: usize, line: bool) -> usize {
        let mut from = at.saturating_sub(LOOK_BACK).max(window.floor).min(at);
        let near = &window.bytes[from..at];
        if line && let Some(end) = memchr::memrchr2(b'\n', b'\r', near) {
            from += end + 1;
        }
        from + behind_placeholder(&window.bytes[from..at])
    }

    /// Whether a word stands here, given in lower case. A short one must stand alone: `sin` is not
    /// in `using`, but in `employee_sin` and `employeeSin`.
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        memchr::memmem::find_iter(self.lower(), word).any(|start| self.has_at(start, word))
    }

    fn has_at(&self, start: usize, word: &[u8]) -> bool {
        self.lower()[start..].starts_with(word)
            && (word.len() > SHORT_WORD || is_alone(&self.bytes[..self.length], start, word.len()))
    }

    fn lower(&self) -> &[u8] {
        &self.lower[..self.length]
    }
}

/// Whether a word stands alone.
fn is_alone(bytes: &[u8], start: usize, length: usize) -> bool {
    let (first, last) = (bytes[start], bytes[start + length - 1]);
    let before = start.checked_sub(1).map(|before| bytes[before]);
    let behind = bytes.get(start + length);
    let left = before.is_none_or(|before| {
        !before.is_ascii_alphabetic()
            || before.is_ascii_lowercase() && first.is_ascii_uppercase()
            // The letter of an escape, as in `\n`.
            || matches!(before, b'n' | b't' | b'r') && start > 1 && bytes[start - 2] == b'\\'
    });
    let right = behind.is_none_or(|behind| {
        !behind.is_ascii_alphabetic() || last.is_ascii_lowercase() && behind.is_ascii_uppercase()
    });
    left && right
}

/// Where what was masked last ends. It is not looked at, whether it was masked now or before, and
/// neither is what stands before it: masking a text again must find the same words.
fn behind_placeholder(near: &[u8]) -> usize {
    for end in memchr::memrchr_iter(b']', near) {
        let inside = near[..end]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            .count();
        if inside == end || near[end - inside - 1] == b':' {
            return end + 1;
        }
    }
    0
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
                for (index, rule) in rules.iter().enumerate() {
                    let alone = rule.in_context(&window, text.len());
                    assert_eq!(context.admits(index, rule), alone, "{text} from {floor}");
                    seen[2 * index + usize::from(alone)] = true;
                }
            }
        }
        assert_eq!(seen, [true; 6]);
    }
}
