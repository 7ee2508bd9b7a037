//! Policies that change while the gateway runs, and a credential that does.

use http::Method;
use serde_json::{Value, json};

use crate::{
    canary,
    stage::{Scene, Stage},
};

const OPEN: &str = r#"
@id("no-opus")
@reason("large models are for people")
forbid (principal, action, resource)
when { context has model && context.model == "claude-opus-4-5" };
"#;

const TESTS: &str = r#"
[default]
facts = { body_scanned = true }

[[case]]
name = "developers may use small models"
principal = { groups = ["developers"] }
facts = { model = "claude-haiku-4-5" }
expect = "allow"
"#;

fn scene() -> Scene {
    Scene::default()
        .policy("models.cedar", OPEN)
        .policy("models.test.toml", TESTS)
}

fn prompt(model: &str) -> Value {
    json!({
        "model": model, "max_tokens": 64,
        "messages": [{ "role": "user", "content": "hello" }],
    })
}

async fn hash(stage: &Stage) -> Value {
    let ops = stage.person("olga", &["platform"]);
    let (status, policy) = stage.admin(&ops, Method::GET, "/policy", None).await;
    assert_eq!(status, 200);
    policy["hash"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_change_counts_at_once_and_is_in_the_book() {
    let stage = scene().set().await;
    let token = stage.token();
    let ask = async |model: &str| stage.ask(&token, &prompt(model)).await.0;
    assert_eq!(
        (ask("claude-opus-4-5").await, ask("claude-haiku-4-5").await),
        (403, 200)
    );
    let before = hash(&stage).await;
    stage.write_policy("models.cedar", &OPEN.replace("opus", "sonnet"));
    stage.write_policy("README.md", "not a policy");
    // Nothing changes by itself.
    assert_eq!(ask("claude-opus-4-5").await, 403);
    let (status, told) = stage.reload().await;
    assert_eq!((status, &told["before"]), (200, &before), "{told}");
    assert_ne!(told["after"], before);
    assert_eq!(hash(&stage).await, told["after"]);
    assert_eq!(
        (ask("claude-opus-4-5").await, ask("claude-sonnet-4-5").await),
        (200, 403)
    );
    // As by a signal.
    stage.write_policy("models.cedar", OPEN);
    stage.gateway.reload_policies().await;
    assert_eq!(
        hash(&stage).await,
        before,
        "the same policies are the same set"
    );
    assert_eq!(ask("claude-opus-4-5").await, 403);

    let records = stage.end().await;
    let events = records.events("policy.reloaded");
    let changes: Vec<(&Value, &Value)> = (events.iter())
        .map(|event| (&event["action"]["before"], &event["action"]["after"]))
        .collect();
    assert_eq!(
        changes,
        [(&before, &told["after"]), (&told["after"], &before)]
    );
    assert_eq!(events[0]["principal"]["subject"], "olga");
    assert_eq!(events[1]["principal"], Value::Null);
    // Each exchange names the set it was judged by.
    let hashes: Vec<&Value> = (records.of("claude").iter())
        .map(|record| &record["decision"]["policy_hash"])
        .collect();
    let after = &told["after"];
    assert_eq!(hashes, [&before, &before, &before, after, after, &before]);
}

/// The files that are written, with their texts, and the words that the mistakes must hold.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn a_change_with_mistakes_changes_nothing() {
    let stage = scene().set().await;
    let token = stage.token();
    let ask = async |model: &str| stage.ask(&token, &prompt(model)).await.0;
    let before = hash(&stage).await;
    let good = || {
        for file in [
            "models.cedar",
            "models.test.toml",
            "more.cedar",
            "short.toml",
        ] {
            let text = match file {
                "models.cedar" => OPEN,
                "models.test.toml" => TESTS,
                _ => "",
            };
            stage.write_policy(file, text);
        }
    };
    // What is written, and what has to be told of it.
    let everything = "permit (principal, action, resource);";
    let failing = TESTS.replace("\"allow\"", "\"deny\"");
    let cases: [Case<'_>; 7] = [
        (
            &[("more.cedar", "permit (principal, action")],
            &["more.cedar"],
        ),
        (&[("more.cedar", everything)], &["more.cedar", "@id"]),
        (
            &[(
                "more.cedar",
                "@id(\"x\") forbid (principal, action, resource) when { context.modle == \"y\" };",
            )],
            &["more.cedar", "modle"],
        ),
        (
            &[(
                "more.cedar",
                "@id(\"no-opus\") forbid (principal, action, resource);",
            )],
            &["no-opus"],
        ),
        (
            &[("short.toml", "[[rule]]\nnonsense = 1\n")],
            &["short.toml"],
        ),
        (
            &[("models.test.toml", &failing)],
            &["models.test.toml", "small models"],
        ),
        // All of them at once.
        (
            &[
                ("more.cedar", everything),
                ("short.toml", "nonsense = 1\n"),
                ("models.cedar", "forbid"),
            ],
            &["more.cedar", "short.toml", "models.cedar"],
        ),
    ];
    let count = cases.len();
    for (files, expected) in cases {
        good();
        for (file, text) in files {
            stage.write_policy(file, text);
        }
        let (status, told) = stage.reload().await;
        assert_eq!(status, 422, "{files:?}: {told}");
        assert_eq!(told["code"], "policy_error");
        let mistakes = told["mistakes"].to_string();
        for part in expected {
            assert!(mistakes.contains(part), "{part} is not in {mistakes}");
        }
        assert_eq!(hash(&stage).await, before, "{files:?}");
        assert_eq!(
            (ask("claude-opus-4-5").await, ask("claude-haiku-4-5").await),
            (403, 200)
        );
    }
    good();
    std::fs::remove_dir_all(stage.folder().join("policies")).unwrap();
    let (status, told) = stage.reload().await;
    assert_eq!(status, 422, "{told}");
    stage.gateway.reload_policies().await;
    assert_eq!(ask("claude-opus-4-5").await, 403);
    assert_eq!(hash(&stage).await, before);

    let records = stage.end().await;
    let events = records.events("policy.reloaded");
    assert_eq!(events.len(), count + 2);
    for event in events {
        assert_eq!(event["refusal"]["code"], "policy_error", "{event}");
        assert_eq!(event["action"]["before"], before);
        assert_eq!(event["action"]["after"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_about_tool_calls_count_at_once() {
    const TOOLS: &str = r#"
        @id("no-shell")
        forbid (principal, action == Tollbook::Action::"tool.call", resource);
    "#;
    let call = json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
        "messages": [{ "role": "user", "content": "[[tool:Bash {\"command\":\"ls\"}]]" }],
    });
    // A rule about every action that looks at what only tool calls have.
    const EVERYTHING: &str = r#"
        @id("no-shell")
        forbid (principal, action, resource) when { context has tool && context.tool == "Bash" };
    "#;
    for (lines, rules, after) in [
        ("", TOOLS, 403),
        ("", EVERYTHING, 403),
        (r#"tools = "judge""#, TOOLS, 403),
        (r#"tools = "pass""#, TOOLS, 200),
    ] {
        let stage = scene().connection(lines).set().await;
        let token = stage.token();
        assert_eq!(stage.ask(&token, &call).await.0, 200);
        stage.write_policy("tools.cedar", rules);
        let (status, told) = stage.reload().await;
        assert_eq!(status, 200, "{told}");
        assert_eq!(stage.ask(&token, &call).await.0, after, "{lines} {rules}");
        let stage = stage.restart().await;
        assert_eq!(stage.ask(&token, &call).await.0, after, "{lines} {rules}");
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_has_no_key_where_the_upstream_federates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity-token");
    let own = format!(
        "eyJhbGciOiJFUzI1NiJ9.{}.{}",
        "c4N4ryTheFirst", "c4N4rySignature"
    );
    std::fs::write(&file, &own).unwrap();
    let credential = format!(
        "{{ federation = {{ rule = \"fdrl_gate\", organization = \"3fa85f64-5717-4562-b3fc-2c963f66afa6\", \
         service_account = \"svac_1\", identity_token = {{ file = {file:?} }} }} }}"
    );
    let stage = Scene::default().credential(&credential).set().await;
    let token = stage.token();
    let upstream = stage.upstream.as_ref().unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (status, answer) = stage.ask(&token, &prompt("claude-haiku-4-5")).await;
        assert_eq!(status, 200, "{answer}");
        answers.push(answer.to_string());
    }
    let exchanged = upstream.tokens().exchanged();
    assert_eq!(exchanged.len(), 1, "one token for both");
    assert_eq!(exchanged[0].assertion, own);
    assert_eq!(exchanged[0].rule, "fdrl_gate");
    assert_eq!(exchanged[0].service_account.as_deref(), Some("svac_1"));

    // The upstream takes it back; the gate's own token has been renewed by then.
    let renewed = own.replace("First", "Second");
    std::fs::write(&file, &renewed).unwrap();
    upstream.tokens().revoke_all();
    let mut body = prompt("claude-haiku-4-5");
    body["stream"] = json!(true);
    let seen = stage.listen(&token, &body).await.rest().await;
    assert!(seen.contains("message_stop"), "{seen}");
    answers.push(seen);
    let exchanged = upstream.tokens().exchanged();
    assert_eq!(exchanged.len(), 2);
    assert_eq!(exchanged[1].assertion, renewed);
    let calls: Vec<_> = (upstream.received().into_iter())
        .filter(|request| request.target.starts_with("/v1/messages"))
        .collect();
    let shown: Vec<String> = (calls.iter())
        .map(|call| call.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    let [first, second] = [0, 1].map(|at: usize| format!("Bearer {}", exchanged[at].token));
    assert_eq!(
        shown,
        [&*first, &first, &first, &second],
        "the third was asked twice"
    );
    for call in &calls {
        assert!(!call.headers.contains_key("x-api-key"));
    }

    // While there is none to be had, nothing is forwarded and the caller is told nothing of it.
    upstream.tokens().revoke_all();
    upstream.tokens().fail_with(Some(500));
    std::fs::write(&file, "no token at all").unwrap();
    let (status, answer) = stage.ask(&token, &prompt("claude-haiku-4-5")).await;
    assert!(matches!(status, 502 | 401), "{status} {answer}");
    answers.push(answer.to_string());

    let tokens: Vec<String> = exchanged.iter().map(|one| one.token.clone()).collect();
    for answer in &answers {
        assert!(
            !answer.contains("sk-ant-oat") && !answer.contains("c4N4ry"),
            "{answer}"
        );
    }
    let records = stage.end().await;
    let mut outcomes = records
        .of("claude")
        .into_iter()
        .map(|record| &record["outcome"]);
    assert_eq!(
        outcomes.by_ref().take(3).collect::<Vec<_>>(),
        ["complete"; 3]
    );
    assert_eq!(outcomes.next().unwrap(), "upstream_error");
    canary::look(records.folder.path(), &mut |path, bytes| {
        for secret in tokens.iter().map(|token| &token[16..]).chain(["c4N4ry"]) {
            let found = canary::contains(bytes, secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    });
}
