//! Documents and lines of them.

use serde_json::{Value, json};
use tollbook_exchange::{Coverage, Gap, Redact, ResponseShape};
use tollbook_masking::{Masker, view::BodyMasker};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const MASKED: &str = "[REDACTED:aws-access-key-id]";

fn masked(document: &str) -> String {
    let scan = Masker::builtin().json(document.as_bytes(), "b");
    String::from_utf8(scan.masked.into_inner().to_vec()).unwrap()
}

fn places(document: &str) -> Vec<String> {
    Masker::builtin()
        .json(document.as_bytes(), "b")
        .found
        .into_iter()
        .map(|found| found.place)
        .collect()
}

#[test]
fn only_matches_change_and_white_space_stays() {
    let document = format!("{{ \"a\" : [ 1.0e3, \"x {KEY} \\u00e9\\n\" ],\n\t\"b\":\"\\/\" }} ");
    assert_eq!(masked(&document), document.replace(KEY, MASKED));
}

#[test]
fn places_are_paths_of_ordinary_names() {
    assert_eq!(
        places(&json!({"messages": [{"content": [{"text": KEY}]}]}).to_string()),
        ["b:messages[].content[].text"]
    );
    assert_eq!(places(&json!([[1], [KEY]]).to_string()), ["b:[][]"]);
    assert_eq!(places(&json!(KEY).to_string()), ["b"]);
    assert_eq!(places(&json!({"a b": KEY, KEY: 1}).to_string()), ["b:*"]);
    assert_eq!(
        places(&json!({"x": {KEY: {"y": KEY}}}).to_string()),
        ["b:x.*", "b:x.*.y"]
    );
}

#[test]
fn masked_names_stay_different() {
    let document = r#"{"AKIAIOSFODNN7EXAMPLE":1,"x":2,"AKIAIOSFODNN7EXAMPL2":3}"#;
    let expected = r#"{"[REDACTED:aws-access-key-id]":1,"x":2,"[REDACTED:aws-access-key-id]#2":3}"#;
    assert_eq!(masked(document), expected);
    assert_eq!(masked(expected), expected);
}

#[test]
fn a_value_with_a_secret_name_is_masked_whole() {
    for (document, expected) in [
        (
            json!({"password": "a b c d e"}),
            json!({"password": "[REDACTED:json-sensitive-key]"}),
        ),
        (
            json!({"dbPassword": "line\nand line"}),
            json!({"dbPassword": "[REDACTED:json-sensitive-key]"}),
        ),
        (json!({"api_key": KEY}), json!({"api_key": MASKED})),
        (
            json!({"api_key": format!("{KEY} and more")}),
            json!({"api_key": "[REDACTED:json-sensitive-key]"}),
        ),
        (
            json!({"secret": ["exemplary", ["exemplary"]]}),
            json!({"secret": ["[REDACTED:json-sensitive-key]", ["[REDACTED:json-sensitive-key]"]]}),
        ),
        (
            json!({"mcp_servers": [{"name": "x", "authorization_token": "t"}]}),
            json!({"mcp_servers": [{"name": "x", "authorization_token": "[REDACTED:json-authorization-token]"}]}),
        ),
        (
            json!({"authorization_token": {"a": [12, "b", true, null]}}),
            json!({"authorization_token": {"a": ["[REDACTED:json-authorization-token]", "[REDACTED:json-authorization-token]", true, null]}}),
        ),
    ] {
        let once = masked(&document.to_string());
        assert_eq!(serde_json::from_str::<Value>(&once).unwrap(), expected);
        assert_eq!(masked(&once), once);
    }
}

#[test]
fn what_is_in_documents_in_strings_is_masked_by_its_name() {
    let inner = |depth: usize, value: &str| {
        let mut text = json!({"password": value, "n": [1, "x"]}).to_string();
        for _ in 0..depth {
            text = json!({"stdout": text}).to_string();
        }
        text
    };
    for depth in 0..=3 {
        let expected = inner(depth, "[REDACTED:json-sensitive-key]");
        assert_eq!(
            masked(&inner(depth, "correct \"horse\"\n")),
            expected,
            "{depth}"
        );
        assert_eq!(masked(&expected), expected);
    }
    // Deeper than that, texts are only texts.
    let deep = masked(&inner(5, KEY));
    assert!(deep.contains(MASKED) && !deep.contains(KEY), "{deep}");
    assert_eq!(
        places(&inner(2, "correct horse")),
        ["b:stdout.stdout.password"]
    );
    // Everything around a match stays as it was written, whatever its form.
    let odd = r#"{"a":"{ \u0022p\u0061ssword\u0022 : \"correct horse\", \"b\":\"\\u0041\\/\" }"}"#;
    let expected = odd.replace("correct horse", "[REDACTED:json-sensitive-key]");
    assert_eq!(masked(odd), expected);
    // What begins and ends as a document and is none is a text.
    let none = json!({"a": format!("{{{KEY}}}")}).to_string();
    assert_eq!(masked(&none), none.replace(KEY, MASKED));
}

/// As a text, what its escapes say would pass.
#[test]
fn what_is_nested_without_end_does_not_come_out() {
    let nested = |depth| {
        format!(
            "{}\"\\u0041{}\"{}",
            "[".repeat(depth),
            &KEY[1..],
            "]".repeat(depth)
        )
    };
    let deep = nested(512);
    let expected = deep.replace(&format!("\\u0041{}", &KEY[1..]), MASKED);
    assert_eq!(masked(&deep), expected);
    for depth in [513, 100_000] {
        let bomb = nested(depth);
        let scan = Masker::builtin().json(bomb.as_bytes(), "b");
        let mut coverage = Coverage::default();
        coverage.skip(Gap::Unreadable, bomb.len() as u64);
        assert_eq!((scan.masked.as_inner().len(), scan.coverage), (0, coverage));
        let (out, told, _) = through("application/json", None, bomb.as_bytes(), 4096);
        assert_eq!((&*out, told), ("", coverage));
    }
    // Within a text it is one.
    let inner =
        json!({"a": format!("{}\"{KEY}\"{}", "[".repeat(600), "]".repeat(600))}).to_string();
    assert_eq!(masked(&inner), inner.replace(KEY, MASKED));
}

#[test]
fn schemas_and_placeholders_are_left_alone() {
    let tool = json!({"tools": [{"name": "login", "input_schema": {
        "type": "object",
        "properties": {
            "password": {"type": "string", "description": "The password of the user, at least 8 characters"},
            "api_key": {"type": ["string", "null"]},
            "secret": true,
        },
        "required": ["password", "api_key"],
    }}], "password": "<password>", "secret": "${SECRET}", "api_key": "xxxxxxxxxxxx", "token": 123_456_789})
    .to_string();
    assert_eq!(masked(&tool), tool);
}

#[test]
fn what_is_no_text_is_left_alone_by_its_type_and_not_by_its_name() {
    // Base64 in which a key's id seems to stand.
    let data = format!("{}/{KEY}/{}", "iVBORw0K".repeat(8), "Ex4mple0".repeat(8));
    let picture = |source: Value| {
        json!({"messages": [{"content": [{"type": "image", "source": source}]}]}).to_string()
    };
    let opaque = picture(json!({"data": data, "type": "base64"}));
    assert_eq!(masked(&opaque), opaque);
    let scan = Masker::builtin().json(opaque.as_bytes(), "b");
    let mut coverage = Coverage::default();
    coverage.inspect((opaque.len() - data.len()) as u64);
    coverage.skip(Gap::Opaque, data.len() as u64);
    assert_eq!((scan.coverage, coverage.uninspected), (coverage, 0));

    let thinking =
        json!({"content": [{"type": "thinking", "thinking": KEY, "signature": data}]}).to_string();
    assert_eq!(masked(&thinking), thinking.replacen(KEY, MASKED, 1));

    for scanned in [
        picture(json!({"data": data, "type": "text"})),
        picture(json!({"data": data})),
        picture(json!({"data": format!("{data} "), "type": "base64"})),
        picture(json!({"data": KEY, "type": "base64"})),
        json!({"input": {"data": data, "type": "base64"}}).to_string(),
        json!({"signature": data}).to_string(),
    ] {
        assert_eq!(masked(&scanned), scanned.replace(KEY, MASKED));
    }
    let twice = format!("{{\"type\":\"base64\",\"type\":\"text\",\"data\":\"{data}\"}}");
    assert_eq!(masked(&twice), twice.replace(KEY, MASKED));
}

#[test]
fn what_is_no_document_is_masked_as_text() {
    for text in [
        format!("{{\"a\":\"{KEY}\""),
        format!("not json {KEY}"),
        format!("\u{feff}{{\"a\":\"{KEY}\"}}"),
    ] {
        assert_eq!(masked(&text), text.replace(KEY, MASKED));
    }
    // What breaks off is a document up to there.
    let escaped = format!("{{\"a\":\"\\u0041{}\",", &KEY[1..]);
    assert_eq!(masked(&escaped), format!("{{\"a\":\"{MASKED}\","));
    // Members are judged by their names even then.
    assert_eq!(
        masked("{\"password\":\"correct horse\",}"),
        "{\"password\":\"[REDACTED:json-sensitive-key]\",}"
    );
}

#[test]
fn a_document_with_many_places_has_a_short_report() {
    let members: Vec<String> = (0..5000).map(|n| format!("\"k{n}\":\"{KEY}\"")).collect();
    let document = format!("{{{}}}", members.join(","));
    let found = Masker::builtin().json(document.as_bytes(), "b").found;
    assert!(found.len() <= 257);
    assert_eq!(found.iter().map(|found| found.count).sum::<u32>(), 5000);
}

#[test]
fn the_head_of_a_message_is_redacted() {
    let (text, found) = Masker::builtin().redact("request.header:x-note", &format!("é {KEY} 😀"));
    assert_eq!(text.as_inner(), &format!("é {MASKED} 😀"));
    assert_eq!(
        (&*found[0].rule, &*found[0].place, found[0].count),
        ("aws-access-key-id", "request.header:x-note", 1)
    );
}

fn through(
    content_type: &str,
    limit: Option<usize>,
    body: &[u8],
    size: usize,
) -> (String, Coverage, usize) {
    let mut view = BodyMasker::new(&Masker::builtin(), Some(content_type), "b");
    if let Some(limit) = limit {
        view = view.limit(limit);
    }
    assert_eq!(view.shape(), ResponseShape::Body);
    let mut parts = Vec::new();
    for chunk in body.chunks(size) {
        parts.extend(view.push(chunk).unwrap());
    }
    parts.extend(view.finish().unwrap());
    let out: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.as_inner().to_vec())
        .collect();
    (
        String::from_utf8(out).unwrap(),
        view.coverage(),
        view.found().len(),
    )
}

#[test]
fn bodies_are_masked_by_their_type_however_they_come() {
    let document = json!({"password": "correct horse", "text": KEY}).to_string();
    let lines = format!("{document}\n\n{document}\r\nno json {KEY}\n{document}");
    let text = format!("a {KEY} b");
    for size in [1, 5, 4096] {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
        ] {
            assert_eq!(
                through(json, None, document.as_bytes(), size).0,
                masked(&document)
            );
        }
        let expected = lines
            .replace(&document, &masked(&document))
            .replace(KEY, MASKED);
        for json in ["application/x-jsonl", "application/x-ndjson"] {
            let (out, coverage, _) = through(json, None, lines.as_bytes(), size);
            assert_eq!(out, expected);
            assert_eq!(
                coverage,
                Coverage {
                    inspected: lines.len() as u64,
                    uninspected: 0,
                    ..Coverage::default()
                }
            );
        }
        let (out, coverage, found) = through("text/plain", None, text.as_bytes(), size);
        assert_eq!((out, found), (text.replace(KEY, MASKED), 1));
        assert_eq!(coverage.inspected, text.len() as u64);
    }
}

#[test]
fn what_is_too_long_to_be_held_does_not_come_out() {
    let document = json!({"a": KEY, "b": KEY}).to_string();
    // The limit lies within the second key.
    let limit = document.rfind(KEY).unwrap() + 8;
    for size in [1, 7, 4096] {
        let (out, coverage, found) =
            through("application/json", Some(limit), document.as_bytes(), size);
        assert_eq!(out, format!("{{\"a\":\"{MASKED}\",\"b\":\""));
        assert_eq!(
            coverage.inspected + coverage.uninspected,
            document.len() as u64
        );
        assert_eq!(
            (coverage.uninspected, found),
            ((document.len() - limit + 8) as u64, 1)
        );

        let lines = format!("\"short\"\n\"{}\"\n\"short\"\n", "long".repeat(10));
        let (out, coverage, _) = through("application/x-jsonl", Some(20), lines.as_bytes(), size);
        assert_eq!(out, "\"short\"\n\n\"short\"\n");
        let mut expected = Coverage::default();
        expected.inspect(17);
        expected.skip(Gap::TooLong, 42);
        assert_eq!((coverage, expected.uninspected), (expected, 42));
    }
}
