//! What inputs are made from.

use base64::prelude::*;
use serde_json::json;

use crate::corpus;

pub(crate) const BOUNDARY: &str = "x";

pub(crate) fn text() -> Vec<Vec<u8>> {
    /// One in so many is encoded as well.
    const ENCODED: usize = 5;

    let vectors = corpus::vectors().iter().flat_map(|rule| &rule.positive);
    let encoded = vectors.clone().step_by(ENCODED);
    let encoded = encoded.map(|text| BASE64_STANDARD.encode(format!("> {text}")));
    let all = vectors.cloned().chain(encoded);
    all.map(String::into_bytes).collect()
}

pub(crate) fn json() -> Vec<Vec<u8>> {
    let wrap = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let inner = json!({"note": text, "password": text}).to_string();
        json!({"a": [text, 12.5, null], "password": text, "inner": inner, "n": 4_111_111_111_111_111_u64})
    };
    text()
        .iter()
        .map(|text| wrap(text).to_string().into_bytes())
        .collect()
}

/// Fewer of them: each goes through a stream of events for every piece.
pub(crate) fn tool_input() -> Vec<Vec<u8>> {
    json().into_iter().step_by(3).collect()
}

pub(crate) fn events() -> Vec<Vec<u8>> {
    let wrap = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let half = text.len() / 2;
        let half = (half..).find(|at| text.is_char_boundary(*at)).unwrap();
        let delta = |text: &str| {
            let delta = json!({"type": "text_delta", "text": text});
            json!({"type": "content_block_delta", "index": 0, "delta": delta})
        };
        format!(
            "event: content_block_delta\ndata: {}\n\n: {text}\r\ndata: {}\r\n\r\nevent: content_block_stop\ndata: {}\n\n",
            delta(&text[..half]),
            delta(&text[half..]),
            json!({"type": "content_block_stop", "index": 0}),
        )
    };
    text().iter().map(|text| wrap(text).into_bytes()).collect()
}

pub(crate) fn rows() -> Vec<Vec<u8>> {
    text().iter().chain(&json()).cloned().collect()
}

pub(crate) fn form() -> Vec<Vec<u8>> {
    let wrap = |text: &Vec<u8>| [b"a=1&note=", &text[..], b"&password=", text, b"&b=%41+"].concat();
    text().iter().map(wrap).collect()
}

pub(crate) fn multipart() -> Vec<Vec<u8>> {
    let wrap = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{text}\r\n--{BOUNDARY}\r\nContent-Type: image/png\r\n\r\n\0{text}\r\n--{BOUNDARY}--\r\n"
        )
    };
    text().iter().map(|text| wrap(text).into_bytes()).collect()
}

pub(crate) fn rules() -> Vec<Vec<u8>> {
    let rule = r#"[[rule]]
id = "house-badge"
description = "Number of a badge"
source = "https://wiki.example.com/badges"
literals = ["badge-"]
body = { class = "digit", min = 8, max = 8 }
positive = ["my badge-12345678"]
negative = ["my badge-123456789"]
"#;
    let value = r#"[[rule]]
id = "house-number"
description = "Number of a house"
source = "https://wiki.example.com/numbers"
shape = "value"
keywords = ["house"]
pattern = '[0-9]{4}-[A-Z]{2,6}'
positive = ["house 1234-ABC"]
negative = ["1234-ABC"]
"#;
    [rule, value].map(|rule| rule.as_bytes().to_vec()).to_vec()
}
