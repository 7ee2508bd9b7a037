//! What a SQL exchange says: its statement, and its results as far as they were recorded.

use serde::Serialize;
use serde_json::Value;
use tollbook_sql::{Dialect, Settings, Statements};

/// A SQL exchange, told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sql {
    /// The masked text; empty for what has none, such as a session that begins.
    pub statement: String,
    /// The masked values that came with it, as texts.
    pub parameters: Vec<Option<String>>,
    /// Its results, in their order.
    pub results: Vec<SqlResult>,
}

/// What one statement gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SqlResult {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The masked rows that were recorded.
    pub rows: Vec<Vec<Option<String>>>,
    /// What it came to: a command tag such as `SELECT 3`, an error, what was copied.
    pub end: Option<String>,
    /// What the server said beside it.
    pub notices: Vec<String>,
}

impl Sql {
    /// What an exchange in its JSON form says, if it is one of SQL.
    pub fn of(record: &Value) -> Option<Self> {
        let action = record["action"]["name"].as_str()?;
        if !action.starts_with("sql.") {
            return None;
        }
        let asked = record["request"]["body"].as_str().unwrap_or_default();
        let asked: Value = serde_json::from_str(asked).unwrap_or_default();
        let parameters = asked["parameters"].as_array().into_iter().flatten();
        let answer = record["response"]["body"].as_str().unwrap_or_default();
        Some(Self {
            statement: asked["statement"].as_str().unwrap_or_default().to_owned(),
            parameters: parameters.map(cell).collect(),
            results: results(answer),
        })
    }

    /// The results as tables for a person, with no more than so many rows each.
    pub fn tables(&self, most: usize) -> String {
        let mut out = String::new();
        for result in &self.results {
            result.write(most, &mut out);
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// All cells and messages of the results, as full text has them.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        for result in &self.results {
            words.extend(result.rows.iter().flatten().flatten().map(String::as_str));
            words.extend(result.notices.iter().map(String::as_str));
            words.extend(result.end.as_deref());
        }
        words.join("\n")
    }
}

impl SqlResult {
    fn write(&self, most: usize, out: &mut String) {
        let rows = self.rows.iter().take(most);
        let line = |row: &[Option<String>]| -> Vec<String> {
            let cell = |cell: &Option<String>| cut(cell.as_deref().unwrap_or("∅"));
            row.iter().map(cell).collect()
        };
        let mut lines: Vec<Vec<String>> = vec![self.columns.iter().map(|name| cut(name)).collect()];
        lines.extend(rows.map(|row| line(row)));
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let cells = line.iter().zip(&widths);
            let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
            let text = cells.collect::<Vec<_>>().join(" | ");
            out.push_str(text.trim_end());
            out.push('\n');
        }
        if self.rows.len() > most {
            out.push_str(&format!("… {} more rows\n", self.rows.len() - most));
        }
        for told in self.notices.iter().chain(&self.end) {
            out.push_str(told);
            out.push('\n');
        }
    }
}

/// Fingerprints of the statements in a text, each by itself: a client may send them together or apart.
pub(crate) fn fingerprints(text: &str) -> Vec<String> {
    if text.len() > LONGEST {
        return Vec::new();
    }
    let read = Statements::read(Dialect::Postgres, text, &Settings::default());
    read.iter()
        .map(|statement| statement.fingerprint.to_string())
        .collect()
}

/// The SQL that a tool call may send, found in its input: a text that begins as SQL does, alone or within
/// quotes or a here-document of a command or script.
pub(crate) fn in_input(input: &Value) -> Vec<String> {
    let mut found = Vec::new();
    leaves(input, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

fn leaves(input: &Value, found: &mut Vec<String>) {
    match input {
        Value::String(text) if text.len() <= LONGEST => texts(text, 0, found),
        Value::Array(all) => all.iter().for_each(|one| leaves(one, found)),
        Value::Object(all) => all.values().for_each(|one| leaves(one, found)),
        _ => {}
    }
}

/// The text itself if it is SQL; otherwise what stands in it in quotes and here-documents.
fn texts(text: &str, depth: usize, found: &mut Vec<String>) {
    if found.len() >= MOST {
        return;
    }
    if is_sql(text) {
        found.extend(fingerprints(text));
        return;
    }
    if depth == DEPTH {
        return;
    }
    for part in here_documents(text) {
        texts(part, depth + 1, found);
    }
    for part in quoted(text) {
        texts(&part, depth + 1, found);
    }
}

fn is_sql(text: &str) -> bool {
    let text = text.trim_start().trim_start_matches('(');
    let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let word = text[..length].to_ascii_lowercase();
    FIRST.contains(&word.as_str())
}

/// The bodies of here-documents: what stands between `<<WORD` and a line that is `WORD`.
fn here_documents(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices("<<") {
        let head = text[at + 2..].trim_start_matches('-').trim_start();
        let word: String = head
            .trim_start_matches(['\'', '"', '\\'])
            .chars()
            .take_while(|sign| sign.is_ascii_alphanumeric() || *sign == '_')
            .collect();
        let Some(begin) = text[at..].find('\n').map(|line| at + line + 1) else {
            continue;
        };
        if word.is_empty() {
            continue;
        }
        let mut end = begin;
        for line in text[begin..].split_inclusive('\n') {
            if line.trim() == word {
                all.push(&text[begin..end]);
                break;
            }
            end += line.len();
        }
    }
    all
}

/// What stands in quotes of a shell, or of Python or JavaScript, with what a backslash escapes.
fn quoted(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '`']) {
        let quote = &rest[at..=at];
        let triple = quote.repeat(3);
        let quote = if rest[at..].starts_with(&triple) {
            &*triple
        } else {
            quote
        };
        let inside = &rest[at + quote.len()..];
        let (mut part, mut signs, mut end) = (String::new(), inside.char_indices(), None);
        while let Some((place, sign)) = signs.next() {
            if inside[place..].starts_with(quote) {
                end = Some(place + quote.len());
                break;
            }
            match sign {
                '\\' if quote != "'" => match signs.next() {
                    Some((_, 'n')) => part.push('\n'),
                    Some((_, sign)) => part.push(sign),
                    None => {}
                },
                sign => part.push(sign),
            }
        }
        let Some(end) = end else { break };
        all.push(part);
        rest = &inside[end..];
    }
    all
}

fn results(answer: &str) -> Vec<SqlResult> {
    let mut all: Vec<SqlResult> = Vec::new();
    let mut open = false;
    for line in answer.lines() {
        let Ok(told) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if !open {
            all.push(SqlResult::default());
            open = true;
        }
        let Some(last) = all.last_mut() else { continue };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match &told {
            Value::Array(row) => last.rows.push(row.iter().map(cell).collect()),
            Value::Object(told) => {
                if let Some(columns) = told.get("columns").and_then(Value::as_array) {
                    let name = |column: &Value| match column {
                        Value::String(name) => name.clone(),
                        column => text(&column["name"]),
                    };
                    last.columns = columns.iter().map(name).collect();
                } else if let Some(tag) = told.get("command") {
                    last.end = Some(text(tag));
                    open = false;
                } else if let Some(error) = told.get("error") {
                    last.end = Some(message("ERROR", error));
                    open = false;
                } else if let Some(notice) = told.get("notice") {
                    last.notices.push(message("NOTICE", notice));
                } else {
                    last.notices.push(line.to_owned());
                }
            }
            _ => {}
        }
    }
    all
}

fn message(severity: &str, of: &Value) -> String {
    let text = |key: &str| of[key].as_str();
    let mut told = format!(
        "{} {}: {}",
        text("severity").unwrap_or(severity),
        text("code").unwrap_or_default(),
        text("message").unwrap_or_default()
    );
    for key in ["detail", "hint"] {
        if let Some(more) = text(key) {
            told.push_str(&format!("\n{key}: {more}"));
        }
    }
    told
}

fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(told) => match told.get("bytes") {
            Some(bytes) => Some(format!("({bytes} bytes)")),
            None => Some(value.to_string()),
        },
        other => Some(other.to_string()),
    }
}

fn cut(text: &str) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(CELL) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// What SQL begins with, that a tool call is likely to send.
const FIRST: [&str; 33] = [
    "select", "insert", "update", "delete", "with", "merge", "truncate", "create", "alter", "drop",
    "grant", "revoke", "copy", "explain", "begin", "start", "commit", "rollback", "set", "show",
    "do", "call", "execute", "prepare", "values", "table", "vacuum", "analyze", "listen", "notify",
    "declare", "fetch", "lock",
];
/// The longest text that is looked at, in bytes.
const LONGEST: usize = 256 << 10;
/// How many statements a tool call is known by.
const MOST: usize = 256;
/// Quotes within here-documents within quotes.
const DEPTH: usize = 3;
/// The most characters of a cell in a table.
const CELL: usize = 60;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statements_are_found_however_a_tool_call_holds_them() {
        let sent = fingerprints("SELECT id FROM users WHERE name = 'ann'");
        for command in [
            json!({ "command": "psql -c \"SELECT id FROM users WHERE name = 'bob'\"" }),
            json!({ "command": "psql -Atc 'select id from users where name = $1;' | wc -l" }),
            json!({ "command": "cd x && psql <<'SQL'\nBEGIN;\nSELECT id\n  FROM users WHERE name = 'x';\nSQL\n" }),
            json!({ "command": "echo \"SELECT id FROM users WHERE name = 'a'\" | psql" }),
            json!({ "command": "python3 - <<EOF\ncur.execute(\"\"\"\n SELECT id FROM users WHERE name = %s\n\"\"\".replace('%s', '1'))\nEOF" }),
            json!({ "command": "bash -c \"psql -c \\\"SELECT id FROM users WHERE name = 'x'\\\"\"" }),
            json!({ "query": "SELECT id FROM users WHERE name = 'x'" }),
        ] {
            let found = in_input(&command);
            let like = command.to_string().contains("%s");
            assert!(like || found.contains(&sent[0]), "{command}: {found:?}");
        }
        assert_eq!(
            in_input(&json!({ "command": "ls -la 'update'" })),
            fingerprints("update")
        );
        assert!(in_input(&json!({ "command": "git commit -m 'it is done'" })).is_empty());
    }

    #[test]
    fn results_are_told_as_tables() {
        let body = [
            r#"{"columns":[{"name":"id","type":"int4"},{"name":"note","type":"text"}]}"#,
            r#"["1","a\nb"]"#,
            r#"["20",null]"#,
            r#"["3",{"bytes":16}]"#,
            r#"{"command":"SELECT 3"}"#,
            r#"{"notice":{"severity":"NOTICE","code":"00000","message":"careful"}}"#,
            r#"{"error":{"severity":"ERROR","code":"42501","message":"no","hint":"ask"}}"#,
        ]
        .join("\n");
        let request = json!({ "statement": "SELECT 1", "parameters": ["x", null] }).to_string();
        let record = json!({
            "action": { "name": "sql.query" },
            "request": { "body": request },
            "response": { "body": body },
        });
        let sql = Sql::of(&record).unwrap();
        assert_eq!(sql.parameters, [Some("x".to_owned()), None]);
        assert_eq!(
            sql.tables(2),
            "id | note\n1  | a b\n20 | ∅\n… 1 more rows\nSELECT 3\n\
             NOTICE 00000: careful\nERROR 42501: no\nhint: ask"
        );
        assert!(sql.words().contains("(16 bytes)"));
        assert_eq!(
            Sql::of(&json!({ "action": { "name": "messages.create" } })),
            None
        );
    }
}
