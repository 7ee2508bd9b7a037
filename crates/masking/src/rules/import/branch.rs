//! One alternative of an expression, taken apart.

use regex_syntax::hir::{Hir, HirKind};

use super::{
    expression::{bytes, class_hir, parse, parts, plain, product, texts, write},
    sample::Samples,
};
use crate::engine::{
    class::{Class, WORD},
    pattern::class_of,
    rule::{CAP, MAX_LITERAL},
};

/// What a rule looks for.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub kind: BranchKind,
    /// Words in lower case, of which one must stand before, if there are any.
    pub words: Vec<Vec<u8>>,
    /// What a match is made of, behind the literal if there is one, and without groups.
    pub body: Body,
    /// The same as an expression, for making up examples.
    pub sample: Hir,
    /// What it means now that it did not mean before.
    pub changes: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum BranchKind {
    /// A literal and a body. With `keep`, the literal is no secret.
    Token {
        literals: Vec<Vec<u8>>,
        keep: bool,
        glued: bool,
    },
    /// A value that its form and the words before it tell.
    Value,
    PrivateKey,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Class {
        name: &'static str,
        min: usize,
        max: Option<usize>,
    },
    Pattern(String),
}

/// So many literals or words one rule may have.
const MAX_TEXTS: usize = 64;
/// A shorter literal or word stands everywhere.
const MIN_TEXT: usize = 3;

/// The alternatives of an expression, or why each is none.
pub(super) fn branches(
    regex: &str,
    group: u32,
    keywords: &[String],
) -> Result<Vec<Result<Branch, String>>, String> {
    if regex.contains("-----BEGIN") && regex.contains("PRIVATE KEY") {
        return Ok(vec![Ok(Branch {
            kind: BranchKind::PrivateKey,
            words: Vec::new(),
            body: Body::Pattern(String::new()),
            sample: Hir::empty(),
            changes: vec![
                "it is the shape `private-key`, which also finds keys that are cut off".to_owned(),
            ],
        })]);
    }
    let hir = parse(regex)?;
    let mut found = Vec::new();
    for whole in alternatives(&hir) {
        match split(&whole, group) {
            Ok(split) => {
                for secret in alternatives(&split.secret) {
                    found.push(branch(&split, &secret, keywords));
                }
            }
            Err(reason) => found.push(Err(reason)),
        }
    }
    Ok(found)
}

/// What an expression chooses between as a whole.
fn alternatives(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Alternation(parts) if parts.iter().all(|part| length(part).0 >= 8) => {
            parts.clone()
        }
        HirKind::Capture(group) if matches!(group.sub.kind(), HirKind::Alternation(_)) => {
            alternatives(&group.sub)
        }
        _ => vec![hir.clone()],
    }
}

/// A match and what is before and behind the secret in it.
struct Split {
    before: Vec<Hir>,
    secret: Hir,
    glued: bool,
    changes: Vec<String>,
}

fn split(whole: &Hir, group: u32) -> Result<Split, String> {
    let all = parts(whole);
    let mut changes = Vec::new();
    let wanted = |part: &Hir| match part.kind() {
        HirKind::Capture(capture) => group == 0 || capture.index == group,
        _ => false,
    };
    let (before, secret, behind) = match all.iter().position(wanted) {
        Some(at) => (all[..at].to_vec(), all[at].clone(), all[at + 1..].to_vec()),
        None => {
            if whole.properties().explicit_captures_len() > 0 {
                changes.push("a match is masked as a whole, and not only a group of it".to_owned());
            }
            let is_edge = |part: &Hir| length(part).1 == Some(0) || is_delimiter(part);
            let first = all.iter().position(|part| !is_edge(part)).unwrap_or(0);
            let last = all.iter().rposition(|part| !is_edge(part));
            let last = last.map_or(all.len(), |last| last + 1);
            (
                all[..first].to_vec(),
                Hir::concat(all[first..last].to_vec()),
                all[last..].to_vec(),
            )
        }
    };
    if behind
        .iter()
        .any(|part| length(part).1.is_none_or(|max| max > 2))
    {
        return Err("it depends on what stands behind the secret".to_owned());
    }
    let glued = before.is_empty();
    Ok(Split {
        before,
        secret,
        glued,
        changes,
    })
}

/// Whether this is one byte that ends what is before it, or the end of a text.
fn is_delimiter(part: &Hir) -> bool {
    length(part).1.is_some_and(|max| max <= 2) && !part.properties().look_set().is_empty()
}

fn branch(split: &Split, secret: &Hir, keywords: &[String]) -> Result<Branch, String> {
    let mut changes = split.changes.clone();
    if bytes(secret).has(b'[') || bytes(secret).has(b']') {
        changes.push("`[` and `]` do not count as parts of a match".to_owned());
    }
    let secret = parts(&plain(secret));
    let (literals, rest) = literals_of(&secret);
    let mut words = words_before(&split.before);
    let (kind, rest) = if let Some(literals) = literals_before(&split.before) {
        words.clear();
        let kind = BranchKind::Token {
            literals,
            keep: true,
            glued: true,
        };
        (kind, secret)
    } else if are_literals(&literals) {
        let long = literals.iter().all(|literal| literal.len() > MIN_TEXT);
        let kind = BranchKind::Token {
            literals,
            keep: false,
            glued: split.glued && long,
        };
        (kind, rest)
    } else {
        if words.is_empty() {
            words = usable(keywords, split, &Hir::concat(secret.clone()))?;
        }
        (BranchKind::Value, word_first(secret))
    };
    if !words.is_empty() {
        changes.push("its words may stand anywhere in the 64 bytes before".to_owned());
    }
    let is_token = matches!(kind, BranchKind::Token { .. });
    let sample = Hir::concat(rest);
    let body = body(&sample, is_token, &mut changes)?;
    Ok(Branch {
        kind,
        words,
        body,
        sample,
        changes,
    })
}

/// What stands right before the secret and nothing else before it: literals that stay.
fn literals_before(before: &[Hir]) -> Option<Vec<Vec<u8>>> {
    texts(&Hir::concat(before.to_vec()), MAX_TEXTS).filter(|texts| are_literals(texts))
}

/// The keywords of a rule whose expression has no words before the secret. Theirs may stand
/// anywhere in a file, for they only say which expressions to try.
fn usable(keywords: &[String], split: &Split, secret: &Hir) -> Result<Vec<Vec<u8>>, String> {
    let keywords: Vec<String> = keywords
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .collect();
    // The secret itself may hold them.
    let holds_one = (0..16).all(|seed| {
        let mut text = Samples::new(seed).text(secret);
        text.make_ascii_lowercase();
        keywords
            .iter()
            .any(|word| memchr::memmem::find(&text, word.as_bytes()).is_some())
    });
    let is_bare = split
        .before
        .iter()
        .all(|part| length(part).1.is_some_and(|max| max <= 2));
    if is_bare && (keywords.is_empty() || holds_one) {
        return Ok(Vec::new());
    }
    let words: Vec<Vec<u8>> = keywords
        .into_iter()
        .filter(|word| word.len() >= MIN_TEXT)
        .map(String::into_bytes)
        .collect();
    if words.is_empty() {
        return Err("no word of three letters stands before the secret".to_owned());
    }
    Ok(words)
}

/// The texts that a secret begins with, and what is behind them.
fn literals_of(secret: &[Hir]) -> (Vec<Vec<u8>>, Vec<Hir>) {
    let mut literals = vec![Vec::new()];
    let mut rest = secret.to_vec();
    while rest.len() > 1 || matches!(rest.first().map(Hir::kind), Some(HirKind::Literal(_))) {
        let first = rest.remove(0);
        let room = MAX_LITERAL - literals.iter().map(Vec::len).max().unwrap_or(0);
        if let HirKind::Literal(literal) = first.kind() {
            // The last byte of all is left for the body.
            let most = literal.0.len() - usize::from(rest.is_empty());
            let (now, later) = literal.0.split_at(most.min(room));
            literals.iter_mut().for_each(|text| text.extend(now));
            if !later.is_empty() {
                rest.insert(0, Hir::literal(later));
                break;
            }
            continue;
        }
        let longer =
            texts(&first, MAX_TEXTS).and_then(|texts| product(&literals, &texts, MAX_TEXTS));
        match longer {
            Some(longer) if longer.iter().all(|text| text.len() <= MAX_LITERAL) => {
                literals = longer;
            }
            _ => {
                rest.insert(0, first);
                break;
            }
        }
    }
    (literals, rest)
}

fn are_literals(texts: &[Vec<u8>]) -> bool {
    !texts.is_empty()
        && texts.iter().all(|text| {
            (MIN_TEXT..=MAX_LITERAL).contains(&text.len())
                && !text.contains(&b'[')
                && !text.contains(&b']')
                && text.iter().all(|byte| (b' '..=b'~').contains(byte))
        })
}

/// The first words in lower case among which one must stand before the secret.
fn words_before(before: &[Hir]) -> Vec<Vec<u8>> {
    let mut so_far = vec![Vec::new()];
    for part in before.iter().map(Some).chain([None]) {
        let longer = part
            .and_then(|part| texts(part, 1 << 9))
            .map(|mut found| {
                found
                    .iter_mut()
                    .for_each(|text| text.make_ascii_lowercase());
                found.sort_unstable();
                found.dedup();
                found
            })
            .and_then(|found| product(&so_far, &found, 1 << 9));
        if let Some(longer) = longer {
            so_far = longer;
            continue;
        }
        if so_far.iter().all(|word| word.len() >= MIN_TEXT) {
            so_far.sort_unstable();
            so_far.dedup();
            so_far.truncate(if so_far.len() <= MAX_TEXTS {
                MAX_TEXTS
            } else {
                0
            });
            return so_far;
        }
        so_far = vec![Vec::new()];
    }
    Vec::new()
}

/// A value begins with a letter, a digit or `_`, for there it is looked for.
fn word_first(mut secret: Vec<Hir>) -> Vec<Hir> {
    let Some(first) = secret.first().cloned() else {
        return secret;
    };
    let (class, rest) = match first.kind() {
        HirKind::Class(class) => (class_of(class), None),
        HirKind::Repetition(again) if again.min > 0 => match again.sub.kind() {
            HirKind::Class(class) => {
                let mut rest = again.clone();
                rest.min -= 1;
                rest.max = rest.max.map(|max| max - 1);
                (class_of(class), Some(Hir::repetition(rest)))
            }
            _ => return secret,
        },
        _ => return secret,
    };
    if !class.within(&WORD) && secret.len() + usize::from(rest.is_some()) > 1 {
        secret[0] = class_hir(|byte| class.has(byte) && WORD.has(byte));
        if let Some(rest) = rest {
            secret.insert(1, rest);
        }
    }
    secret
}

fn body(rest: &Hir, is_token: bool, changes: &mut Vec<String>) -> Result<Body, String> {
    let (min, max) = length(rest);
    if max.is_some_and(|max| max == 0) {
        return Err("it is a fixed text".to_owned());
    }
    if let Some(body) = run(rest, is_token) {
        return Ok(body);
    }
    if max.is_some_and(|max| max <= CAP) {
        let mut text = String::new();
        write(rest, &mut text);
        return Ok(Body::Pattern(text));
    }
    let all = bytes(rest);
    let Some(name) = named_around(&all) else {
        return Err(format!(
            "a match may be longer than {CAP} bytes and of more kinds of bytes than any class"
        ));
    };
    changes.push(format!(
        "a match is a run of `{name}` to its end, of at least {} bytes",
        min.clamp(1, CAP)
    ));
    Ok(Body::Class {
        name,
        min: min.clamp(1, CAP),
        max: None,
    })
}

/// A run of bytes of one of our classes.
fn run(rest: &Hir, is_token: bool) -> Option<Body> {
    let HirKind::Repetition(again) = rest.kind() else {
        return None;
    };
    let HirKind::Class(class) = again.sub.kind() else {
        return None;
    };
    let class = class_of(class);
    let name = Class::names().find(|name| Class::named(name) == Some(&class))?;
    let min = usize::try_from(again.min).ok()?;
    let max = match again.max {
        Some(max) => Some(usize::try_from(max).ok()?),
        None => None,
    };
    let bounded = max.is_none_or(|max| max < CAP && (!is_token || class.within(&WORD)));
    (bounded && (1..=CAP).contains(&min)).then_some(Body::Class { name, min, max })
}

/// The smallest of our classes that has all these bytes.
fn named_around(all: &Class) -> Option<&'static str> {
    Class::names()
        .filter(|name| !matches!(*name, "any" | "quoted"))
        .filter_map(|name| Some((name, Class::named(name)?)))
        .filter(|(_, class)| all.within(class))
        .min_by_key(|(_, class)| (0..=u8::MAX).filter(|byte| class.has(*byte)).count())
        .map(|(name, _)| name)
}

/// The lengths of the shortest and of the longest match.
fn length(hir: &Hir) -> (usize, Option<usize>) {
    let properties = hir.properties();
    (
        properties.minimum_len().unwrap_or(0),
        properties.maximum_len(),
    )
}
