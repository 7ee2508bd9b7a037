//! What is masked.

use serde_json::json;
use tollbook_benches::corpus::{self, Sources};
use tollbook_masking::{
    Masker,
    view::{Column, ColumnKind},
};

use crate::SEED;

/// So long are texts.
const LENGTH: usize = 1 << 20;

/// Texts without a match of any rule, and requests made of them.
pub(crate) struct Texts {
    pub(crate) traffic: Vec<u8>,
    pub(crate) hard: Vec<u8>,
    /// A request with a string without an escape.
    pub(crate) plain: Vec<u8>,
    /// A request with a file as it is, its lines and quotes escaped.
    pub(crate) escaped: Vec<u8>,
    /// A request with the answers of tools that are JSON in a string.
    pub(crate) nested: Vec<u8>,
    /// Whole requests as agents send them.
    pub(crate) requests: Vec<String>,
}

impl Texts {
    pub(crate) fn of(masker: &Masker) -> Self {
        let sources = Sources::read().expect("the bench runs in its workspace");
        let clean = |documents: Vec<corpus::Document>| {
            let mut text: Vec<u8> = Vec::new();
            for document in documents {
                if masker.mask(document.text.as_bytes()).matches.is_empty() {
                    text.extend_from_slice(document.text.as_bytes());
                    text.push(b'\n');
                }
            }
            while text.len() < LENGTH {
                text.extend_from_within(..);
            }
            // What stands at a seam may be a match.
            let mut text = masker.mask(&text[..LENGTH]).masked.into_inner().to_vec();
            text.resize(LENGTH, b'\n');
            text
        };
        let traffic = clean(corpus::traffic(&sources, SEED, LENGTH + (LENGTH >> 1)));
        let hard = clean(corpus::clean(SEED, LENGTH + (LENGTH >> 1)));
        let file = String::from_utf8_lossy(&traffic[..60 << 10]).into_owned();
        let plain: String = file
            .chars()
            .filter(|letter| !matches!(letter, '\n' | '\t' | '"' | '\\'))
            .collect();
        let answers: Vec<String> = file
            .split_inclusive("\n\n")
            .map(|part| json!({ "exit": 0, "stdout": part, "stderr": "" }).to_string())
            .collect();
        Self {
            plain: request(&json!([plain])),
            escaped: request(&json!([file])),
            nested: request(&json!(answers)),
            requests: corpus::requests(&sources, SEED, LENGTH),
            traffic,
            hard,
        }
    }

    /// Cells of 20 to 80 bytes of text.
    pub(crate) fn text_rows(&self) -> Table {
        let text = String::from_utf8_lossy(&self.traffic[..64 << 10]).into_owned();
        let cells = text.lines().filter(|line| line.len() >= 20);
        let cells = cells.map(|line| line.chars().take(80).collect());
        Table::new(
            &[
                ("id", ColumnKind::Text),
                ("note", ColumnKind::Text),
                ("title", ColumnKind::Text),
            ],
            cells.collect(),
        )
    }

    /// Numbers of 1 to 9 digits.
    pub(crate) fn int_rows(&self) -> Table {
        let numbers = (1..8000u64)
            .map(|number| (number * number * 37 % 10u64.pow(1 + (number % 9) as u32)).to_string());
        Table::new(
            &[
                ("id", ColumnKind::Number),
                ("amount", ColumnKind::Number),
                ("orders", ColumnKind::Number),
            ],
            numbers.collect(),
        )
    }

    /// Cells of some KiB.
    pub(crate) fn wide_rows(&self) -> Table {
        let text = String::from_utf8_lossy(&self.traffic[..256 << 10]).into_owned();
        let letters: Vec<char> = text.chars().collect();
        let cells = letters.chunks(4 << 10).map(|cell| cell.iter().collect());
        Table::new(
            &[("id", ColumnKind::Text), ("page", ColumnKind::Text)],
            cells.collect(),
        )
    }
}

fn request(contents: &serde_json::Value) -> Vec<u8> {
    let contents = contents.as_array().into_iter().flatten();
    let messages: Vec<_> = contents
        .map(|content| json!({ "role": "user", "content": content }))
        .collect();
    json!({ "model": "m", "max_tokens": 1, "messages": messages })
        .to_string()
        .into_bytes()
}

/// The result of a query.
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// Cells, row by row.
    pub(crate) cells: Vec<String>,
}

impl Table {
    fn new(columns: &[(&str, ColumnKind)], mut cells: Vec<String>) -> Self {
        cells.truncate(cells.len() / columns.len() * columns.len());
        let columns = columns.iter().map(|(name, kind)| Column::new(*name, *kind));
        Self {
            columns: columns.collect(),
            cells,
        }
    }
}

/// Texts that are all beginnings of something, as what is repeated.
pub(crate) const ADVERSARIAL: &[(&str, &str)] = &[
    ("ghp", "ghp_"),
    ("ghp-bounded", "-ghp_"),
    ("jwt", "eyJ"),
    ("jwt-bounded", "-eyJ"),
    ("jwt-head", "eyJhbGciOi."),
    ("digits", "1"),
    ("digits-spaced", "1 "),
    ("digits-dashed", "1-"),
    ("times", "12:"),
    ("cards", "4111 1111 "),
    ("one-letter", "a"),
    ("paths", "a/"),
    ("backslashes", "\\"),
    ("quotes-escaped", "\\\""),
    ("lines-escaped", "\\n"),
    ("colons", "::"),
    ("walrus", ":="),
    ("equals", "=="),
    ("assignments", "a="),
    ("ats", "@@"),
    ("mail", "a@"),
    ("mail-dotted", "a.b@c."),
    ("pem", "-----BEGIN "),
    ("dashes", "-----"),
    ("password", "password="),
    ("password-quoted", "password: \""),
    ("password-short", "password=\"x\" "),
    ("key", "key="),
    ("token", "token = "),
    ("bearer", "Bearer "),
    ("users", "://a:"),
    ("users-with-hosts", "http://a:b"),
    ("akia", "AKIA"),
    ("akia-bounded", " AKIA"),
    ("upper-and-digits", "AB12 "),
    ("hex-pairs", "0a:"),
    ("hex-pairs-dashed", "0a-"),
    ("ipv6", "::1"),
    ("plus", "+1"),
    ("brackets", "(1"),
    ("percent-spaces", "%20"),
    ("percent-mail", "a%40"),
    ("base64", "Zz9/"),
    ("service-words", "datadog "),
    ("hex-words", "0123456789abcdef "),
    ("hex-keys", "x: 0123456789abcdef0123456789abcdef\n"),
    ("not-ascii", "\u{e9}"),
    ("zeros", "\0"),
    ("square", "["),
    ("lines", "\n"),
    ("sk", " sk-"),
    ("sk-ant", "sk-ant-"),
    ("placeholders", "[REDACTED:jwt]"),
];
