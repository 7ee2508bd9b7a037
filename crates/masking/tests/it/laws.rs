//! What holds for every text.

use base64::prelude::*;
use proptest::prelude::*;
use serde_json::Value;
use tollbook_masking::{MaskStream, Masker, view::BodyMasker};

use crate::corpus::{strict, texts, whole};

/// Texts in which matches begin, end, break off and run into each other.
pub(crate) fn text() -> impl Strategy<Value = Vec<u8>> {
    let vectors: Vec<Vec<u8>> = texts().map(|(_, text)| text.as_bytes().to_vec()).collect();
    let vector = prop::sample::select(vectors);
    let cut = (vector.clone(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(text, at, end)| {
            let at = at.index(text.len());
            if end {
                text[at..].to_vec()
            } else {
                text[..at].to_vec()
            }
        },
    );
    let encoded = (vector.clone(), 0usize..4, any::<bool>()).prop_map(|(text, before, hex)| {
        let text = [&b">\n ="[..before], &text].concat();
        if hex {
            text.iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect()
        } else {
            BASE64_STANDARD.encode(text).into_bytes()
        }
    });
    let glue = prop::sample::select(vec![
        " ",
        "\n",
        "\\n",
        "\\\\n",
        "\"",
        "\\\"",
        "'",
        "=",
        ":",
        " = ",
        ": ",
        "://",
        "@",
        "-",
        "_",
        ".",
        "/",
        "[",
        "]",
        "sk-",
        "ghp_",
        "eyJ",
        "password",
        "password=",
        "\"secret\": \"",
        "token: ",
        "Bearer ",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----",
        "AKIA",
        "[REDACTED:",
        "[REDACTED:jwt]",
        "é",
        "😀",
        "\u{a0}",
        "%20",
        "\\u0041",
        "https://user:",
        "xoxb-",
        "\r\n",
        "\\",
        "a1",
        "Zz9",
        "==",
        "=>",
        ":=",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    let run = (
        prop::sample::select(b"aZ0-_.=/+\\\"x".to_vec()),
        1usize..200,
    )
        .prop_map(|(byte, count)| vec![byte; count]);
    let noise = prop::collection::vec(any::<u8>(), 0..24);
    let piece = prop_oneof![4 => vector, 4 => cut, 1 => encoded, 8 => glue, 1 => run, 1 => noise];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// So many texts, or as many as `PROPTEST_CASES` tells.
fn cases(some: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(some),
    }
}

/// Whether something stands right before what is masked. Of letters in base64 that another thing is
/// glued to, those before what is masked stay, and they may now have the length of a key.
fn is_glued(masked: &[u8]) -> bool {
    let glued = |at: usize| at > 0 && masked[at - 1].is_ascii_alphanumeric();
    memchr::memmem::find_iter(masked, "[REDACTED:").any(glued)
}

/// A value that was refused together with what stands behind it, which is masked now.
#[test]
fn what_was_refused_is_refused_again() {
    let masker = Masker::builtin();
    for (text, masked) in [
        (
            "deploy --token ex4mple0nlyTOKEN=key_35a4",
            "deploy --token ex4mple0nlyTOKEN=[REDACTED:generic-secret]",
        ),
        (
            "Routing number: 021000021-GB29NWBK60161331926819",
            "Routing number: 021000021-[REDACTED:iban]",
        ),
    ] {
        let once = whole(&masker, text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&once), masked);
        assert_eq!(whole(&masker, &once), once);
    }
}

// What goes through the events of a stream takes ten times as long.
proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_tool_input_in_deltas_is_masked_as_the_document_that_it_is(
        texts in prop::collection::vec(text(), 1..4),
        number in any::<u64>(),
        escape in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let masker = Masker::builtin();
        let texts: Vec<String> = texts.iter().map(|text| {
            // What is a document itself, or too long to be judged by its name, is masked in a
            // stream as the text it is.
            format!("> {}", String::from_utf8_lossy(text)).chars().take(100).collect()
        }).collect();
        let mut input = serde_json::json!({"command": texts[0], "list": texts, "card": number, "user": {"n": [1.5, null]}, &texts[0]: 1}).to_string();
        if escape {
            input = input.replace('-', "\\u002d").replace('/', "\\/").replace('A', "\\u0041");
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).filter(|cut| input.is_char_boundary(*cut)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let parts: Vec<&str> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
        let masked = crate::events::through_deltas(&masker, "input_json_delta", "partial_json", &parts);
        let whole = masker.json(input.as_bytes(), "").masked.into_inner();
        prop_assert_eq!(masked, String::from_utf8(whole.to_vec()).unwrap());
    }

    /// P6: the events stay as many and as they are called, in their order, and one whose text is as
    /// it was passes as its bytes; P1: however the bytes came.
    #[test]
    fn a_stream_of_events_changes_where_something_is_masked_and_nowhere_else(
        text in text(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        size in 1usize..400,
        between in prop::collection::vec(0usize..6, 0..12),
    ) {
        let masker = Masker::builtin();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).filter(|cut| text.is_char_boundary(*cut)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut events = Vec::new();
        for (at, cut) in cuts.windows(2).enumerate() {
            let delta = serde_json::json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[cut[0]..cut[1]]}});
            events.push(format!("event: content_block_delta\ndata: {delta}\n\n"));
            match between.get(at) {
                Some(1) => events.push("event: x\ndata: {\"type\":\"x\"}\n\n".to_owned()),
                Some(2) => events.push("data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"word\"}}\n\n".to_owned()),
                _ => {}
            }
        }
        events.push("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n".to_owned());
        events.push("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned());
        let masked = |size: usize| {
            let mut view = BodyMasker::new(&masker, Some("text/event-stream"), "");
            let mut out = Vec::new();
            for chunk in events.concat().as_bytes().chunks(size) {
                out.extend(view.push(chunk).unwrap());
            }
            out.extend(view.finish().unwrap());
            let texts = out.iter().map(|part| String::from_utf8(part.as_inner().to_vec()).unwrap());
            texts.collect::<Vec<String>>()
        };
        let out = masked(usize::MAX);
        prop_assert_eq!(&masked(size), &out);
        prop_assert_eq!(out.len(), events.len());
        let parse = |event: &str| serde_json::from_str::<Value>(event.split_once("data: ").unwrap().1).unwrap();
        let (mut together, mut all) = (String::new(), true);
        for (came, goes) in events.iter().zip(&out) {
            let (before, after) = (parse(came), parse(goes));
            prop_assert_eq!(came.split_once("data: ").unwrap().0, goes.split_once("data: ").unwrap().0);
            prop_assert!(before != after || came == goes);
            all &= before == after;
            if before["index"] == 0 {
                together.push_str(after["delta"]["text"].as_str().unwrap_or_default());
            }
        }
        let whole = String::from_utf8(whole(&masker, text.as_bytes())).unwrap();
        prop_assert_eq!(all, whole == text);
        prop_assert_eq!(together, whole);
    }

    #[test]
    fn json_within_deltas_stays_json(text in text(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let masker = Masker::builtin();
        let text = String::from_utf8_lossy(&text).into_owned();
        let input = serde_json::json!({"cmd": text, "password": text}).to_string();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).filter(|cut| input.is_char_boundary(*cut)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let parts: Vec<&str> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
        let masked = crate::events::through_deltas(&masker, "input_json_delta", "partial_json", &parts);
        prop_assert!(serde_json::from_str::<Value>(&masked).is_ok(), "{masked}");
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn how_a_text_is_cut_does_not_matter(text in text(), sizes in prop::collection::vec(1usize..80, 1..8)) {
        let masker = Masker::builtin();
        let expected = whole(&masker, &text);
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        let mut rest = &text[..];
        for size in sizes.iter().cycle() {
            let (part, next) = rest.split_at((*size).min(rest.len()));
            stream.push(part, &mut out);
            prop_assert!(expected.starts_with(&out), "emitted what is masked");
            prop_assert!(stream.held() <= MaskStream::HOLD_BACK);
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        stream.finish(&mut out);
        prop_assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        prop_assert_eq!(stream.matches(), masker.mask(&text).matches);
    }

    #[test]
    fn what_was_emitted_stands_whatever_comes(text in text(), more in text()) {
        let masker = Masker::builtin();
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        stream.push(&text, &mut out);
        let longer = [&text[..], &more].concat();
        prop_assert!(whole(&masker, &longer).starts_with(&out));
    }

    #[test]
    fn what_is_masked_is_masked_no_further(text in text(), every in any::<bool>()) {
        let masker = if every { strict() } else { Masker::builtin() };
        let once = whole(&masker, &text);
        prop_assume!(!is_glued(&once));
        prop_assert_eq!(whole(&masker, &once).escape_ascii().to_string(), once.escape_ascii().to_string());
    }

    #[test]
    fn a_text_without_matches_is_not_changed(text in text()) {
        let masker = Masker::builtin();
        let scan = masker.mask(&text);
        prop_assert_eq!(scan.matches.is_empty(), scan.masked.as_inner() == &text);
    }

    #[test]
    fn a_text_stays_utf_8(text in text()) {
        let text = String::from_utf8_lossy(&text).into_owned();
        prop_assert!(String::from_utf8(whole(&Masker::builtin(), text.as_bytes())).is_ok());
    }

    #[test]
    fn a_document_is_changed_within_its_strings_only(
        texts in prop::collection::vec(text(), 1..4),
        escape in any::<bool>(),
    ) {
        let masker = Masker::builtin();
        // A text that is a document itself is masked as one, so none of these is.
        let texts: Vec<String> = texts.iter().map(|text| format!("> {}", String::from_utf8_lossy(text))).collect();
        let document = serde_json::json!({"a": texts, "n": [1.5, null, {"text": texts[0], "type": "text"}]});
        let mut body = document.to_string();
        if escape {
            body = body.replace('-', "\\u002d").replace('/', "\\/");
        }
        let scan = masker.json(body.as_bytes(), "");
        let masked: Value = serde_json::from_slice(scan.masked.as_inner()).unwrap();
        let expected: Vec<String> =
            texts.iter().map(|text| String::from_utf8(whole(&masker, text.as_bytes())).unwrap()).collect();
        prop_assert_eq!(&masked, &serde_json::json!({"a": expected, "n": [1.5, null, {"text": expected[0], "type": "text"}]}));
        prop_assert_eq!(scan.found.is_empty(), scan.masked.as_inner() == body.as_bytes());
        prop_assume!(!is_glued(scan.masked.as_inner()));
        let again = masker.json(scan.masked.as_inner(), "");
        prop_assert_eq!(again.masked, scan.masked);
    }

    #[test]
    fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let masker = Masker::builtin();
        let scan = masker.json(&bytes, "");
        prop_assert_eq!(scan.coverage.inspected, bytes.len() as u64);
        whole(&masker, &bytes);
    }
}
