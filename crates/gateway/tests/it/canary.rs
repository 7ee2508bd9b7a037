//! A secret in every place where one can stand reaches neither the record nor any file nor the log.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use http::Method;
use http_body_util::{BodyExt, Full};
use serde_json::json;

use tracing_subscriber::filter::LevelFilter;

use crate::stage::{Scene, Stage, whole};

/// What was logged, at every level and by every crate.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone());
        subscriber.try_init().unwrap();
        log
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fake tokens of four kinds, put together here so that no scanner takes this file for a leak.
fn canaries() -> [String; 4] {
    [
        format!("{}{}", "ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry"),
        format!("{}{}AA", "sk-ant-api03-", &"c4N4ry_-C4".repeat(10)[..93]),
        format!("{}{}", "AKIA", "C4N4RYC4N4RYC4N4"),
        format!("{}{}", "glpat-", "c4N4ryC4N4ryC4N4ry12"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_record() {
    let log = Log::begin();
    let stage = Stage::set().await;
    let [github, anthropic, aws, gitlab] = canaries();
    let mut requests = Vec::new();
    for secret in [&github, &anthropic, &aws, &gitlab] {
        // In the prompt, hence in the echoed answer: whole, and cut across many small events.
        requests.push(stage.message(&format!("my key is {secret}, is it safe?"), false));
        requests.push(stage.message(&format!("my key is {secret}, is it safe?"), true));
        requests.push(stage.message(&format!("[[gzip]] my key is {secret}, is it safe?"), true));
        requests.push(stage.message(
            &format!("[[error]] my key is {secret} and more to come"),
            true,
        ));
        requests.push(stage.message(
            &format!("[[cut]] my key is {secret} and more to come"),
            true,
        ));
        // In the input of a tool, where it is JSON within JSON, cut anywhere.
        let tool = format!(r#"[[tool:Bash {{"command":"curl -H 'x: {secret}'"}}]]"#);
        for stream in [false, true] {
            let body = json!({
                "model": "claude-haiku-4-5", "max_tokens": 64, "stream": stream,
                "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
                "messages": [{"role": "user", "content": tool}],
            });
            requests.push(
                stage
                    .request(Method::POST, "/v1/messages")
                    .header("content-type", "application/json")
                    .body(Full::new(body.to_string().into()))
                    .unwrap(),
            );
        }
        // In a tool's result, as text that is itself JSON.
        let result = json!({ "stdout": format!("export TOKEN={secret}\n") }).to_string();
        let body = json!({
            "model": "claude-haiku-4-5", "max_tokens": 64,
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"a": secret}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": result}]},
            ],
            "mcp_servers": [{"type": "url", "url": "https://mcp.example/sse", "name": "m", "authorization_token": "plain-words-only"}],
        });
        requests.push(
            stage
                .request(Method::POST, "/v1/messages")
                .header("content-type", "application/json")
                .header("x-note", secret)
                .body(Full::new(body.to_string().into()))
                .unwrap(),
        );
        // In the path and the query, in a body that is no JSON, and in one for a stranger.
        requests.push(
            stage
                .request(Method::GET, &format!("/v1/models?key={secret}"))
                .body(Full::default())
                .unwrap(),
        );
        requests.push(
            stage
                .request(Method::GET, &format!("/v1/{secret}"))
                .body(Full::default())
                .unwrap(),
        );
        requests.push(
            stage
                .request(Method::POST, "/v1/messages")
                .header("content-type", "application/json")
                .body(Full::new(format!("{{\"model\": {secret}").into()))
                .unwrap(),
        );
        let mut stranger = stage.message("x", false);
        stranger
            .headers_mut()
            .insert("authorization", format!("Bearer {secret}").parse().unwrap());
        requests.push(stranger);
        // As the name of a model, which is a fact that policies and lists see.
        let body = json!({"model": secret, "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]});
        requests.push(
            stage
                .request(Method::POST, "/v1/messages")
                .header("content-type", "application/json")
                .body(Full::new(body.to_string().into()))
                .unwrap(),
        );
    }
    let count = requests.len();
    let mut echoed = 0;
    for request in requests {
        let response = stage.send(request).await;
        let mut body = response.into_body();
        let mut all = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                all.extend_from_slice(&data);
            }
        }
        echoed += usize::from(
            canaries()
                .iter()
                .any(|secret| contains(&all, secret.as_bytes())),
        );
    }
    assert!(
        echoed >= 8,
        "the caller got its own bytes back unmasked, {echoed} times"
    );

    let records = stage.end().await;
    assert_eq!(records.all.len(), count);
    for (at, record) in records.all.iter().enumerate() {
        let text = record.to_string();
        for secret in canaries() {
            let part = &secret[secret.len() / 3..];
            assert!(!text.contains(part), "{at}: {text}");
        }
    }
    let mut looked_at = 0;
    look(records.folder.path(), &mut |path, bytes| {
        looked_at += 1;
        for secret in canaries() {
            // Also a good part of one is too much.
            let part = &secret.as_bytes()[secret.len() / 3..];
            assert!(
                !contains(bytes, part),
                "{} is in {}",
                &secret[..6],
                path.display()
            );
        }
        assert!(
            !contains(bytes, b"plain-words-only"),
            "an authorization_token is in {}",
            path.display()
        );
    });
    assert!(looked_at >= 3);
    let log = log.0.lock().unwrap();
    assert!(contains(&log, b"TRACE"), "nothing was logged");
    for secret in canaries() {
        let part = &secret.as_bytes()[secret.len() / 3..];
        assert!(!contains(&log, part), "{} is in the log", &secret[..6]);
    }
    // Found, and said so.
    let found = |record: &serde_json::Value| {
        record["findings"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    };
    let first = &records.all[1];
    assert!(found(first), "{first}");
    assert!(
        first["answer"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("[REDACTED:"),
        "{first}"
    );
    let tool = &records.all[6];
    assert!(
        tool["tool_calls"][0]["input"]["command"]
            .as_str()
            .unwrap()
            .contains("[REDACTED:"),
        "{tool}"
    );
}

/// On a connection that masks the wire, the upstream has none of it either, and so the caller gets
/// none back, however the answer is made.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_body_passes_a_masked_wire() {
    let scene = Scene::default().connection("mask = { wire = \"default\" }");
    let stage = scene.set().await;
    for secret in canaries() {
        for order in ["", "[[gzip]]", "[[error]]", "[[cut]]", "[[thinking]]"] {
            for stream in [false, true] {
                let text = format!("{order} my key is {secret}, is it safe?");
                let mut body = stage.send(stage.message(&text, stream)).await.into_body();
                let mut all = Vec::new();
                while let Some(Ok(frame)) = body.frame().await {
                    all.extend_from_slice(frame.data_ref().unwrap_or(&Default::default()));
                }
                let part = &secret.as_bytes()[secret.len() / 3..];
                assert!(!contains(&all, part), "{order} {stream}");
                // In events, the placeholder is cut as the secret was.
                let is_whole = !stream && !matches!(order, "[[error]]" | "[[cut]]");
                assert!(!is_whole || contains(&all, b"[REDACTED:"), "{order}");
            }
        }
        let tool = format!(r#"[[tool:Bash {{"command":"curl -H 'x: {secret}'"}}]]"#);
        let body = json!({
            "model": "claude-haiku-4-5", "max_tokens": 64, "stream": true,
            "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
            "messages": [{"role": "user", "content": tool}],
        });
        let mut request = stage.message("x", true);
        *request.body_mut() = body.to_string().into();
        let (status, body) = whole(stage.send(request).await).await;
        assert_eq!(status, 200);
        assert!(!contains(&body, &secret.as_bytes()[secret.len() / 3..]));
        assert!(contains(&body, b"input_json_delta"));
    }
    let received = stage.upstream.as_ref().unwrap().received();
    assert_eq!(received.len(), canaries().len() * 11);
    for request in &received {
        for secret in canaries() {
            assert!(!contains(
                &request.body,
                &secret.as_bytes()[secret.len() / 3..]
            ));
        }
    }
    stage.end().await;
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

pub(crate) fn look(folder: &Path, see: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, see);
        } else {
            see(&path, &fs::read(&path).unwrap());
        }
    }
}
