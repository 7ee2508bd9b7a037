//! Forms, and bodies of several parts.

use tollbook_exchange::{Coverage, Gap};
use tollbook_masking::{Masker, view::BodyMasker};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const MASKED: &str = "[REDACTED:aws-access-key-id]";
const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; charset=utf-8; boundary=\"=_x; y\"";

fn through(content_type: &str, body: &[u8]) -> (Vec<u8>, Vec<String>, Coverage) {
    let mut last = None;
    for size in [1, 7, body.len().max(1)] {
        let mut view = BodyMasker::new(&Masker::builtin(), Some(content_type), "b");
        let mut parts = Vec::new();
        for chunk in body.chunks(size) {
            parts.extend(view.push(chunk).unwrap());
        }
        parts.extend(view.finish().unwrap());
        let out: Vec<u8> = parts
            .iter()
            .flat_map(|part| part.as_inner().to_vec())
            .collect();
        let places = view.found().into_iter().map(|found| found.place).collect();
        let result = (out, places, view.coverage());
        assert!(
            last.is_none_or(|last| last == result),
            "in chunks of {size}"
        );
        last = Some(result);
    }
    last.unwrap()
}

fn form(body: &str) -> (String, Vec<String>) {
    let (out, places, coverage) = through(FORM, body.as_bytes());
    assert_eq!(coverage.inspected, body.len() as u64);
    (String::from_utf8(out).unwrap(), places)
}

#[test]
fn names_and_values_of_a_form_are_masked_as_they_are_after_decoding() {
    let redacted = "%5BREDACTED%3Aaws-access-key-id%5D";
    for (body, masked) in [
        (
            format!("a=x+{KEY}+y&b=%20%e9"),
            format!("a=x+{redacted}+y&b=%20%e9"),
        ),
        (
            "a=%41KIAIOSFODNN7EXAMPL%45&&=&c".to_owned(),
            format!("a={redacted}&&=&c"),
        ),
        (
            "user=me&pass%77ord=correct+horse%21".to_owned(),
            "user=me&pass%77ord=%5BREDACTED%3Ajson-sensitive-key%5D".to_owned(),
        ),
        (format!("{KEY}=1"), format!("{redacted}=1")),
        ("%&%4&=%zz&a=b=c".to_owned(), "%&%4&=%zz&a=b=c".to_owned()),
    ] {
        let (once, _) = form(&body);
        assert_eq!(once, masked);
        assert_eq!(form(&once).0, once);
    }
    assert_eq!(form(&format!("note={KEY}")).1, ["b:note"]);
    assert_eq!(form(&format!("{KEY}=1")).1, ["b:*"]);
}

fn part(headers: &str, content: &[u8]) -> Vec<u8> {
    [
        b"--=_x; y\r\n",
        headers.as_bytes(),
        b"\r\n\r\n",
        content,
        b"\r\n",
    ]
    .concat()
}

#[test]
fn each_part_is_masked_as_what_it_is() {
    let field = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let picture = |text: &str| [b"\x89PNG\r\n\x00\xffada@example.com ", text.as_bytes()].concat();
    let file = |kind: &str| {
        format!(
            "{}; filename=\"{KEY}.bin\"\r\nContent-Type: {kind}",
            field("file")
        )
    };
    let body = [
        b"preamble\r\n".to_vec(),
        part(&field("note"), format!("see {KEY}").as_bytes()),
        part(&field("password"), b"correct horse"),
        part(&file("image/png"), &picture(KEY)),
        part(
            &file("application/octet-stream"),
            format!("id={KEY}\n").as_bytes(),
        ),
        part(
            &file("application/json"),
            b"{\"api_key\": \"correct horse\"}",
        ),
        format!("--=_x; y--\r\nepilogue {KEY}").into_bytes(),
    ]
    .concat();
    let (out, places, coverage) = through(PARTS, &body);
    let file = |kind: &str| file(kind).replace(KEY, MASKED);
    let expected = [
        b"preamble\r\n".to_vec(),
        part(&field("note"), format!("see {MASKED}").as_bytes()),
        part(&field("password"), b"[REDACTED:json-sensitive-key]"),
        part(&file("image/png"), &picture(MASKED)),
        part(
            &file("application/octet-stream"),
            format!("id={MASKED}\n").as_bytes(),
        ),
        part(
            &file("application/json"),
            b"{\"api_key\": \"[REDACTED:json-sensitive-key]\"}",
        ),
        format!("--=_x; y--\r\nepilogue {MASKED}").into_bytes(),
    ]
    .concat();
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    for place in ["b", "b:api_key", "b:file", "b:note", "b:password"] {
        assert!(
            places.iter().any(|known| known == place),
            "{place}: {places:?}"
        );
    }
    let mut expected = Coverage::default();
    let picture = picture(KEY).len();
    expected.inspect((body.len() - picture) as u64);
    expected.skip(Gap::Opaque, picture as u64);
    assert_eq!(coverage, expected);
}

#[test]
fn what_has_no_parts_is_a_text() {
    let body = format!("no parts {KEY}");
    for content_type in [
        PARTS,
        "multipart/form-data",
        "multipart/mixed; boundary=",
        "multipart/mixed; boundary=other",
    ] {
        let (out, ..) = through(content_type, body.as_bytes());
        assert_eq!(out, body.replace(KEY, MASKED).as_bytes(), "{content_type}");
    }
    // A part whose end is missing, and a boundary within a line.
    let body = format!("--=_x; y\r\n\r\n{KEY} --=_x; y\r\n--=_x; yz\r\n{KEY}");
    let (out, ..) = through(PARTS, body.as_bytes());
    assert_eq!(out, body.replace(KEY, MASKED).as_bytes());
}
