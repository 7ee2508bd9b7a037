//! What callers may use, and agents that run in circles.

use http::Method;
use serde_json::{Value, json};

use crate::stage::{Scene, Stage, parsed, until, whole};

fn prompt(text: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "messages": [{ "role": "user", "content": text }],
    })
}

fn budget(limit: &str) -> String {
    format!(
        "[[budget]]\nid = \"small\"\nper = \"principal\"\nwindow = \"1h\"\n{limit}\n\
         reason = \"ask the platform team for more\"\n"
    )
}

/// Waits until every exchange so far is over: what it took is counted then.
async fn settled(stage: &Stage) {
    until("exchanges that are over", async || {
        let reader = tollbook_recording::Reader::open(stage.book()).unwrap();
        let mut filter = tollbook_recording::Filter::default();
        filter.limit = 1_000;
        let all = reader.exchanges(&filter).unwrap();
        all.iter().all(|one| one.outcome.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_of_two_requests_is_refused_for_a_while() {
    let stage = Scene::default().more(&budget("requests = 2")).set().await;
    let token = stage.token();
    // Of many at once exactly as many pass.
    let (body, count) = (prompt("hello"), 8);
    let mut asks = Vec::new();
    for _ in 0..count {
        asks.push(stage.client.request(stage.call(&token, &body)));
    }
    let mut statuses = Vec::new();
    for ask in asks.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
        statuses.push(ask.await.unwrap().unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429, 429, 429]);
    assert_eq!(stage.forwarded(), 2);

    // Also after a restart, and whatever it asks for.
    settled(&stage).await;
    let stage = stage.restart().await;
    let response = stage.send(stage.call(&token, &prompt("again"))).await;
    assert_eq!(response.status(), 429);
    let after: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    // An hour, or a little longer, since time is counted in slots.
    assert!((1..=3_800).contains(&after), "{after}");
    // A client that sleeps for as long as it is told would sleep for an hour.
    let sleeps = if after > 60 { "false" } else { "true" };
    assert_eq!(response.headers()["x-should-retry"], sleeps);
    let (_, body) = whole(response).await;
    let body = parsed(&body);
    assert_eq!(body["error"]["type"], "rate_limit_error");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("small") && message.contains("platform team"),
        "{message}"
    );
    let request = stage.request(Method::GET, "/v1/models");
    let request = request.body(Default::default()).unwrap();
    assert_eq!(stage.send(request).await.status(), 429);
    // Somebody else has a budget of their own.
    let other = stage.issuer.token("repo:acme/other").groups(["developers"]);
    let (status, _) = stage.ask(&other.sign().unwrap(), &prompt("hello")).await;
    assert_eq!(status, 200);
    assert_eq!(stage.forwarded(), 3);

    let records = stage.end().await;
    let refused: Vec<&Value> = (records.all.iter())
        .filter(|record| record["status"] == 429)
        .collect();
    assert_eq!(refused.len(), count);
    for record in refused {
        assert_eq!(record["outcome"], "denied");
        assert_eq!(record["refusal"]["code"], "budget_exceeded");
        assert_eq!(record["refusal"]["reason"], "budget_requests");
        assert_eq!(
            record["decision"]["verdict"], "allow",
            "policy had nothing against it"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_took_is_counted_when_it_is_over() {
    let stage = Scene::default().more(&budget("tokens = 400")).set().await;
    let token = stage.token();
    // Some thousand bytes there and back: more than the limit.
    let long = prompt(&"a word and another one, ".repeat(100));
    let (status, answer) = stage.ask(&token, &long).await;
    assert_eq!(status, 200, "nothing is spent before the first");
    let spent = answer["usage"]["output_tokens"].as_u64().unwrap()
        + answer["usage"]["input_tokens"].as_u64().unwrap();
    assert!(spent > 400, "{spent}");
    settled(&stage).await;
    assert_eq!(stage.ask(&token, &prompt("more")).await.0, 429);
    let stage = stage.restart().await;
    assert_eq!(stage.ask(&token, &prompt("more")).await.0, 429);
    assert_eq!(stage.forwarded(), 1);
    let records = stage.end().await;
    let reason = |at: usize| records.all[at]["refusal"]["reason"].clone();
    assert_eq!(
        (reason(1), reason(2)),
        (json!("budget_tokens"), json!("budget_tokens"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_denies_spends_nothing() {
    let stage = Scene::default()
        .more(&budget("requests = 1"))
        .policy(
            "models.cedar",
            r#"@id("no-opus") forbid (principal, action, resource)
               when { context has model && context.model == "claude-opus-4-5" };"#,
        )
        .set()
        .await;
    let token = stage.token();
    let mut denied = prompt("hello");
    denied["model"] = json!("claude-opus-4-5");
    assert_eq!(stage.ask(&token, &denied).await.0, 403);
    assert_eq!(stage.ask(&token, &denied).await.0, 403);
    assert_eq!(stage.ask(&token, &prompt("hello")).await.0, 200);
    assert_eq!(stage.ask(&token, &prompt("hello")).await.0, 429);
    assert_eq!(
        stage.ask(&token, &denied).await.0,
        403,
        "policy comes first"
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_makes_the_same_call_again_and_again_is_stopped() {
    let limits = "[limits]\nrepeated_tool_calls = 3\n";
    let stage = Scene::default().more(limits).set().await;
    let token = stage.token();
    // A conversation in which a tool was called so often, the last time with this input.
    let after = |calls: usize, input: &Value| {
        let mut messages = vec![json!({ "role": "user", "content": "find the file" })];
        for at in 0..calls {
            let id = format!("toolu_{at}");
            messages.push(json!({ "role": "assistant", "content": [
                { "type": "tool_use", "id": id, "name": "Bash", "input": input }] }));
            messages.push(json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": id, "content": "no such file" }] }));
        }
        json!({
            "model": "claude-haiku-4-5", "max_tokens": 64, "messages": messages,
            "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
        })
    };
    let same = json!({ "command": "cat missing" });
    for calls in 0..=3 {
        assert_eq!(
            stage.ask(&token, &after(calls, &same)).await.0,
            200,
            "{calls}"
        );
    }
    let response = stage.send(stage.call(&token, &after(4, &same))).await;
    assert_eq!(response.status(), 429);
    let pause: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=300).contains(&pause), "{pause}");
    let (_, body) = whole(response).await;
    let body = parsed(&body);
    assert_eq!(body["error"]["type"], "rate_limit_error");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("tollbook_loop_detected"), "{message}");
    assert_eq!(stage.forwarded(), 4);
    // Nor is it over with a restart.
    settled(&stage).await;
    let stage = stage.restart().await;
    assert_eq!(stage.ask(&token, &after(5, &same)).await.0, 429);
    let records = stage.end().await;
    let last = records.all.last().unwrap();
    assert_eq!(last["refusal"]["code"], "loop_detected");
    assert_eq!(last["action"]["repeated_tool_calls"], 5);
}
