//! Every case of `testdata/cases.toml`, alone and among others.

use std::collections::BTreeSet;

use tollbook_detection::{Detected, Detectors, Place};

/// A text and the detectors that hit in it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) place: Place,
    pub(crate) text: String,
    hits: BTreeSet<String>,
}

pub(crate) fn cases() -> Vec<Case> {
    let table: toml::Table = toml::from_str(include_str!("../../testdata/cases.toml")).unwrap();
    let read = |case: &toml::Value| Case {
        place: place(case["place"].as_str().unwrap()),
        text: case["text"].as_str().unwrap().to_owned(),
        hits: case["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect(),
    };
    table["case"].as_array().unwrap().iter().map(read).collect()
}

pub(crate) fn place(name: &str) -> Place {
    let all = [
        Place::System,
        Place::UserText,
        Place::AssistantText,
        Place::Thinking,
        Place::ToolDefinition,
        Place::tool_use("Bash"),
        Place::ToolResult,
        Place::Document,
        Place::McpServer,
        Place::Other,
    ];
    all.into_iter().find(|place| place.name() == name).unwrap()
}

fn ids(detected: &Detected) -> BTreeSet<String> {
    detected
        .findings("x")
        .into_iter()
        .map(|finding| finding.rule.strip_prefix("detect.").unwrap().to_owned())
        .collect()
}

#[test]
fn each_text_has_its_hits_and_no_others() {
    let detectors = Detectors::builtin();
    let mut wrong = Vec::new();
    for case in cases() {
        let mut scan = detectors.scan();
        scan.text(case.place.clone(), &case.text);
        let found = ids(&scan.finish());
        if found != case.hits {
            wrong.push(format!("{}: {:?}: {found:?}", case.place, case.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn texts_do_not_touch_each_other() {
    let detectors = Detectors::builtin();
    let mut scan = detectors.scan();
    let mut expected = BTreeSet::new();
    for case in cases() {
        scan.text(case.place, &case.text);
        expected.extend(case.hits);
    }
    assert_eq!(ids(&scan.finish()), expected);
}
