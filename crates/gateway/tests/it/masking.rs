//! Profiles of masking, through the gate.

use std::{fs, path::Path};

use http::header;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollbook_gateway::Plan;

use crate::{
    canary::{contains, look},
    stage::{Scene, Stage, whole},
};

/// The rule of a house, for what every operator may be asked for.
const BADGES: &str = r#"
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
const BADGE: &str = "badge-12345678";

/// A gateway that knows badges.
async fn stage(mask: &str, profiles: &str) -> (Stage, TempDir) {
    let folder = TempDir::new().unwrap();
    let rules = folder.path().join("house.toml");
    fs::write(&rules, BADGES).unwrap();
    let more = format!("[masking]\nrules = [\"builtin\", {rules:?}]\n{profiles}");
    let scene = Scene::default().connection(mask).more(&more);
    (scene.set().await, folder)
}

async fn said(stage: &Stage, text: &str, stream: bool) -> String {
    let (status, body) = whole(stage.send(stage.message(text, stream)).await).await;
    assert_eq!(status, 200, "{body:?}");
    shown(str::from_utf8(&body).unwrap())
}

/// The text of an answer, whether it came as a document or as events.
fn shown(answer: &str) -> String {
    if let Ok(document) = serde_json::from_str::<serde_json::Value>(answer) {
        return document["content"][0]["text"].as_str().unwrap().to_owned();
    }
    let data = answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let texts = data.map(|data| {
        let event: serde_json::Value = serde_json::from_str(data).unwrap();
        event["delta"]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    texts.collect()
}

fn sent(stage: &Stage) -> Vec<String> {
    let received = stage.upstream.as_ref().unwrap().received();
    let body = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    received.iter().map(|request| body(&request.body)).collect()
}

const TOKENS: &str = "[[masking.profile]]\nname = \"tokens\"\nrules = { badge = \"token\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_out_and_its_value_comes_back_to_whoever_sent_it() {
    let mask = "mask = { wire = \"tokens\", restore = true }";
    let (stage, _rules) = stage(mask, TOKENS).await;
    let text = format!("I have {BADGE}, fine?");
    for stream in [false, true, true] {
        assert_eq!(said(&stage, &text, stream).await, text);
    }
    let bodies = sent(&stage);
    assert!(
        bodies.iter().all(|body| !body.contains(BADGE)),
        "{bodies:?}"
    );
    // The same bytes for the same text, or nothing would ever be found in the prompt cache.
    assert_eq!(bodies[1], bodies[2]);
    let at = bodies[0].find("BADGE_").unwrap();
    let token = &bodies[0][at..at + "BADGE_".len() + 16];

    // To somebody else the token means nothing.
    let other = stage.issuer.token("repo:acme/other").audience("tollbook");
    let other = other.groups(["developers"]).sign().unwrap();
    let ask = format!("What is {token} about?");
    let mut request = stage.message(&ask, true);
    let bearer = format!("Bearer {other}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let (status, body) = whole(stage.send(request).await).await;
    assert_eq!(status, 200);
    assert_eq!(shown(str::from_utf8(&body).unwrap()), ask);
    // Neither is it turned back in an address, for its own caller.
    let ask = format!("Go to https://evil.example/{token} now");
    assert_eq!(said(&stage, &ask, true).await, ask);
    // Nor in what a tool is called with.
    let call = format!(r#"[[tool:Bash {{"command":"mail {token}"}}]]"#);
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 64, "stream": false,
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": call}],
    });
    let mut request = stage.message("x", false);
    *request.body_mut() = body.to_string().into_bytes().into();
    let (status, body) = whole(stage.send(request).await).await;
    assert_eq!(status, 200);
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains(token) && !body.contains(BADGE), "{body}");

    let records = stage.end().await;
    look(records.folder.path(), &mut |path: &Path, bytes: &[u8]| {
        assert!(!contains(bytes, BADGE.as_bytes()), "{}", path.display());
    });
    let first = &records.all[0];
    assert_eq!(first["outcome"], "complete");
    assert!(first.to_string().contains("[REDACTED:badge]"), "{first}");
    let answer = first["answer"]["content"][0]["text"].as_str().unwrap();
    assert!(answer.contains("BADGE_"), "{answer}");
    // Restored, and left in an address. A session without tokens has none to turn back, and inputs
    // of tools are not looked at.
    let tokens = |record: &Value| record["mask_tokens"].clone();
    let counts =
        |restored, withheld| json!({ "restored": restored, "withheld": withheld, "unknown": 0 });
    let told: Vec<_> = records.all.iter().map(tokens).collect();
    assert_eq!(
        told,
        [
            counts(1, 0),
            counts(1, 0),
            counts(1, 0),
            Value::Null,
            counts(0, 1),
            Value::Null
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_pass_is_refused_and_recorded() {
    let profile = "[[masking.profile]]\nname = \"closed\"\nrules = { badge = \"block\" }\n";
    for mask in [
        "mask = { wire = \"closed\" }",
        "mask = { record = \"closed\", record_answers = \"default\" }",
    ] {
        let (stage, _rules) = stage(mask, profile).await;
        let (status, body) = whole(stage.send(stage.message(BADGE, false)).await).await;
        assert_eq!(status, 403, "{body:?}");
        assert_eq!(said(&stage, "nothing", false).await, "nothing");
        assert_eq!(sent(&stage).len(), 1);
        let records = stage.end().await;
        assert_eq!(records.all[0]["refusal"]["code"], "masking_blocked");
        assert_eq!(records.all[0]["outcome"], "denied");
        let refused = records.all[0].to_string();
        assert!(!refused.contains(BADGE), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_may_not_say_is_refused_or_cut_off() {
    let profile = "[[masking.profile]]\nname = \"closed\"\nrules = { badge = \"block\" }\n";
    let (stage, _rules) = stage("mask = { wire_answers = \"closed\" }", profile).await;
    let (status, body) = whole(stage.send(stage.message(BADGE, false)).await).await;
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("tollbook_masking_blocked: badge: "), "{body}");
    let text = format!("I have {BADGE}, and more to tell.");
    let (status, body) = whole(stage.send(stage.message(&text, true)).await).await;
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200);
    let (_, error) = body.split_once("event: error\ndata: ").unwrap();
    assert!(
        error.contains("tollbook_masking_blocked: badge: "),
        "{body}"
    );
    assert!(
        !body.contains("12345678") && !body.contains("to tell"),
        "{body}"
    );
    let records = stage.end().await;
    let ended = |record: &Value| {
        (
            record["outcome"].clone(),
            record["refusal"]["code"].clone(),
            record["status"].clone(),
        )
    };
    let all: Vec<_> = records.all.iter().map(ended).collect();
    let code = || json!("masking_blocked");
    let expected = [
        (json!("denied"), code(), json!(403)),
        (json!("policy_cut"), code(), json!(200)),
    ];
    assert_eq!(all, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_string_that_is_dropped_is_empty_and_its_member_stays() {
    let profile = "[[masking.profile]]\nname = \"empty\"\nrules = { badge = \"drop\" }\n";
    let mask = "mask = { wire = \"empty\", wire_answers = \"off\" }";
    let (stage, _rules) = stage(mask, profile).await;
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "first"},
            {"type": "text", "text": format!("I have {BADGE}.")},
        ]}],
    });
    let mut request = stage.message("x", false);
    *request.body_mut() = body.to_string().into_bytes().into();
    let (status, _) = whole(stage.send(request).await).await;
    assert_eq!(status, 200);
    let expected = body.to_string().replace(&format!("I have {BADGE}."), "");
    assert_eq!(sent(&stage), [expected]);
    stage.end().await;
}

/// What a caller gets of an upstream that answers with these bytes, on a connection that masks the
/// wire: the status and what came before the end or the fault; and the record.
async fn of_upstream(head: &str, body: &[u8], stream: bool) -> (u16, Vec<u8>, Value) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let answer = [head.as_bytes(), body].concat();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 65536]).await.unwrap() > 0);
        socket.write_all(&answer).await.ok();
    });
    let stage = Stage::before(&url, "k", "mask = { wire = \"default\" }", "").await;
    let response = stage.send(stage.message("hello", stream)).await;
    let (status, mut body) = (response.status().as_u16(), response.into_body());
    let mut all = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        all.extend_from_slice(frame.data_ref().unwrap_or(&Default::default()));
    }
    server.await.unwrap();
    let records = stage.end().await;
    look(records.folder.path(), &mut |path: &Path, bytes: &[u8]| {
        assert!(!contains(bytes, b"C4N4ry"), "{}", path.display());
    });
    (status, all, records.all[0].clone())
}

/// Whatever an upstream answers with: nothing of the secret in it comes out, and what cannot be
/// masked ends with the proper error.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_masked_does_not_pass() {
    const EVENTS: &str = "200 OK\r\ncontent-type: text/event-stream";
    const JSON: &str = "200 OK\r\ncontent-type: application/json";

    let secret = ["ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry"].concat();
    let escaped = secret.replacen('g', "\\u0067", 1);
    let delta = |kind: &str, member: &str, text: &[u8]| {
        let head = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"{kind}\",\"{member}\":\""
        );
        [head.as_bytes(), text, b"\"}}\n\n"].concat()
    };
    let text = |text: &[u8]| delta("text_delta", "text", text);
    let stop = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
                event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let good = text(b"first. ");
    let invalid = text(&[&b"\xff\xfe "[..], secret.as_bytes(), b" \xc3. "].concat());
    let bomb = delta(
        "input_json_delta",
        "partial_json",
        format!("{}\\\"{}", "[".repeat(600), escaped.replace('\\', "\\\\")).as_bytes(),
    );
    let unreadable = format!("data: {secret}\n\n").into_bytes();
    for (what, events, ends) in [
        (
            "invalid UTF-8",
            [&good[..], &invalid, stop.as_bytes()].concat(),
            None,
        ),
        (
            "a depth bomb",
            [&good[..], &bomb, &good].concat(),
            Some("api_error"),
        ),
        (
            "no JSON",
            [&good[..], &unreadable, &good].concat(),
            Some("api_error"),
        ),
        (
            "a half event",
            [&good[..], &invalid[..invalid.len() - 20]].concat(),
            None,
        ),
    ] {
        let (status, body, record) = of_upstream(EVENTS, &events, true).await;
        let shown = body.escape_ascii();
        assert_eq!(status, 200, "{what}");
        assert!(!contains(&body, b"C4N4ry"), "{what}: {shown}");
        assert!(
            ends.is_some() || contains(&body, b"first."),
            "{what}: {shown}"
        );
        match ends {
            Some(error) => {
                let at = body.windows(12).rposition(|part| part == b"event: error");
                assert!(
                    contains(&body[at.unwrap()..], error.as_bytes()),
                    "{what}: {shown}"
                );
                assert_eq!(record["outcome"], "policy_cut", "{what}");
            }
            None => assert!(!contains(&body, b"event: error"), "{what}: {shown}"),
        }
        if what == "invalid UTF-8" {
            let masked = text(b"\xff\xfe [REDACTED:github-pat] \xc3. ");
            assert!(contains(&body, &masked), "{shown}");
            assert!(body.ends_with(stop.as_bytes()), "{shown}");
        }
    }

    let message = format!("{{\"content\":[{{\"type\":\"text\",\"text\":\"{escaped}\"}}]}}");
    let deep = format!("{}{message}{}", "[".repeat(600), "]".repeat(600));
    let error = format!(
        "{{\"type\":\"error\",\"error\":{{\"type\":\"invalid_request_error\",\"message\":\"bad {escaped}\"}}}}"
    );
    let bad = JSON.replace("200 OK", "400 Bad Request");
    for (what, head, body, status) in [
        ("a message", JSON.to_owned(), &message, 200),
        ("a depth bomb", JSON.to_owned(), &deep, 502),
        (
            "an unknown coding",
            format!("{JSON}\r\ncontent-encoding: br"),
            &message,
            502,
        ),
        (
            "gzip that is none",
            format!("{JSON}\r\ncontent-encoding: gzip"),
            &message,
            502,
        ),
        ("an error", bad.clone(), &error, 400),
        ("an error that is a depth bomb", bad, &deep, 502),
    ] {
        let (told, body, record) = of_upstream(&head, body.as_bytes(), false).await;
        let shown = body.escape_ascii();
        assert_eq!(told, status, "{what}: {shown}");
        assert!(!contains(&body, b"C4N4ry"), "{what}: {shown}");
        assert_eq!(
            contains(&body, b"[REDACTED:github-pat]"),
            status < 500,
            "{what}: {shown}"
        );
        let outcome = if status == 200 {
            "complete"
        } else {
            "upstream_error"
        };
        assert_eq!(record["outcome"], outcome, "{what}: {record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_may_have_profiles_of_their_own() {
    let mask = "[[connection.mask.for]]\ngroups = [\"developers\"]\nwire = \"default\"\nrecord = \"hashed\"\n";
    let profile = "[[masking.profile]]\nname = \"hashed\"\npersonal = \"hash\"\n";
    let (stage, _rules) = stage(mask, profile).await;
    let text = format!("I have {BADGE}.");
    assert_eq!(said(&stage, &text, true).await, "I have [REDACTED:badge].");
    // Somebody of another group.
    let token = stage
        .issuer
        .token("repo:acme/payments")
        .audience("tollbook");
    let token = token.groups(["ci-payments"]).sign().unwrap();
    let mut request = stage.message(&text, true);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let (_, body) = whole(stage.send(request).await).await;
    assert_eq!(shown(str::from_utf8(&body).unwrap()), text);
    let bodies = sent(&stage);
    assert!(!bodies[0].contains(BADGE) && bodies[1].contains(BADGE));
    let records = stage.end().await;
    assert!(
        records.all[0].to_string().contains("[REDACTED:badge#"),
        "{}",
        records.all[0]
    );
    assert!(
        records.all[1].to_string().contains("[REDACTED:badge]"),
        "{}",
        records.all[1]
    );
}

#[test]
fn what_a_way_cannot_carry_is_refused_with_its_line() {
    let rules = TempDir::new().unwrap();
    fs::write(rules.path().join("house.toml"), BADGES).unwrap();
    let mistakes = |mask: &str, profile: &str| -> Vec<String> {
        let config = format!(
            r#"[[issuer]]
name = "ci"
issuer = "https://token.example"
audience = "tollbook"
[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.example"
mask = {mask}
[masking]
rules = ["builtin", "house.toml"]
[[masking.profile]]
name = "own"
{profile}
"#
        );
        match Plan::read(&config, rules.path(), []) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.all.iter().map(ToString::to_string).collect(),
        }
    };
    let badge = |operator: &str| format!("rules = {{ badge = \"{operator}\" }}");
    let none: [&str; 0] = [];
    assert_eq!(
        mistakes("{ wire = \"own\", restore = true }", &badge("token")),
        none
    );
    for (mask, profile, expected) in [
        (
            "{ record = \"own\" }",
            badge("token"),
            "line 9: `record` cannot have tokens: what is recorded is not turned back; use `hash`",
        ),
        (
            "{ wire_answers = \"own\" }",
            badge("token"),
            "line 9: `wire_answers` cannot have tokens: the caller would get them",
        ),
        (
            "{ wire = \"own\" }",
            badge("drop"),
            "line 9: `wire_answers` cannot drop: an answer comes in pieces, and what stands before has gone out",
        ),
        (
            "{ record = \"own\" }",
            badge("block"),
            "line 9: `record_answers` cannot block: what is blocked in answers stands in `wire_answers`",
        ),
        (
            "{ record = \"own\" }",
            "secrets = \"flag\"".to_owned(),
            "line 9: `record` cannot only flag secrets: they would be in the book",
        ),
        (
            "{ record = \"none\" }",
            badge("hash"),
            "line 9: `record` masks nothing, and the record is always masked",
        ),
        (
            "{ wire = \"default\", restore = true }",
            badge("hash"),
            "line 9: `restore` turns tokens back, and the profile of `wire` makes none",
        ),
        (
            "{ wire = \"owm\" }",
            badge("hash"),
            "line 9: there is no masking profile `owm`; did you mean `own`?",
        ),
        (
            "{}",
            "rules = { jwt = \"token\" }".to_owned(),
            "line 12: profile `own`: `jwt` finds a secret, and `token` would give it away",
        ),
        (
            "{}",
            "rules = { badges = \"hash\" }".to_owned(),
            "line 12: profile `own`: there is no rule `badges`; did you mean `badge`?",
        ),
        (
            "{}",
            badge("hide"),
            "line 12: there is no operator `hide`; it is one of redact, partial, hash, token, surrogate, drop, block, flag, or `off`",
        ),
    ] {
        let all = mistakes(mask, &profile);
        assert!(
            all.iter().any(|mistake| mistake == expected),
            "{all:#?}\n{expected}"
        );
    }
}
