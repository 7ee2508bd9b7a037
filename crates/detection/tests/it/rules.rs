//! Detectors of the caller's own.

use tollbook_detection::{Detectors, Place};

fn mistakes(toml: &str) -> Vec<String> {
    let error = Detectors::builder()
        .rules("r.toml", toml)
        .build()
        .unwrap_err();
    error.mistakes().iter().map(ToString::to_string).collect()
}

/// A detector that is right, with some lines changed.
fn rule(changes: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("id", r#""badge""#),
        ("version", "1"),
        ("label", r#""badge""#),
        ("risk", "10"),
        ("places", r#"["tool_use"]"#),
        ("description", r#""d""#),
        ("source", r#""own""#),
        ("literals", r#"["badge-"]"#),
        ("pattern", r"'badge-[0-9]{4}'"),
        ("positive", r#"["badge-1234", "a badge-0000 b"]"#),
        ("negative", r#"["badge-123", "xbadge-1234"]"#),
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
    format!("[[detector]]\n{}", lines.concat())
}

#[test]
fn a_right_rule_is_used_beside_the_built_in_ones() {
    let detectors = Detectors::builder()
        .builtin()
        .rules("r.toml", rule(&[]))
        .build()
        .unwrap();
    let info = detectors.detectors().last().unwrap();
    assert_eq!((info.id, info.version, info.risk), ("badge", 1, 10));
    assert_eq!(info.places, ["tool_use", "other"]);
    let mut scan = detectors.scan();
    scan.text(Place::tool_use("x"), "badge-1234");
    scan.text(Place::UserText, "badge-1234");
    let detected = scan.finish();
    assert_eq!(detected.hits.len(), 1);
    assert_eq!(detected.hits[0].span, 0..10);
}

#[test]
fn each_mistake_is_told() {
    for (changes, expected) in [
        (&[("colour", "1")][..], "unknown field `colour`"),
        (&[("risk", "")], "missing field `risk`"),
        (&[("risk", "101")], "`risk` is more than 100"),
        (&[("version", "0")], "`version` counts from 1"),
        (&[("literals", "")], "no literal"),
        (&[("literals", r#"["ba"]"#)], "a literal has 2 bytes"),
        (&[("literals", r#"["    "]"#)], "nothing but space"),
        (&[("pattern", "'badge-[0-9]+'")], "the pattern has no bound"),
        (
            &[("pattern", "'badge-.{0,600}'")],
            "matches up to 606 bytes",
        ),
        (&[("window", "600")], "`window` is not between 1 and 512"),
        (
            &[("window", "9"), ("pattern", "")],
            "`window` means nothing",
        ),
        (&[("pattern", "'badge-['")], "the pattern cannot be read"),
        (&[("places", "[]")], "no `places`"),
        (&[("places", r#"["prompt"]"#)], "unknown place `prompt`"),
        (&[("validator", r#""luck""#)], "unknown validator `luck`"),
        (&[("validator", r#""bidi-override""#)], "its own characters"),
        (
            &[("positive", r#"["badge-1234"]"#)],
            "fewer than 2 `positive`",
        ),
        (&[("negative", "")], "fewer than 2 `negative`"),
        (
            &[("positive", r#"["badge-1234", "badge-12"]"#)],
            "positive vector 2 is not found",
        ),
        (
            &[("negative", r#"["x", "y", "badge-1234"]"#)],
            "negative vector 3 is found",
        ),
        (&[("id", r#""Badge!""#)], "`id` is made of"),
        (&[("label", r#""a b""#)], "`label` is made of"),
        (&[("description", r#"" ""#)], "`description` is empty"),
        (&[("case", r#""upper""#)], "unknown variant `upper`"),
    ] {
        let told = mistakes(&rule(changes));
        assert!(
            told.iter().any(|told| told.contains(expected)),
            "{expected}: {told:?}"
        );
        assert!(
            told.iter().all(|told| told.starts_with("r.toml:")),
            "{told:?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let toml = format!(
        "{}{}[[hosts]]\nlabel = \"p\"\nsuffixes = [\"a b\", \".x\"]\n",
        rule(&[("risk", "200"), ("literals", "[]")]),
        rule(&[("id", r#""other""#), ("pattern", "'a*'")]),
    );
    let told = mistakes(&toml);
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(
        told[0].starts_with("r.toml:1: detector badge: "),
        "{told:?}"
    );
    assert!(told[2].starts_with("r.toml:13: detector other: the pattern has no bound"));
    assert!(
        told[3].starts_with("r.toml:25: detector host-p: `a b`"),
        "{told:?}"
    );

    let twice = mistakes(&format!("{}{}", rule(&[]), rule(&[])));
    assert_eq!(
        twice,
        ["r.toml:13: detector badge: a detector of this id is already at r.toml:1"]
    );
    assert!(mistakes("a = 1")[0].contains("unknown key `a`"));
    assert!(mistakes("\n\ndetector = [")[0].starts_with("r.toml:3"));
    assert!(mistakes("hosts = 1")[0].contains("not a list"));
}

#[test]
fn surroundings_count_where_a_rule_says_so() {
    let found = |changes: &[(&str, &str)], text: &str| {
        // Where no shell reads, so that backslashes stay.
        let changes = [changes, &[("places", r#"["user_text"]"#)]].concat();
        let detectors = Detectors::builder()
            .rules("r.toml", rule(&changes))
            .build()
            .unwrap();
        let mut scan = detectors.scan();
        scan.text(Place::ToolResult, text);
        scan.text(Place::UserText, text);
        !scan.finish().is_empty()
    };
    let any = [("left", r#""any""#), ("negative", r#"["badge-", "x"]"#)];
    assert!(found(&any, "xbadge-1234") && !found(&[], "xbadge-1234"));
    assert!(found(&[], "x\\nbadge-1234") && !found(&[], "x\\\\nbadge-1234"));

    let line = [
        ("left", r#""line""#),
        ("positive", r#"["badge-1234", "x\n > badge-1234"]"#),
    ];
    assert!(found(&line, "- badge-1234") && !found(&line, "a badge-1234"));

    let right = [("right", r#""boundary""#), ("pattern", "")];
    let right = [
        right[0],
        right[1],
        ("literals", r#"["badge-1234", "badge-0000"]"#),
    ];
    assert!(found(&right, "badge-1234.") && !found(&right, "badge-12345"));

    let window = [
        ("window", "20"),
        ("pattern", "'badge-.*!'"),
        ("positive", r#"["badge-!", "badge-1!"]"#),
    ];
    assert!(found(&window, "badge-12345678901!") && found(&window, "badge-1234567890123!"));
    assert!(!found(&window, "badge-12345678901234!"));

    let case = [("case", r#""insensitive""#)];
    assert!(found(&case, "BADGE-1234") && !found(&[], "BADGE-1234"));
}

#[test]
fn the_hash_is_of_what_judges() {
    let build = |files: &[(&str, &str)], known: &[&str]| {
        let mut builder = Detectors::builder();
        for (name, text) in files {
            builder = builder.rules(*name, *text);
        }
        if !known.is_empty() {
            builder = builder.known_mcp_servers(known.iter().copied());
        }
        builder.build().unwrap().hash()
    };
    let (one, two) = (rule(&[]), rule(&[("id", r#""other""#)]));
    let hash = build(&[("a", &one), ("b", &two)], &[]);
    assert_eq!(hash, build(&[("x", &two), ("y", &one)], &[]));
    assert_ne!(hash, build(&[("a", &one)], &[]));
    assert_ne!(hash, build(&[("a", &one), ("b", &two)], &["h"]));
    assert_ne!(
        build(&[("a", &rule(&[("risk", "11")]))], &[]),
        build(&[("a", &one)], &[])
    );
}
