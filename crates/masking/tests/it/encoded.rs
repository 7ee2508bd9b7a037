//! Secrets that are encoded.

use std::{collections::BTreeMap, sync::OnceLock};

use base64::prelude::*;
use tollbook_masking::{Base, Found, MaskKey, MaskStream, Masker, Operator};

use crate::corpus::{Vectors, strict, vectors, whole};

/// A way to write bytes in letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Standard,
    Unpadded,
    Url,
    Lower,
    Upper,
}

impl How {
    const ALL: [Self; 5] = [
        Self::Standard,
        Self::Unpadded,
        Self::Url,
        Self::Lower,
        Self::Upper,
    ];

    const fn is_hex(self) -> bool {
        matches!(self, Self::Lower | Self::Upper)
    }

    fn encode(self, bytes: &[u8]) -> String {
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        match self {
            Self::Standard => BASE64_STANDARD.encode(bytes),
            Self::Unpadded => BASE64_STANDARD_NO_PAD.encode(bytes),
            Self::Url => BASE64_URL_SAFE_NO_PAD.encode(bytes),
            Self::Lower => hex(bytes),
            Self::Upper => hex(bytes).to_uppercase(),
        }
    }

    /// The letters that bytes are written in.
    fn letters(self, found: &Found, bytes: usize, letters: usize) -> (usize, usize) {
        let (start, end) = span(found);
        if self.is_hex() {
            return (2 * start, 2 * end);
        }
        let end = if end == bytes {
            letters
        } else {
            (end * 4).div_ceil(3)
        };
        (start * 4 / 3, end)
    }
}

/// The rule alone.
fn alone(id: &str) -> Masker {
    static KNOWN: OnceLock<BTreeMap<String, Masker>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let builtin = Masker::builtin();
        let alone = |rule: &Vectors| {
            let profile = builtin.profile(Base::None).rule(&rule.id, Operator::Redact);
            (rule.id.clone(), profile.build().unwrap())
        };
        vectors().iter().map(alone).collect()
    });
    known[id].clone()
}

fn eligible() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rules = vectors().iter().filter(|rule| rule.is_found_encoded);
    rules.flat_map(|rule| rule.positive.iter().map(|text| (&*rule.id, &**text)))
}

/// Every vector behind up to five bytes, in every encoding, before something else, if what it is
/// about is long enough.
fn encoded(id: &str, text: &str) -> impl Iterator<Item = (How, String)> {
    let found = alone(id).find(text.as_bytes());
    let is_long = found.iter().all(|found| found.end - found.start >= 16);
    let before: &[&str] = if is_long {
        &["", ">", "x=", "{k:", "\0\u{7f}~=", "a b: "]
    } else {
        &[]
    };
    before.iter().flat_map(move |before| {
        let plain = format!("{before}{text}\n.");
        How::ALL.into_iter().map(move |how| (how, plain.clone()))
    })
}

fn span(found: &Found) -> (usize, usize) {
    let index = |at: u64| usize::try_from(at).unwrap();
    (index(found.start), index(found.end))
}

fn spans(found: &[Found]) -> Vec<(usize, usize)> {
    found.iter().map(span).collect()
}

#[test]
fn a_token_is_found_in_base64_and_hexadecimal_wherever_it_begins() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (id, text) in eligible() {
        let masker = alone(id);
        for (how, plain) in encoded(id, text) {
            let found = masker.find(plain.as_bytes());
            let text = how.encode(plain.as_bytes());
            let wanted: Vec<(usize, usize)> = found
                .iter()
                .map(|found| how.letters(found, plain.len(), text.len()))
                .collect();
            let got = masker.find(text.as_bytes());
            count += 1;
            if spans(&got) != wanted || got.iter().any(|found| *found.rule != *id) {
                wrong.push(format!(
                    "{id} {how:?}: {plain:?}: {:?} {wanted:?}",
                    spans(&got)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {wrong:#?}", wrong.len());
}

/// The vectors of all rules, each in one encoding and behind one beginning, other ones for each.
fn some() -> impl Iterator<Item = (&'static str, How, String)> {
    eligible().enumerate().filter_map(|(index, (id, text))| {
        let all: Vec<(How, String)> = encoded(id, text).collect();
        let (how, plain) = all.get(index * 7 % all.len().max(1))?;
        let text = format!("data: {}\n", how.encode(plain.as_bytes()));
        Some((id, *how, text))
    })
}

#[test]
fn among_all_rules_no_letter_of_it_is_left() {
    let masker = strict();
    for (id, text) in eligible() {
        let alone = alone(id);
        for (how, plain) in encoded(id, text).step_by(3) {
            let text = how.encode(plain.as_bytes());
            let masked = spans(&masker.find(text.as_bytes()));
            for (start, end) in spans(&alone.find(text.as_bytes())) {
                let is_masked =
                    |at: usize| masked.iter().any(|(from, to)| (*from..*to).contains(&at));
                assert!((start..end).all(is_masked), "{id} {how:?}: {plain:?}");
            }
        }
    }
}

#[test]
fn how_it_is_cut_does_not_matter() {
    let masker = strict();
    for (id, how, text) in some() {
        let text = text.as_bytes();
        let expected = whole(&masker, text);
        let through = |parts: &mut dyn Iterator<Item = &[u8]>| {
            let (mut stream, mut out) = (masker.stream(), Vec::new());
            for part in parts {
                stream.push(part, &mut out);
                assert!(
                    expected.starts_with(&out),
                    "{id} {how:?}: emitted what is masked"
                );
                assert!(
                    stream.held() <= MaskStream::HOLD_BACK,
                    "{id} {how:?}: {}",
                    stream.held()
                );
            }
            stream.finish(&mut out);
            assert!(out == expected, "{id} {how:?}: {}", text.escape_ascii());
        };
        for cut in 0..=text.len() {
            through(&mut [&text[..cut], &text[cut..]].into_iter());
        }
        through(&mut text.chunks(1));
        through(&mut text.chunks(13));
    }
}

#[test]
fn what_is_masked_is_masked_no_further() {
    let masker = strict();
    for (id, how, text) in some() {
        let once = whole(&masker, text.as_bytes());
        assert!(once != text.as_bytes(), "{id} {how:?}: {text}");
        assert_eq!(whole(&masker, &once), once, "{id} {how:?}");
    }
}

#[test]
fn in_a_document_it_is_masked_as_in_a_text() {
    let masker = strict();
    for (id, how, text) in some() {
        let expected = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
        let body = serde_json::json!({"content": [{"type": "text", "text": text}]});
        let scan = masker.json(body.to_string().as_bytes(), "");
        let masked: serde_json::Value = serde_json::from_slice(scan.masked.as_inner()).unwrap();
        assert_eq!(masked["content"][0]["text"], *expected, "{id} {how:?}");
    }
}

/// A text of so many bytes.
fn filler(bytes: usize) -> String {
    "It was a dark and stormy night. "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

#[test]
fn what_is_longer_than_what_is_decoded_is_masked_to_its_end() {
    let masker = Masker::builtin();
    let token = ["sk-ant-", "api03-", &"Ab3_".repeat(90)].concat();
    for how in How::ALL {
        for before in 0..4 {
            let text = how.encode(format!("{}>{token}, then", filler(before)).as_bytes());
            let masked = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
            let (_, rest) = masked.split_once("[REDACTED:anthropic-api-key]").unwrap();
            let least = how.encode(b", the").len() - 4;
            assert!(
                (least..least + 8).contains(&rest.trim_end_matches('=').len()),
                "{masked}"
            );
        }
    }
}

#[test]
fn a_private_key_is_masked_over_the_lines_that_base64_is_broken_into() {
    let masker = Masker::builtin();
    let line = "MIIEpAIBAAKCAQEA1c7mYk2x0Zq9s3uJt5vN8bLhG4fRkWdEoPaXyTgHnVbCmSQz\n";
    let begin = ["-----BEGIN RSA PRIVATE", " KEY-----\n"].concat();
    let end = ["-----END RSA PRIVATE", " KEY-----\n"].concat();
    let key = format!(
        "{begin}{}{end}and what follows it, in peace",
        line.repeat(24)
    );
    for how in [How::Standard, How::Url, How::Lower] {
        let text = how.encode(key.as_bytes());
        for (width, break_) in [(76, "\n"), (64, "\r\n"), (64, "\\n"), (usize::MAX, "\n")] {
            let lines: Vec<&str> = text
                .as_bytes()
                .chunks(width.min(text.len()))
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            let text = format!("key: {}{break_}", lines.join(break_));
            let masked = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
            let (before, behind) = masked.split_once("[REDACTED:private-key]").unwrap();
            assert!(before.len() < 5 + 2 * begin.len() + 4, "{masked}");
            let least = how.encode(&key.as_bytes()[key.len() - 80..]).len() - 60;
            assert!(
                (least..260).contains(&behind.len()),
                "{} {masked}",
                behind.len()
            );
            let mut stream = masker.stream();
            let mut out = Vec::new();
            for part in text.as_bytes().chunks(7) {
                stream.push(part, &mut out);
                assert!(stream.held() <= MaskStream::HOLD_BACK);
            }
            stream.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), masked);
        }
    }
}

#[test]
fn what_is_encoded_and_no_secret_passes() {
    let masker = strict();
    let mut state = 88_172_645_463_325_252u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    })
    .take(100_000)
    .collect();
    let picture = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &random].concat();
    for text in [
        format!("data:image/png;base64,{}", BASE64_STANDARD.encode(&picture)),
        format!("sha512-{}", BASE64_STANDARD.encode(&random[..64])),
        BASE64_STANDARD.encode(filler(5000)),
        How::Lower.encode(&random),
        How::Lower.encode(filler(5000).as_bytes()),
        // What only begins as a token does.
        BASE64_STANDARD
            .encode(["the prefix sk-ant-", "api03- stands before keys, ghp_ too"].concat()),
    ] {
        assert_eq!(masker.find(text.as_bytes()), [], "{text:.80}");
    }
}

#[test]
fn a_word_that_a_token_is_the_end_of_is_none_in_an_encoding_either() {
    let masker = Masker::builtin();
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    for before in ["x", "MA", "9_9", "WORD"] {
        let text = BASE64_STANDARD.encode(format!("{before}{key} "));
        assert_eq!(masker.find(text.as_bytes()), [], "{before}");
    }
}

#[test]
fn a_hash_of_it_would_say_nothing() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let builder = Masker::builtin().profile(Base::None);
    let masker = builder
        .rule("aws-access-key-id", Operator::Hash)
        .key(MaskKey::new([7; 32]))
        .build()
        .unwrap();
    let masked = |text: &str| String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
    assert!(masked(&key).starts_with("[REDACTED:aws-access-key-id#"));
    for how in How::ALL {
        assert_eq!(
            masked(&how.encode(key.as_bytes())),
            "[REDACTED:aws-access-key-id]"
        );
    }
}

/// What comes out of `text` is the same however it is cut into two, and byte by byte.
fn is_the_same_for_every_cut(text: &str) {
    let masker = Masker::builtin();
    let expected = whole(&masker, text.as_bytes());
    let bytes = text.as_bytes();
    for cut in 0..=bytes.len() {
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        stream.push(&bytes[..cut], &mut out);
        stream.push(&bytes[cut..], &mut out);
        stream.finish(&mut out);
        assert!(out == expected, "cut at {cut}: {text}");
    }
    let (mut stream, mut out) = (masker.stream(), Vec::new());
    bytes.chunks(1).for_each(|byte| stream.push(byte, &mut out));
    stream.finish(&mut out);
    assert!(out == expected, "byte by byte: {text}");
}

#[test]
fn a_last_group_that_is_not_whole_does_not_depend_on_cuts() {
    let token = ["sk-ant-", "api03-", &"Ab3_".repeat(90)].concat();
    for how in [How::Standard, How::Lower] {
        let letters = how.encode(token.as_bytes());
        for short in 1..=4 {
            is_the_same_for_every_cut(&format!("{} and on", &letters[..letters.len() - short]));
            is_the_same_for_every_cut(&letters[..letters.len() - short]);
        }
    }
}

#[test]
fn a_line_break_before_the_end_of_a_key_does_not_depend_on_cuts() {
    let begin = ["-----BEGIN RSA PRIVATE", " KEY-----\n"].concat();
    let end = ["-----END RSA PRIVATE", " KEY-----\n"].concat();
    // With lines of 76 letters, 57 bytes are in one.
    for more in 0..3 {
        let body = 57 * 4 - begin.len() - 1 + more;
        let key = format!(
            "{begin}{}\n{end}and on",
            "MIIEpAIB".repeat(40).split_at(body).0
        );
        let letters = How::Standard.encode(key.as_bytes());
        let lines = letters.as_bytes().chunks(76);
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line)).collect();
        is_the_same_for_every_cut(&lines.join("\n"));
    }
}

#[test]
fn a_token_that_an_address_writes_its_signs_of_is_found() {
    let token = ["whsec", "_ab%2FcdEfGh1jKlMn0pQrStUvWx%2Fz4567890aBcD%3D"].concat();
    let masked = whole(&Masker::builtin(), format!("x={token}&y=1").as_bytes());
    assert_eq!(
        String::from_utf8_lossy(&masked),
        "x=[REDACTED:stripe-webhook-secret]&y=1"
    );
    // Also one that is known by the word before it, and from its beginning on.
    let value = ["f%2FNGZ7Po%2F0dbiHvmuf0R", "Li9FkBa7qsQcG1GgA%2FryWZk%3D"].concat();
    let masked = whole(&strict(), format!("secret_key_base={value}&y=1").as_bytes());
    let masked = String::from_utf8_lossy(&masked);
    assert!(
        !masked.contains("f%2FNG") && masked.ends_with("]&y=1"),
        "{masked}"
    );
    let masked = whole(
        &strict(),
        format!("Secret key base: {value} end").as_bytes(),
    );
    assert_eq!(
        String::from_utf8_lossy(&masked),
        "Secret key base: [REDACTED:secret-base64-near-its-name] end"
    );
}
