//! What holds for every text.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tollbook_sql::{Dialect, Settings, Statement, Statements, fingerprint, literals, normalized};

use crate::corpus::cases;

/// Texts of the corpus, cut and put together with what begins and ends things.
fn text(dialect: Dialect) -> impl Strategy<Value = String> {
    let texts: Vec<String> = cases(dialect).into_iter().map(|case| case.text).collect();
    let glue = prop::sample::select(vec![
        ";", " ", "'", "\"", "`", "--", "-- ", "/*", "*/", "/*!", "#", "\\", "$$", "$a$", "E'",
        "U&'", "U&\"", "(", ")", "\n", "\r", "\0", "é", "\u{a0}", "@", "@@", "?", "$1", "1.",
        ".5e", "0x", "::", "UESCAPE",
    ]);
    let part = (
        prop::sample::select(texts),
        any::<prop::sample::Index>(),
        0..3,
    )
        .prop_map(|(text, at, how)| {
            let mut at = at.index(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match how {
                0 => text,
                1 => text[at..].to_owned(),
                _ => text[..at].to_owned(),
            }
        });
    let piece = prop_oneof![part, glue.prop_map(str::to_owned)];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

/// Texts of the corpus of which all is known.
fn known(dialect: Dialect) -> impl Strategy<Value = String> {
    let texts: Vec<String> = cases(dialect)
        .into_iter()
        .map(|case| case.text)
        .filter(|text| !Statements::read(dialect, text, &Settings::default()).any_unknown())
        .collect();
    assert!(texts.len() > 10);
    prop::sample::select(texts)
}

fn known_text() -> impl Strategy<Value = (Dialect, String)> {
    prop_oneof![
        known(Dialect::Postgres).prop_map(|text| (Dialect::Postgres, text)),
        known(Dialect::MySql).prop_map(|text| (Dialect::MySql, text)),
    ]
}

fn any_text() -> impl Strategy<Value = (Dialect, String)> {
    prop_oneof![
        text(Dialect::Postgres).prop_map(|text| (Dialect::Postgres, text)),
        text(Dialect::MySql).prop_map(|text| (Dialect::MySql, text)),
    ]
}

proptest! {
    #[test]
    fn statements_and_literals_lie_in_the_text_in_order((dialect, text) in any_text()) {
        let settings = Settings::default();
        let read = Statements::read(dialect, &text, &settings);
        let mut end = 0;
        for statement in &read {
            prop_assert!(end <= statement.span.start && statement.span.start < statement.span.end);
            prop_assert!(text.get(statement.span.clone()).is_some());
            prop_assert_eq!(statement.unknown.is_some(), statement.class.as_str() == "unknown");
            end = statement.span.end;
        }
        let mut end = 0;
        for literal in literals(dialect, &text, &settings) {
            prop_assert!(end <= literal.start && text.get(literal.clone()).is_some());
            end = literal.end;
        }
    }

    /// Between statements there is nothing but semicolons, white space and comments: nothing is left out.
    #[test]
    fn nothing_is_left_out_between_statements((dialect, text) in any_text()) {
        let settings = Settings::default();
        let read = Statements::read(dialect, &text, &settings);
        let mut at = 0;
        for statement in &read {
            let between = Statements::read(dialect, &text[at..statement.span.start], &settings);
            prop_assert!(between.is_empty());
            at = statement.span.end;
        }
    }

    #[test]
    fn a_batch_is_the_union_of_its_statements((a, b) in (known(Dialect::Postgres), known(Dialect::Postgres))) {
        let settings = Settings::default();
        let read = |text: &str| Statements::read(Dialect::Postgres, text, &settings);
        let (first, second) = (read(&a), read(&b));
        let both = read(&format!("{a}\n;{b}"));
        prop_assert_eq!(both.len(), first.len() + second.len());
        prop_assert_eq!(both.class(), first.class().max(second.class()));
        let union = |of: &dyn Fn(&Statement) -> &BTreeSet<String>| {
            let parts: BTreeSet<_> = first.iter().chain(&second).flat_map(of).collect();
            let whole: BTreeSet<_> = both.iter().flat_map(of).collect();
            parts == whole
        };
        prop_assert!(union(&|of| &of.relations_read));
        prop_assert!(union(&|of| &of.relations_written));
        prop_assert!(union(&|of| &of.functions));
    }

    #[test]
    fn other_values_and_white_space_have_the_same_fingerprint(
        (dialect, text) in known_text(),
        value in "[a-z ;]{0,12}",
        number in 0u32..9999,
    ) {
        // What this test replaces without knowing it.
        let odd = ["\"", "`", "/*", "--", "#", "\\", "$", "E'", "B'", "X'", "U&", "0x", "\0"];
        prop_assume!(!odd.iter().any(|odd| text.to_uppercase().contains(&odd.to_uppercase())));
        let settings = Settings::default();
        let mut other = String::new();
        let mut at = 0;
        for literal in literals(dialect, &text, &settings) {
            other.push_str(&text[at..literal.start].replace(' ', " \t\n "));
            match text[literal.clone()].starts_with(['\'', 'n', 'N']) {
                true => other.push_str(&format!("'{value}'")),
                false => other.push_str(&number.to_string()),
            }
            at = literal.end;
        }
        other.push_str(&text[at..].replace(' ', "  "));
        prop_assert_eq!(
            fingerprint(dialect, &text, &settings),
            fingerprint(dialect, &other, &settings),
            "{} is not {}", normalized(dialect, &text, &settings), normalized(dialect, &other, &settings)
        );
    }

    #[test]
    fn no_literal_is_told((dialect, text) in known_text()) {
        let secret = "qzjxk";
        let text = format!("{text}\n; SELECT '{secret}', 'a' || '{secret}' FROM t WHERE x = '{secret}'; PREPARE p AS SELECT '{secret}'");
        let settings = Settings::default();
        let read = Statements::read(dialect, &text, &settings);
        let told = [
            format!("{read:?}"),
            serde_json::to_string(&read).unwrap(),
            serde_json::to_string(&read.action()).unwrap(),
            normalized(dialect, &text, &settings),
        ];
        for told in told {
            prop_assert!(!told.contains(secret), "{}", told);
        }
    }
}
