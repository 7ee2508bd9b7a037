//! What is masked already.
//!
//! A placeholder is made of letters that a rule could take for a value: `REDACTED` has the form of
//! a bank's code, and an id that of a key. Nothing is found in the placeholder of a rule that is
//! known. In one of a rule that nobody knows things are found, for otherwise anybody could write
//! brackets around what is to pass.

use std::sync::Arc;

use crate::engine::{
    rule::Rule,
    window::{Ahead, LOOK_BACK, Window},
};

/// What every placeholder begins with.
pub(crate) const OPENING: &[u8] = b"[REDACTED:";
/// The longest id of a rule.
pub(crate) const MAX_ID: usize = 40;

/// The ids of all rules.
#[derive(Debug)]
pub(crate) struct Placeholders(Vec<Arc<str>>);

impl Placeholders {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut ids: Vec<Arc<str>> = rules.iter().map(|rule| rule.id.clone()).collect();
        ids.sort_unstable();
        Self(ids)
    }

    /// Whether `at` is within a placeholder. None as long as that depends on what comes.
    pub(crate) fn hold(&self, window: &Window<'_>, at: usize) -> Option<bool> {
        let Some(from) = id_around(window, at) else {
            return Some(false);
        };
        for end in from..=from + MAX_ID {
            match window.ahead(end) {
                Ahead::Byte(b']') => {
                    let id = std::str::from_utf8(&window.bytes[from..end]);
                    return Some(id.is_ok_and(|id| self.knows(id)));
                }
                Ahead::Byte(byte) if is_of_id(byte) => {}
                Ahead::NotYet => return None,
                _ => return Some(false),
            }
        }
        Some(false)
    }

    fn knows(&self, id: &str) -> bool {
        self.0.binary_search_by(|known| (**known).cmp(id)).is_ok()
    }
}

/// Where the id begins of a placeholder that may be around `at`.
fn id_around(window: &Window<'_>, at: usize) -> Option<usize> {
    // Within the word that an id follows.
    for back in 1..OPENING.len() {
        let (behind, ahead) = OPENING.split_at(back);
        let rest = window.bytes.get(at..).unwrap_or_default();
        if window.stands_before(at, behind)
            && (rest.starts_with(ahead) || (!window.end && ahead.starts_with(rest)))
        {
            return Some(at + ahead.len());
        }
    }
    let id = (1..=LOOK_BACK - OPENING.len())
        .take_while(|back| window.before(at, *back).is_some_and(is_of_id))
        .count();
    let from = at - id;
    window.stands_before(from, OPENING).then_some(from)
}

const fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_placeholder_of_a_known_rule_is_one() {
        let known = Placeholders(vec!["card-number".into(), "iban".into()]);
        let hold = |text: &str, end, at| {
            let window = Window {
                bytes: text.as_bytes(),
                floor: 0,
                after_match: false,
                end,
            };
            known.hold(&window, at)
        };
        let text = "a [REDACTED:card-number] b";
        for at in 0..text.len() {
            assert_eq!(hold(text, true, at), Some((3..24).contains(&at)), "{at}");
            for cut in at + 1..text.len() {
                let part = hold(&text[..cut], false, at);
                assert!(
                    part.is_none() || part == hold(text, true, at),
                    "{at} cut at {cut}"
                );
            }
        }
        for text in [
            "[REDACTED:other]",
            "[REDACTED:iban",
            "REDACTED:iban]",
            "[REDACTED:iban-]",
        ] {
            assert_eq!(hold(text, true, 11), Some(false), "{text}");
            assert_eq!(hold(text, true, 1), Some(false), "{text}");
        }
    }
}
