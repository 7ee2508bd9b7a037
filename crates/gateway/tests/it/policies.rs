//! Policies over what the one parse and the one scan found out.

use http_body_util::Full;
use serde_json::json;

use crate::stage::{Stage, parsed, whole};

const POLICIES: &str = r#"
@id("no-secrets")
@reason("take the secret out of the prompt")
forbid (principal, action, resource)
when { context has finding_count && context.finding_count > 0 };

@id("only-small-models")
@reason("large models are for people")
forbid (principal, action in Tollbook::Action::"messages", resource)
when { principal.kind == "ci" && context has models && !["claude-haiku-4-5"].containsAll(context.models) };

@id("no-shell-from-forks")
forbid (principal, action, resource)
when {
  principal.hasTag("event_name") && principal.getTag("event_name").contains("pull_request_target")
  && context has tools && context.tools.contains("Bash")
};
"#;

#[tokio::test(flavor = "multi_thread")]
async fn rules_judge_findings_models_tools_and_claims() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.cedar"), POLICIES).unwrap();
    let upstream = tollbook_testkit::upstream::ClaudeUpstream::start(Default::default())
        .await
        .unwrap();
    let more = format!("[policy]\npath = {:?}", folder.path());
    let key = tollbook_testkit::upstream::STANDIN_API_KEY;
    let stage = Stage::before(upstream.url(), key, "", &more).await;

    let secret = format!("{}{}", "ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry");
    let body = |model: &str, text: &str| {
        json!({
            "model": model, "max_tokens": 16,
            "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
            "messages": [{ "role": "user", "content": text }],
        })
    };
    let call = async |body: serde_json::Value, event: &str| {
        let token = stage
            .issuer
            .token("repo:acme/api")
            .audience("tollbook")
            .groups(["developers"])
            .claim("event_name", event)
            .sign()
            .unwrap();
        let mut request = stage.message("", false);
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        *request.body_mut() = Full::new(body.to_string().into());
        let (status, body) = whole(stage.send(request).await).await;
        (
            status,
            parsed(&body)["error"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    assert_eq!(call(body("claude-haiku-4-5", "hello"), "push").await.0, 200);
    let (status, message) = call(body("claude-haiku-4-5", &secret), "push").await;
    assert_eq!(status, 403);
    assert!(
        message.contains("no-secrets") && message.contains("take the secret out"),
        "{message}"
    );
    assert!(!message.contains(&secret[4..20]), "{message}");
    let (status, message) = call(body("claude-opus-4-5", "hello"), "push").await;
    assert_eq!(status, 403);
    assert!(message.contains("only-small-models"), "{message}");
    // Not only the first of the models that a request names.
    let mut hidden = body("claude-haiku-4-5", "hello");
    hidden["fallbacks"] = json!([{ "model": "claude-opus-4-5" }]);
    assert_eq!(call(hidden, "push").await.0, 403);
    let (status, message) = call(body("claude-haiku-4-5", "hello"), "pull_request_target").await;
    assert_eq!(status, 403);
    assert!(message.contains("no-shell-from-forks"), "{message}");
    assert_eq!(upstream.count(), 1, "what is denied is not forwarded");

    let records = stage.end().await;
    let denied = &records.all[1];
    assert_eq!(denied["decision"]["verdict"], "deny");
    assert_eq!(denied["decision"]["rules"], json!(["no-secrets"]));
    assert_eq!(
        denied["decision"]["reason"],
        "take the secret out of the prompt"
    );
    assert_eq!(denied["outcome"], "denied");
    assert!(
        denied["findings"][0]["place"]
            .as_str()
            .unwrap()
            .starts_with("request.body")
    );
    let hash = |at: usize| records.all[at]["decision"]["policy_hash"].clone();
    assert_eq!(hash(0), hash(1));
}
