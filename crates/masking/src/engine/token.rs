//! Tokens: a literal that nothing else begins with, and a body behind it.

use crate::engine::{
    class::WORD,
    rule::{CAP, Rule},
    swallow::Swallow,
    verdict::{Match, Verdict},
    window::{Ahead, Window},
};

/// Looks for a token whose literal begins at `start` and whose body begins at `body`. What is
/// masked begins at `masked`.
pub(crate) fn token(
    (index, rule): (usize, &Rule),
    window: &Window<'_>,
    (start, masked): (usize, usize),
    body: usize,
) -> Verdict {
    // One byte beyond the maximum tells that a body is too long.
    let reach = rule.max.map_or(CAP, |max| max + 1);
    let rest = &window.bytes[body..];
    let run = rule.class.run(&rest[..rest.len().min(reach)]);
    let end = body + run;
    if run < reach && window.ahead(end) == Ahead::NotYet {
        return Verdict::NotYet;
    }
    // With a maximum the body must end there: a longer one is something else. The rule compiler
    // sees to it that no other token can hide in what this one refuses.
    let ends = match (rule.max, window.ahead(end)) {
        (Some(max), Ahead::Byte(next)) => run <= max && !WORD.has(next),
        (Some(max), _) => run <= max,
        (None, _) => true,
    };
    if !ends || run < rule.min || !rule.judges(&rest[..run]) || !rule.in_context(window, start) {
        return Verdict::No;
    }
    Verdict::Match(Match {
        start: masked,
        end,
        rule: index,
        swallow: (rule.max.is_none() && run == CAP).then_some(Swallow::Run(rule.class)),
    })
}
