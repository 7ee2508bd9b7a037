//! A job's own token for one of the gate, and what that opens.

use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tollbook_testkit::upstream::STANDIN_API_KEY;

use crate::{
    canary,
    stage::{Scene, Stage, parsed, whole},
};

pub(crate) const RULE: &str = r#"
[[federation]]
id = "payments-ci"
issuer = "ci"
subject = "repo:acme/pay:*"
groups = ["ci-payments"]
lifetime = "10m"
"#;

const JOB: &str = "repo:acme/pay:main";

/// What the SDKs and Claude Code send.
pub(crate) fn json_exchange(stage: &Stage, assertion: &str) -> Request<Full<Bytes>> {
    json_exchange_by(stage, assertion, "payments-ci")
}

pub(crate) fn json_exchange_by(stage: &Stage, assertion: &str, rule: &str) -> Request<Full<Bytes>> {
    let body = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": assertion,
        "federation_rule_id": rule,
        "organization_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    });
    Request::post(format!("{}/v1/oauth/token", stage.base()))
        .header("content-type", "application/json")
        .header(
            "anthropic-beta",
            "oauth-2025-04-20,oidc-federation-2026-04-01",
        )
        .body(Full::new(body.to_string().into()))
        .unwrap()
}

/// What everything else sends (RFC 8693).
fn form_exchange(stage: &Stage, assertion: &str) -> Request<Full<Bytes>> {
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &subject_token={assertion}\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
    );
    Request::post(format!("http://{}/oauth/token", stage.gateway.address()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(body.into()))
        .unwrap()
}

/// A gateway token for this job.
pub(crate) async fn federated(stage: &Stage, subject: &str) -> String {
    let request = json_exchange(stage, &stage.job(subject));
    let (status, body) = whole(stage.send(request).await).await;
    let body = parsed(&body);
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn prompt(text: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// The call with another credential.
fn shown(stage: &Stage, headers: &[(&'static str, String)]) -> Request<Full<Bytes>> {
    let mut request = stage.call("", &prompt("hello"));
    request.headers_mut().remove("authorization");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// `x-access-token:PASSWORD` as RFC 4648 has it.
fn basic(password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("x-access-token:{password}");
    let mut encoded = String::from("Basic ");
    for chunk in text.as_bytes().chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at)) & 63;
            let letter = char::from(ALPHABET[six as usize]);
            encoded.push(if at <= chunk.len() { letter } else { '=' });
        }
    }
    encoded
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_exchanges_its_token_and_nothing_of_either_is_kept() {
    let stage = Scene::default().more(RULE).set().await;
    let assertion = stage.job(JOB);
    let mut tokens = Vec::new();
    for request in [
        json_exchange(&stage, &assertion),
        form_exchange(&stage, &assertion),
    ] {
        let response = stage.send(request).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        let (status, body) = whole(response).await;
        let body = parsed(&body);
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["token_type"], "Bearer");
        let life = body["expires_in"].as_u64().unwrap();
        assert!((590..=600).contains(&life), "as the rule says: {life}");
        let token = body["access_token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("gws_") && token.len() == 47, "{body}");
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
    let token = tokens[0].clone();
    let bearer = ("authorization", format!("Bearer {token}"));
    let presentations = [
        vec![bearer.clone()],
        vec![("x-api-key", token.clone())],
        vec![bearer, ("x-api-key", token.clone())],
        vec![("authorization", basic(&token))],
        // The job's own token does as well; it gives the groups of the rule too.
        vec![("authorization", format!("Bearer {assertion}"))],
    ];
    for headers in &presentations {
        let (status, body) = whole(stage.send(shown(&stage, headers)).await).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    for request in stage.upstream.as_ref().unwrap().received() {
        let headers = format!("{:?}", request.headers);
        assert!(!headers.contains(&token) && !headers.contains(&assertion));
        assert_eq!(request.headers["x-api-key"], STANDIN_API_KEY);
    }

    let records = stage.end().await;
    let exchanges: Vec<&Value> = (records.all.iter())
        .filter(|record| record["action"]["name"] == "token.exchange")
        .collect();
    assert_eq!(exchanges.len(), 2);
    for (at, record) in exchanges.iter().enumerate() {
        assert_eq!(record["outcome"], "complete");
        assert_eq!(record["action"]["rule"], "payments-ci");
        assert_eq!(record["action"]["exchanges"], at + 1, "{record}");
        assert_eq!(record["principal"]["subject"], JOB);
    }
    assert_eq!(exchanges[0]["connection"], "claude");
    assert_eq!(exchanges[1]["connection"], "oauth");
    let calls: Vec<&Value> = (records.all.iter())
        .filter(|record| record["action"]["name"] == "messages.create")
        .collect();
    assert_eq!(calls.len(), presentations.len());
    for (at, call) in calls.iter().enumerate() {
        let access = &call["principal"]["access"];
        assert_eq!(access["rules"], json!(["payments-ci"]), "{call}");
        let named = if at == 4 {
            &Value::Null
        } else {
            &exchanges[0]["action"]["token"]
        };
        assert_eq!(
            &access["token"], named,
            "the token's name, which opens nothing"
        );
        let groups = call["principal"]["groups"].as_array().unwrap();
        assert!(groups.contains(&json!("ci-payments")));
    }

    // Neither whole nor in part, in no file.
    let signature = assertion.rsplit('.').next().unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let password = basic(&token);
    let mut looked_at = BTreeSet::new();
    canary::look(records.folder.path(), &mut |path, bytes| {
        looked_at.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        for secret in [
            &tokens[0][4..],
            &tokens[1][4..],
            &signature[8..],
            claims,
            &password[30..],
            STANDIN_API_KEY,
        ] {
            let found = canary::contains(bytes, secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    });
    for file in ["journal.db", "state.db"] {
        assert!(looked_at.contains(file), "{looked_at:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_token_is_answered_in_the_same_words() {
    let stage = Scene::default().more(RULE).set().await;
    let other = tollbook_testkit::issuer::OidcIssuer::start(Default::default())
        .await
        .unwrap();
    let token = || stage.issuer.token(JOB);
    let good = token().sign().unwrap();
    let cases = [
        (
            "token_not_three_parts",
            "not.a-token".to_owned(),
            "payments-ci",
        ),
        ("static_api_key", STANDIN_API_KEY.to_owned(), "payments-ci"),
        (
            "unknown_issuer",
            other.token(JOB).sign().unwrap(),
            "payments-ci",
        ),
        (
            "wrong_audience",
            token().audience("elsewhere").sign().unwrap(),
            "payments-ci",
        ),
        (
            "expired",
            token()
                .issued(SystemTime::now() - Duration::from_secs(900))
                .sign()
                .unwrap(),
            "payments-ci",
        ),
        (
            "bad_signature",
            format!("{}.{}", good.rsplit_once('.').unwrap().0, "A".repeat(86)),
            "payments-ci",
        ),
        (
            "rule_mismatch",
            stage.job("repo:acme/payroll:main"),
            "payments-ci",
        ),
        ("unknown_rule", good.clone(), "payments"),
        // A token of the gate is none that could be exchanged for another.
        (
            "token_not_three_parts",
            format!("gws_{}", "A".repeat(43)),
            "payments-ci",
        ),
    ];
    let mut answers = BTreeSet::new();
    for (reason, assertion, rule) in &cases {
        let response = stage.send(json_exchange_by(&stage, assertion, rule)).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, body) = whole(response).await;
        assert_eq!(status, 401, "{reason}");
        answers.insert(String::from_utf8(body.to_vec()).unwrap());
        let (status, body) = whole(stage.send(form_exchange(&stage, "x.y.z")).await).await;
        assert_eq!(
            (status, &parsed(&body)["error"]),
            (400, &json!("invalid_grant"))
        );
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let answer = answers.first().unwrap();
    assert_eq!(
        parsed(answer.as_bytes())["error"]["type"],
        "authentication_error"
    );

    let records = stage.end().await;
    let recorded: Vec<&Value> = records.of("claude");
    assert_eq!(recorded.len(), cases.len());
    for (record, (reason, ..)) in recorded.iter().zip(&cases) {
        assert_eq!(record["refusal"]["reason"], *reason, "{record}");
        assert_eq!(record["outcome"], "denied");
        assert_eq!(record["status"], 401);
        assert_eq!(record["action"]["token"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_is_exchanged_twenty_times_and_not_once_more() {
    let stage = Scene::default().more(RULE).set().await;
    let assertion = stage.job(JOB);
    let exchange = async |stage: &Stage| {
        whole(stage.send(json_exchange(stage, &assertion)).await)
            .await
            .0
    };
    for _ in 0..20 {
        assert_eq!(exchange(&stage).await, 200);
    }
    assert_eq!(exchange(&stage).await, 401);
    // Another token of the same job is another one.
    federated(&stage, "repo:acme/pay:other").await;
    let stage = stage.restart().await;
    assert_eq!(exchange(&stage).await, 401, "it is not forgotten");
    let records = stage.end().await;
    let refused: Vec<&Value> = (records.of("claude").into_iter())
        .filter(|record| record["status"] == 401)
        .collect();
    assert_eq!(refused.len(), 2);
    for record in refused {
        assert_eq!(record["refusal"]["reason"], "assertion_overused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_outlives_the_gateway_and_not_its_rule() {
    let stage = Scene::default().more(RULE).set().await;
    let token = federated(&stage, JOB).await;
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 200);
    let stage = stage.restart().await;
    assert_eq!(stage.ask(&token, &prompt("two")).await.0, 200);

    // A rule that says something else now was not the one by which it was given.
    let wider = |config: String| config.replace("repo:acme/pay:*", "repo:acme/*");
    let stage = stage.restart_with(wider).await;
    assert_eq!(stage.ask(&token, &prompt("three")).await.0, 401);
    let again = federated(&stage, JOB).await;
    assert_eq!(stage.ask(&again, &prompt("four")).await.0, 200);
    let gone = |config: String| config.replace(&RULE.replace("repo:acme/pay:*", "repo:acme/*"), "");
    let stage = stage.restart_with(gone).await;
    assert_eq!(stage.ask(&again, &prompt("five")).await.0, 401);
    // The job's own token is still somebody, but in no group that may do anything.
    assert_eq!(stage.ask(&stage.job(JOB), &prompt("six")).await.0, 403);
    assert_eq!(stage.forwarded(), 3);

    let records = stage.end().await;
    let refused = records.all.iter().filter(|record| record["status"] == 401);
    let reasons: Vec<&Value> = refused.map(|record| &record["refusal"]["reason"]).collect();
    assert_eq!(reasons, ["rule_changed", "rule_changed"]);
}

/// A certificate for clients, and the authority that signed it.
struct Signed {
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
}

/// An authority and two clients of it.
fn clients() -> (String, [Signed; 2]) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let client = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut client = rcgen::CertificateParams::new(Vec::new()).unwrap();
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let cert = client.signed_by(&key, &issuer).unwrap();
        Signed { cert, key }
    };
    (pem, [client(), client()])
}

/// Sends one request over TLS, showing this certificate.
async fn over_tls(
    stage: &Stage,
    roots: &rustls::RootCertStore,
    certificate: Option<&Signed>,
    mut request: Request<Full<Bytes>>,
) -> Response<Incoming> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone());
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(Signed { cert, key }) => builder
            .with_client_auth_cert(
                vec![cert.der().clone()],
                key.serialize_der().try_into().unwrap(),
            )
            .unwrap(),
    };
    let socket = TcpStream::connect(stage.gateway.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    *request.uri_mut() = target.parse().unwrap();
    let host = "localhost".parse().unwrap();
    request.headers_mut().insert("host", host);
    sender.send_request(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_to_a_certificate_is_nothing_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (authority, [ours, theirs]) = clients();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let more = format!(
        "{RULE}require_certificate = true\n\
         [gateway.tls]\ncert = {:?}\nkey = {:?}\nclient_ca = {:?}\n\
         client_certificates = \"optional\"\n",
        path("cert.pem", &own.cert.pem()),
        path("key.pem", &own.signing_key.serialize_pem()),
        path("ca.pem", &authority),
    );
    let stage = Scene::default().more(&more).set().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();

    let request = json_exchange(&stage, &stage.job(JOB));
    let (status, _) = whole(over_tls(&stage, &roots, None, request).await).await;
    assert_eq!(status, 401, "the rule wants a certificate");
    let request = json_exchange(&stage, &stage.job(JOB));
    let (status, body) = whole(over_tls(&stage, &roots, Some(&ours), request).await).await;
    assert_eq!(status, 200);
    let token = parsed(&body)["access_token"].as_str().unwrap().to_owned();
    for (certificate, expected) in [(Some(&ours), 200), (Some(&theirs), 401), (None, 401)] {
        let request = stage.call(&token, &prompt("who am I?"));
        let (status, body) = whole(over_tls(&stage, &roots, certificate, request).await).await;
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&body));
    }
    assert_eq!(stage.forwarded(), 1);

    let records = stage.end().await;
    let refused = records.all.iter().filter(|record| record["status"] == 401);
    let reasons: Vec<&Value> = refused.map(|record| &record["refusal"]["reason"]).collect();
    assert_eq!(
        reasons,
        [
            "certificate_missing",
            "certificate_mismatch",
            "certificate_missing"
        ]
    );
}
