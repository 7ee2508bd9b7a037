//! What others do: regular expressions, one by one, or behind keywords.
//!
//! The expressions are the built-in rules, read from the files of the masking crate: `literal` and
//! class for tokens, the words before a value and its pattern, a key and what it is set to. What a
//! regular expression cannot say (checksums, entropy, names of members, lengths of the words before)
//! is left out, so they find more than the rules do and work less. Classes are ASCII, without
//! `unicode` they are at their fastest.

use std::{collections::BTreeSet, fs, hint::black_box, io, path::Path};

use aho_corasick::AhoCorasick;
use criterion::{Criterion, Throughput};
use regex::bytes::{Regex, RegexBuilder};
use tollbook_masking::Masker;

use tollbook_masking_benches::Cpu;

use crate::texts::Texts;

/// A rule as scanners by keywords have it.
struct Peer {
    /// Without any, it is tried on every text.
    keywords: Vec<String>,
    regex: Regex,
}

pub(crate) fn peers(criterion: &mut Criterion<Cpu>) {
    let texts = Texts::of(&Masker::builtin());
    let text = &texts.traffic[..64 << 10];
    let (peers, left_out) = rules().expect("the rules are in the workspace");
    assert!(
        peers.len() > 600 && left_out < 20,
        "{} and {left_out}",
        peers.len()
    );
    let keywords: BTreeSet<&str> = peers
        .iter()
        .flat_map(|peer| peer.keywords.iter().map(String::as_str))
        .collect();
    let keywords: Vec<&str> = keywords.into_iter().collect();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(&keywords)
        .expect("keywords are few");
    // Which rules a keyword is of.
    let of: Vec<Vec<usize>> = keywords
        .iter()
        .map(|keyword| {
            let is_of = |index: &usize| peers[*index].keywords.iter().any(|one| one == keyword);
            (0..peers.len()).filter(is_of).collect()
        })
        .collect();

    let always: Vec<bool> = peers.iter().map(|peer| peer.keywords.is_empty()).collect();

    let mut group = criterion.benchmark_group("peers");
    group.sample_size(10);
    for (name, text) in [("64KiB", text), ("4KiB", &text[..4 << 10])] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("keywords-by-aho-corasick/{name}"), |bench| {
            bench.iter(|| automaton.find_overlapping_iter(black_box(text)).count());
        });
        group.bench_function(format!("regex-behind-keywords/{name}"), |bench| {
            let mut is_wanted = always.clone();
            bench.iter(|| {
                is_wanted.copy_from_slice(&always);
                for hit in automaton.find_overlapping_iter(black_box(text)) {
                    of[hit.pattern().as_usize()]
                        .iter()
                        .for_each(|rule| is_wanted[*rule] = true);
                }
                let wanted = peers
                    .iter()
                    .zip(&is_wanted)
                    .filter(|(_, is_wanted)| **is_wanted);
                wanted
                    .map(|(peer, _)| peer.regex.find_iter(text).count())
                    .sum::<usize>()
            });
        });
        group.bench_function(format!("regex-one-by-one/{name}"), |bench| {
            bench.iter(|| {
                let found = peers
                    .iter()
                    .map(|peer| peer.regex.find_iter(black_box(text)).count());
                found.sum::<usize>()
            });
        });
    }
    group.finish();
}

/// The rules as regular expressions, and how many have no such form.
fn rules() -> io::Result<(Vec<Peer>, usize)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/masking/rules");
    let mut files = vec![folder.join("personal.toml")];
    for file in fs::read_dir(folder.join("secrets"))? {
        files.push(file?.path());
    }
    files.sort();
    let (mut peers, mut left_out) = (Vec::new(), 0);
    for file in files {
        let table: toml::Table =
            toml::from_str(&fs::read_to_string(file)?).map_err(io::Error::other)?;
        for rule in table
            .get("rule")
            .and_then(|rules| rules.as_array())
            .into_iter()
            .flatten()
        {
            match peer(rule) {
                Some(peer) => peers.push(peer),
                None => left_out += 1,
            }
        }
    }
    Ok((peers, left_out))
}

fn peer(rule: &toml::Value) -> Option<Peer> {
    let list = |key: &str| -> Vec<String> {
        let all = rule
            .get(key)
            .and_then(|all| all.as_array())
            .into_iter()
            .flatten();
        all.map(|one| match one {
            toml::Value::Array(pieces) => {
                pieces.iter().filter_map(|piece| piece.as_str()).collect()
            }
            one => one.as_str().unwrap_or_default().to_owned(),
        })
        .collect()
    };
    let body = match rule.get("pattern").and_then(|pattern| pattern.as_str()) {
        Some(pattern) => Some(format!("(?:{pattern})")),
        None => rule.get("body").and_then(class),
    };
    let (literals, words) = (list("literals"), list("keywords"));
    let any = |words: &[String]| {
        words
            .iter()
            .map(|word| regex::escape(word))
            .collect::<Vec<_>>()
            .join("|")
    };
    let near = |words: &[String]| format!("(?i:{})[^\\n]{{0,60}}?", any(words));
    let (keywords, expression) = match rule
        .get("shape")
        .and_then(|shape| shape.as_str())
        .unwrap_or("token")
    {
        "token" => (
            literals.clone(),
            format!("\\b(?:{}){}", any(&literals), body?),
        ),
        "value" if words.is_empty() => (words, format!("\\b{}", body?)),
        "value" => (words.clone(), format!("{}\\b{}", near(&words), body?)),
        "assignment" | "json-key" => {
            let value = body.unwrap_or_else(|| "[^\\s\"',;]{4,112}".to_owned());
            let keys = any(&literals);
            (
                literals.clone(),
                format!("(?i:{keys})[\"'\\]]{{0,2}}\\s{{0,4}}[:=]\\s{{0,4}}[\"']?{value}"),
            )
        }
        "userinfo" => (
            vec!["://".to_owned()],
            "://[^\\s:/@]{1,48}:[^\\s/@]{1,112}@".to_owned(),
        ),
        "private-key" => (
            vec!["-----begin".to_owned()],
            "(?i)-----BEGIN[ A-Z0-9]{0,40}-----[\\s\\S]{64,}?-----END".to_owned(),
        ),
        "email" => (
            vec!["@".to_owned()],
            "[\\w.%+-]{1,64}@[\\w.-]{1,63}\\.[a-zA-Z]{2,24}".to_owned(),
        ),
        _ => return None,
    };
    let regex = RegexBuilder::new(&expression)
        .unicode(false)
        .size_limit(64 << 20)
        .build()
        .ok()?;
    let keywords = keywords.iter().map(|word| word.to_lowercase()).collect();
    Some(Peer { keywords, regex })
}

/// A class of the rules, as an expression.
fn class(body: &toml::Value) -> Option<String> {
    let number = |key: &str| body.get(key).and_then(|number| number.as_integer());
    let class = match body.get("class")?.as_str()? {
        "alnum" => "[0-9A-Za-z]",
        "alnum_" => "\\w",
        "base64" => "[0-9A-Za-z+/=]",
        "base64url" => "[\\w-]",
        "digit" => "[0-9]",
        "hex" => "[0-9A-Fa-f]",
        "lower_digit" => "[0-9a-z]",
        "path" => "[\\w./+-]",
        "token" => "[\\w./+=~-]",
        "upper_digit" => "[0-9A-Z]",
        _ => "[^\\s\"']",
    };
    let max = number("max").map_or_else(|| "112".to_owned(), |max| max.to_string());
    Some(format!("{class}{{{},{max}}}", number("min")?))
}
