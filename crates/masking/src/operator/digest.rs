//! Keyed digests of secrets, by which a record is found that one was masked in.
//!
//! Whoever knows a secret, because it has leaked, asks whether it was ever seen. What answers is a
//! digest that was left where the secret was masked: HMAC-SHA-256 under a key of its own, of which
//! 128 bits are kept. It is the same wherever and however the secret was written, and tells nothing
//! to those who have not the key. Those who have it could try values, and so there is none of what
//! has few: of personal data.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tollbook_exchange::{Digest, Finding};
use zeroize::Zeroizing;

use super::MaskKey;
use crate::{
    Kind,
    engine::{
        Engine, Rule, class::BASE64, is_encoded, pattern::Reach, rule::Shape, window::Window,
    },
};

/// More are not kept of one text or body; that there were more is.
const MOST: usize = 512;
/// Letters of an encoding that may stand for what comes before a value.
const BEFORE: usize = 4;

/// Takes the digests of what is masked.
#[derive(Clone)]
pub(crate) struct Digests {
    key: MaskKey,
    /// Where they are gathered: of one text or body.
    found: Option<Arc<Mutex<Gathered>>>,
}

#[derive(Default)]
struct Gathered {
    by_rule: BTreeMap<usize, BTreeSet<Digest>>,
    count: usize,
    /// Rules of which not all are kept.
    cut: BTreeSet<usize>,
}

impl Digests {
    pub(crate) const fn new(key: MaskKey) -> Self {
        Self { key, found: None }
    }

    /// The same for one text, unless it is for one already.
    pub(crate) fn gathering(&self) -> Self {
        Self {
            key: self.key.clone(),
            found: Some(self.found.clone().unwrap_or_default()),
        }
    }

    pub(crate) const fn is_gathering(&self) -> bool {
        self.found.is_some()
    }

    /// Notes the value of a match, all of it, as it stands in the text.
    pub(crate) fn note(&self, index: usize, rule: &Rule, value: &[u8]) {
        let Some(mut found) = self.gathered() else {
            return;
        };
        if rule.kind != Kind::Secret || value.is_empty() {
            return;
        }
        let digest = digest(&self.key, &canonical(rule, value));
        let Gathered {
            by_rule,
            count,
            cut,
        } = &mut *found;
        let of_rule = by_rule.entry(index).or_default();
        if of_rule.contains(&digest) {
            return;
        }
        if *count < MOST {
            *count += 1;
            of_rule.insert(digest);
        } else {
            cut.insert(index);
        }
    }

    /// Adds to the findings what was gathered: the digests of a rule to the first of it.
    pub(crate) fn tell(&self, engine: &Engine, findings: &mut [Finding]) {
        let Some(found) = self.gathered() else {
            return;
        };
        for (index, digests) in &found.by_rule {
            let id = &*engine.rules[*index].id;
            if let Some(finding) = findings.iter_mut().find(|finding| finding.rule == id) {
                finding.digests.extend(digests);
                finding.digests_cut |= found.cut.contains(index);
            }
        }
    }

    fn gathered(&self) -> Option<MutexGuard<'_, Gathered>> {
        let found = self.found.as_ref()?;
        Some(found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests")
            .field("gathering", &self.is_gathering())
            .finish_non_exhaustive()
    }
}

/// The digest of a secret in its plain form.
pub(crate) fn digest(key: &MaskKey, secret: &[u8]) -> Digest {
    let whole = key.digest(&[b"secret", secret]);
    let mut kept = [0; 16];
    kept.copy_from_slice(&whole[..16]);
    Digest(kept)
}

/// A secret as its owner knows it.
fn canonical(rule: &Rule, value: &[u8]) -> Zeroizing<Vec<u8>> {
    let plain = is_encoded(rule, value).then(|| decoded(rule, value));
    let value = plain
        .flatten()
        .unwrap_or_else(|| Zeroizing::new(value.to_vec()));
    match rule.shape {
        Shape::PrivateKey => letters(&value),
        _ => value,
    }
}

/// The letters of a private key, however its lines end.
pub(crate) fn letters(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(key.len()));
    let mut at = 0;
    while at < key.len() {
        match key[at] {
            b'\\' => at += 1,
            byte if byte.is_ascii_whitespace() => {}
            byte => kept.push(byte),
        }
        at += 1;
    }
    kept
}

/// What the letters of an encoding stand for, as far as it is what the rule finds.
fn decoded(rule: &Rule, letters: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let letters = letters.iter().filter(|byte| !byte.is_ascii_whitespace());
    let letters: Zeroizing<Vec<u8>> = Zeroizing::new(letters.copied().collect());
    [(hex as fn(u8) -> Option<u8>, 4), (base64, 6)]
        .into_iter()
        .filter(|(value, _)| {
            letters
                .iter()
                .all(|letter| *letter == b'=' || value(*letter).is_some())
        })
        .flat_map(|(value, bits)| (0..BEFORE).map(move |before| (value, bits, before)))
        .find_map(|(value, bits, before)| {
            let bytes = bytes(&letters, value, bits, before);
            (0..bytes.len().min(BEFORE)).find_map(|at| begins(rule, &bytes[at..]))
        })
}

/// The bytes whose bits the letters have, when so many letters stood before them in their group.
fn bytes(
    letters: &[u8],
    value: fn(u8) -> Option<u8>,
    bits: u32,
    before: usize,
) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(letters.len()));
    let (mut held, mut have) = (0_u32, 0_u32);
    let zeros = std::iter::repeat_n(0, before);
    for six in zeros.chain(letters.iter().map_while(|letter| value(*letter))) {
        held = (held << bits) | u32::from(six);
        have += bits;
        if have >= 8 {
            have -= 8;
            out.push((held >> have & 0xff).to_le_bytes()[0]);
            held &= (1 << have) - 1;
        }
    }
    out
}

/// What the rule finds at the beginning of these bytes.
fn begins(rule: &Rule, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let window = Window {
        bytes,
        floor: 0,
        after_match: false,
        end: true,
    };
    let value = |start: usize, body: usize| match rule.reach(&window, body) {
        Reach::End(end) if rule.goes_on(end - body).is_some() => {
            let run = rule.class.run_in_address(&bytes[body..]).0;
            Some(Zeroizing::new(bytes[start..body + run].to_vec()))
        }
        Reach::End(end) if rule.accepts(&bytes[body..end]) => {
            Some(Zeroizing::new(bytes[start..end].to_vec()))
        }
        _ => None,
    };
    match rule.shape {
        Shape::PrivateKey => {
            let is_of_key = |byte: &&u8| BASE64.has(**byte) || byte.is_ascii_whitespace();
            let run = bytes.iter().take_while(is_of_key).count();
            let is_key = bytes.first().is_some_and(|first| BASE64.has(*first)) && run > MIN_KEY;
            is_key.then(|| Zeroizing::new(bytes[..run].to_vec()))
        }
        Shape::Token { keep: true, .. } => value(0, 0),
        _ => rule
            .literals
            .iter()
            .filter(|literal| bytes.starts_with(literal))
            .find_map(|literal| value(0, literal.len())),
    }
}

/// Less is no body of a private key.
const MIN_KEY: usize = 40;

const fn hex(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

/// Both alphabets of RFC 4648.
const fn base64(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
