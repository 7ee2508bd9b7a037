//! What the server itself says of the corpus.
//!
//! A server of PostgreSQL is asked through its own parser, without running anything: opening a cursor
//! prepares a text, and fails in one way for what it cannot parse and in another for several statements.

use std::fmt::Write as _;

use tollbook_sql::{Dialect, Statements, Unknown};
use tollbook_testkit::postgres::Postgres;

use crate::corpus::{Case, cases};

/// Tables of the corpus, and the question.
const BEFORE: &str = r"
SET client_min_messages = error;
CREATE TABLE users (id int PRIMARY KEY, name text); CREATE TABLE staff (LIKE users);
CREATE TABLE orders (id int, user_id int, total int); CREATE TABLE docs (data jsonb);
CREATE TABLE \042Accounts\042 (\042Name\042 text);
CREATE FUNCTION verdict(q text) RETURNS text LANGUAGE plpgsql AS $verdict$
DECLARE c refcursor;
BEGIN
  OPEN c FOR EXECUTE q; CLOSE c; RETURN 'one';
EXCEPTION
  WHEN invalid_cursor_definition THEN
    RETURN CASE WHEN sqlerrm LIKE 'cannot open multi-query%' THEN 'many' ELSE 'one' END;
  WHEN OTHERS THEN
    RETURN CASE sqlstate WHEN '42601' THEN 'no SQL' ELSE 'parsed ' || sqlstate END;
END $verdict$;
";

#[test]
fn the_server_cuts_and_parses_texts_as_we_do() {
    let postgres = match Postgres::start().unwrap() {
        Some(postgres) => postgres,
        None => {
            println!("NOT TESTED: no PostgreSQL server on this machine (Debian: postgresql)");
            return;
        }
    };
    let cases = cases(Dialect::Postgres);
    let mut asked: Vec<(&Case, String)> = Vec::new();
    let mut script = BEFORE.replace("\\042", "\"");
    let mut ask = |case: &Case, text: &str| {
        let conforming = case.before().standard_conforming_strings;
        write!(
            script,
            "SET standard_conforming_strings = {conforming};\nSELECT verdict($corpus${text}$corpus$);\n"
        )
        .unwrap();
    };
    for case in &cases {
        let read = Statements::read(Dialect::Postgres, &case.text, &case.before());
        if read.is_empty() || !case.server {
            continue;
        }
        ask(case, &case.text);
        asked.push((case, if read.len() > 1 { "many" } else { "one" }.to_owned()));
        for statement in &read {
            // What we cannot read may be anything.
            if !matches!(
                statement.unknown,
                None | Some(Unknown::Function | Unknown::Elsewhere)
            ) {
                continue;
            }
            ask(case, &case.text[statement.span.clone()]);
            asked.push((case, "one".to_owned()));
        }
    }
    let output = postgres.psql(&script).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.is_empty(), "{errors}");
    let verdicts = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<&str> = verdicts.lines().collect();
    assert_eq!(verdicts.len(), asked.len());
    let wrong: Vec<String> = asked
        .iter()
        .zip(verdicts)
        .filter(|((_, told), verdict)| told != verdict && !verdict.starts_with("parsed "))
        .map(|((case, told), verdict)| format!("{:?}: {verdict}, not {told}", case.text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked.len() > 100);
}
