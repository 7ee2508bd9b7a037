use super::*;

/// The tokens of a text, each as it is written.
fn cut(dialect: Dialect, text: &str) -> Vec<&str> {
    let tokens = tokens(dialect, text, &Settings::default());
    tokens.into_iter().map(|token| &text[token.span]).collect()
}

fn value(dialect: Dialect, text: &str) -> Option<String> {
    match tokens(dialect, text, &Settings::default()).pop()?.kind {
        Kind::Text(value) | Kind::Quoted(value) => Some(value),
        _ => None,
    }
}

#[test]
fn operators_are_cut_as_the_server_cuts_them() {
    let cut = |text| cut(Dialect::Postgres, text);
    assert_eq!(cut("a<-1"), ["a", "<", "-", "1"]);
    assert_eq!(
        cut("a@-1"),
        ["a", "@-", "1"],
        "with a sign that SQL has not"
    );
    assert_eq!(cut("a=-1"), ["a", "=", "-", "1"]);
    assert_eq!(cut("a->>'b'::text"), ["a", "->>", "'b'", "::", "text"]);
    assert_eq!(cut("1..2"), ["1", "..", "2"]);
    assert_eq!(cut("f(a=>1.5e-3)"), ["f", "(", "a", "=>", "1.5e-3", ")"]);
    assert_eq!(
        super::tests::cut(Dialect::MySql, "a<=>b||c:=@d"),
        ["a", "<=>", "b", "||", "c", ":=", "@d"]
    );
}

#[test]
fn strings_mean_what_they_mean_to_the_server() {
    let postgres = |text| value(Dialect::Postgres, text);
    assert_eq!(postgres("'it''s'").as_deref(), Some("it's"));
    assert_eq!(postgres(r"'a\nb'").as_deref(), Some(r"a\nb"));
    assert_eq!(
        postgres(r"E'a\nb\x41\101\u0042\q'").as_deref(),
        Some("a\nbAABq")
    );
    assert_eq!(postgres("E'a'\n  'b'").as_deref(), Some("ab"));
    assert_eq!(
        postgres(r"U&'d\0061t\+000061\\'").as_deref(),
        Some(r"data\")
    );
    assert_eq!(postgres("$q$a'b$q$").as_deref(), Some("a'b"));
    assert_eq!(postgres(r#"U&"\0075sers""#).as_deref(), Some("users"));
    assert_eq!(postgres(r"E'\xzz'").as_deref(), Some("xzz"));
    assert_eq!(postgres(r"E'\uD83D'"), None, "half a pair");
    let mysql = |text| value(Dialect::MySql, text);
    assert_eq!(mysql(r"'it\'s \%'").as_deref(), Some(r"it's \%"));
    assert_eq!(mysql("\"a\"\"b\"").as_deref(), Some("a\"b"));
    assert_eq!(mysql("`a``b`").as_deref(), Some("a`b"));
}

#[test]
fn a_token_shows_nothing_of_what_it_holds() {
    let tokens = tokens(Dialect::Postgres, "SELECT 'hidden'", &Settings::default());
    assert!(!format!("{tokens:?}").contains("hidden"));
}
