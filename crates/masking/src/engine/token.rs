//! Tokens: a literal that nothing else begins with, and a body behind it.

use crate::engine::{
    pattern::Reach,
    rule::Rule,
    verdict::{Match, Verdict},
    window::Window,
};

/// Looks for a token whose literal begins at `start` and whose body begins at `body`. What is
/// masked begins at `masked`.
pub(crate) fn token(
    (index, rule): (usize, &Rule),
    window: &Window<'_>,
    (start, masked): (usize, usize),
    body: usize,
) -> Verdict {
    let end = match rule.reach(window, body) {
        Reach::End(end) => end,
        Reach::NotYet => return Verdict::NotYet,
        Reach::No => return Verdict::No,
    };
    // The rule compiler sees to it that no other token can hide in what this one refuses.
    if !rule.validates(&window.bytes[body..end]) || !rule.in_context(window, start) {
        return Verdict::No;
    }
    // Only what stands before it says that a value behind a literal that stays is one. If it goes on
    // with what is masked, it was refused together with that.
    if masked == body {
        match window.is_masked_at(end) {
            Some(false) => {}
            Some(true) => return Verdict::No,
            None => return Verdict::NotYet,
        }
    }
    Verdict::Match(Match {
        start: masked,
        end,
        rule: index,
        swallow: rule.goes_on(end - body),
    })
}
