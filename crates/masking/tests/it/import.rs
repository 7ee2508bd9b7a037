//! Rules of others.

use tollbook_masking::{Imported, Masker};

fn import(rules: &str) -> Imported {
    Masker::import_gitleaks("theirs.toml", rules).unwrap()
}

fn rule(id: &str, more: &str) -> String {
    format!("[[rules]]\nid = '{id}'\ndescription = 'd'\n{more}\n")
}

/// The operator and the end that such expressions have around a secret.
const OPERATOR: &str =
    r#"(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}"#;
const END: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;

#[test]
fn what_is_kept_finds_what_it_found() {
    let near = |word: &str, secret: &str| {
        format!("regex = '''(?i)[\\w.-]{{0,50}}?(?:{word}){OPERATOR}({secret}){END}'''")
    };
    let token = "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P";
    let hex = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    for (more, found, not_found) in [
        (
            r"regex = '''\b((?:bdg|bdx)_[a-zA-Z0-9]{32})\b'''".to_owned(),
            format!("x=bdg_{token} bdx_{token}"),
            format!("bdy_{token}"),
        ),
        (
            near("badge", "[a-f0-9]{32}"),
            format!("BADGE_KEY: '{hex}'"),
            format!("other_key: '{hex}'"),
        ),
        (
            near("badge|visitor", "(?:vis-)?[a-z0-9]{12,20}[a-f0-9]{12}"),
            format!("visitor => \"{hex}\""),
            format!("{hex} visitor"),
        ),
        (
            r"regex = '''bdgkey-[\w-]{200,}'''".to_owned(),
            format!("bdgkey-{}", "a-B_".repeat(50)),
            format!("bdgkey-{}", "a-B_".repeat(20)),
        ),
        (
            r"regex = '''https://hooks\.badge/(?:a|b)/([A-Za-z0-9]{24})'''".to_owned(),
            format!("https://hooks.badge/b/{}", &token[..24]),
            format!("https://hooks.badge/c/{}", &token[..24]),
        ),
        (
            "regex = '''\\b[a-f0-9]{32}\\b'''\nkeywords = ['badge']".to_owned(),
            format!("badge {hex}"),
            hex.to_owned(),
        ),
        (
            "regex = '''(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY-----[\\s\\S-]{64,}?KEY-----'''"
                .to_owned(),
            format!("-----BEGIN RSA {}-----\n{}", "PRIVATE KEY", token.repeat(3)),
            token.to_owned(),
        ),
    ] {
        let imported = import(&rule("badge", &more));
        assert_eq!(imported.left_out, [], "{more}");
        assert_eq!(imported.kept[0].ids, ["badge"]);
        let masker = Masker::builder()
            .rules("imported", &imported.rules)
            .build()
            .unwrap();
        assert!(
            !masker.mask(found.as_bytes()).matches.is_empty(),
            "{found}: {}",
            imported.rules
        );
        assert!(
            masker.mask(not_found.as_bytes()).matches.is_empty(),
            "{not_found}: {}",
            imported.rules
        );
    }
}

#[test]
fn what_cannot_be_kept_is_told_with_its_line_and_reason() {
    for (more, expected) in [
        ("path = 'x'", "it is about paths of files"),
        ("", "it has no `regex`"),
        ("regex = '(?=a)b'", "its expression cannot be read"),
        ("regex = 'bdg_(.*)\"'", "may be longer than 112 bytes"),
        ("regex = '[a-z]{5}'", "no lane"),
        (
            "regex = '(bdg_[a-z]{9}) and more behind'",
            "what stands behind",
        ),
        (
            "regex = 'x.{0,9}([a-f0-9]{32})'\nkeywords = ['id']",
            "no word of three letters",
        ),
        ("regex = 1", "invalid type"),
    ] {
        let text = format!("title = 't'\n{}", rule("badge", more));
        let imported = import(&text);
        assert!(
            imported.rules.is_empty() && imported.kept.is_empty(),
            "{more}"
        );
        let [left_out] = &imported.left_out[..] else {
            panic!("{more}: {imported:?}");
        };
        assert_eq!((&*left_out.id, left_out.line), ("badge", 2), "{more}");
        assert!(
            left_out.reason.contains(expected),
            "{more}: {}",
            left_out.reason
        );
    }
    let error = Masker::import_gitleaks("theirs.toml", "a = [").unwrap_err();
    assert!(error.to_string().contains("theirs.toml:1"), "{error}");
}

#[test]
fn what_means_something_else_is_told() {
    let imported = import(&format!(
        "[allowlist]\nregexes = ['^true|false|null$']\n{}{}",
        rule(
            "Badge_A",
            "path = '\\.env$'\nregex = '''\\b(bdg_[a-z0-9]{40}|bdx-[a-z0-9]{200})\\b'''\nentropy = 9\ntags = ['House', '9']\n[[rules.allowlists]]\nstopwords = ['x']"
        ),
        rule("badge-a", "regex = '''bdh_[a-z0-9]{40}'''\nentropy = 3.5"),
    ));
    let ids: Vec<_> = imported.kept.iter().map(|kept| &kept.ids[..]).collect();
    assert_eq!(ids, [&["badge-a", "badge-a-2"][..], &["badge-a-3"]]);
    let changes = &imported.kept[0].changes;
    for expected in [
        "not only in files of some names",
        "its allow list does not count",
        "its entropy does not count",
        "a run of `lower_digit` to its end, of at least 112 bytes",
    ] {
        assert!(
            changes.iter().any(|told| told.contains(expected)),
            "{expected}: {changes:?}"
        );
    }
    assert_eq!(imported.kept[1].changes, [""; 0]);
    assert_eq!(imported.left_out[0].id, "allowlist");
    assert!(imported.rules.contains("tags = [\"house\"]"));
    assert!(imported.rules.contains("validate = [\"entropy:3.5\"]"));
    Masker::builder()
        .builtin()
        .rules("imported", imported.rules)
        .build()
        .unwrap();
}
