//! Every operation of the API passes, is judged by its name and recorded.

use http::Method;
use http_body_util::Full;
use serde_json::json;

use crate::stage::{Stage, parsed, whole};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_passes_and_is_recorded() {
    let stage = Stage::set().await;
    let call = async |method: Method, path: &str, body: Option<serde_json::Value>| {
        let mut request = stage.request(method, path);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (status, body) = whole(
            stage
                .send(request.body(Full::new(body.into())).unwrap())
                .await,
        )
        .await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        body
    };
    let message = json!({
        "model": "claude-haiku-4-5", "max_tokens": 16,
        "messages": [{ "role": "user", "content": "one of many" }],
    });
    call(Method::POST, "/v1/messages", Some(message.clone())).await;
    let mut counted = message.clone();
    counted.as_object_mut().unwrap().remove("max_tokens");
    call(Method::POST, "/v1/messages/count_tokens", Some(counted)).await;
    let models = parsed(&call(Method::GET, "/v1/models?limit=1000", None).await);
    let model = models["data"][0]["id"].as_str().unwrap().to_owned();
    call(Method::GET, &format!("/v1/models/{model}"), None).await;

    let batch = json!({ "requests": [{ "custom_id": "a", "params": message }] });
    let batch = parsed(&call(Method::POST, "/v1/messages/batches", Some(batch)).await);
    let batch = format!("/v1/messages/batches/{}", batch["id"].as_str().unwrap());
    call(Method::GET, "/v1/messages/batches", None).await;
    call(Method::GET, &batch, None).await;
    let results = call(Method::GET, &format!("{batch}/results"), None).await;
    assert!(String::from_utf8_lossy(&results).contains("one of many"));
    call(Method::POST, &format!("{batch}/cancel"), None).await;
    call(Method::DELETE, &batch, None).await;

    let form = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"notes.txt\"\r\n\
                content-type: text/plain\r\n\r\nnotes of the day\r\n--b--\r\n";
    let upload = stage
        .request(Method::POST, "/v1/files")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Full::new(form.into()))
        .unwrap();
    let (status, file) = whole(stage.send(upload).await).await;
    assert_eq!(status, 200, "{file:?}");
    let file = format!("/v1/files/{}", parsed(&file)["id"].as_str().unwrap());
    call(Method::GET, "/v1/files", None).await;
    call(Method::GET, &file, None).await;
    let content = call(Method::GET, &format!("{file}/content"), None).await;
    assert_eq!(content, "notes of the day");
    call(Method::DELETE, &file, None).await;
    for probe in ["/", "/api/hello", ""] {
        let request = stage
            .request(Method::HEAD, probe)
            .body(Full::default())
            .unwrap();
        assert_eq!(stage.send(request).await.status(), 200);
    }

    let records = stage.end().await;
    let actions: Vec<_> = records
        .all
        .iter()
        .map(|record| {
            assert_eq!(record["outcome"], "complete", "{record}");
            record["action"]["name"].as_str().unwrap()
        })
        .collect();
    assert_eq!(
        actions,
        [
            "messages.create",
            "messages.count_tokens",
            "models.list",
            "models.get",
            "batches.create",
            "batches.list",
            "batches.get",
            "batches.results",
            "batches.cancel",
            "batches.delete",
            "files.upload",
            "files.list",
            "files.get",
            "files.content",
            "files.delete",
            "probe",
            "probe",
            "probe",
        ]
    );
    // What is hidden in batches and files is in the book like everything else.
    assert!(
        records.all[4]["request"]["body"]
            .as_str()
            .unwrap()
            .contains("one of many")
    );
    assert!(
        records.all[7]["response"]["body"]
            .as_str()
            .unwrap()
            .contains("one of many")
    );
    assert!(
        records.all[10]["request"]["body"]
            .as_str()
            .unwrap()
            .contains("notes of the day")
    );
    assert_eq!(records.all[13]["response"]["body"], "notes of the day");
    assert!(records.all[1]["usage"]["input_tokens"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_of_one_agent_session_are_one_session_in_the_book() {
    let stage = Stage::set().await;
    let call = async |token: String, label: Option<&str>| {
        let mut request = stage.message("x", false);
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        if let Some(label) = label {
            request
                .headers_mut()
                .insert("x-claude-code-session-id", label.parse().unwrap());
        }
        assert_eq!(whole(stage.send(request).await).await.0, 200);
    };
    let other = stage
        .issuer
        .token("another")
        .audience("tollbook")
        .groups(["developers"])
        .sign()
        .unwrap();
    call(stage.token(), Some("s-1")).await;
    call(stage.token(), Some("s-1")).await;
    call(stage.token(), Some("s-2")).await;
    call(other, Some("s-1")).await;
    call(stage.token(), None).await;
    let records = stage.end().await;
    let session = |at: usize| records.all[at]["session"].clone();
    assert_eq!(session(0), session(1));
    let all: std::collections::BTreeSet<_> = (1..5).map(|at| session(at).to_string()).collect();
    assert_eq!(
        all.len(),
        4,
        "another label, another caller and no label are other sessions"
    );
}
