//! The engine without what makes it fast: every rule is asked at every place.
//!
//! The sieve may leave out only places at which no rule matches. So both must find the same.

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{Masker, rules};

struct Plain<'a> {
    engine: &'a Engine,
    on: &'a Selection,
    json: bool,
    literals: Vec<Literal>,
}

impl<'a> Plain<'a> {
    fn new(engine: &'a Engine, on: &'a Selection, json: bool) -> Self {
        let mut literals = Vec::new();
        for (index, rule) in engine.rules.iter().enumerate() {
            if matches!(rule.shape, Shape::Token { .. } | Shape::PrivateKey) {
                let keep = !matches!(rule.shape, Shape::Token { keep: false, .. });
                let texts = rule.literals.iter();
                literals.extend(texts.map(|text| Literal::new(text, index, keep, true)));
            }
        }
        Self {
            engine,
            on,
            json,
            literals,
        }
    }

    fn spans(&self, text: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut state = State::new(self.json);
        let mut at = 0;
        while at < text.len() {
            let window = Window {
                bytes: text,
                floor: state.floor,
                after_match: state.after_match,
                end: true,
            };
            let Verdict::Match(found) = self.decide(&window, at) else {
                at += 1;
                continue;
            };
            let mut end = found.end;
            if let Some(mut swallow) = found.swallow {
                end += swallow.eat(&text[end..], true).0;
            }
            spans.push(Span {
                start: found.start,
                end,
                rule: found.rule,
            });
            state.floor = end;
            state.after_match = true;
            at = end;
        }
        spans
    }

    fn decide(&self, window: &Window<'_>, at: usize) -> Verdict {
        if window.is_escaped(at) {
            return Verdict::No;
        }
        let Self {
            engine, on, json, ..
        } = *self;
        let lanes = kernel::places(window.bytes, at, window.floor, true);
        let of_shape = |wanted: fn(&Shape) -> bool| {
            let rules = engine.rules.iter().enumerate();
            rules.filter(move |(index, rule)| on.has(*index) && wanted(&rule.shape))
        };
        let mut verdict = self.literals(window, at);
        verdict.add(engine.encoded(on, window, at));
        verdict.add(self.values(window, at, |_| true));
        for rule in of_shape(|shape| matches!(shape, Shape::Email)) {
            verdict.add(email::email(rule, window, at));
        }
        if lanes.has(Lane::Separator) {
            let (rules, keys) = (&engine.rules, &engine.keys);
            verdict.add(assignment::assignment(rules, keys, on, json, window, at));
        }
        if window.bytes[at] == b':' {
            for rule in of_shape(|shape| matches!(shape, Shape::UserInfo)) {
                verdict.add(userinfo::userinfo(rule, window, at));
            }
        }
        let Verdict::Match(found) = verdict else {
            return verdict;
        };
        match engine.placeholders.hold(window, found.start) {
            Some(false) if found.start > at => self.sharpen(window, &found),
            Some(false) => verdict,
            Some(true) => Verdict::No,
            None => unreachable!("the text has an end"),
        }
    }

    fn sharpen(&self, window: &Window<'_>, found: &Match) -> Verdict {
        if found.swallow.is_some() {
            return Verdict::Match(*found);
        }
        let mut verdict = self.literals(window, found.start);
        if self.engine.rules[found.rule].is_generic() {
            let wanted = |rule: &Rule| rule.kind == Kind::Secret && !rule.is_generic();
            verdict.add(self.values(window, found.start, wanted));
        }
        match verdict {
            Verdict::Match(inner)
                if inner.start == found.start
                    && (inner.swallow.is_some() || inner.end >= found.end) =>
            {
                Verdict::Match(inner)
            }
            _ => Verdict::Match(*found),
        }
    }

    fn values(&self, window: &Window<'_>, at: usize, wanted: impl Fn(&Rule) -> bool) -> Verdict {
        let mut verdict = Verdict::No;
        for (index, rule) in self.engine.rules.iter().enumerate() {
            let is_value = matches!(rule.shape, Shape::Value { .. });
            if !is_value || !self.on.has(index) || !wanted(rule) {
                continue;
            }
            let found = value::value((index, rule), window, at);
            if matches!(found, Verdict::Match(_)) && rule.in_context(window, at) {
                verdict.add(found);
            }
        }
        verdict
    }

    fn literals(&self, window: &Window<'_>, at: usize) -> Verdict {
        let mut verdict = Verdict::No;
        for Literal {
            behind,
            ahead,
            rule: index,
            ..
        } in &self.literals
        {
            if !window.bytes[at..].starts_with(ahead) || !window.stands_before(at, behind) {
                continue;
            }
            let (index, rule) = (*index, &self.engine.rules[*index]);
            let (start, body) = (at.saturating_sub(behind.len()), at + ahead.len());
            verdict.add(match rule.shape {
                Shape::Token { left, .. } if !left.fits(window, start) => Verdict::No,
                Shape::Token { keep, .. } => {
                    let masked = if keep { body } else { at };
                    token::token((index, rule), window, (start, masked), body)
                }
                Shape::PrivateKey => key::private_key(index, window, body),
                _ => Verdict::No,
            });
        }
        verdict
    }
}

/// Vectors, cut and glued together, with words and lines of other things between them.
fn text() -> impl Strategy<Value = String> {
    let vector = (
        prop::sample::select(rules::texts()),
        any::<[Index; 2]>(),
        0..4u8,
    );
    let vector = vector.prop_map(|(text, [one, other], how)| {
        let chars: Vec<char> = text.chars().collect();
        let (one, other) = (one.index(chars.len()), other.index(chars.len()));
        match how {
            0 => chars[one.min(other)..=one.max(other)].iter().collect(),
            _ => text,
        }
    });
    let glue = prop::sample::select(vec![
        "",
        " ",
        "\n",
        "\\n",
        "\"",
        "\\\"",
        "'",
        "=",
        ":",
        ": ",
        "://",
        "@",
        "-",
        "_",
        ".",
        "/",
        "+",
        "%2F",
        "%20",
        "\\u0041",
        "key ",
        "password=",
        "token: ",
        "ssn ",
        "account number ",
        "eyJ",
        "-----BEGIN ",
        "[REDACTED:jwt]",
        "é",
        "a1",
        "Zz9",
        "==",
        "(",
        "AB12 ",
        "::1",
    ]);
    let filler = "[ -~]{0,90}";
    let piece = prop_oneof![3 => vector, 3 => glue.prop_map(str::to_owned), 1 => filler];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(200),
    })]

    #[test]
    fn the_sieve_leaves_out_only_places_at_which_no_rule_matches(
        text in text(),
        json in any::<bool>(),
    ) {
        let masker = Masker::builtin();
        let engine = &*masker.engine;
        let on = (0..engine.rules.len()).collect();
        let plain = Plain::new(engine, &on, json);
        prop_assert_eq!(engine.spans(&on, text.as_bytes(), json), plain.spans(text.as_bytes()));
    }
}
