//! Rules of the caller's own.

use tollbook_masking::Masker;

fn mistakes(toml: &str) -> Vec<String> {
    let error = Masker::builder().rules("r.toml", toml).build().unwrap_err();
    error.mistakes().iter().map(ToString::to_string).collect()
}

/// A rule that is right, with some lines changed.
fn rule(changes: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("id", r#""badge""#),
        ("description", r#""d""#),
        ("source", r#""s""#),
        ("literals", r#"["badge-"]"#),
        ("body", r#"{ class = "digit", min = 4, max = 8 }"#),
        ("positive", r#"["badge-1234"]"#),
        ("negative", r#"["badge-123"]"#),
    ];
    for (key, value) in changes {
        match lines.iter_mut().find(|(known, _)| known == key) {
            Some(line) => line.1 = value,
            None => lines.push((key, value)),
        }
    }
    let lines: Vec<String> = lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    format!("[[rule]]\n{}", lines.concat())
}

#[test]
fn a_right_rule_is_used_beside_the_built_in_ones() {
    let masker = Masker::builder()
        .builtin()
        .rules("r.toml", rule(&[]))
        .build()
        .unwrap();
    assert!(
        masker
            .rules()
            .any(|rule| (rule.id, rule.description, rule.source) == ("badge", "d", "s"))
    );
    let scan = masker.mask(b"badge-12345 AKIAIOSFODNN7EXAMPLE");
    assert_eq!(
        scan.masked.as_inner().as_ref(),
        b"[REDACTED:badge] [REDACTED:aws-access-key-id]"
    );
    assert_eq!(scan.matches.len(), 2);
}

#[test]
fn each_mistake_is_told() {
    for (changes, expected) in [
        (&[("colour", "1")][..], "unknown key `colour`; known are"),
        (
            &[("keyword", r#"["x"]"#)],
            "unknown key `keyword`; did you mean `keywords`?",
        ),
        (&[("tags", r#"["Cloud"]"#)], "the tag `Cloud` is not a word"),
        (&[("confidence", r#""sure""#)], "unknown variant `sure`"),
        (&[("kind", r#""public""#)], "unknown variant `public`"),
        (&[("keywords", r#"["id"]"#)], "a keyword is shorter than 3"),
        (&[("pattern", "'[0-9]{4}'")], "`pattern` and `body`"),
        (
            &[("body", ""), ("pattern", "'[0-9]+'")],
            "the pattern has no bound",
        ),
        (
            &[("body", ""), ("pattern", "'[0-9]{0,4}'")],
            "the pattern matches the empty text",
        ),
        (
            &[("body", ""), ("pattern", "'[^ ]{4}'")],
            "the pattern matches `[`",
        ),
        (
            &[("body", ""), ("pattern", r"'\b[0-9]{4}'")],
            "the pattern looks around",
        ),
        (
            &[("body", ""), ("pattern", "'([0-9]){4}'")],
            "the pattern has capture groups",
        ),
        (
            &[("body", ""), ("pattern", "'[ab]{0,50}a[ab]{20}'")],
            "larger than 1 MiB",
        ),
        (
            &[("shape", r#""value""#)],
            "a rule of this shape has no literals",
        ),
        (
            &[
                ("shape", r#""value""#),
                ("literals", ""),
                ("left", r#""any""#),
            ],
            "no lane",
        ),
        (
            &[
                ("shape", r#""value""#),
                ("literals", ""),
                ("body", r#"{ class = "alnum", min = 7, max = 9 }"#),
                ("keywords", r#"["swift"]"#),
                ("positive", r#"["swift ABCDEFGH"]"#),
            ],
            "no lane",
        ),
        (
            &[
                ("shape", r#""email""#),
                ("literals", ""),
                ("positive", r#"["a@b.io"]"#),
            ],
            "`body` means nothing",
        ),
        (&[("apart", "true")], "`apart` means nothing"),
        (&[("literals", "")], "no literal"),
        (&[("literals", "[]")], "no literal"),
        (&[("literals", r#"["ab"]"#)], "a literal has 2 bytes"),
        (&[("literals", r#"["[REDACTED:"]"#)], "a literal holds `[`"),
        (&[("body", "")], "neither `body` nor `pattern`"),
        (
            &[("body", r#"{ class = "letters", min = 4 }"#)],
            "unknown class `letters`",
        ),
        (&[("body", r#"{ class = "digit" }"#)], "missing field `min`"),
        (
            &[("body", r#"{ class = "digit", min = 0, max = 8 }"#)],
            "`min` is not between",
        ),
        (
            &[("body", r#"{ class = "digit", min = 4, max = 3 }"#)],
            "`max` is not between",
        ),
        (
            &[("body", r#"{ class = "digit", min = 4, max = 400 }"#)],
            "`max` is not between",
        ),
        (
            &[("body", r#"{ class = "base64", min = 4, max = 8 }"#)],
            "another secret could hide",
        ),
        (
            &[("body", r#"{ class = "quoted", min = 4 }"#)],
            "ends at a quote",
        ),
        (&[("positive", "[]")], "no `positive` test vector"),
        (&[("negative", "[]")], "no `negative` test vector"),
        (
            &[("positive", r#"["badge-123"]"#)],
            "positive vector 1 is not found",
        ),
        (
            &[("negative", r#"["x", "badge-1234"]"#)],
            "negative vector 2 is found",
        ),
        (&[("validate", r#"["luck"]"#)], "unknown validator `luck`"),
        (&[("id", r#""Badge!""#)], "an id is made of"),
        (&[("description", r#"" ""#)], "`description` is empty"),
        (&[("quotes", r#""required""#)], "`quotes` means nothing"),
        (
            &[("shape", r#""assignment""#), ("keep", "true")],
            "`keep` means nothing",
        ),
        (&[("shape", r#""regex""#)], "unknown variant `regex`"),
        (
            &[
                ("literals", r#"["CTED:"]"#),
                ("left", r#""any""#),
                ("body", r#"{ class = "token", min = 3 }"#),
                ("positive", r#"["CTED:abc"]"#),
                ("negative", r#"["CTED:"]"#),
            ],
            "is part of what all placeholders begin with",
        ),
    ] {
        let told = mistakes(&rule(changes));
        assert!(
            told.iter().any(|told| told.contains(expected)),
            "{expected}: {told:?}"
        );
        let at = if expected.starts_with("missing")
            || expected.starts_with("unknown key")
            || expected.starts_with("unknown variant")
        {
            "r.toml:"
        } else {
            "r.toml:1: rule "
        };
        assert!(told.iter().all(|told| told.starts_with(at)), "{told:?}");
    }
}

#[test]
fn surroundings_count_where_a_rule_says_so() {
    let found = |changes: &[(&str, &str)], text: &str| {
        let masker = Masker::builder()
            .rules("r.toml", rule(changes))
            .build()
            .unwrap();
        !masker.mask(text.as_bytes()).matches.is_empty()
    };
    let near = [
        ("keywords", r#"["Visitor"]"#),
        ("positive", r#"["visitor badge-1234"]"#),
    ];
    assert!(found(&near, "the VISITOR's badge-1234"));
    assert!(!found(&near, "badge-1234 of a visitor"));
    assert!(!found(
        &near,
        &format!("visitor{}badge-1234", " ".repeat(60))
    ));

    let digit = [("left", r#""digit""#), ("positive", r#"["7badge-1234"]"#)];
    assert!(found(&digit, "7badge-1234") && !found(&digit, "badge-1234"));
    let any = [("left", r#""any""#)];
    assert!(found(&any, "xbadge-1234") && !found(&[], "xbadge-1234"));
    assert!(found(&[], r"x\nbadge-1234") && found(&[], "x%20badge-1234"));
}

#[test]
fn a_value_is_found_by_its_form_and_the_words_before_it() {
    let value = [
        ("shape", r#""value""#),
        ("literals", ""),
        ("body", ""),
        ("pattern", "'[A-F][0-9]{3}(?:-[0-9]{4}){3}'"),
        ("keywords", r#"["badge"]"#),
        ("positive", r#"["badge: A123-1234-1234-1234"]"#),
        (
            "negative",
            r#"["A123-1234-1234-1234", "badge\nA123-1234-1234-1234"]"#,
        ),
    ];
    let masker = Masker::builder()
        .rules("r.toml", rule(&value))
        .build()
        .unwrap();
    let scan = masker.mask(b"Badges: A123-1234-1234-1234, A123-1234-1234-12345, X");
    assert_eq!(
        scan.masked.as_inner().as_ref(),
        b"Badges: [REDACTED:badge], A123-1234-1234-12345, X"
    );

    let address = [
        ("shape", r#""email""#),
        ("literals", ""),
        ("body", ""),
        ("positive", r#"["jane@acme.io"]"#),
        ("negative", r#"["git@acme.io:jane/x"]"#),
    ];
    let masker = Masker::builder()
        .rules("r.toml", rule(&address))
        .build()
        .unwrap();
    let scan = masker.mask(b"From: Jane <jane.doe+x@mail.acme.co.uk>");
    assert_eq!(
        scan.masked.as_inner().as_ref(),
        b"From: Jane <[REDACTED:badge]>"
    );
}

#[test]
fn a_placeholder_is_no_value() {
    let value = [
        ("shape", r#""value""#),
        ("literals", ""),
        ("id", r#""an-id-with-0123456789abcdef""#),
        ("body", r#"{ class = "path", min = 16 }"#),
        ("positive", r#"["0123456789abcdef0123"]"#),
    ];
    let masker = Masker::builder()
        .rules("r.toml", rule(&value))
        .build()
        .unwrap();
    let mask = |text: &str| {
        String::from_utf8(masker.mask(text.as_bytes()).masked.into_inner().to_vec()).unwrap()
    };
    let once = mask("x 0123456789abcdef0123, y");
    assert_eq!(once, "x [REDACTED:an-id-with-0123456789abcdef], y");
    assert_eq!(mask(&once), once);
    // Brackets alone hide nothing.
    assert_eq!(
        mask("[REDACTED:0123456789abcdef0123]"),
        "[REDACTED:[REDACTED:an-id-with-0123456789abcdef]]"
    );
}

#[test]
fn a_pattern_takes_the_place_of_a_body() {
    let found = |changes: &[(&str, &str)], text: &str| {
        let masker = Masker::builder()
            .rules("r.toml", rule(changes))
            .build()
            .unwrap();
        String::from_utf8(masker.mask(text.as_bytes()).masked.into_inner().to_vec()).unwrap()
    };
    let pattern = [("body", ""), ("pattern", "'[0-9]{4}(?:-[a-z]{2}){0,2}'")];
    assert_eq!(found(&pattern, "badge-1234-ab-cde"), "[REDACTED:badge]-cde");
    assert_eq!(found(&pattern, "badge-12345"), "badge-12345");
    let keyed = [
        ("shape", r#""assignment""#),
        ("literals", r#"["badge"]"#),
        ("body", ""),
        ("pattern", "'[0-9]{4}(?:-[a-z]{2}){0,2}'"),
        ("positive", r#"["badge = 1234-ab"]"#),
        ("negative", r#"["badge = 1234-abc"]"#),
    ];
    assert_eq!(found(&keyed, "badge: '1234'"), "badge: '[REDACTED:badge]'");
    assert_eq!(found(&keyed, "badge: '1234 x'"), "badge: '1234 x'");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let toml = format!(
        "{}{}{}",
        rule(&[("positive", "[]"), ("validate", r#"["luck"]"#)]),
        rule(&[]),
        rule(&[
            ("id", r#""other""#),
            ("body", r#"{ class = "none", min = 1 }"#)
        ]),
    );
    let told = mistakes(&toml);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[2].starts_with("r.toml:18: rule other: unknown class"),
        "{told:?}"
    );

    let twice = mistakes(&format!("{}{}", rule(&[]), rule(&[])));
    assert_eq!(
        twice,
        ["r.toml:9: rule badge: a rule of this id is already at r.toml:1"]
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    assert!(mistakes("a = 1")[0].contains("unknown key `a`"));
    assert!(mistakes("\n\nrule = [")[0].starts_with("r.toml:3"));
    assert!(mistakes("rule = 1")[0].contains("not a list"));
}

#[test]
fn neither_rules_nor_texts_are_shown() {
    let masker = Masker::builtin();
    assert!(format!("{masker:?}").starts_with("Masker { rules: "));
    let mut stream = masker.stream();
    stream.push(b"ghp_secret", &mut Vec::new());
    assert_eq!(format!("{stream:?}"), "MaskStream { held: 10, .. }");
}
