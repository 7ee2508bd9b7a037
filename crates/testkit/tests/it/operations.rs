//! Credentials, probes, models, batches and files.

use http::HeaderValue;
use serde_json::{Value, json};
use tollbook_testkit::upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig};

use crate::client::{Answer, ask, request, send, start};

async fn call(upstream: &ClaudeUpstream, method: &str, target: &str, body: String) -> Answer {
    send(upstream, request(method, target, body)).await.unwrap()
}

#[tokio::test]
async fn only_the_one_key_is_taken() {
    let upstream = start().await;
    let bearer = format!("Bearer {STANDIN_API_KEY}");
    for (key, authorization, status, message) in [
        (Some(STANDIN_API_KEY), None, 200, ""),
        (None, Some(bearer.as_str()), 200, ""),
        (Some(STANDIN_API_KEY), Some(bearer.as_str()), 200, ""),
        (None, None, 401, "x-api-key header is required"),
        (Some("sk-ant-other"), None, 401, "invalid x-api-key"),
        // A gate that adds its own key must have taken the caller's credential away.
        (
            Some(STANDIN_API_KEY),
            Some("Bearer caller"),
            401,
            "invalid x-api-key",
        ),
        (
            Some("caller"),
            Some(bearer.as_str()),
            401,
            "invalid x-api-key",
        ),
    ] {
        let mut request = request("GET", "/v1/models", "");
        let headers = request.headers_mut();
        headers.remove("x-api-key");
        for (name, value) in [("x-api-key", key), ("authorization", authorization)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        let answer = send(&upstream, request).await.unwrap();
        assert_eq!(answer.status, status, "{key:?} {authorization:?}");
        if status == 401 {
            let error = &answer.json()["error"];
            assert_eq!(
                error,
                &json!({"type":"authentication_error","message":message})
            );
        }
    }
    let mut request = request("GET", "/v1/models", "");
    request.headers_mut().remove("anthropic-version");
    let answer = send(&upstream, request).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
    upstream.shutdown().await;
}

#[tokio::test]
async fn probes_need_no_key() {
    let upstream = start().await;
    for (target, status) in [("/", 200), ("/api/hello", 200), ("/v1/messages", 404)] {
        let mut request = request("HEAD", target, "");
        request.headers_mut().remove("x-api-key");
        assert_eq!(
            send(&upstream, request).await.unwrap().status,
            status,
            "{target}"
        );
    }
    upstream.shutdown().await;
}

#[tokio::test]
async fn requests_are_kept_as_they_came() {
    let config = UpstreamConfig {
        keep: 2,
        ..UpstreamConfig::default()
    };
    let upstream = ClaudeUpstream::start(config).await.unwrap();
    ask(&upstream, "forgotten", false).await;
    let mut odd = request("POST", "/v1/a%2Fb/../c//d/%7Ex?q='&b=%20", "any body");
    odd.headers_mut()
        .append("x-many", HeaderValue::from_static("1"));
    odd.headers_mut()
        .append("x-many", HeaderValue::from_static("2"));
    let answer = send(&upstream, odd).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    call(&upstream, "GET", "/v1/models", String::new()).await;

    assert_eq!(upstream.count(), 3);
    let received = upstream.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].target, "/v1/a%2Fb/../c//d/%7Ex?q='&b=%20");
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].body, "any body");
    assert_eq!(received[0].headers.get_all("x-many").iter().count(), 2);
    let shown = format!("{received:?} {upstream:?} {:?}", UpstreamConfig::default());
    assert!(!shown.contains("sk-ant") && !shown.contains("any body"));
    upstream.shutdown().await;
}

#[tokio::test]
async fn models_are_listed_and_described() {
    let upstream = start().await;
    let list = call(&upstream, "GET", "/v1/models?limit=1000", String::new())
        .await
        .json();
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&list["first_id"], &list["has_more"]),
        (&json!(id), &json!(false))
    );
    let model = call(&upstream, "GET", &format!("/v1/models/{id}"), String::new()).await;
    assert_eq!(model.json(), list["data"][0]);
    assert_eq!(
        call(&upstream, "GET", "/v1/models/gpt-4", String::new())
            .await
            .status,
        404
    );
    upstream.shutdown().await;
}

#[tokio::test]
async fn tokens_are_counted() {
    let upstream = start().await;
    let body = |text: &str| {
        json!({"model":"claude-x","messages":[{"role":"user","content":text}]}).to_string()
    };
    let count = async |text: &str| {
        let answer = call(
            &upstream,
            "POST",
            "/v1/messages/count_tokens?beta=true",
            body(text),
        )
        .await;
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    assert!(count("a much longer text than that").await > count("short").await);
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_batch_goes_its_way() {
    let upstream = start().await;
    let params = |text: &str| json!({"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":text}]});
    let body = json!({"requests":[{"custom_id":"a","params":params("hunter2")},
        {"custom_id":"b","params":params("[[529]]")}]});
    let base = "/v1/messages/batches";
    let batch = call(&upstream, "POST", base, body.to_string()).await.json();
    assert_eq!(
        (&batch["type"], &batch["processing_status"]),
        (&json!("message_batch"), &json!("in_progress"))
    );
    let one = format!("{base}/{}", batch["id"].as_str().unwrap());

    let ended = call(&upstream, "GET", &one, String::new()).await.json();
    assert_eq!(ended["processing_status"], "ended");
    assert_eq!(ended["request_counts"]["succeeded"], 1);
    assert_eq!(
        ended["results_url"],
        format!("{}{one}/results", upstream.url())
    );
    let results = call(&upstream, "GET", &format!("{one}/results"), String::new()).await;
    let lines: Vec<Value> = String::from_utf8(results.body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["custom_id"], &lines[0]["result"]["type"]),
        (&json!("b"), &json!("errored"))
    );
    assert_eq!(
        lines[1]["result"]["message"]["content"][0]["text"],
        "hunter2"
    );

    let list = call(&upstream, "GET", base, String::new()).await.json();
    assert_eq!(list["data"], json!([ended]));
    let deleted = call(&upstream, "DELETE", &one, String::new()).await.json();
    assert_eq!(deleted["type"], "message_batch_deleted");
    assert_eq!(
        call(&upstream, "GET", &one, String::new()).await.status,
        404
    );

    let batch = call(&upstream, "POST", base, body.to_string()).await.json();
    let one = format!("{base}/{}", batch["id"].as_str().unwrap());
    let canceling = call(&upstream, "POST", &format!("{one}/cancel"), String::new())
        .await
        .json();
    assert_eq!(canceling["processing_status"], "canceling");
    let ended = call(&upstream, "GET", &one, String::new()).await.json();
    assert_eq!(ended["request_counts"]["canceled"], 2);
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_file_goes_its_way() {
    let upstream = start().await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nhunter2\r\n--b--\r\n";
    let mut upload = request("POST", "/v1/files", body);
    upload.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("multipart/form-data; boundary=b"),
    );
    let file = send(&upstream, upload).await.unwrap().json();
    assert_eq!(
        (&file["filename"], &file["size_bytes"]),
        (&json!("a.txt"), &json!(7))
    );
    let one = format!("/v1/files/{}", file["id"].as_str().unwrap());

    assert_eq!(
        call(&upstream, "GET", &one, String::new()).await.json(),
        file
    );
    let list = call(&upstream, "GET", "/v1/files", String::new())
        .await
        .json();
    assert_eq!(list["data"], json!([file]));
    let content = call(&upstream, "GET", &format!("{one}/content"), String::new()).await;
    assert_eq!(
        (content.header("content-type"), &content.body[..]),
        ("text/plain", &b"hunter2"[..])
    );
    let deleted = call(&upstream, "DELETE", &one, String::new()).await.json();
    assert_eq!(deleted["type"], "file_deleted");
    assert_eq!(
        call(&upstream, "GET", &one, String::new()).await.status,
        404
    );
    assert_eq!(
        call(&upstream, "POST", "/v1/files", body.to_owned())
            .await
            .status,
        400
    );
    upstream.shutdown().await;
}

#[tokio::test]
async fn http2_is_spoken_too() {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let upstream = start().await;
    let stream = tokio::net::TcpStream::connect(upstream.address())
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::builder()
        .uri(format!("{}/v1/models", upstream.url()))
        .header("x-api-key", STANDIN_API_KEY)
        .header("anthropic-version", "2023-06-01")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"data\":"));
    assert_eq!(upstream.received()[0].target, "/v1/models");
    connection.abort();
    upstream.shutdown().await;
}
