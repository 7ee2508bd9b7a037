//! Which rules can be made, and for whom they speak.

use std::time::Duration;

use serde_json::{Value, json};
use tollbook_exchange::Groups;
use tollbook_identity::{Issuer, OidcAuthenticator, Rule, RuleBuilder, Rules};

use super::{Scene, show};
use crate::forge::{AUDIENCE, key_set};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn mistakes(rules: impl IntoIterator<Item = RuleBuilder>) -> Vec<String> {
    let scene = Scene::new();
    let issuer = |name, identifier| {
        Issuer::builder(name, identifier)
            .audience(AUDIENCE)
            .jwks_json(key_set(&[scene.signer.jwk("k1")]))
            .build()
            .unwrap()
    };
    let oidc = OidcAuthenticator::builder()
        .issuer(issuer("ci", "https://ci.example"))
        .issuer(issuer("github", GITHUB))
        .build()
        .unwrap();
    match Rules::new(rules, &oidc) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let problems: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
            assert_eq!(error.to_string(), problems.join("; "));
            problems
        }
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let good = || Rule::builder("good", "ci").subject("a");
    assert_eq!(mistakes([]), [""; 0]);
    assert_eq!(mistakes([good()]), [""; 0]);
    let second = Duration::from_secs(1);
    assert_eq!(
        mistakes([
            good(),
            good(),
            Rule::builder("no good", "elsewhere")
                .claim("aud", "x")
                .claim("", "x")
                .claim_in("ref", [""; 0])
                .claim("ref", "a*b")
                .subject("repo:acme*")
                .audience("https://api.anthropic.com")
                .groups(["", "fine"])
                .lifetime(59 * second),
            Rule::builder("day", "ci")
                .audience("other")
                .lifetime(86_401 * second),
            Rule::builder("any", "ci").claim("ref", "*"),
        ]),
        [
            "rule id `good` is used twice",
            "rule id `no good` is not 1 to 64 letters, digits, `-`, `_` or `.`",
            "rule `no good`: claim `aud` says nothing about the caller",
            "rule `no good`: claim `` has no name",
            "rule `no good`: claim `ref` is asked for with no value, so the rule would never speak",
            "rule `no good`: value `a*b` of claim `ref` has a `*` that is not its first or its last character, or both",
            "rule `no good`: value `repo:acme*` of claim `sub` would also take longer names: put the `*` after a separator",
            "rule `no good`: no issuer is called `elsewhere`",
            "rule `no good`: audience `https://api.anthropic.com` is the provider's own, so a token for it could be replayed there",
            "rule `no good`: group `` is not 1 to 512 bytes without control characters",
            "rule `no good`: the lifetime is outside 60 to 86400 seconds",
            "rule `day` asks for no subject and no claim, so it would speak for every token",
            "rule `day`: the lifetime is outside 60 to 86400 seconds",
            "rule `any` asks for no subject and no claim, so it would speak for every token",
        ]
    );
}

#[test]
fn a_rule_for_an_issuer_of_everybody_names_an_owner() {
    let rule = || Rule::builder("r", "github");
    for (rule, good) in [
        (rule().claim("repository_id", "1"), true),
        (rule().claim("repository_owner_id", "1"), true),
        (rule().claim("repository", "acme/*"), true),
        (
            rule().claim_in("repository", ["acme/pay", "acme/ship"]),
            true,
        ),
        (rule().subject("repo:acme/pay:*"), true),
        (
            rule().subject("repo:acme@1/pay@2:ref:refs/heads/main"),
            true,
        ),
        (rule().claim("ref", "refs/heads/main"), false),
        (rule().subject("environment:production"), false),
        (rule().subject("repo:*"), false),
        (rule().subject("*:ref:refs/heads/main"), false),
        (rule().claim_in("repository_id", ["1", "*"]), false),
        (
            rule().claim("job_workflow_ref", "acme/ci/.github/workflows/x.yml@v1"),
            false,
        ),
    ] {
        let told = mistakes([rule.clone()]);
        assert_eq!(told.is_empty(), good, "{rule:?} {told:?}");
        assert!(
            good || told.concat().contains("`repository_owner_id`"),
            "{told:?}"
        );
    }
}

/// Whether a bare token with these claims is in the group of the rule.
async fn speaks(rule: RuleBuilder, claims: Value) -> bool {
    let scene = Scene::new();
    let gate = scene.gate([rule.groups(["spoken-for"])]);
    let principal = show(&gate, &scene.jwt(claims)).await.unwrap();
    let speaks = principal.groups.iter().any(|group| group == "spoken-for");
    let rules = principal.access.unwrap().rules;
    assert_eq!(rules, if speaks { &["r"][..] } else { &[] });
    speaks
}

#[tokio::test]
async fn a_rule_speaks_for_tokens_that_have_all_it_asks_for() {
    let rule = || Rule::builder("r", "ci");
    for (rule, claims, expected) in [
        (rule().claim("a", "x"), json!({"a": "x"}), true),
        (rule().claim("a", "x"), json!({"a": "xx"}), false),
        (rule().claim("a", "x"), json!({}), false),
        (
            rule().claim("a", "x").claim("b", "y"),
            json!({"a": "x"}),
            false,
        ),
        (
            rule().claim("a", "x").claim("b", "y"),
            json!({"a": "x", "b": "y"}),
            true,
        ),
        (rule().claim_in("a", ["x", "y"]), json!({"a": "y"}), true),
        (
            rule().claim("a", "x").claim("a", "y"),
            json!({"a": ["x", "y"]}),
            true,
        ),
        (
            rule().claim("a", "x").claim("a", "y"),
            json!({"a": "x"}),
            false,
        ),
        (rule().claim("a", "7"), json!({"a": 7}), true),
        (rule().claim("a", "true"), json!({"a": true}), true),
        (
            rule().claim("a", "refs/*"),
            json!({"a": "refs/heads/x"}),
            true,
        ),
        (
            rule().claim("a", "refs/"),
            json!({"a": "refs/heads/x"}),
            false,
        ),
        (rule().claim("a/b", "x"), json!({"a": {"b": "x"}}), true),
        (rule().claim("a", "x"), json!({"a": {"b": "x"}}), false),
        (rule().subject("repo:acme/payments:*"), json!({}), true),
        (rule().subject("repo:acme/pay:*"), json!({}), false),
        (
            rule().claim("a", "x").audience("second"),
            json!({"a": "x", "aud": [AUDIENCE, "second"], "azp": AUDIENCE}),
            true,
        ),
        (
            rule().claim("a", "x").audience("second"),
            json!({"a": "x"}),
            false,
        ),
        // Another issuer's.
        (
            Rule::builder("r", "people").claim("a", "x"),
            json!({"a": "x"}),
            false,
        ),
        // No certificate was shown.
        (
            rule().claim("a", "x").require_certificate(true),
            json!({"a": "x"}),
            false,
        ),
    ] {
        assert_eq!(
            speaks(rule.clone(), claims.clone()).await,
            expected,
            "{rule:?} {claims}"
        );
    }
}

#[tokio::test]
async fn a_bare_token_has_the_groups_of_all_rules_that_speak_for_it() {
    let scene = Scene::new();
    let rule = |id: &str| Rule::builder(id, "ci").subject("repo:acme/payments:*");
    let gate = scene.gate([
        rule("b").groups(["two", "three"]),
        rule("a").groups(["one", "two"]),
        rule("c").claim("ref", "elsewhere").groups(["four"]),
    ]);
    let principal = show(&gate, &scene.jwt(json!({"groups": ["own"]})))
        .await
        .unwrap();
    assert_eq!(
        principal.groups,
        Groups::from_iter(["own", "one", "two", "three"])
    );
    assert_eq!(principal.access.unwrap().rules, ["a", "b"]);
}

#[tokio::test]
async fn groups_that_the_issuer_left_out_stay_unknown_whatever_a_rule_gives() {
    let scene = Scene::new();
    let gate = scene.gate([super::deploy()]);
    let jwt = scene.jwt(json!({"hasgroups": true}));
    let bare = show(&gate, &jwt).await.unwrap();
    assert_eq!(bare.groups, Groups::Unknown);
    let token = super::token_for(&gate, &jwt).await;
    assert_eq!(show(&gate, &token).await.unwrap().groups, Groups::Unknown);
}

#[test]
fn a_digest_follows_the_wording_of_a_rule() {
    let digest = |rule: RuleBuilder| {
        let rules = Rules::new([rule], &Scene::new().oidc()).unwrap();
        rules.rule("r").unwrap().digest().to_owned()
    };
    let rule = || {
        Rule::builder("r", "ci")
            .claim_in("a", ["x", "y"])
            .claim("b", "z")
    };
    let same = Rule::builder("r", "ci")
        .claim("b", "z")
        .claim_in("a", ["y", "x"]);
    assert_eq!(digest(rule()), digest(same));
    let others = [
        rule(),
        rule().claim("c", "z"),
        Rule::builder("r", "ci").claim("a", "x").claim("b", "z"),
        Rule::builder("r", "people")
            .claim_in("a", ["x", "y"])
            .claim("b", "z"),
        rule().groups(["g"]),
        rule().audience("x"),
        rule().lifetime(Duration::from_secs(61)),
        rule().service_account("x"),
        rule().require_certificate(true),
    ];
    let digests: std::collections::BTreeSet<_> = others.clone().map(digest).into();
    assert_eq!(digests.len(), others.len());
}
