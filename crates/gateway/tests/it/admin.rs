//! Who may do what with the admin API, and what it does not do for anybody.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::stage::{Scene, Stage, parsed, whole};

const ASKS: &str = r#"
@id("look-first")
@approval("leads:1")
@reason("a lead looks at it first")
forbid (principal, action == Tollbook::Action::"messages.create", resource);
"#;

fn scene() -> Scene {
    Scene::default()
        .policy("asks.cedar", ASKS)
        .connection(r#"approvals = { mode = "fail_fast" }"#)
        .more("[approvals]\nbreak_glass = [\"oncall\"]\n")
}

fn prompt(text: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// Those who call.
const CALLERS: [&str; 7] = [
    "stranger", "job", "nobody", "viewer", "auditor", "operator", "lead",
];

fn caller(stage: &Stage, who: &str) -> String {
    match who {
        "stranger" => "no.such.token".to_owned(),
        // Groups do not make a person of it.
        "job" => (stage.issuer.token("repo:acme/payments"))
            .groups(["developers", "viewers", "auditors", "platform", "leads"])
            .sign()
            .unwrap(),
        "nobody" => stage.person("ned", &["developers"]),
        "viewer" => stage.person("vera", &["viewers"]),
        "auditor" => stage.person("aude", &["auditors"]),
        "operator" => stage.person("olga", &["platform"]),
        _ => stage.person("lea", &["leads"]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_calls() {
    let stage = scene().set().await;
    let asked = async |text: &str| {
        let (status, _) = stage.ask(&stage.token(), &prompt(text)).await;
        assert_eq!(status, 409);
        let pending = stage.approvals("pending", 1).await.remove(0);
        (
            pending["id"].as_str().unwrap().to_owned(),
            pending["hash"].clone(),
        )
    };
    let (id, _) = asked("shown").await;
    let show = format!("/approvals/{id}");
    let (decide, cancel) = (format!("{show}/decision"), format!("{show}/cancel"));
    let no_grant = "/grants/gra_0123456789abcdef0123456789abcdef";
    let (end, review) = (format!("{no_grant}/revoke"), format!("{no_grant}/review"));
    let (get, post) = (Method::GET, Method::POST);
    // The hash is another one, so that nothing is decided by those who may.
    let vote = json!({ "vote": "approve", "hash": "00000000" });
    let grant = json!({
        "kind": "standing", "identity": "ci/x", "connection": "claude", "rules": ["look-first"],
        "group": "leads", "minutes": 999, "reason": "too long for anybody",
    });
    let why = json!({ "reason": "because" });
    let revoke = json!({ "rule": "no-such-rule", "reason": "because" });
    let erase = json!({ "subject": "ci/nobody", "basis": "request 17", "dry_run": true });
    // What each gets: 401 for strangers, 403 where a person or a role is missing, 404 where one is
    // not to know that it is there.
    let table = [
        (
            &get,
            "/approvals",
            None,
            [401, 403, 200, 200, 200, 200, 200],
        ),
        (&get, &*show, None, [401, 403, 404, 200, 200, 200, 200]),
        (
            &post,
            &*decide,
            Some(&vote),
            [401, 403, 404, 403, 403, 403, 403],
        ),
        (
            &post,
            &*end,
            Some(&why),
            [401, 403, 404, 404, 404, 404, 404],
        ),
        (
            &post,
            &*review,
            Some(&why),
            [401, 403, 403, 403, 403, 403, 403],
        ),
        (&get, "/grants", None, [401, 403, 403, 200, 200, 200, 403]),
        (
            &post,
            "/grants",
            Some(&grant),
            [401, 403, 403, 403, 403, 403, 403],
        ),
        (&get, "/tokens", None, [401, 403, 403, 200, 200, 200, 403]),
        (
            &post,
            "/tokens/revoke",
            Some(&revoke),
            [401, 403, 403, 403, 403, 200, 403],
        ),
        (&get, "/issuers", None, [401, 403, 403, 200, 200, 200, 403]),
        (&get, "/policy", None, [401, 403, 403, 200, 200, 200, 403]),
        (
            &post,
            "/policy/reload",
            None,
            [401, 403, 403, 403, 403, 200, 403],
        ),
        (
            &get,
            "/book/holds",
            None,
            [401, 403, 403, 200, 200, 200, 403],
        ),
        (
            &get,
            "/book/retention",
            None,
            [401, 403, 403, 200, 200, 200, 403],
        ),
        (
            &post,
            "/book/retention",
            None,
            [401, 403, 403, 403, 403, 200, 403],
        ),
        (
            &post,
            "/book/erase",
            Some(&erase),
            [401, 403, 403, 403, 403, 200, 403],
        ),
        (
            &post,
            "/book/holds/999/release",
            Some(&why),
            [401, 403, 403, 403, 403, 404, 403],
        ),
        (&get, "/nothing", None, [401, 404, 404, 404, 404, 404, 404]),
        (
            &get,
            "/approvals/../tokens",
            None,
            [401, 404, 404, 404, 404, 404, 404],
        ),
        (
            &Method::DELETE,
            "/tokens",
            None,
            [401, 405, 405, 405, 405, 405, 405],
        ),
        // Last, because it does what it says.
        (
            &post,
            &*cancel,
            Some(&why),
            [401, 403, 403, 403, 403, 200, 403],
        ),
    ];
    let mut calls = 0;
    for (method, path, body, expected) in &table {
        for (who, expected) in CALLERS.iter().zip(expected) {
            let token = caller(&stage, who);
            let (status, answer) = stage
                .admin(&token, (*method).clone(), path, (*body).cloned())
                .await;
            assert_eq!(status, *expected, "{who} {method} {path}: {answer}");
            calls += 1;
            if status >= 400 && status != 405 {
                assert!(
                    answer["code"].is_string(),
                    "{who} {method} {path}: {answer}"
                );
                assert!(
                    answer["message"].is_string(),
                    "{who} {method} {path}: {answer}"
                );
            }
        }
    }
    // Health is for everybody, and nobody's business.
    for path in ["/livez", "/healthz", "/readyz"] {
        let address = format!("http://{}{path}", stage.gateway.admin());
        let request = Request::get(address)
            .body(Full::<Bytes>::default())
            .unwrap();
        assert_eq!(stage.client.request(request).await.unwrap().status(), 200);
    }
    // What may be seen of a list differs: those who decide see what is theirs to decide.
    let (id, hash) = asked("for leads").await;
    let mut seen = BTreeMap::new();
    for who in &CALLERS[2..] {
        let path = "/approvals?state=pending";
        let (_, listed) = stage
            .admin(&caller(&stage, who), Method::GET, path, None)
            .await;
        seen.insert(*who, listed["approvals"].as_array().unwrap().len());
    }
    let expected = [
        ("auditor", 1),
        ("lead", 1),
        ("nobody", 0),
        ("operator", 1),
        ("viewer", 1),
    ];
    assert_eq!(seen, BTreeMap::from(expected));
    let vote = json!({ "vote": "approve", "hash": hash });
    let path = format!("/approvals/{id}/decision");
    let lead = caller(&stage, "lead");
    let (status, _) = stage.admin(&lead, Method::POST, &path, Some(vote)).await;
    assert_eq!(status, 200);

    // Every call is in the book, with who made it and what came of it.
    let records = stage.end().await;
    let admin = records.of("(admin)");
    assert!(admin.len() > calls, "{} of {calls}", admin.len());
    for record in &admin {
        let who = record["principal"]["subject"].as_str();
        let status = record["status"].as_u64().unwrap();
        assert_eq!(who.is_none(), status == 401, "{record}");
        assert_eq!(record["protocol"], "admin");
        let target = record["request"]["target"].as_str().unwrap();
        assert!(target.starts_with("/v1/"), "{record}");
        let expected = if status < 400 { "complete" } else { "denied" };
        if status != 405 {
            assert_eq!(record["outcome"], expected, "{record}");
        }
        if who.is_some() && !matches!(status, 404 | 405) {
            assert!(record["action"]["name"].is_string(), "{record}");
        }
    }
    let names: std::collections::BTreeSet<_> = (admin.iter())
        .filter_map(|record| record["action"]["name"].as_str())
        .collect();
    for name in [
        "approvals.list",
        "approvals.show",
        "approvals.decide",
        "approvals.cancel",
        "grants.list",
        "grants.create",
        "grants.revoke",
        "grants.review",
        "tokens.list",
        "tokens.revoke",
        "issuers.list",
        "policy.show",
        "policy.reload",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
}

/// A hold, an erasure that it forbids, its end and the erasure again, by the API alone.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_held_and_erased() {
    let stage = Scene::default().set().await;
    assert_eq!(
        stage.ask(&stage.token(), &prompt("of payments")).await.0,
        200
    );
    let ops = stage.person("olga", &["platform"]);
    let post =
        async |path: &str, body: Value| stage.admin(&ops, Method::POST, path, Some(body)).await;
    let subject = "ci/repo:acme/payments";
    let would = json!({ "subject": subject, "basis": "request 17", "dry_run": true });
    let told = async || loop {
        let (status, told) = post("/book/erase", would.clone()).await;
        assert_eq!(status, 200, "{told}");
        if told["exchanges"] == 1 {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(told().await["holds"], json!([]));
    for wrong in [
        json!({ "subject": "nobody", "basis": "request 17" }),
        json!({ "basis": "request 17" }),
        json!({ "subject": subject, "session": "x", "basis": "request 17" }),
        json!({ "subject": subject, "basis": " " }),
        json!({ "subject": subject, "basis": "request 17", "override_minimum": "" }),
    ] {
        assert_eq!(post("/book/erase", wrong.clone()).await.0, 400, "{wrong}");
    }

    let (status, hold) = post(
        "/book/holds",
        json!({ "subject": subject, "reason": "case 4" }),
    )
    .await;
    assert_eq!((status, &hold["by"]), (200, &json!("corp/olga")), "{hold}");
    let erase = json!({ "subject": subject, "basis": "request 17" });
    let (status, refused) = post("/book/erase", erase.clone()).await;
    assert_eq!(status, 403, "{refused}");
    let (_, held) = stage.admin(&ops, Method::GET, "/book/holds", None).await;
    assert_eq!(held["holds"][0]["refused"][0]["basis"], "request 17");
    let release = format!("/book/holds/{}/release", hold["id"]);
    let (status, released) = post(&release, json!({ "reason": "over" })).await;
    assert_eq!(status, 200, "{released}");
    assert_eq!(released["refused"][0]["by"], "corp/olga");
    let (status, erased) = post("/book/erase", erase).await;
    assert_eq!((status, &erased["exchanges"]), (200, &json!(1)), "{erased}");
    let (status, plan) = stage
        .admin(&ops, Method::GET, "/book/retention", None)
        .await;
    assert_eq!(
        (status, &plan["classes"][3]["class"]),
        (200, &json!("rows"))
    );

    let records = stage.end().await;
    let admin = records.of("(admin)");
    let names: Vec<_> = admin
        .iter()
        .map(|record| &record["action"]["name"])
        .collect();
    for name in ["book.survey", "book.erase", "book.hold", "book.release"] {
        assert!(names.contains(&&json!(name)), "{name} is not in {names:?}");
    }
    for record in &admin {
        assert!(!record.to_string().contains("acme/payments"), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_wrote_comes_out_as_data() {
    let stage = scene().set().await;
    let secret = format!("{}{}", "ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry");
    let hostile = format!(
        "\u{202e}approved\u{2066} \u{1b}[2J\u{1b}]8;;https://evil.example\u{7}ok \u{0} \
         </script><script>alert(1)</script> \"}}, \"state\": \"approved\", {secret}"
    );
    let mut body = prompt(&hostile);
    body["model"] = json!("claude-haiku-4-5\u{202e}");
    assert_eq!(stage.ask(&stage.token(), &body).await.0, 409);
    let pending = stage.approvals("pending", 1).await.remove(0);
    assert_eq!(pending["state"], "pending");
    let view = pending["view"].as_str().unwrap();
    // It is the request, as JSON, masked; nothing of it has become a member of the answer.
    let shown: Value = serde_json::from_str(view).unwrap();
    let text = shown["messages"][0]["content"].as_str().unwrap();
    assert!(text.starts_with("\u{202e}approved"), "{text:?}");
    assert!(
        text.contains("<script>") && text.contains("[REDACTED:"),
        "{text:?}"
    );
    assert!(!pending.to_string().contains(&secret[8..]), "{pending}");
    assert_eq!(pending["facts"]["model"], "claude-haiku-4-5\u{202e}");
    // On the wire too: a control character in JSON is an escape.
    let path = format!("/v1/approvals/{}", pending["id"].as_str().unwrap());
    let request = Request::get(format!("http://{}{path}", stage.gateway.admin()))
        .header(
            "authorization",
            format!("Bearer {}", stage.person("olga", &["platform"])),
        )
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = stage.client.request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let (_, bytes) = whole(response).await;
    assert!(bytes.iter().all(|byte| *byte >= b' '), "{bytes:?}");
    assert_eq!(parsed(&bytes)["hash"], pending["hash"]);
    // What a person writes is data as well.
    let lead = stage.person("lea", &["leads"]);
    let path = format!("/approvals/{}/decision", pending["id"].as_str().unwrap());
    let vote = json!({ "vote": "deny", "reason": format!("no\u{1b}[2J\r\n\u{7} {secret}"), "hash": pending["hash"] });
    let (status, denied) = stage.admin(&lead, Method::POST, &path, Some(vote)).await;
    assert_eq!(status, 200, "{denied}");
    let (status, answer) = stage.ask(&stage.token(), &body).await;
    assert_eq!(status, 403);
    let told = answer["error"]["message"].as_str().unwrap();
    assert!(!told.chars().any(char::is_control), "{told:?}");
    let records = stage.end().await;
    for record in records.all.iter().chain(&records.own) {
        assert!(!record.to_string().contains(&secret[8..]), "{record}");
    }
}

/// A token that the built-in rules know.
const SECRET: &str = concat!("ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_say_too_much_are_refused() {
    let stage = scene().set().await;
    assert_eq!(stage.ask(&stage.token(), &prompt("one")).await.0, 409);
    let pending = stage.approvals("pending", 1).await.remove(0);
    let decide = format!("/approvals/{}/decision", pending["id"].as_str().unwrap());
    let (lead, ops) = (
        stage.person("lea", &["leads"]),
        stage.person("olga", &["platform"]),
    );
    let hash = &pending["hash"];
    for (who, path, body) in [
        (
            &lead,
            &*decide,
            json!({ "vote": "approve", "hash": hash, "as": "corp/ana" }),
        ),
        (
            &lead,
            &*decide,
            json!({ "vote": "approve", "hash": hash, "groups": ["security"] }),
        ),
        (&lead, &*decide, json!({ "vote": "APPROVE", "hash": hash })),
        // A reader that quotes what it cannot read would write this into the book.
        (&lead, &*decide, json!({ "vote": SECRET, "hash": hash })),
        (&lead, &*decide, json!({ "vote": "approve" })),
        (
            &lead,
            &*decide,
            json!({ "vote": ["approve"], "hash": hash }),
        ),
        (&lead, &*decide, json!([])),
        (
            &lead,
            "/approvals/apr_1/decision",
            json!({ "vote": "approve", "hash": hash }),
        ),
        (&ops, "/tokens/revoke", json!({ "reason": "nothing named" })),
        (
            &ops,
            "/tokens/revoke",
            json!({ "rule": "a", "issuer": "b", "reason": "two" }),
        ),
        (
            &ops,
            "/tokens/revoke",
            json!({ "rule": "a", "reason": " " }),
        ),
        (
            &ops,
            "/tokens/revoke",
            json!({ "rule": "a", "reason": "x", "through": 9 }),
        ),
        (
            &ops,
            "/tokens/revoke",
            json!({ "token": "not an id", "reason": "x" }),
        ),
        (
            &ops,
            "/tokens/revoke",
            json!({ "subject": "no-issuer", "reason": "x" }),
        ),
    ] {
        let (status, answer) = stage
            .admin(who, Method::POST, path, Some(body.clone()))
            .await;
        assert_eq!(status, 400, "{path} {body}: {answer}");
        assert_eq!(answer["code"], "malformed_request", "{body}: {answer}");
    }
    let (status, _) = stage
        .admin(&ops, Method::GET, "/approvals?state=open", None)
        .await;
    assert_eq!(status, 400);
    let (status, _) = stage
        .admin(&ops, Method::GET, "/approvals?limit=-1", None)
        .await;
    assert_eq!(status, 400);
    // A body beyond any call.
    let large = json!({ "vote": "approve", "hash": hash, "reason": "a".repeat(70_000) });
    let (status, answer) = stage.admin(&lead, Method::POST, &decide, Some(large)).await;
    assert!(matches!(status, 400 | 413), "{status} {answer}");
    // A member twice: whoever reads the first would see another vote.
    let twice = format!(r#"{{"vote":"deny","vote":"approve","hash":{hash}}}"#);
    let request = Request::post(format!("http://{}/v1{decide}", stage.gateway.admin()))
        .header("authorization", format!("Bearer {lead}"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(twice))
        .unwrap();
    assert_eq!(stage.client.request(request).await.unwrap().status(), 400);
    let after = stage.approvals("pending", 1).await;
    assert_eq!(after[0]["votes"], json!([]), "nothing was decided");
    let records = stage.end().await;
    let told = json!(records.all).to_string();
    assert!(
        told.contains("unknown variant"),
        "the record says what was wrong"
    );
    assert!(!told.contains(SECRET));
}
