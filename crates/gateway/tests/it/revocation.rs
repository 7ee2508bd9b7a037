//! Credentials that are ended before their time end what they have begun.

use http::Method;
use serde_json::{Value, json};

use crate::{
    federation::{RULE, federated, json_exchange},
    stage::{Scene, Stage, whole},
};

const JOB: &str = "repo:acme/pay:main";

/// A model that nobody gets without a lead.
const ASKS: &str = r#"
@id("careful-model")
@approval("leads:1")
forbid (principal, action, resource)
when { context has model && context.model == "claude-opus-4-5" };
"#;

fn prompt(model: &str, stream: bool, text: &str) -> Value {
    json!({
        "model": model, "max_tokens": 64, "stream": stream,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// Takes long enough for anything: half a minute, in small pieces.
fn slow() -> Value {
    let text = format!("[[slow]] {}", "word after word ".repeat(150));
    prompt("claude-haiku-4-5", true, &text)
}

async fn revoke(stage: &Stage, what: &str, value: &str) -> Value {
    let ops = stage.person("olga", &["platform"]);
    let body = json!({ what: value, "reason": "the job went astray" });
    let path = "/tokens/revoke";
    let (status, answer) = stage.admin(&ops, Method::POST, path, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    answer["revoked"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_once_when_its_caller_is_revoked() {
    for (what, value) in [
        ("rule", "payments-ci"),
        ("identity", "ci/repo:acme/pay:main"),
        ("subject", "ci/repo:acme/pay:main"),
        ("issuer", "ci"),
    ] {
        let stage = Scene::default().more(RULE).set().await;
        let token = federated(&stage, JOB).await;
        let mut stream = stage.listen(&token, &slow()).await;
        assert_eq!(stream.status, 200);
        stream.until("content_block_delta").await;
        let ended = revoke(&stage, what, value).await;
        assert_eq!(ended.as_array().unwrap().len(), 1, "{what}");
        let seen = stream.rest().await;
        let (_, last) = seen.rsplit_once("\n\nevent: ").unwrap();
        assert!(last.starts_with("error\n"), "{what}: {seen}");
        assert!(last.contains("authentication_error"), "{what}: {last}");
        assert!(!seen.contains("message_stop"), "{what}: {seen}");
        let (status, _) = stage
            .ask(&token, &prompt("claude-haiku-4-5", false, "x"))
            .await;
        assert_eq!(status, 401, "{what}");
        // Nor is there another for it, with a token that the issuer makes now.
        let request = json_exchange(&stage, &stage.job(JOB));
        assert_eq!(whole(stage.send(request).await).await.0, 401, "{what}");
        // And it stays so.
        let stage = stage.restart().await;
        let (status, _) = stage
            .ask(&token, &prompt("claude-haiku-4-5", false, "x"))
            .await;
        assert_eq!(status, 401, "{what}");
        assert_eq!(stage.forwarded(), 1);

        let records = stage.end().await;
        let calls: Vec<&Value> = (records.of("claude").into_iter())
            .filter(|record| record["action"]["name"] != "token.exchange")
            .collect();
        assert_eq!(calls[0]["outcome"], "policy_cut", "{what}");
        assert_eq!(calls[0]["refusal"]["reason"], "revoked");
        for refused in &calls[1..] {
            assert_eq!(refused["outcome"], "denied");
            assert_eq!(refused["refusal"]["reason"], "revoked");
        }
        let admin = records.of("(admin)");
        let told = admin
            .iter()
            .find(|record| record["action"]["name"] == "tokens.revoke")
            .unwrap();
        assert_eq!(told["action"]["by"], what);
        assert_eq!(told["action"]["why"], "the job went astray");
        assert_eq!(told["principal"]["subject"], "olga");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_ends_and_its_neighbour_does_not() {
    let stage = Scene::default().more(RULE).set().await;
    let (token, other) = (
        federated(&stage, JOB).await,
        federated(&stage, "repo:acme/pay:other").await,
    );
    let ops = stage.person("olga", &["platform"]);
    let (_, listed) = stage.admin(&ops, Method::GET, "/tokens", None).await;
    let listed = listed["tokens"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    let ours = (listed.iter())
        .find(|token| token["subject"] == JOB)
        .unwrap();
    assert_eq!(
        (&ours["rule"], &ours["state"]),
        (&json!("payments-ci"), &json!("valid"))
    );
    let mut stream = stage.listen(&token, &slow()).await;
    stream.until("content_block_delta").await;
    let id = ours["id"].as_str().unwrap();
    assert_eq!(revoke(&stage, "token", id).await, json!([id]));
    assert!(stream.rest().await.contains("event: error"));
    let ask = async |token: &str| {
        let body = prompt("claude-haiku-4-5", false, "x");
        stage.ask(token, &body).await.0
    };
    assert_eq!(ask(&token).await, 401);
    assert_eq!(ask(&other).await, 200);
    // Its job is not meant, and gets itself another.
    let again = federated(&stage, JOB).await;
    assert_eq!(ask(&again).await, 200);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_let_go_of() {
    let stage = Scene::default()
        .more(RULE)
        .policy("asks.cedar", ASKS)
        .connection(r#"approvals = { quiet = "50ms", hold = "60s", ping = "100ms" }"#)
        .set()
        .await;
    let token = federated(&stage, JOB).await;
    let mut stream = stage
        .listen(&token, &prompt("claude-opus-4-5", true, "held"))
        .await;
    assert_eq!(stream.status, 200);
    stream.until("event: ping").await;
    let body = prompt("claude-opus-4-5", false, "held too");
    let held = stage.ask(&token, &body);
    let ended = async {
        stage.approvals("pending", 2).await;
        revoke(&stage, "rule", "payments-ci").await;
    };
    let ((status, answer), ()) = tokio::join!(held, ended);
    assert_eq!(status, 401, "{answer}");
    assert_eq!(answer["error"]["type"], "authentication_error");
    let seen = stream.rest().await;
    let (_, last) = seen.rsplit_once("\n\nevent: ").unwrap();
    assert!(
        last.starts_with("error\n") && last.contains("authentication_error"),
        "{seen}"
    );
    // A yes that comes now opens nothing.
    let ana = stage.person("ana", &["leads"]);
    for approval in stage.approvals("pending", 2).await {
        assert_eq!(stage.vote(&ana, &approval, "approve").await.0, 200);
    }
    assert_eq!(stage.ask(&token, &body).await.0, 401);
    assert_eq!(stage.forwarded(), 0);
    let records = stage.end().await;
    let calls: Vec<&Value> = (records.of("claude").into_iter())
        .filter(|record| record["action"]["name"] == "messages.create")
        .collect();
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!(call["refusal"]["reason"], "revoked", "{call}");
        assert_eq!(call["outcome"], "denied", "nothing was forwarded: {call}");
    }
}
