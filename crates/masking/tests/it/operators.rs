//! What takes the place of a match, over all rules.

use std::time::Instant;

use serde_json::{Value, json};
use tollbook_masking::{
    Base, Kind, MaskKey, Masker, Operator,
    vault::{Vault, VaultLimits},
};

use crate::corpus::{texts, whole};

fn vault() -> Vault {
    Vault::new(&MaskKey::new([9; 32]), VaultLimits::default())
}

/// Every rule, with this operator wherever it may be asked for.
fn all(operator: Operator) -> Masker {
    let base = Masker::builtin();
    let mut profile = base.profile(Base::Strict).key(MaskKey::new([7; 32]));
    for rule in base.rules() {
        let one = base
            .profile(Base::None)
            .key(MaskKey::new([7; 32]))
            .rule(rule.id, operator);
        if one.build().is_ok() {
            profile = profile.rule(rule.id, operator);
        }
    }
    let session = vault().session(&["ci", "me"], Instant::now());
    profile.build().unwrap().session(&session)
}

/// One vector of each rule; the others have the same form, and there are thousands.
fn some_texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut last = "";
    texts().filter(move |(rule, _)| std::mem::replace(&mut last, rule) != *rule)
}

/// P5 and P1, for each operator and the vectors of every rule.
#[test]
fn what_is_masked_is_masked_no_further_and_the_same_in_pieces() {
    for operator in [
        Operator::Redact,
        Operator::Hash,
        Operator::Token,
        Operator::Partial,
        Operator::Surrogate,
        Operator::Drop,
        Operator::Block,
        Operator::Flag,
    ] {
        let masker = all(operator);
        for (_, text) in some_texts() {
            let text = format!("x: {text}, {text}\n");
            let once = whole(&masker, text.as_bytes());
            let again = whole(&masker, &once);
            assert_eq!(
                again.escape_ascii().to_string(),
                once.escape_ascii().to_string(),
                "{operator:?} of {text}"
            );
            let (mut stream, mut out) = (masker.stream(), Vec::new());
            for piece in text.as_bytes().chunks(11) {
                stream.push(piece, &mut out);
            }
            stream.finish(&mut out);
            assert_eq!(
                out.escape_ascii().to_string(),
                once.escape_ascii().to_string(),
                "{operator:?} of {text} in pieces"
            );
            let document = json!({ "text": text, "n": [text] }).to_string();
            let once = masker.json(document.as_bytes(), "").masked;
            assert!(serde_json::from_slice::<Value>(once.as_inner()).is_ok());
            let again = masker.json(once.as_inner(), "").masked;
            assert_eq!(again, once, "{operator:?} of {text}");
        }
    }
}

#[test]
fn what_is_flagged_passes_whole() {
    let (masker, redacting) = (all(Operator::Flag), all(Operator::Redact));
    for (_, text) in some_texts() {
        assert_eq!(whole(&masker, text.as_bytes()), text.as_bytes());
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        for piece in text.as_bytes().chunks(11) {
            stream.push(piece, &mut out);
        }
        stream.finish(&mut out);
        assert_eq!(out, text.as_bytes());
        let matches = |masker: &Masker| masker.mask(text.as_bytes()).matches.len();
        assert_eq!(matches(&masker), matches(&redacting));
    }
}

#[test]
fn equal_values_have_equal_hashes_and_other_keys_give_others() {
    let masker = |key| {
        let profile = Masker::builtin().profile(Base::Secrets);
        let profile = profile.key(MaskKey::new([key; 32]));
        let profile = profile.kind(Kind::Secret, Operator::Hash);
        profile.build().unwrap()
    };
    let text = format!(
        "{}{} {0}{1} {}{}",
        "AKIA", "IOSFODNN7EXAMPLE", "AKIA", "IOSFODNN7EXAMPLF"
    );
    let mask = |key| String::from_utf8(whole(&masker(key), text.as_bytes())).unwrap();
    let words: Vec<String> = mask(1).split(' ').map(str::to_owned).collect();
    assert_eq!(words[0], words[1]);
    assert_ne!(words[0], words[2]);
    assert_ne!(mask(1), mask(2));
    assert!(
        words[0].starts_with("[REDACTED:aws-access-key-id#"),
        "{words:?}"
    );
}

#[test]
fn a_dropped_match_empties_its_string() {
    let masker = Masker::builtin()
        .profile(Base::Secrets)
        .kind(Kind::Secret, Operator::Drop)
        .build()
        .unwrap();
    let key = format!("{}{}", "AKIA", "IOSFODNN7EXAMPLE");
    let document = format!(r#"{{"a": "my key is {key}.", "b": "none"}}"#);
    let scan = masker.json(document.as_bytes(), "body");
    assert_eq!(
        scan.masked.as_inner().as_ref(),
        br#"{"a": "", "b": "none"}"#
    );
    assert_eq!(scan.found[0].operator, Operator::Drop);
}

#[test]
fn a_blocked_match_is_told_and_masked() {
    let masker = Masker::builtin()
        .profile(Base::Secrets)
        .rule("aws-access-key-id", Operator::Block)
        .build()
        .unwrap();
    let key = format!("{}{}", "AKIA", "IOSFODNN7EXAMPLE");
    let scan = masker.mask(key.as_bytes());
    assert!(scan.blocked);
    assert_eq!(
        scan.masked.as_inner().as_ref(),
        b"[REDACTED:aws-access-key-id]"
    );
    assert!(masker.json(format!("[\"{key}\"]").as_bytes(), "").blocked);
    assert!(!masker.mask(b"nothing").blocked);
}

#[test]
fn a_profile_that_cannot_be_kept_is_refused_with_every_reason() {
    let error = Masker::builtin()
        .profile(Base::Default)
        .rule("aws-acess-key-id", Operator::Redact)
        .rule("jwt", Operator::Token)
        .rule("jwt", Operator::Hash)
        .tag("no-such-tag-at-all", Operator::Redact)
        .build()
        .unwrap_err();
    assert_eq!(
        error.mistakes(),
        [
            "there is no rule `aws-acess-key-id`; did you mean `aws-access-key-id`?",
            "`jwt` finds a secret, and `token` would give it away",
            "there is no tag `no-such-tag-at-all`",
            "hashes and surrogates are made with a key, and there is none",
        ]
    );
    assert_eq!(
        "defualt".parse::<Base>().unwrap_err().to_string(),
        "there is no profile `defualt`; did you mean `default`?"
    );
}

/// A rule of the house, so that tokens can be shown before there is one for everything.
fn badges() -> Masker {
    let rule = r#"
        [[rule]]
        id = "badge"
        kind = "personal"
        description = "Number of a badge of our house"
        source = "https://wiki.example.com/badges"
        literals = ["badge-"]
        body = { class = "digit", min = 8, max = 8 }
        positive = ["my badge-12345678"]
        negative = ["my badge-123456789"]
    "#;
    let masker = Masker::builder().rules("house.toml", rule).build().unwrap();
    let profile = masker.profile(Base::Strict).rule("badge", Operator::Token);
    profile.build().unwrap()
}

/// P7 and P10: what a session masked it restores, and nobody else does.
#[test]
fn tokens_are_turned_back_for_their_session_only() {
    let vault = vault();
    let now = Instant::now();
    let mine = vault.session(&["ci", "me", "s1"], now);
    let text = "badge-12345678 and badge-87654321 and badge-12345678";
    let masked = whole(&badges().session(&mine), text.as_bytes());
    let words: Vec<&[u8]> = masked.split(|byte| *byte == b' ').collect();
    assert!(words[0].starts_with(b"BADGE_") && words[0] == words[4] && words[0] != words[2]);
    // The same session by another handle, and by another vault with the same key.
    let again = vault.session(&["ci", "me", "s1"], now);
    assert_eq!(whole(&badges().session(&again), text.as_bytes()), masked);
    let elsewhere = self::vault().session(&["ci", "me", "s1"], now);
    assert_eq!(
        whole(&badges().session(&elsewhere), text.as_bytes()),
        masked
    );

    let restore = |scope: &[&str]| {
        let (mut stream, mut out) = (vault.session(scope, now).restore(), Vec::new());
        stream.push(&masked, &mut out);
        stream.finish(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(restore(&["ci", "me", "s1"]), text);
    assert_eq!(restore(&["ci", "me", "s2"]).as_bytes(), masked);
    assert_eq!(restore(&["ci", "you", "s1"]).as_bytes(), masked);
    // Without a session nothing could turn a token back.
    assert!(whole(&badges(), text.as_bytes()).starts_with(b"[REDACTED:badge]"));
}

#[test]
fn a_full_vault_redacts() {
    let mut limits = VaultLimits::default();
    (limits.values, limits.sessions) = (1, 1);
    let vault = Vault::new(&MaskKey::new([9; 32]), limits);
    let now = Instant::now();
    let session = vault.session(&["me"], now);
    let masked = whole(
        &badges().session(&session),
        b"badge-12345678 badge-87654321",
    );
    assert!(masked.starts_with(b"BADGE_") && masked.ends_with(b" [REDACTED:badge]"));
    let other = vault.session(&["you"], now);
    let masked = whole(&badges().session(&other), b"badge-12345678");
    assert_eq!(masked, b"[REDACTED:badge]");
    // What nobody has asked for in a while makes room.
    drop(session);
    let later = now + limits.idle * 2;
    let other = vault.session(&["you"], later);
    assert!(whole(&badges().session(&other), b"badge-12345678").starts_with(b"BADGE_"));
}

/// Sessions are named by callers, so many of them must not take more memory than few.
#[test]
fn sessions_share_their_room() {
    let mut limits = VaultLimits::default();
    // Of one token and its value.
    limits.total = "BADGE_".len() + 16 + "badge-12345678".len();
    let vault = Vault::new(&MaskKey::new([9; 32]), limits);
    let now = Instant::now();
    let masked = |session: &str, now| {
        let session = vault.session(&[session], now);
        whole(&badges().session(&session), b"badge-12345678")
    };
    assert!(masked("one", now).starts_with(b"BADGE_"));
    assert!(masked("one", now).starts_with(b"BADGE_"));
    assert_eq!(masked("two", now), b"[REDACTED:badge]");
    let later = now + limits.idle * 2;
    vault.sweep(later);
    assert!(masked("two", later).starts_with(b"BADGE_"));
}

/// A match that goes on beyond what a decision looks at is not known whole.
#[test]
fn what_is_longer_than_a_decision_looks_has_no_token() {
    let rule = r#"
        [[rule]]
        id = "note"
        kind = "personal"
        description = "A note of our house"
        source = "https://wiki.example.com/notes"
        literals = ["note-"]
        body = { class = "digit", min = 8 }
        positive = ["my note-12345678"]
        negative = ["my note-1234567"]
    "#;
    let masker = Masker::builder().rules("house.toml", rule).build().unwrap();
    let key = MaskKey::new([1; 32]);
    for (operator, begins) in [
        (Operator::Token, "NOTE_"),
        (Operator::Hash, "[REDACTED:note#"),
    ] {
        let profile = masker.profile(Base::Strict).key(key.clone());
        let masker = profile.rule("note", operator).build().unwrap();
        let masker = masker.session(&vault().session(&["me"], Instant::now()));
        for (length, is_told) in [
            (13, true),
            (111, true),
            (112, false),
            (113, false),
            (500, false),
        ] {
            let value = format!("note-{}", "7".repeat(length - 5));
            let masked = String::from_utf8(whole(&masker, value.as_bytes())).unwrap();
            assert_eq!(masked.starts_with(begins), is_told, "{length}: {masked}");
            assert!(is_told || masked == "[REDACTED:note]", "{length}: {masked}");
            assert!(!masked.contains("77"), "{length}: {masked}");
            // The same in pieces.
            let (mut stream, mut out) = (masker.stream(), Vec::new());
            value
                .as_bytes()
                .chunks(3)
                .for_each(|piece| stream.push(piece, &mut out));
            stream.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), masked, "{length}");
        }
    }
}
