//! Tool calls are judged before they reach the agent.

use serde_json::{Value, json};
use tollbook_testkit::upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig};

use crate::stage::{Scene, Stage, until};

const POLICIES: &str = r#"
@id("no-destructive-shell")
@reason("what cannot be undone is for people")
forbid (principal, action == Tollbook::Action::"tool.call", resource)
when { context has tool && context.tool == "Bash"
       && context has labels && context.labels.contains("destructive-shell") };

@id("deploys-need-a-lead")
@approval("leads:1")
@reason("a lead looks at every deployment")
forbid (principal, action == Tollbook::Action::"tool.call", resource)
when { context has tool && context.tool == "Deploy" };
"#;

const WAITS: &str = r#"approvals = { hold = "300ms" }"#;

fn scene() -> Scene {
    Scene::default().policy("tools.cedar", POLICIES)
}

fn prompt(stream: bool, text: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 256, "stream": stream,
        "tools": [
            { "name": "Bash", "input_schema": { "type": "object" } },
            { "name": "Deploy", "input_schema": { "type": "object" } },
        ],
        "messages": [{ "role": "user", "content": text }],
    })
}

const HARMLESS: &str = r#"let us see [[tool:Bash {"command":"ls -l"}]]"#;
const HARMFUL: &str = r#"let us see [[tool:Bash {"command":"rm -rf / --no-preserve-root"}]]"#;
const DEPLOY: &str = r#"let us see [[tool:Deploy {"to":"prod-7","version":3}]]"#;

/// The events of a stream: name and data.
fn events(stream: &str) -> Vec<(&str, Value)> {
    let frames = stream.split("\n\n").filter(|frame| !frame.is_empty());
    frames
        .map(|frame| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            let name = name.strip_prefix("event: ").unwrap();
            (name, serde_json::from_str(data).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_call_ends_the_stream_before_it() {
    let stage = scene().set().await;
    let token = stage.token();
    let stream = stage.listen(&token, &prompt(true, HARMFUL)).await;
    assert_eq!(stream.status, 200);
    let seen = stream.rest().await;
    assert!(
        !seen.contains("tool_use") && !seen.contains("preserve"),
        "{seen}"
    );
    let events = events(&seen);
    let text: String = events
        .iter()
        .filter_map(|(_, data)| data["delta"]["text"].as_str())
        .collect();
    assert_eq!(text.trim(), "let us see", "the text before it came through");
    // The block that had begun is over, and no other begins.
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    let starts = names.iter().filter(|name| **name == "content_block_start");
    assert_eq!(starts.count(), 1, "{names:?}");
    assert_eq!(names[names.len() - 2], "content_block_stop", "{names:?}");
    let (last, error) = events.last().unwrap();
    assert_eq!(
        (*last, &error["error"]["type"]),
        ("error", &json!("permission_error"))
    );
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("no-destructive-shell") && message.contains("for people"),
        "{message}"
    );

    let records = stage.end().await;
    let record = &records.all[0];
    assert_eq!(record["outcome"], "policy_cut", "{record:#}");
    assert_eq!(record["refusal"]["code"], "policy_denied");
    let decisions = record["tool_decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 1, "{record:#}");
    let decision = &decisions[0];
    assert_eq!(
        (&decision["tool"], &decision["verdict"]),
        (&json!("Bash"), &json!("deny"))
    );
    assert_eq!(decision["rules"], json!(["no-destructive-shell"]));
    assert_eq!(record["withheld"], json!([decision["id"]]));
    // What the model wanted is in the book, although nobody got it.
    assert!(
        record["tool_calls"][0]["input"]["command"]
            .as_str()
            .unwrap()
            .contains("rm -rf")
    );
    let labels = record["findings"].as_array().unwrap();
    assert!(!labels.is_empty(), "{record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_passes_byte_for_byte() {
    let text = format!("{HARMLESS} and then [[tool:Bash {{\"command\":\"pwd\"}}]] [[thinking]]");
    let mut answers = Vec::new();
    for lines in [r#"tools = "judge""#, r#"tools = "pass""#, ""] {
        let stage = scene().connection(lines).set().await;
        let token = stage.token();
        let stream = stage.listen(&token, &prompt(true, &text)).await;
        assert_eq!(stream.status, 200);
        answers.push(stream.rest().await);
        let (status, whole) = stage.ask(&token, &prompt(false, &text)).await;
        assert_eq!(status, 200);
        answers.push(whole.to_string());
        let records = stage.end().await;
        let judged = lines != r#"tools = "pass""#;
        for record in &records.all {
            assert_eq!(record["outcome"], "complete");
            let decisions = record["tool_decisions"].as_array();
            assert_eq!(decisions.map(Vec::len), judged.then_some(2), "{lines}");
            assert_eq!(record["withheld"], Value::Null);
        }
    }
    // The upstream itself, whose ids and cuts depend on its calls alone.
    let upstream = ClaudeUpstream::start(UpstreamConfig::default())
        .await
        .unwrap();
    let stage = Stage::before(upstream.url(), STANDIN_API_KEY, "", "").await;
    let mut bare = stage.call("", &prompt(true, &text));
    *bare.uri_mut() = format!("{}/v1/messages", upstream.url()).parse().unwrap();
    bare.headers_mut().remove("authorization");
    let key = STANDIN_API_KEY.parse().unwrap();
    bare.headers_mut().insert("x-api-key", key);
    let (_, bytes) = crate::stage::whole(stage.send(bare).await).await;
    let bare = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(bare.contains("tool_use") && bare.ends_with("\"message_stop\"}\n\n"));
    for (at, answer) in answers.iter().enumerate() {
        if at % 2 == 0 {
            assert_eq!(*answer, bare);
        } else {
            assert_eq!(*answer, answers[1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_with_a_forbidden_call_is_refused() {
    let stage = scene().set().await;
    let token = stage.token();
    let (status, answer) = stage.ask(&token, &prompt(false, HARMFUL)).await;
    assert_eq!(status, 403, "{answer}");
    assert_eq!(answer["error"]["type"], "permission_error");
    assert!(!answer.to_string().contains("preserve"), "{answer}");
    let (status, answer) = stage.ask(&token, &prompt(false, HARMLESS)).await;
    assert_eq!(status, 200);
    assert_eq!(answer["content"][1]["input"]["command"], "ls -l");
    assert_eq!(
        stage.forwarded(),
        2,
        "the model was asked, and its answer withheld"
    );
    let records = stage.end().await;
    let [refused, passed] = &records.all[..] else {
        panic!("{:#?}", records.all);
    };
    assert_eq!(refused["outcome"], "policy_cut");
    assert_eq!(refused["status"], 403);
    assert_eq!(
        refused["withheld"],
        json!([refused["tool_decisions"][0]["id"]])
    );
    assert_eq!(passed["outcome"], "complete");
    assert_eq!(passed["tool_decisions"][0]["verdict"], "allow");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_decide_about_a_call_while_its_stream_is_kept_alive() {
    for (vote, state) in [("approve", "consumed"), ("deny", "denied")] {
        let stage = scene().set().await;
        let token = stage.token();
        let mut stream = stage.listen(&token, &prompt(true, DEPLOY)).await;
        stream.until("content_block_stop").await;
        let pending = stage.approvals("pending", 1).await;
        let approval = &pending[0];
        assert_eq!(approval["action"], "tool.call");
        assert_eq!(approval["rules"], json!(["deploys-need-a-lead"]));
        let view = approval["view"].as_str().unwrap();
        assert!(view.contains("Deploy") && view.contains("prod-7"), "{view}");
        // A sign of life before there is a decision.
        let (before, pings) = (stream.seen.len(), "event: ping");
        while !stream.seen[before..].contains(pings) {
            assert!(stream.next().await, "{}", stream.seen);
        }
        assert!(!stream.seen.contains("tool_use"), "{}", stream.seen);
        let ana = stage.person("ana", &["leads"]);
        assert_eq!(stage.vote(&ana, approval, vote).await.0, 200);
        let seen = stream.rest().await;
        let all = events(&seen);
        let (last, data) = all.last().unwrap();
        if vote == "approve" {
            assert_eq!(*last, "message_stop", "{seen}");
            let input: String = all
                .iter()
                .filter_map(|(_, data)| data["delta"]["partial_json"].as_str())
                .collect();
            assert_eq!(input, r#"{"to":"prod-7","version":3}"#);
        } else {
            assert_eq!(
                (*last, &data["error"]["type"]),
                ("error", &json!("permission_error"))
            );
            let message = data["error"]["message"].as_str().unwrap();
            assert!(message.contains("tollbook_approval_denied"), "{message}");
            assert!(message.contains("looked at it"), "the reason: {message}");
            assert!(!seen.contains("tool_use"), "{seen}");
        }
        assert_eq!(stage.approvals(state, 1).await[0]["id"], approval["id"]);

        let records = stage.end().await;
        let record = records.of("claude")[0];
        let decision = &record["tool_decisions"][0];
        if vote == "approve" {
            assert_eq!(record["outcome"], "complete");
            assert_eq!(decision["approval"], approval["id"], "{record:#}");
            assert_eq!(decision["verdict"], "allow");
            assert_eq!(records.events("approval.consumed").len(), 1);
        } else {
            assert_eq!(record["outcome"], "policy_cut");
            assert_eq!(decision["code"], "approval_denied");
            assert_eq!(records.events("approval.denied").len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_waits_a_little_and_passes_when_it_comes_again() {
    let stage = scene().connection(WAITS).set().await;
    let token = stage.token();
    let response = stage.send(stage.call(&token, &prompt(false, DEPLOY))).await;
    assert_eq!(response.status(), 409);
    assert_eq!(response.headers()["x-should-retry"], "true");
    assert!(response.headers().contains_key("retry-after"));
    drop(response);
    let pending = stage.approvals("pending", 1).await;
    let ana = stage.person("ana", &["leads"]);
    assert_eq!(stage.vote(&ana, &pending[0], "approve").await.0, 200);
    let (status, answer) = stage.ask(&token, &prompt(false, DEPLOY)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["content"][1]["input"]["to"], "prod-7");
    // It was for one call.
    let (status, _) = stage.ask(&token, &prompt(false, DEPLOY)).await;
    assert_eq!(status, 409);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_gets_no_call() {
    let stage = scene().set().await;
    let token = stage.token();
    let mut stream = stage.listen(&token, &prompt(true, DEPLOY)).await;
    stream.until("content_block_stop").await;
    let pending = stage.approvals("pending", 1).await;
    drop(stream);
    until("the end of the exchange", async || {
        let reader = tollbook_recording::Reader::open(stage.book()).unwrap();
        let mut filter = tollbook_recording::Filter::default();
        filter.limit = 100;
        let all = reader.exchanges(&filter).unwrap();
        all.iter()
            .any(|one| one.outcome.as_deref() == Some("client_gone"))
    })
    .await;
    let ana = stage.person("ana", &["leads"]);
    assert_eq!(stage.vote(&ana, &pending[0], "approve").await.0, 200);
    let records = stage.end().await;
    let record = records.of("claude")[0];
    assert_eq!(record["outcome"], "client_gone");
    assert_eq!(
        record["withheld"].as_array().unwrap().len(),
        1,
        "{record:#}"
    );
    assert_eq!(records.events("approval.consumed").len(), 0);
}
