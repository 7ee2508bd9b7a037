//! Issuers' tokens for gateway tokens.

use std::time::Duration;

use serde_json::{Value, json};
use tollbook_exchange::Groups;
use tollbook_identity::{MemoryTokenStore, OrganizationId, Rule, StoreError, TokenExchange};

use super::{
    CERTIFICATE, JWT, JWT_BEARER, Scene, TOKEN_EXCHANGE, call, deploy, json_of, long, post,
    post_form, show, token_for,
};
use crate::forge::{ISSUER, NOW, Signer, claims_but};

#[tokio::test]
async fn a_job_gets_a_token_that_says_who_it_is() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let jwt = scene.jwt(json!({"jti": "one", "ref": "refs/heads/main", "groups": ["own"]}));
    let exchange = TokenExchange::new(gate.clone());
    let answer = post(&exchange, &call(&jwt, Some("deploy")), None).await;

    assert_eq!(answer.status, 200);
    for header in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        assert!(answer.headers.contains(&header));
    }
    let mut body = json_of(&answer);
    let token = body["access_token"].take().as_str().unwrap().to_owned();
    assert_eq!(
        body,
        json!({"access_token": null, "token_type": "Bearer", "expires_in": 600, "scope": "deploy"})
    );

    let principal = show(&gate, &token).await.unwrap();
    assert_eq!(principal.subject, "repo:acme/payments:ref:refs/heads/main");
    assert_eq!(principal.groups, Groups::from_iter(["own", "ci-payments"]));
    assert_eq!(principal.claims["ref"], "refs/heads/main");
    let access = principal.access.clone().unwrap();
    assert_eq!(access.rules, ["deploy"]);
    let id = answer.record.token.unwrap();
    assert_eq!(access.token, Some(id.to_string()));
    let bare = show(&gate, &jwt).await.unwrap().access.unwrap();
    assert_eq!(access.assertion, bare.assertion);

    assert_eq!(answer.record.reason, None);
    assert_eq!(answer.record.principal, Some(principal));
    assert_eq!(answer.record.rule.as_deref(), Some("deploy"));
    assert_eq!(answer.record.exchanges, Some(1));
    let response: http::Response<bytes::Bytes> = answer.into_response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(response.body().starts_with(br#"{"access_token":"gws_"#));

    let kept = gate.tokens(10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].id(), id);
    assert!(!serde_json::to_string(&kept).unwrap().contains(&token[4..]));
}

#[tokio::test]
async fn everything_wrong_with_a_token_is_one_answer() {
    let scene = Scene::new();
    let bound = Rule::builder("bound", "ci")
        .claim("ref", "x")
        .require_certificate(true);
    let account = Rule::builder("account", "ci")
        .claim("ref", "y")
        .service_account("svac_1");
    let other = Rule::builder("twin", "ci").subject("repo:acme/payments:*");
    let gate = scene.gate([deploy(), other, account, bound]);
    let exchange = TokenExchange::new(gate);
    let with = |mut body: Value, name: &str, value: &str| {
        body[name] = json!(value);
        body
    };
    let good = scene.jwt(json!({}));
    let (x, y) = (
        scene.jwt(json!({"ref": "x"})),
        scene.jwt(json!({"ref": "y"})),
    );
    let forged = Signer::ed().token("k1", &claims_but(json!({})));
    let cases = [
        (call("x", None), "token_not_three_parts"),
        (call("sk-ant-api03-x", None), "static_api_key"),
        (call(&forged, None), "bad_signature"),
        (
            call(&scene.jwt(json!({"iss": "https://evil.example"})), None),
            "unknown_issuer",
        ),
        (
            call(&scene.jwt(json!({"aud": "b"})), None),
            "wrong_audience",
        ),
        (
            call(
                &scene.jwt(json!({"iat": NOW - 400, "exp": NOW - 100})),
                None,
            ),
            "expired",
        ),
        // It would still be let in, but there is nothing left to be doubled.
        (
            call(
                &scene.jwt(json!({"iat": NOW - 300, "exp": NOW})),
                Some("deploy"),
            ),
            "expired",
        ),
        (
            call(
                &scene.jwt(json!({"iat": NOW - 300, "exp": NOW - 29})),
                Some("deploy"),
            ),
            "expired",
        ),
        (call(&good, Some("gone")), "unknown_rule"),
        (call(&good, Some("account")), "rule_mismatch"),
        (
            call(&scene.jwt(json!({"sub": "repo:evil/x:y"})), None),
            "no_rule",
        ),
        (call(&good, None), "rule_ambiguous"),
        (call(&x, Some("bound")), "certificate_missing"),
        (
            call(&scene.jwt(json!({"cnf": {"jkt": "x"}})), None),
            "proof_unsupported",
        ),
        (
            with(call(&y, Some("account")), "service_account_id", "svac_2"),
            "service_account_mismatch",
        ),
    ];
    let mut answers = Vec::new();
    for (body, reason) in cases {
        let answer = post(&exchange, &body, None).await;
        assert_eq!(answer.record.reason, Some(reason));
        assert_eq!(answer.record.token, None);
        answers.push((answer.status, answer.headers, answer.body));

        let assertion = body["assertion"].as_str().unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (rule, account) = (text("federation_rule_id"), text("service_account_id"));
        let form = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion),
            ("scope", &rule),
            ("service_account_id", &account),
        ];
        let answer = post_form(&exchange, &form).await;
        assert_eq!(answer.record.reason, Some(reason));
        assert_eq!(
            (answer.status, json_of(&answer)),
            (
                400,
                json!({"error": "invalid_grant", "error_description": "The token that was shown is not accepted here."})
            )
        );
    }
    assert_eq!(answers[0].0, 401);
    assert_eq!(
        answers[0].2.as_str(),
        r#"{"type":"error","error":{"type":"authentication_error","message":"The token that was shown is not accepted here."}}"#
    );
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // What would have been right.
    let account = with(call(&y, Some("account")), "service_account_id", "svac_1");
    assert_eq!(post(&exchange, &account, None).await.status, 200);
    let bound = post(&exchange, &call(&x, Some("bound")), Some(CERTIFICATE)).await;
    assert_eq!(bound.status, 200);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_itself_is_told() {
    let exchange = TokenExchange::new(Scene::new().gate([deploy()]));
    for (content_type, body, status, told) in [
        (None, "{}", 400, "content type"),
        (Some("text/plain"), "{}", 400, "content type"),
        (Some("application/json"), "{", 400, "JSON object"),
        (
            Some("application/json"),
            r#"{"grant_type":"password"}"#,
            400,
            "grant_type",
        ),
        (
            Some("Application/X-WWW-Form-Urlencoded"),
            "grant_type=password",
            400,
            "unsupported_grant_type",
        ),
        (
            Some("application/x-www-form-urlencoded"),
            "a=b",
            400,
            "invalid_request",
        ),
    ] {
        let answer = exchange.respond(content_type, body.as_bytes(), None).await;
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(told), "{}", *answer.body);
        assert!(answer.record.reason.is_some());
    }
}

#[tokio::test]
async fn a_life_follows_the_rule_and_the_rest_of_the_token() {
    let second = Duration::from_secs(1);
    for (lifetime, rest, expected) in [
        (600, 300, 600),
        (600, 120, 240),
        (600, 30, 60),
        (600, 1, 60),
        (60, 300, 60),
        (86_400, 3_000, 6_000),
    ] {
        let scene = Scene::new();
        let gate = scene.gate([deploy().lifetime(lifetime * second)]);
        let jwt = scene.jwt(json!({"iat": NOW - 600, "exp": NOW + rest}));
        let exchange = TokenExchange::new(gate.clone());
        let body = json_of(&post(&exchange, &call(&jwt, None), None).await);
        assert_eq!(body["expires_in"], expected, "{lifetime} {rest}");

        let token = body["access_token"].as_str().unwrap();
        scene.clock.advance(expected - 1);
        let access = show(&gate, token).await.unwrap().access.unwrap();
        let end = i64::try_from(NOW + expected).unwrap();
        assert_eq!(access.expires, Some(end), "not that of the token behind it");
        scene.clock.advance(1);
        assert_eq!(show(&gate, token).await, Err("expired"));
    }
}

#[tokio::test]
async fn a_token_is_exchanged_twenty_times_and_not_once_more() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let exchange = TokenExchange::new(gate.clone());
    let jwt = scene.jwt(json!({"jti": "one"}));
    for count in 1..=20 {
        let answer = post(&exchange, &call(&jwt, None), None).await;
        assert_eq!(answer.record.exchanges, Some(count));
    }
    let answer = post(&exchange, &call(&jwt, None), None).await;
    assert_eq!(
        (answer.status, answer.record.reason),
        (401, Some("assertion_overused"))
    );
    // The same id in another envelope is the same token; another id is not.
    let again = scene.jwt(json!({"jti": "one", "extra": 1}));
    assert_eq!(post(&exchange, &call(&again, None), None).await.status, 401);
    let another = scene.jwt(json!({"jti": "two"}));
    assert_eq!(
        post(&exchange, &call(&another, None), None).await.status,
        200
    );
    // Shown as it is, it is used by the same caller all the time.
    assert!(show(&gate, &jwt).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanges_at_the_same_time_are_counted_one_by_one() {
    let scene = Scene::new();
    let exchange = TokenExchange::new(scene.gate([deploy()]));
    let body = call(&scene.jwt(json!({"jti": "one"})), None);
    let all: Vec<_> = (0..100)
        .map(|_| {
            let (exchange, body) = (exchange.clone(), body.clone());
            tokio::spawn(async move { post(&exchange, &body, None).await.record })
        })
        .collect();
    let mut counts = Vec::new();
    for one in all {
        let record = one.await.unwrap();
        match record.exchanges {
            Some(count) => counts.push(count),
            None => assert_eq!(record.reason, Some("assertion_overused")),
        }
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<u32>>());
}

#[tokio::test]
async fn organisations_may_be_named_and_may_be_limited() {
    let scene = Scene::new();
    let exchange = TokenExchange::new(scene.gate([deploy()]));
    let own: OrganizationId = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().unwrap();
    let other: OrganizationId = "7c9e6679-7425-40de-944b-e07fc1f90ae7".parse().unwrap();
    let mut body = call(&scene.jwt(json!({})), None);
    assert_eq!(post(&exchange, &body, None).await.status, 200);
    let limited = exchange.clone().organizations([own]);
    assert_eq!(post(&limited, &body, None).await.status, 200);
    let answer = post(&exchange.clone().organizations([other]), &body, None).await;
    assert_eq!(
        (answer.status, answer.record.reason),
        (401, Some("organization_not_allowed"))
    );
    body["organization_id"].take();
    assert_eq!(post(&exchange, &body, None).await.status, 200);
    assert_eq!(post(&limited, &body, None).await.status, 401);
}

#[tokio::test]
async fn a_token_exchange_says_what_it_hands_out_and_for_whom() {
    let scene = Scene::new();
    let exchange = TokenExchange::new(scene.gate([deploy()])).targets(["https://gate.example"]);
    let jwt = scene.jwt(json!({}));
    let pairs = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", jwt.as_str()),
        ("subject_token_type", JWT),
        ("scope", "deploy"),
    ];
    let answer = post_form(&exchange, &pairs).await;
    assert_eq!(
        json_of(&answer)["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    for (name, value, status) in [
        ("resource", "https://gate.example", 200),
        ("audience", "https://gate.example", 200),
        ("resource", "https://other.example", 400),
    ] {
        let pairs = [&pairs[..], &[(name, value)]].concat();
        let answer = post_form(&exchange, &pairs).await;
        assert_eq!(answer.status, status, "{name} {value}");
        assert_eq!(status == 400, answer.body.contains("invalid_target"));
    }
}

fn delegated<'a>(subject: &'a str, actor: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", JWT),
        ("actor_token", actor),
        ("actor_token_type", JWT),
    ]
}

#[tokio::test]
async fn who_acts_is_the_principal_and_for_whom_stands_behind_it() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let exchange = TokenExchange::new(gate.clone());
    let person = scene
        .jwt(json!({"iss": super::PEOPLE, "sub": "alice", "groups": ["admins"], "exp": NOW + 100}));
    let agent = scene.jwt(json!({}));
    let answer = post_form(&exchange, &delegated(&person, &agent)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.record);
    let body = json_of(&answer);
    // Twice the rest of the one that ends first.
    assert_eq!(body["expires_in"], 200);
    let principal = show(&gate, body["access_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(principal.issuer, "ci");
    assert_eq!(principal.on_behalf_of.as_deref(), Some("people/alice"));
    // The person's groups are not the agent's.
    assert_eq!(principal.groups, Groups::from_iter(["ci-payments"]));

    // The other way round there is no rule for the person.
    let answer = post_form(&exchange, &delegated(&agent, &person)).await;
    assert_eq!(answer.record.reason, Some("no_rule"));
    // Both tokens must be good.
    for (subject, actor) in [("x", agent.as_str()), (person.as_str(), "x")] {
        let answer = post_form(&exchange, &delegated(subject, actor)).await;
        assert_eq!(answer.record.reason, Some("token_not_three_parts"));
    }
    // And both are counted.
    for _ in 1..20 {
        assert_eq!(
            post_form(
                &exchange,
                &delegated(&person, &scene.jwt(json!({"jti": "x"})))
            )
            .await
            .status,
            200
        );
    }
    let answer = post_form(
        &exchange,
        &delegated(&person, &scene.jwt(json!({"jti": "y"}))),
    )
    .await;
    assert_eq!(answer.record.reason, Some("assertion_overused"));
}

#[tokio::test]
async fn a_token_that_says_who_may_act_lets_nobody_else() {
    let scene = Scene::new();
    let exchange = TokenExchange::new(scene.gate([deploy()]));
    let agent = scene.jwt(json!({}));
    let sub = "repo:acme/payments:ref:refs/heads/main";
    for (may_act, good) in [
        (json!({"sub": sub}), true),
        (json!({"sub": sub, "iss": ISSUER}), true),
        (json!({"sub": "other"}), false),
        (json!({"sub": sub, "iss": "https://other.example"}), false),
        (json!({"iss": ISSUER}), false),
        (json!({"email": "x"}), false),
        (json!({"sub": [sub]}), false),
        (json!("anybody"), false),
    ] {
        let person = scene.jwt(json!({"iss": super::PEOPLE, "sub": "alice", "may_act": may_act}));
        let answer = post_form(&exchange, &delegated(&person, &agent)).await;
        assert_eq!(answer.status == 200, good, "{may_act}");
        assert_eq!(
            answer.record.reason,
            (!good).then_some("actor_not_allowed"),
            "{may_act}"
        );
    }
}

#[tokio::test]
async fn without_room_or_random_bits_there_is_no_token() {
    let scene = Scene::new();
    let gate = scene
        .builder([long(deploy())])
        .store(MemoryTokenStore::with_capacity(2))
        .build();
    let exchange = TokenExchange::new(gate.clone());
    let jwt = |id: &str| scene.jwt(json!({"jti": id, "exp": NOW + 300}));
    let dry = exchange.clone().random(|_| false);
    let answer = post(&dry, &call(&jwt("a"), None), None).await;
    assert_eq!(
        (answer.status, answer.record.reason),
        (503, Some("store_unavailable"))
    );
    assert!(answer.headers.contains(&("retry-after", "5")));

    let first = token_for(&gate, &jwt("a")).await;
    token_for(&gate, &jwt("b")).await;
    let answer = post(&exchange, &call(&jwt("c"), None), None).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("api_error"));
    // What has ended makes room by itself.
    scene.clock.advance(601);
    assert_eq!(show(&gate, &first).await, Err("expired"));
    let late = scene.jwt(json!({"jti": "d", "iat": NOW + 600, "exp": NOW + 900}));
    token_for(&gate, &late).await;
    assert_eq!(gate.tokens(10).await.unwrap().len(), 1);
    assert_eq!(show(&gate, &first).await, Err("unknown_token"));
}

#[tokio::test]
async fn the_same_random_bits_twice_do_not_replace_a_token() {
    let scene = Scene::new();
    let exchange = TokenExchange::new(scene.gate([deploy()])).random(|bytes| {
        *bytes = [1; 32];
        true
    });
    let body = call(&scene.jwt(json!({})), None);
    assert_eq!(post(&exchange, &body, None).await.status, 200);
    assert_eq!(post(&exchange, &body, None).await.status, 503);
    assert_eq!(
        StoreError::Exists.to_string(),
        "the token store has this token already"
    );
}
