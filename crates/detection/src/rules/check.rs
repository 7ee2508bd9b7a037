//! What a detector must be before the engine runs it.

use regex_automata::{
    MatchKind,
    meta::Regex,
    util::syntax::{self, parse_with},
};

use crate::{
    engine::{Check, Detector, LOOK_AHEAD, Left, Literal, Pattern},
    place::Places,
    rules::source::{Pieces, RawCase, RawDetector, RawHosts, RawLeft, RawRight},
    validate::Validator,
};

/// A literal shorter than this stands everywhere.
const MIN_LITERAL: usize = 3;
const MAX_LITERAL: usize = 64;
const MAX_LITERALS: usize = 256;
/// What a pattern may become when it is compiled, in bytes.
const MAX_COMPILED: usize = 512 << 10;
const MAX_ID: usize = 40;
const MIN_VECTORS: usize = 2;
const MAX_SUFFIXES: usize = 10_000;
/// The risk of a host, unless a rule says otherwise.
const HOST_RISK: u8 = 30;

/// The detector, if nothing is wrong with it; every reason why not goes to `wrong`.
pub(super) fn detector(raw: &RawDetector, wrong: &mut Vec<String>) -> Option<Detector> {
    let before = wrong.len();
    names(&raw.id, &raw.label, wrong);
    for (key, text) in [("description", &raw.description), ("source", &raw.source)] {
        if text.trim().is_empty() {
            wrong.push(format!("`{key}` is empty"));
        }
    }
    if raw.version == 0 {
        wrong.push("`version` counts from 1".to_owned());
    }
    risk(raw.risk, wrong);
    let places = places(&raw.places, wrong);
    let validator = raw.validator.as_ref().and_then(|name| {
        let validator = Validator::named(name);
        if validator.is_none() {
            let known: Vec<&str> = Validator::names().collect();
            let known = known.join(", ");
            wrong.push(format!("unknown validator `{name}`; known are {known}"));
        }
        validator
    });
    if raw.window.is_some() && raw.pattern.is_none() {
        wrong.push("`window` means nothing without a `pattern`".to_owned());
    }
    let pattern = raw.pattern.as_ref().and_then(|text| {
        compile(text, raw.case, raw.window)
            .map_err(|reason| wrong.push(reason))
            .ok()
    });
    let literals = literals(raw, validator.as_ref(), wrong);
    for (key, vectors) in [("positive", &raw.positive), ("negative", &raw.negative)] {
        if vectors.len() < MIN_VECTORS {
            wrong.push(format!("fewer than {MIN_VECTORS} `{key}` test vectors"));
        }
    }
    (wrong.len() == before).then(|| Detector {
        id: raw.id.as_str().into(),
        version: raw.version,
        label: raw.label.as_str().into(),
        risk: raw.risk,
        description: raw.description.clone(),
        source: raw.source.clone(),
        places,
        literals,
        check: Check::Rule {
            left: match raw.left {
                RawLeft::Any => Left::Any,
                RawLeft::Boundary => Left::Boundary,
                RawLeft::Command => Left::Command,
                RawLeft::Line => Left::Line,
            },
            ends: raw.right == RawRight::Boundary,
            pattern,
            validator,
        },
    })
}

/// A detector of hosts, if nothing is wrong with it.
pub(super) fn hosts(raw: &RawHosts, id: &str, wrong: &mut Vec<String>) -> Option<Detector> {
    let before = wrong.len();
    names(id, &raw.label, wrong);
    let risk_given = raw.risk.unwrap_or(HOST_RISK);
    risk(risk_given, wrong);
    let places = match &raw.places {
        Some(given) => places(given, wrong),
        None => places(&["user_text".to_owned(), "tool_use".to_owned()], wrong),
    };
    if raw.suffixes.is_empty() || raw.suffixes.len() > MAX_SUFFIXES {
        wrong.push(format!("not between 1 and {MAX_SUFFIXES} suffixes"));
    }
    for suffix in &raw.suffixes {
        let is_name = suffix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        let fits = (MIN_LITERAL..=253).contains(&suffix.len());
        if !is_name || !fits || suffix.ends_with('.') || suffix.contains("..") {
            wrong.push(format!("`{suffix}` is not the end of a host's name"));
        }
    }
    (wrong.len() == before).then(|| Detector {
        id: id.into(),
        version: raw.version.unwrap_or(1),
        label: raw.label.as_str().into(),
        risk: risk_given,
        description: format!("A host that is labelled {}", raw.label),
        source: "own".to_owned(),
        places,
        literals: raw
            .suffixes
            .iter()
            .map(|suffix| Literal {
                bytes: suffix.as_bytes().into(),
                any_case: true,
            })
            .collect(),
        check: Check::HostSuffix,
    })
}

fn names(id: &str, label: &str, wrong: &mut Vec<String>) {
    for (key, name) in [("id", id), ("label", label)] {
        if !is_id(name) {
            wrong.push(format!(
                "`{key}` is made of lower-case letters, digits, `-` and `.`, at most {MAX_ID} of them, and begins and ends in a letter or digit"
            ));
        }
    }
}

fn is_id(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = id.as_bytes();
    bytes.len() <= MAX_ID
        && bytes
            .iter()
            .all(|byte| is_letter(*byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().is_some_and(|byte| is_letter(*byte))
        && bytes.last().is_some_and(|byte| is_letter(*byte))
}

fn risk(risk: u8, wrong: &mut Vec<String>) {
    if risk > 100 {
        wrong.push("`risk` is more than 100".to_owned());
    }
}

fn places(given: &[String], wrong: &mut Vec<String>) -> Places {
    if given.is_empty() {
        wrong.push("no `places`: nothing says where to look".to_owned());
    }
    // What nobody knows is looked at by everybody.
    given.iter().fold(Places::OTHER, |places, name| {
        if let Some(place) = Places::named(name) {
            return places.and(place);
        }
        let known: Vec<&str> = Places::names().collect();
        let known = known.join(", ");
        wrong.push(format!("unknown place `{name}`; known are {known}"));
        places
    })
}

fn literals(
    raw: &RawDetector,
    validator: Option<&Validator>,
    wrong: &mut Vec<String>,
) -> Vec<Literal> {
    let own = validator.map_or(&[][..], Validator::own_literals);
    match (own.is_empty(), raw.literals.is_empty()) {
        (true, true) => wrong.push("no literal: nothing says where to look".to_owned()),
        (false, false) => {
            wrong.push(
                "this validator looks for its own characters; leave `literals` out".to_owned(),
            );
        }
        _ => {}
    }
    if raw.literals.len() > MAX_LITERALS {
        wrong.push(format!("more than {MAX_LITERALS} literals"));
    }
    let given = raw.literals.iter().map(Pieces::join).map(|literal| {
        let length = literal.len();
        if !(MIN_LITERAL..=MAX_LITERAL).contains(&length) {
            wrong.push(format!(
                "a literal has {length} bytes; it must have between {MIN_LITERAL} and {MAX_LITERAL}"
            ));
        }
        if literal.trim().is_empty() {
            wrong.push("a literal is nothing but space".to_owned());
        }
        Literal {
            bytes: literal.into_bytes().into(),
            any_case: raw.case == RawCase::Insensitive,
        }
    });
    let mut literals: Vec<Literal> = given.collect();
    literals.extend(own.iter().map(|bytes| Literal {
        bytes: (*bytes).into(),
        any_case: false,
    }));
    literals
}

/// A pattern over bytes. What it may look at is bounded by itself or by a window.
fn compile(text: &str, case: RawCase, window: Option<usize>) -> Result<Pattern, String> {
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .multi_line(true)
        .case_insensitive(case == RawCase::Insensitive);
    let hir = parse_with(text, &syntax).map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim();
        format!("the pattern cannot be read: {last}")
    })?;
    match (window, hir.properties().maximum_len()) {
        (Some(window), _) if !(1..=LOOK_AHEAD).contains(&window) => {
            return Err(format!("`window` is not between 1 and {LOOK_AHEAD}"));
        }
        (None, None) => {
            return Err(
                "the pattern has no bound: write `{0,n}` instead of `*`, `+` and `{n,}`, or give a `window`"
                    .to_owned(),
            );
        }
        (None, Some(longest)) if longest > LOOK_AHEAD => {
            return Err(format!(
                "the pattern matches up to {longest} bytes; {LOOK_AHEAD} is the most, or give a `window`"
            ));
        }
        _ => {}
    }
    let config = Regex::config()
        .match_kind(MatchKind::LeftmostFirst)
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_COMPILED))
        .hybrid_cache_capacity(256 << 10);
    Regex::builder()
        .configure(config)
        .build_from_hir(&hir)
        .map(|regex| Pattern {
            regex,
            window: window.unwrap_or(LOOK_AHEAD),
        })
        .map_err(|_| "the pattern is too large when it is compiled".to_owned())
}
