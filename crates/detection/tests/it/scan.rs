//! What a scan tells.

use tollbook_detection::{Detectors, NEW_MCP_SERVER, OVERLOAD, Place};
use tollbook_exchange::Operator;

#[test]
fn a_hit_says_which_rule_where_and_in_which_text() {
    let detectors = Detectors::builtin();
    let mut scan = detectors.scan();
    scan.text(Place::UserText, "hello");
    scan.text(Place::tool_use("Bash"), "é; rm -rf / ; ls");
    let detected = scan.finish();
    let [hit] = &detected.hits[..] else {
        panic!("{detected:?}");
    };
    assert_eq!(
        (&*hit.detector, &*hit.label),
        ("rm-machine", "destructive-shell")
    );
    assert_eq!((hit.version, hit.text_index), (1, 1));
    assert_eq!(hit.place, Place::tool_use("Bash"));
    assert_eq!(&"é; rm -rf / ; ls"[hit.span.clone()], "rm -rf / ");
    assert_eq!(detected.bytes, 5 + 17);
    assert!(!detected.is_empty());
}

#[test]
fn a_disguised_hit_lies_where_the_disguise_does() {
    let detectors = Detectors::builtin();
    let text = "true && r\\m -r\u{200b}f   \"/\" && ls";
    let mut scan = detectors.scan();
    scan.text(Place::tool_use("Bash"), text);
    let detected = scan.finish();
    assert_eq!(
        &text[detected.hits[0].span.clone()],
        "r\\m -r\u{200b}f   \"/\" "
    );
}

#[test]
fn each_detector_counts_once_for_the_risk_and_the_sum_ends_at_100() {
    let detectors = Detectors::builtin();
    let risk = |texts: &[&str]| {
        let mut scan = detectors.scan();
        for text in texts {
            scan.text(Place::tool_use("Bash"), text);
        }
        scan.finish().risk
    };
    assert_eq!(risk(&["ls"]), 0);
    let once = risk(&["git push --force"]);
    assert_eq!(once, 30);
    assert_eq!(
        risk(&["git push --force", "git push -f; git push -f"]),
        once
    );
    assert_eq!(
        risk(&["git push --force", "rm -rf /", "mkfs /dev/sda"]),
        100
    );
}

#[test]
fn hits_are_bounded_and_counted() {
    let detectors = Detectors::builtin();
    let mut scan = detectors.scan();
    for _ in 0..100 {
        scan.text(Place::tool_use("Bash"), &"rm -rf /\n".repeat(10));
    }
    scan.text(Place::tool_use("Bash"), "mkfs /dev/sda");
    let detected = scan.finish();
    assert_eq!(detected.hits.len(), 8 + 1);
    assert_eq!(detected.dropped, 1000 - 8);
    let findings = detected.findings("request.body");
    let found = findings
        .iter()
        .find(|finding| finding.rule == "detect.rm-machine")
        .unwrap();
    assert_eq!(found.place, "request.body:tool_use");
    assert_eq!((found.operator, found.count), (Operator::Flag, 1000));
    assert!(detected.labels.contains("destructive-shell"));
}

#[test]
fn a_text_that_is_made_to_keep_the_engine_busy_is_told() {
    let detectors = Detectors::builtin();
    let labels = |text: &str| {
        let mut scan = detectors.scan();
        scan.text(Place::tool_use("Bash"), text);
        scan.finish().labels
    };
    assert!(labels(&"rm a/b/file-123.txt\n".repeat(4_000)).is_empty());
    assert!(labels(&"UPDATE t SET a = 1 WHERE id = 7;\n".repeat(20_000)).is_empty());
    assert!(labels(&"rm \n".repeat(60_000)).contains(OVERLOAD));
}

#[test]
fn servers_that_are_not_known_are_labelled_where_a_list_is_given() {
    let scan = |detectors: &Detectors, host: &str| {
        let mut scan = detectors.scan();
        scan.mcp_server(host);
        scan.finish()
    };
    let known = Detectors::builder()
        .known_mcp_servers(["mcp.example", ".acme.example"])
        .build()
        .unwrap();
    assert!(scan(&known, "MCP.example:443").is_empty());
    assert!(scan(&known, "a.acme.example").is_empty());
    let new = scan(&known, "mcp.example.org");
    assert!(new.labels.contains(NEW_MCP_SERVER));
    assert_eq!(new.risk, 30);
    assert_eq!(
        new.findings("request.body")[0].place,
        "request.body:mcp_server"
    );

    let none = Detectors::builder()
        .known_mcp_servers([""; 0])
        .build()
        .unwrap();
    assert!(!scan(&none, "mcp.example").is_empty());
    assert!(scan(&Detectors::builtin(), "mcp.example").is_empty());
}

#[test]
fn hosts_are_labelled_by_their_ends() {
    let detectors = Detectors::builder()
        .rules(
            "hosts.toml",
            "[[hosts]]\nlabel = \"production\"\nsuffixes = [\".prod.internal\", \"db.example.com\"]\nrisk = 20",
        )
        .build()
        .unwrap();
    let span = |text: &str| {
        let mut scan = detectors.scan();
        scan.text(Place::tool_use("Bash"), text);
        let detected = scan.finish();
        assert_eq!(detected.labels.contains("production"), detected.risk == 20);
        detected
            .hits
            .first()
            .map(|hit| text[hit.span.clone()].to_owned())
    };
    for (text, expected) in [
        ("psql -h db1.Prod.internal -c x", "db1.Prod.internal"),
        ("https://a.b.prod.internal:8443/x", "a.b.prod.internal"),
        ("user@db.example.com.", "db.example.com"),
        ("x.db.example.com", "x.db.example.com"),
        ("db.exam\u{200b}ple.com", "db.exam\u{200b}ple.com"),
    ] {
        assert_eq!(span(text).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "prod.internal",
        "a.prod.internal.evil.example",
        "a.prod.internals",
        "mydb.example.com",
        "db.example.common",
        "my-db.example.com",
    ] {
        assert_eq!(span(text), None, "{text}");
    }
}

#[test]
fn no_text_is_shown() {
    let detectors = Detectors::builtin();
    let mut scan = detectors.scan();
    scan.text(Place::tool_use("Bash"), "rm -rf / --canary-7f3a");
    assert!(!format!("{scan:?}").contains("canary"));
    let detected = scan.finish();
    assert!(!format!("{detected:?}{:?}", detected.findings("x")).contains("canary"));
    assert!(format!("{detectors:?}").starts_with("Detectors { detectors: "));
}
