//! Every vector of every rule, through every path.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tollbook_masking::{Base, MaskStream, Masker, Operator};

use crate::{
    corpus::{strict, texts, vectors, whole},
    events::through_deltas,
};

#[test]
fn every_kind_has_its_rule() {
    assert!(vectors().len() >= 60);
    assert_eq!(Masker::builtin().rules().count(), vectors().len());
}

/// Rules some of whose vectors another rule finds whole, and why that is right.
const SAME_TO: &[(&str, &str)] = &[
    // Without its label it would be found as well, by its checksum.
    ("in-aadhaar-labelled", "in-aadhaar"),
    // The digits of the vector pass the checksum of the other, and a checksum tells more than a form.
    ("phone-us", "gb-nhs-number"),
    // The same kind of token, described by the same vendor.
    ("terraform-cloud-token", "terraform-token"),
    ("azure-entra-client-secret", "azure-client-secret"),
    ("aws-secret-near-words", "aws-secret-access-key"),
    ("slack-cookie-token", "slack-token"),
    // It is longer than a decision may look, so what its name says about all of it counts.
    ("aws-session-token", "generic-quoted-secret"),
    // Both tell the same: a secret of whoever it is.
    ("secret-hex-near-its-name", "generic-secret"),
];

/// Of several rules that find the same, the one that tells most is told.
#[test]
fn every_positive_vector_is_found_whole_by_its_own_rule_among_all_rules() {
    let masker = strict();
    let mut wrong = Vec::new();
    for (id, text) in texts() {
        let matches = masker.mask(text.as_bytes()).matches;
        let alone = masker
            .profile(Base::None)
            .rule(id, Operator::Redact)
            .build()
            .unwrap();
        let (known, found) = (
            whole(&alone, text.as_bytes()),
            whole(&masker, text.as_bytes()),
        );
        let [one] = &matches[..] else {
            wrong.push(format!("{id}: {text:?}: {matches:?}"));
            continue;
        };
        let is_own = &*one.rule == id;
        let known = kept(&String::from_utf8_lossy(&known), id);
        let found = kept(&String::from_utf8_lossy(&found), &one.rule);
        let covers = known.0.starts_with(&found.0) && known.1.ends_with(&found.1);
        if one.count != 1 || !covers || !(is_own || SAME_TO.contains(&(id, &*one.rule))) {
            wrong.push(format!("{id}: {text:?}: {matches:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What stands before and behind the only placeholder.
fn kept(masked: &str, rule: &str) -> (String, String) {
    let (before, behind) = masked.split_once(&format!("[REDACTED:{rule}]")).unwrap();
    (before.to_owned(), behind.to_owned())
}

#[test]
fn a_stream_is_masked_as_the_whole_for_every_split() {
    let masker = strict();
    for (id, text) in texts() {
        let text = text.as_bytes();
        let expected = whole(&masker, text);
        for cut in sampled(0..=text.len()) {
            let mut stream = masker.stream();
            let mut out = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                stream.push(part, &mut out);
                assert!(expected.starts_with(&out), "{id} cut at {cut}");
                assert!(
                    stream.held() <= MaskStream::HOLD_BACK,
                    "{id} holds {}",
                    stream.held()
                );
            }
            stream.finish(&mut out);
            assert_eq!(
                out.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{id} cut at {cut}"
            );
        }
        let mut stream = masker.stream();
        let mut out = Vec::new();
        for byte in text.chunks(1) {
            stream.push(byte, &mut out);
            assert!(stream.held() <= MaskStream::HOLD_BACK);
        }
        stream.finish(&mut out);
        assert_eq!(out, expected, "{id} byte by byte");
    }
}

#[test]
fn a_masked_text_is_masked_no_further() {
    let masker = strict();
    for (id, text) in texts() {
        let once = whole(&masker, text.as_bytes());
        assert_eq!(whole(&masker, &once), once, "{id}");
    }
}

#[test]
fn a_vector_in_a_request_is_masked_however_it_is_escaped() {
    let masker = strict();
    for (id, text) in texts() {
        let expected = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
        let request = |text: &str| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]});
        let plain = request(text).to_string();
        let escaped: String = text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect();
        let escaped = request("@@").to_string().replace("@@", &escaped);
        for body in [plain, escaped] {
            let scan = masker.json(body.as_bytes(), "request.body");
            let masked: Value = serde_json::from_slice(scan.masked.as_inner()).unwrap();
            let masked = masked["messages"][0]["content"][0]["text"]
                .as_str()
                .unwrap();
            if is_document(text) {
                // What its structure says may mask more of it than its text does, but not less.
                assert!(
                    !masked.contains(&masked_part(text, &expected)),
                    "{id}: {masked}"
                );
                assert!(is_document(masked), "{id}: {masked}");
                continue;
            }
            assert_eq!(masked, expected, "{id}");
            let rules = masker.mask(text.as_bytes()).matches;
            assert!(
                rules.iter().all(|known| scan.found.iter().any(|found| {
                    *found.rule == *known.rule
                        && found.place == "request.body:messages[].content[].text"
                })),
                "{id}: {:?}",
                scan.found
            );
        }
    }
}

#[test]
fn a_vector_in_json_within_a_string_is_masked_and_the_json_stays_whole() {
    let masker = strict();
    for (id, text) in texts() {
        let expected = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
        let body = json!({"content": json!({"stdout": text}).to_string()}).to_string();
        let scan = masker.json(body.as_bytes(), "");
        let outer: Value = serde_json::from_slice(scan.masked.as_inner()).unwrap();
        let inner: Value = serde_json::from_str(outer["content"].as_str().unwrap())
            .unwrap_or_else(|error| panic!("{id}: {error}: {outer}"));
        let stdout = inner["stdout"].as_str().unwrap();
        if is_document(text) {
            assert!(
                !stdout.contains(&masked_part(text, &expected)),
                "{id}: {stdout}"
            );
            assert!(is_document(stdout), "{id}: {stdout}");
        } else {
            assert_eq!(stdout, expected, "{id}");
        }
    }
}

/// All of them if `TEST_EXHAUSTIVE` is set, as in the nightly run; else some, and others for each text.
fn sampled(cuts: impl Iterator<Item = usize>) -> impl Iterator<Item = usize> {
    const SOME: usize = 13;

    static RUN: AtomicUsize = AtomicUsize::new(0);
    let step = match std::env::var_os("TEST_EXHAUSTIVE") {
        Some(_) => 1,
        None => SOME,
    };
    let first = RUN.fetch_add(1, Ordering::Relaxed) % step;
    cuts.skip(first).step_by(step)
}

fn cuts(text: &str) -> impl Iterator<Item = (usize, [&str; 2])> {
    sampled(0..=text.len())
        .filter_map(|cut| Some((cut, <[&str; 2]>::from(text.split_at_checked(cut)?))))
}

#[test]
fn a_vector_in_text_deltas_is_masked_wherever_it_is_cut() {
    let masker = strict();
    for (id, text) in texts() {
        let expected = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
        for (cut, parts) in cuts(text) {
            assert_eq!(
                through_deltas(&masker, "text_delta", "text", &parts),
                expected,
                "{id} cut at {cut}"
            );
        }
    }
}

#[test]
fn a_vector_in_a_tool_input_is_masked_wherever_it_is_cut() {
    let masker = strict();
    for (id, text) in texts() {
        let input = json!({"command": text}).to_string();
        let through = |parts: &[&str]| {
            let masked = through_deltas(&masker, "input_json_delta", "partial_json", parts);
            serde_json::from_str::<Value>(&masked)
                .unwrap_or_else(|error| panic!("{id}: {error}: {masked}"))
        };
        let expected = through(&[&input]);
        // Within JSON more may be masked than in a text, but not less.
        let command = expected["command"].as_str().unwrap();
        let secret = masked_part(
            text,
            &String::from_utf8(whole(&masker, text.as_bytes())).unwrap(),
        );
        assert!(
            secret == text || command.contains("[REDACTED:") && !command.contains(&secret),
            "{id}: {command}"
        );
        for (cut, parts) in cuts(&input) {
            assert_eq!(through(&parts), expected, "{id} cut at {cut}");
        }
    }
}

fn is_document(text: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|value| value.is_object() || value.is_array() || value.is_string())
}

/// The part of a text with one match that is not in its masked form.
fn masked_part(text: &str, masked: &str) -> String {
    let Some(start) = masked.find("[REDACTED:") else {
        // That every vector is found is a test of its own.
        return text.to_owned();
    };
    let rest = masked.len() - (start + masked[start..].find(']').unwrap()) - 1;
    text[start..text.len() - rest].to_owned()
}
