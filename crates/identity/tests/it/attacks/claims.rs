//! When a token is good, whom it is for and whom it is about.

use serde_json::{Value, json};

use super::{World, claim, hold};
use crate::forge::{AUDIENCE, NOW, claims, claims_but};

#[tokio::test]
async fn the_times_of_a_token() {
    let world = World::new();
    let at = |changes: Value| claim(&world, changes);
    let of = |claims: &str| world.es.token_of(r#"{"alg":"ES256","kid":"k1"}"#, claims);
    let with = |member: &str, literal: &str| {
        let text = claims_but(json!({ member: "@" })).to_string();
        of(&text.replace("\"@\"", literal))
    };
    hold(
        &world,
        &[
            ("no exp", at(json!({"exp": null})), "claim_missing"),
            ("no iat", at(json!({"iat": null})), "claim_missing"),
            (
                "exp as text",
                at(json!({"exp": (NOW + 300).to_string()})),
                "claim_type",
            ),
            ("nbf as text", at(json!({"nbf": "0"})), "claim_type"),
            (
                "iat as text",
                at(json!({"iat": NOW.to_string()})),
                "claim_type",
            ),
            ("exp as float", with("exp", "1800000300.5"), "claim_type"),
            (
                "exp as whole float",
                with("exp", "1800000300.0"),
                "claim_type",
            ),
            ("exp as exponent", with("exp", "18e8"), "claim_type"),
            ("exp null", with("exp", "null"), "claim_type"),
            ("nbf null", with("nbf", "null"), "claim_type"),
            ("exp true", with("exp", "true"), "claim_type"),
            ("exp list", with("exp", "[1800000300]"), "claim_type"),
            ("exp negative", with("exp", "-1"), "claim_type"),
            ("iat negative", with("iat", "-1"), "claim_type"),
            (
                "exp of 64 bits",
                with("exp", "9223372036854775807"),
                "claim_type",
            ),
            (
                "exp unsigned",
                with("exp", "18446744073709551615"),
                "claim_type",
            ),
            (
                "exp beyond numbers",
                with("exp", "1e400"),
                "claims_not_json",
            ),
            (
                "exp in milliseconds",
                at(json!({"exp": (NOW + 300) * 1000})),
                "claim_type",
            ),
            (
                "exp far away",
                at(json!({"exp": NOW + 3601})),
                "lifetime_too_long",
            ),
            ("an hour", at(json!({"exp": NOW + 3600})), "passed"),
            (
                "exp before iat",
                at(json!({"exp": NOW - 1})),
                "lifetime_invalid",
            ),
            ("exp is iat", at(json!({"exp": NOW})), "lifetime_invalid"),
            (
                "exp 29 s ago",
                at(json!({"iat": NOW - 300, "exp": NOW - 29})),
                "passed",
            ),
            (
                "exp 30 s ago",
                at(json!({"iat": NOW - 300, "exp": NOW - 30})),
                "expired",
            ),
            (
                "exp 31 s ago",
                at(json!({"iat": NOW - 300, "exp": NOW - 31})),
                "expired",
            ),
            ("exp long ago", at(json!({"iat": 0, "exp": 300})), "expired"),
            ("nbf in 30 s", at(json!({"nbf": NOW + 30})), "passed"),
            ("nbf in 31 s", at(json!({"nbf": NOW + 31})), "not_yet_valid"),
            ("iat in 30 s", at(json!({"iat": NOW + 30})), "passed"),
            (
                "iat in 31 s",
                at(json!({"iat": NOW + 31})),
                "issued_in_future",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_ends_when_the_clock_says_so() {
    let world = World::new();
    let token = world.es.token("k1", &claims());
    world.clock.advance(300 + 29);
    assert_eq!(world.judge(&token).await, "passed");
    world.clock.advance(1);
    assert_eq!(world.judge(&token).await, "expired");
}

#[tokio::test]
async fn whom_a_token_is_for_and_from() {
    let world = World::new();
    let at = |changes: Value| claim(&world, changes);
    hold(
        &world,
        &[
            ("no audience", at(json!({"aud": null})), "claim_missing"),
            (
                "another audience",
                at(json!({"aud": "https://api.anthropic.com"})),
                "wrong_audience",
            ),
            (
                "longer audience",
                at(json!({"aud": "tollbook2"})),
                "wrong_audience",
            ),
            (
                "audience in capitals",
                at(json!({"aud": "Tollbook"})),
                "wrong_audience",
            ),
            (
                "audiences in one text",
                at(json!({"aud": "other tollbook"})),
                "wrong_audience",
            ),
            ("empty audience", at(json!({"aud": ""})), "wrong_audience"),
            (
                "no audience in the list",
                at(json!({"aud": []})),
                "wrong_audience",
            ),
            (
                "others in the list",
                at(json!({"aud": ["a", "b"]})),
                "wrong_audience",
            ),
            ("audience is a number", at(json!({"aud": 1})), "claim_type"),
            (
                "audience is an object",
                at(json!({"aud": {"tollbook": true}})),
                "claim_type",
            ),
            (
                "a number among audiences",
                at(json!({"aud": [AUDIENCE, 1]})),
                "claim_type",
            ),
            (
                "two audiences, no party",
                at(json!({"aud": [AUDIENCE, "b"]})),
                "wrong_party",
            ),
            (
                "two audiences, their party",
                at(json!({"aud": [AUDIENCE, "b"], "azp": "b"})),
                "wrong_party",
            ),
            (
                "party is a list",
                at(json!({"aud": [AUDIENCE, "b"], "azp": [AUDIENCE]})),
                "claim_type",
            ),
            ("no subject", at(json!({"sub": null})), "claim_missing"),
            ("subject is a number", at(json!({"sub": 1})), "claim_type"),
            ("empty subject", at(json!({"sub": ""})), "subject_invalid"),
            (
                "long subject",
                at(json!({"sub": "s".repeat(513)})),
                "subject_invalid",
            ),
            (
                "subject of 512 bytes",
                at(json!({"sub": "s".repeat(512)})),
                "passed",
            ),
            (
                "subject with a line feed",
                at(json!({"sub": "repo:a\nrepo:b"})),
                "subject_invalid",
            ),
            (
                "subject with an escape",
                at(json!({"sub": "\u{1b}[2J"})),
                "subject_invalid",
            ),
            (
                "subject with a nul",
                at(json!({"sub": "a\0"})),
                "subject_invalid",
            ),
            (
                "groups are a number",
                at(json!({"groups": 1})),
                "groups_invalid",
            ),
            (
                "a number among groups",
                at(json!({"groups": ["a", 1]})),
                "groups_invalid",
            ),
            (
                "an empty group",
                at(json!({"groups": [""]})),
                "groups_invalid",
            ),
            (
                "a group with a line feed",
                at(json!({"groups": ["a\nb"]})),
                "groups_invalid",
            ),
            (
                "a long claim",
                at(json!({"ref": "r".repeat(1025)})),
                "claim_too_large",
            ),
            (
                "a long claim nobody keeps",
                at(json!({"unknown": "r".repeat(1025)})),
                "passed",
            ),
        ],
    )
    .await;
}
