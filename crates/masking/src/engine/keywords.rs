//! Words that make what stands behind them a value.

use std::fmt;

use crate::engine::{
    rule::{Rule, Shape},
    window::{LOOK_BACK, Window},
};

/// A word of so many letters is found in many others: it must stand alone.
const SHORT_WORD: usize = 4;
/// By how many letters words are looked up.
const TRIGRAM: usize = 3;
/// How many rules can be looked up at once; whatever is beyond is looked up one by one.
const MAX_RULES: usize = 512;

/// The keywords of all rules for values, which are looked for together: many rules have the same
/// form and differ in their words only.
pub(crate) struct Keywords {
    /// Which hashes of the first letters there are.
    filter: [u64; 64],
    /// By the hash of their first letters.
    words: Vec<Word>,
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
    near: Option<[u64; MAX_RULES / 64]>,
}

impl Keywords {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut keywords = Self {
            filter: [0; 64],
            words: Vec::new(),
            bits: Vec::new(),
        };
        let mut bits = 0..MAX_RULES;
        for rule in rules {
            let has_words = matches!(rule.shape, Shape::Value { .. }) && !rule.keywords.is_empty();
            let bit = if has_words { bits.next() } else { None };
            keywords.bits.push(bit);
            let Some(bit) = bit else { continue };
            for text in rule.keywords.iter().filter(|text| text.len() >= TRIGRAM) {
                let hash = hash(text);
                keywords.filter[hash >> 6] |= 1 << (hash & 63);
                keywords.words.push(Word {
                    hash,
                    text: text.clone(),
                    bit,
                });
            }
        }
        keywords.words.sort_by_key(|word| word.hash);
        keywords
    }

    fn near(&self, window: &Window<'_>, at: usize) -> [u64; MAX_RULES / 64] {
        let mut near = [0; MAX_RULES / 64];
        let before = LookBack::new(window, at, true);
        let text = before.lower();
        for (start, three) in text.windows(TRIGRAM).enumerate() {
            let hash = hash(three);
            if self.filter[hash >> 6] & (1 << (hash & 63)) == 0 {
                continue;
            }
            let first = self.words.partition_point(|word| word.hash < hash);
            let words = self.words[first..].iter();
            for word in words.take_while(|word| word.hash == hash) {
                if before.has_at(start, &word.text) {
                    near[word.bit >> 6] |= 1 << (word.bit & 63);
                }
            }
        }
        near
    }
}

impl<'a> Context<'a> {
    pub(crate) const fn new(keywords: &'a Keywords, window: &'a Window<'a>, at: usize) -> Self {
        Self {
            keywords,
            window,
            at,
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
            .get_or_insert_with(|| self.keywords.near(self.window, self.at));
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

/// Twelve bits of a word's first letters.
fn hash(text: &[u8]) -> usize {
    let three = text.iter().take(TRIGRAM);
    let three = three.fold(0u32, |three, byte| three << 8 | u32::from(*byte));
    // Fibonacci hashing.
    (three.wrapping_mul(0x9e37_79b1) >> 20) as usize
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
        let from = at.saturating_sub(LOOK_BACK).max(window.floor);
        let mut near = window.bytes.get(from..at).unwrap_or_default();
        if line && let Some(end) = memchr::memrchr2(b'\n', b'\r', near) {
            near = &near[end + 1..];
        }
        near = &near[behind_placeholder(near)..];
        let mut bytes = [0; LOOK_BACK];
        bytes[..near.len()].copy_from_slice(near);
        Self {
            lower: bytes.map(|byte| byte.to_ascii_lowercase()),
            bytes,
            length: near.len(),
        }
    }

    /// Whether a word stands here, given in lower case. A short one must stand alone: `sin` is not
    /// in `using`, but in `employee_sin` and `employeeSin`.
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        memchr::memmem::find_iter(self.lower(), word).any(|start| self.has_at(start, word))
    }

    fn has_at(&self, start: usize, word: &[u8]) -> bool {
        self.lower()[start..].starts_with(word)
            && (word.len() > SHORT_WORD || self.is_alone(start, word.len()))
    }

    fn lower(&self) -> &[u8] {
        &self.lower[..self.length]
    }

    fn is_alone(&self, start: usize, length: usize) -> bool {
        let bytes = &self.bytes[..self.length];
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
            !behind.is_ascii_alphabetic()
                || last.is_ascii_lowercase() && behind.is_ascii_uppercase()
        });
        left && right
    }
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
                let mut context = Context::new(&keywords, &window, text.len());
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
