use http::Response;
use tollbook_detection::Detectors;
use tollbook_exchange::{Action, Fact, Findings, Operator};
use tollbook_masking::Masker;

use tollbook_inspect::{Claude, InspectLayer};

use crate::support::{Answer, Chunks, call, exchange, secret, send};

const RULES: &str = r#"
[[detector]]
id = "own-wipe"
version = 1
label = "destructive"
risk = 40
places = ["user_text", "tool_use", "other"]
literals = ["wipe-everything"]
description = "The company's own way to wipe a disk"
source = "own"
positive = ["please wipe-everything now", "wipe-everything"]
negative = ["wipe the table", "everything is fine"]
"#;

pub(crate) fn detectors() -> Detectors {
    Detectors::builder()
        .rules("own", RULES)
        .known_mcp_servers(["mcp.known.example"])
        .build()
        .unwrap()
}

fn layer() -> InspectLayer<Claude> {
    InspectLayer::new(Claude, Masker::builtin()).detect(detectors())
}

fn fine() -> Answer {
    Response::builder()
        .status(204)
        .body(Chunks::default())
        .unwrap()
}

fn labels(action: &Action) -> Vec<String> {
    match action.fact("labels") {
        Some(Fact::Set(labels)) => labels.iter().cloned().collect(),
        _ => vec!["no labels".to_owned()],
    }
}

#[tokio::test]
async fn what_detectors_say_becomes_facts_and_findings() {
    // The second is long enough for a thread of its own.
    for padding in [0, 300 << 10] {
        let exchange = exchange();
        let text = format!("{} wipe-everything {}", "la ".repeat(padding / 3), secret());
        let request = call(&exchange, &text);
        let (head, _) = send(layer(), request, fine()).await.inner.unwrap();
        assert_eq!(
            head.headers["content-type"], "application/json",
            "the head comes back from the thread"
        );
        let action = head.extensions.get::<Action>().unwrap();
        assert_eq!(labels(action), ["destructive", "secrets"]);
        assert_eq!(action.fact("risk"), Some(&Fact::Long(40)));
        let findings = head.extensions.get::<Findings>().unwrap();
        let flagged: Vec<_> = (findings.found.iter())
            .filter(|finding| finding.operator == Operator::Flag)
            .map(|finding| (&*finding.rule, &*finding.place, finding.count))
            .collect();
        assert_eq!(flagged, [("detect.own-wipe", "request.body:user_text", 1)]);
        exchange.draft(|draft| {
            let recorded = draft.findings.iter();
            let mut rules = recorded.map(|finding| &*finding.rule);
            assert!(rules.any(|rule| rule == "detect.own-wipe"));
            let kept = draft.action.as_ref().unwrap().as_inner();
            assert_eq!(labels(kept), ["destructive", "secrets"]);
        });
    }
}

#[tokio::test]
async fn a_server_that_nobody_knows_is_a_risk() {
    for (host, expected) in [
        ("mcp.known.example", &[][..]),
        ("evil.example", &["new-mcp-server"]),
    ] {
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"messages":[],"mcp_servers":[{{"type":"url","url":"https://{host}/sse","name":"x"}}]}}"#
        );
        let mut request = call(&exchange(), "");
        *request.body_mut() = http_body_util::Full::new(body.into());
        let (head, _) = send(layer(), request, fine()).await.inner.unwrap();
        assert_eq!(labels(head.extensions.get::<Action>().unwrap()), expected);
    }
}

#[tokio::test]
async fn without_detectors_there_are_labels_and_no_risk() {
    let layer = InspectLayer::new(Claude, Masker::builtin());
    for (text, expected) in [("wipe-everything", vec![]), (&*secret(), vec!["secrets"])] {
        let (head, _) = send(layer.clone(), call(&exchange(), text), fine())
            .await
            .inner
            .unwrap();
        let action = head.extensions.get::<Action>().unwrap();
        assert_eq!(labels(action), expected);
        assert_eq!(action.fact("risk"), None);
    }
}
