//! The engine: a machine that goes through a text once, from left to right.
//!
//! At each place it asks whether a match begins there. The answer depends on at most
//! [`HISTORY`] bytes that were emitted before and at most [`HOLD_BACK`] bytes from the place on.
//! If those have not come yet, the place waits and nothing behind it is decided. So what comes out
//! does not depend on how the text was cut, and no more than [`HOLD_BACK`] bytes ever wait.
//!
//! Of several matches at one place the longest wins; behind a match the search goes on at its end.

mod assignment;
pub(crate) mod class;
mod email;
mod encoded;
mod few;
mod kernel;
mod key;
mod keys;
mod keywords;
pub(crate) mod lane;
mod literals;
mod look_back;
pub(crate) mod pattern;
pub(crate) mod placeholders;
#[cfg(test)]
mod plain;
pub(crate) mod rule;
mod selection;
mod sift;
mod sink;
mod starts;
mod swallow;
mod token;
mod userinfo;
pub(crate) mod validate;
mod value;
mod verdict;
pub(crate) mod window;
mod words;

use self::{
    encoded::Encoded,
    kernel::{BLOCK, Kernel, Places, Text},
    keywords::{Context, Keywords, Seen},
    lane::{Lane, Lanes},
    literals::{Literal, Literals},
    placeholders::Placeholders,
    rule::{Kind, Shape},
    starts::Starts,
    swallow::Swallow,
    verdict::{Match, Verdict},
    window::Window,
    words::Look,
};
pub(crate) use self::{
    encoded::is_encoded,
    few::{MAX_RULES, Rules},
    keys::{Keys, Name},
    rule::Rule,
    selection::Selection,
    sink::{Counts, Sink, Span, Spans, Writer},
    window::HISTORY,
};

/// No more bytes than this wait for a decision.
pub(crate) const HOLD_BACK: usize = 160;

/// The lanes that values are looked for in.
const VALUES: Lanes = Lanes::of(Lane::Run)
    .and(Lane::Digit)
    .and(Lane::Upper)
    .and(Lane::Hex);

/// Rules, compiled.
#[derive(Debug)]
pub(crate) struct Engine {
    pub rules: Vec<Rule>,
    literals: Literals,
    encoded: Encoded,
    keys: Keys,
    userinfo: Vec<usize>,
    values: Starts,
    emails: Vec<usize>,
    keywords: Keywords,
    placeholders: Placeholders,
    kernel: Kernel,
}

/// Where the machine is in a text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    swallow: Option<Swallow>,
    /// The rule whose match is swallowed.
    rule: usize,
    /// Whether the text is that of a JSON document, read without knowing its structure.
    pub json: bool,
    /// No byte before this index may be looked at.
    pub floor: usize,
    after_match: bool,
}

impl State {
    /// The beginning of a text.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }
}

/// What is known of a place before it is decided.
struct Found<L> {
    lanes: Lanes,
    /// Whether a literal may begin in what is encoded.
    is_encoded: bool,
    /// What stands there; only values ask.
    look: L,
}

/// The places in a text, see [`Engine::places`].
pub(crate) struct PlacesIn<'a> {
    engine: &'a Engine,
    bytes: &'a [u8],
    /// Those of the blocks that were looked at last.
    places: Places,
    seen: Seen,
    first: usize,
    blocks: usize,
}

impl PlacesIn<'_> {
    /// The first place from `from` on, which is no earlier than the last time; or the end.
    pub(crate) fn next(&mut self, from: usize) -> usize {
        let mut from = from;
        while from < self.bytes.len() {
            let mut block = (from - self.first) / BLOCK;
            if block >= self.blocks {
                let text = Text {
                    bytes: self.bytes,
                    from,
                    end: true,
                };
                let Engine {
                    kernel, literals, ..
                } = self.engine;
                self.blocks = kernel.places(text, &literals.fingerprint, &mut self.places);
                self.engine
                    .sift(text, self.blocks, &mut self.seen, &mut self.places);
                (self.first, block) = (from, 0);
            }
            let start = self.first + block * BLOCK;
            let any = self.places.any[block] & (u64::MAX << (from - start));
            if any != 0 {
                return start + any.trailing_zeros() as usize;
            }
            from = start + BLOCK;
        }
        self.bytes.len()
    }
}

impl Engine {
    /// An engine that looks for these rules.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let mut keys = Vec::new();
        let mut literals = Vec::new();
        let (mut userinfo, mut values, mut emails) = (Vec::new(), Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            match rule.shape {
                Shape::Token { .. } | Shape::PrivateKey => {
                    let keep = !matches!(rule.shape, Shape::Token { keep: false, .. });
                    let found = rule.literals.iter().map(|text| {
                        let lane = lane::of_literal(rule, text) == Lane::Literal;
                        Literal::new(text, index, keep, lane)
                    });
                    literals.extend(found);
                }
                Shape::UserInfo => userinfo.push(index),
                Shape::Value { .. } => values.push((index, lane::all(rule))),
                Shape::Email => emails.push(index),
                Shape::Assignment { .. } | Shape::JsonKey { .. } => {}
            }
        }
        // What a document says by its structure comes before what a text seems to say.
        for wanted in [true, false] {
            for (index, rule) in rules.iter().enumerate() {
                let is_member = matches!(rule.shape, Shape::JsonKey { .. });
                let is_key = is_member || matches!(rule.shape, Shape::Assignment { .. });
                if is_key && is_member == wanted {
                    keys.extend(rule.literals.iter().map(|name| (&name[..], index)));
                }
            }
        }
        let keywords = Keywords::new(&rules);
        Self {
            encoded: Encoded::new(&rules, literals.iter()),
            literals: Literals::new(literals),
            keys: Keys::new(keys),
            userinfo,
            values: Starts::new(&rules, &keywords, &values),
            emails,
            keywords,
            placeholders: Placeholders::new(&rules),
            kernel: Kernel::best(),
            rules,
        }
    }

    /// The rules for the value of a JSON object's member of this name.
    pub(crate) fn members(&self, on: &Selection, name: &[u8]) -> Rules {
        // What is masked in a name says nothing of the value: it did not before either.
        if name.contains(&b'[') && name.contains(&b':') {
            return Rules::default();
        }
        let known = self.keys.find(&Name::of(name)).iter().copied();
        known.filter(|rule| on.has(*rule)).collect()
    }

    /// The places in a text at which a match may begin, as far as the few bytes there tell.
    pub(crate) fn places<'a>(&'a self, bytes: &'a [u8]) -> PlacesIn<'a> {
        PlacesIn {
            engine: self,
            bytes,
            places: Places::default(),
            seen: Seen::default(),
            first: 0,
            blocks: 0,
        }
    }

    /// Where rules match in a whole text.
    pub(crate) fn spans(&self, on: &Selection, text: &[u8], json: bool) -> Vec<Span> {
        let mut spans = Spans::default();
        let mut state = State::new(json);
        self.run(on, &mut state, text, 0, true, &mut spans);
        spans.spans
    }

    /// Goes on at `from` and tells how far it came. What lies behind that must be there again the
    /// next time, and so must the [`HISTORY`] bytes before it, as far as they are not before the
    /// state's floor. With `end`, the text ends with `bytes` and everything is decided.
    pub(crate) fn run(
        &self,
        on: &Selection,
        state: &mut State,
        bytes: &[u8],
        from: usize,
        end: bool,
        sink: &mut impl Sink,
    ) -> usize {
        let mut passed = from;
        let mut at = from;
        let mut places = Places::default();
        let mut seen = Seen::default();
        let mut sifted = Seen::default();
        'text: while at < bytes.len() || state.swallow.is_some() {
            if let Some(mut swallow) = state.swallow {
                let (eaten, ended) = swallow.eat(&bytes[at..], end);
                sink.swallow(state.rule, &bytes[at..at + eaten]);
                at += eaten;
                passed = at;
                state.floor = at;
                state.swallow = (!ended).then_some(swallow);
                if !ended {
                    return at;
                }
                sink.close();
            }
            let text = Text {
                bytes,
                from: at,
                end,
            };
            let first = at;
            let blocks = self
                .kernel
                .places(text, &self.literals.fingerprint, &mut places);
            self.sift(text, blocks, &mut sifted, &mut places);
            for block in 0..blocks {
                let start = first + block * BLOCK;
                let mut any = places.any[block];
                if start <= state.floor && state.floor < (start + BLOCK).min(bytes.len()) {
                    any |= 1 << (state.floor - start);
                }
                while any != 0 {
                    let bit = any.trailing_zeros();
                    any &= any - 1;
                    let place = start + bit as usize;
                    if place < at {
                        continue;
                    }
                    let mut lanes = places.lanes(block, bit);
                    if place == state.floor {
                        lanes = lanes.or(kernel::places(bytes, place, state.floor, end));
                        if lanes.has(Lane::Run) {
                            lanes = lanes.and(Lane::Literal);
                        }
                    }
                    let window = Window {
                        bytes,
                        floor: state.floor,
                        after_match: state.after_match,
                        end,
                    };
                    let look = || {
                        if place == state.floor {
                            return Look::at(bytes, place, state.floor, end);
                        }
                        let before = place.checked_sub(1).map_or(0, |before| bytes[before]);
                        // There are no more places in a stretch than this can tell.
                        let of_stretch = u16::try_from(place - first).unwrap_or(u16::MAX);
                        places.look(of_stretch, before, bytes.len() - place, end)
                    };
                    let is_encoded = places.encoded[block] >> bit & 1 != 0;
                    let found = Found {
                        lanes,
                        is_encoded,
                        look,
                    };
                    match self.decide((on, state.json), found, &mut seen, &window, place) {
                        Verdict::No => {}
                        Verdict::NotYet => {
                            sink.pass(&bytes[passed..place]);
                            return place;
                        }
                        Verdict::Match(found) => {
                            sink.pass(&bytes[passed..found.start]);
                            sink.redact(found.rule, &bytes[found.start..found.end]);
                            if found.swallow.is_none() {
                                sink.close();
                            }
                            at = found.end;
                            passed = at;
                            state.floor = at;
                            state.after_match = true;
                            state.swallow = found.swallow;
                            state.rule = found.rule;
                            if state.swallow.is_some() {
                                continue 'text;
                            }
                            if at < (start + BLOCK).min(bytes.len()) {
                                any |= 1 << (at - start);
                            }
                        }
                    }
                }
            }
            at = at.max(bytes.len().min(first + blocks * BLOCK));
        }
        sink.pass(&bytes[passed..at]);
        at
    }

    fn decide(
        &self,
        (on, json): (&Selection, bool),
        Found {
            lanes,
            is_encoded,
            look,
        }: Found<impl FnOnce() -> Look>,
        seen: &mut Seen,
        window: &Window<'_>,
        at: usize,
    ) -> Verdict {
        if window.is_escaped(at) {
            return Verdict::No;
        }
        let mut verdict = Verdict::No;
        if lanes.has(Lane::Literal) {
            verdict = self.literals(on, window, at);
        }
        if is_encoded {
            verdict.add(self.encoded(on, window, at));
        }
        // As long as one match is not known, no other counts.
        if matches!(verdict, Verdict::NotYet) {
            return verdict;
        }
        if !lanes.meet(VALUES).is_empty() {
            let known = (lanes, look());
            verdict.add(self.values((on, known), seen, window, at, |_| true));
            if matches!(verdict, Verdict::NotYet) {
                return verdict;
            }
        }
        if lanes.has(Lane::At) {
            for index in self.emails.iter().filter(|rule| on.has(**rule)) {
                let found = email::email((*index, &self.rules[*index]), window, at);
                verdict.add(found);
            }
        }
        if lanes.has(Lane::Separator) {
            verdict.add(assignment::assignment(
                &self.rules,
                &self.keys,
                on,
                json,
                window,
                at,
            ));
        }
        if lanes.has(Lane::User) {
            for index in self.userinfo.iter().filter(|rule| on.has(**rule)) {
                let found = userinfo::userinfo((*index, &self.rules[*index]), window, at);
                verdict.add(found);
            }
        }
        let Verdict::Match(found) = verdict else {
            return verdict;
        };
        match self.placeholders.hold(window, found.start) {
            Some(false) if found.start > at => self.sharpen(on, window, &found),
            Some(false) => verdict,
            Some(true) => Verdict::No,
            None => Verdict::NotYet,
        }
    }

    /// A value whose surroundings gave it away may be one that a rule knows by its looks. That rule
    /// tells more. What is known by words near it tells more than what any word for a secret names.
    fn sharpen(&self, on: &Selection, window: &Window<'_>, found: &Match) -> Verdict {
        if found.swallow.is_some() {
            return Verdict::Match(*found);
        }
        let at = found.start;
        let mut verdict = self.literals(on, window, at);
        if self.rules[found.rule].is_generic() {
            let lanes = kernel::places(window.bytes, at, window.floor, window.end);
            let is_secret = |rule: &Rule| rule.kind == Kind::Secret && !rule.is_generic();
            let look = Look::at(window.bytes, at, window.floor, window.end);
            verdict.add(self.values(
                (on, (lanes, look)),
                &mut Seen::default(),
                window,
                at,
                is_secret,
            ));
        }
        let covers = |inner: &Match| inner.swallow.is_some() || inner.end >= found.end;
        match verdict {
            Verdict::NotYet => Verdict::NotYet,
            Verdict::Match(inner) if inner.start == at && covers(&inner) => Verdict::Match(inner),
            _ => Verdict::Match(*found),
        }
    }

    /// The values that begin at `at`, of rules that are `wanted`.
    fn values(
        &self,
        (on, known): (&Selection, (Lanes, Look)),
        seen: &mut Seen,
        window: &Window<'_>,
        at: usize,
        wanted: impl Fn(&Rule) -> bool,
    ) -> Verdict {
        let mut verdict = Verdict::No;
        let mut context = Context::new(&self.keywords, window, at, seen);
        self.values
            .each(known, window, at, &mut context, |index, context| {
                let rule = &self.rules[index];
                let is_open = matches!(verdict, Verdict::NotYet);
                if !is_open && on.has(index) && wanted(rule) && context.admits(index, rule) {
                    let found = value::value((index, rule), window, at);
                    verdict = match (verdict, found) {
                        // Of two equally long ones, the rule that comes first.
                        (Verdict::Match(known), Verdict::Match(_)) if index < known.rule => {
                            found.or_longer(verdict)
                        }
                        (_, Verdict::No) => return,
                        _ => verdict.or_longer(found),
                    };
                }
            });
        verdict
    }

    fn literals(&self, on: &Selection, window: &Window<'_>, at: usize) -> Verdict {
        let mut verdict = Verdict::No;
        for (literal, is_whole) in self.literals.at(&window.bytes[at..]) {
            if !on.has(literal.rule) || !window.stands_before(at, &literal.behind) {
                continue;
            }
            let (index, body) = (literal.rule, at + literal.ahead.len());
            let rule = &self.rules[index];
            // The window shows every byte of the literal, so it does not begin before the window.
            let start = at.saturating_sub(literal.behind.len());
            let found = match rule.shape {
                Shape::Token { left, .. } if !left.fits(window, start) => Verdict::No,
                _ if !is_whole => {
                    if window.end {
                        Verdict::No
                    } else {
                        Verdict::NotYet
                    }
                }
                Shape::Token { keep, .. } => {
                    let masked = if keep { body } else { at };
                    token::token((index, rule), window, (start, masked), body)
                }
                _ => key::private_key(index, window, body),
            };
            verdict.add(found);
            if matches!(verdict, Verdict::NotYet) {
                break;
            }
        }
        verdict
    }
}
