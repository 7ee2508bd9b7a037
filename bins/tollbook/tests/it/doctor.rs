//! `tollbook doctor`: each usual mistake is found and told, and no secret is printed.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tollbook_testkit::{issuer, upstream::STANDIN_API_KEY};

use crate::{
    stage::{Stage, TOLLBOOK},
    waiting::FEDERATION,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Variables and their values.
type Set<'a> = &'a [(&'a str, &'a str)];

/// The doctor with these variables and nothing else.
fn doctor(folder: &Path, variables: Set<'_>, arguments: &[&str]) -> Output {
    Command::new(TOLLBOOK)
        .arg("doctor")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn the_doctor_finds_the_usual_mistakes() {
    let stage = Stage::with("", FEDERATION, "");
    let folder = stage.folder().join("job");
    fs::create_dir(&folder).unwrap();
    let assertion = stage.job("repo:acme/pay:doctor");
    fs::write(folder.join("token"), &assertion).unwrap();
    let old = stage
        .issuer
        .token("repo:acme/pay:old")
        .audience("tollbook")
        .issued(SystemTime::now() - Duration::from_secs(3_600))
        .sign()
        .unwrap();
    fs::write(folder.join("old"), &old).unwrap();
    let other = stage
        .issuer
        .token("repo:acme/pay:other")
        .audience("https://github.com/acme")
        .sign()
        .unwrap();
    fs::write(folder.join("other"), &other).unwrap();

    let good = [
        ("ANTHROPIC_BASE_URL", stage.base.as_str()),
        ("ANTHROPIC_FEDERATION_RULE_ID", "payments-ci"),
        (
            "ANTHROPIC_ORGANIZATION_ID",
            "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        ),
        ("ANTHROPIC_IDENTITY_TOKEN_FILE", "token"),
    ];
    let fine = doctor(&folder, &good, &[]);
    let page = text(&fine.stdout);
    assert_eq!(fine.status.code(), Some(0), "{page}");
    for part in [
        "✓ the gate: answers",
        "✓ clocks: agree",
        "✓ the job's token: could be good",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // With the gateway's configuration beside it, more can be told.
    let config = stage.folder().join("tollbook.toml");
    let config = ["--config", config.to_str().unwrap()];
    let key = ("STAND_IN_KEY", STANDIN_API_KEY);
    let fine = doctor(&folder, &[&good[..], &[key]].concat(), &config);
    let page = text(&fine.stdout);
    assert_eq!(fine.status.code(), Some(0), "{page}");
    for part in [
        "✓ issuer ci: its keys are there",
        "✓ issuer corp: its keys are there",
        "✓ ANTHROPIC_FEDERATION_RULE_ID: names the rule `payments-ci`",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }

    // What is set otherwise, whether with the configuration, and what is told.
    let secret = "sk-ant-api03-not-to-be-printed";
    let cases: [(Set<'_>, bool, &str); 14] = [
        (
            &[("ANTHROPIC_API_KEY", "")],
            false,
            "✗ ANTHROPIC_API_KEY: is set and empty",
        ),
        (
            &[("ANTHROPIC_API_KEY", secret)],
            false,
            "holds a key of the provider",
        ),
        (
            &[("ANTHROPIC_AUTH_TOKEN", secret)],
            false,
            "holds a key of the provider",
        ),
        (&[("ANTHROPIC_AUTH_TOKEN", "gws_x")], false, "goes first"),
        (
            &[("ANTHROPIC_ORGANIZATION_ID", "")],
            false,
            "Any UUID will do",
        ),
        (
            &[("ANTHROPIC_IDENTITY_TOKEN_FILE", "nowhere")],
            false,
            "nowhere cannot be read",
        ),
        (
            &[("ANTHROPIC_IDENTITY_TOKEN_FILE", "old")],
            false,
            "it has to be written anew",
        ),
        (
            &[("ANTHROPIC_IDENTITY_TOKEN_FILE", "other")],
            true,
            "and not to `tollbook`",
        ),
        (
            &[("ANTHROPIC_FEDERATION_RULE_ID", "payment-ci")],
            true,
            "there are payments-ci",
        ),
        (
            &[("ANTHROPIC_BASE_URL", "https://api.anthropic.com")],
            false,
            "names the provider",
        ),
        (
            &[("ANTHROPIC_BASE_URL", "http://gate.example/claude")],
            false,
            "is not encrypted",
        ),
        (
            &[("ANTHROPIC_BASE_URL", stage.upstream.url())],
            false,
            "but is no Tollbook",
        ),
        (
            &[("GITHUB_ACTIONS", "true")],
            false,
            "`permissions: id-token: write`",
        ),
        (&[("STAND_IN_KEY", "")], true, "✗ configuration: "),
    ];
    for (set, configured, part) in cases {
        let mut variables: Vec<(&str, &str)> = good.to_vec();
        if configured {
            variables.push(key);
        }
        variables.retain(|(name, _)| set.iter().all(|(other, _)| other != name));
        variables.extend(set);
        let arguments = if configured { &config[..] } else { &[] };
        let found = doctor(&folder, &variables, arguments);
        let page = format!("{}{}", text(&found.stdout), text(&found.stderr));
        assert_eq!(found.status.code(), Some(1), "{set:?}: {page}");
        let line = page.lines().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("{set:?}: no `{part}` in\n{page}"));
        assert!(line.starts_with("✗ ") || line.starts_with("  "), "{page}");
        let signed: Vec<&str> = [&assertion, &old, &other]
            .iter()
            .map(|token| token.rsplit('.').next().unwrap())
            .collect();
        for hidden in [secret, STANDIN_API_KEY].iter().chain(&signed) {
            assert!(!page.contains(hidden), "{set:?}: {page}");
        }
    }
    // Without a gate at all, and with one that does not answer.
    assert_eq!(doctor(&folder, &[], &[]).status.code(), Some(1));
    let mut nobody = good;
    nobody[0].1 = "http://127.0.0.1:1/claude";
    let unknown = doctor(&folder, &nobody, &["--json"]);
    assert_eq!(unknown.status.code(), Some(3));
    let gate = text(&unknown.stdout);
    let gate = gate
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let gate = gate.into_iter().find(|check| check["what"] == "the gate");
    assert_eq!(gate.unwrap()["result"], "unknown");

    // A token that is shown as it is, and has expired.
    let shown = [good[0], ("ANTHROPIC_AUTH_TOKEN", &*old)];
    let expired = doctor(&folder, &shown, &[]);
    assert_eq!(expired.status.code(), Some(1));
    assert!(
        text(&expired.stdout).contains("it expired"),
        "{}",
        text(&expired.stdout)
    );

    // On the gateway's own machine nobody is a client, and its key is where it should be.
    let server = [key, ("ANTHROPIC_API_KEY", secret)];
    let server = doctor(&folder, &server, &config);
    let page = text(&server.stdout);
    assert_eq!(server.status.code(), Some(0), "{page}");
    // An issuer that gives no keys.
    stage.issuer.fail(Some(issuer::Fault::Down));
    let down = doctor(&folder, &[key], &config);
    let page = text(&down.stdout);
    assert_eq!(down.status.code(), Some(1), "{page}");
    assert!(page.contains("✗ issuer ci: no key of"), "{page}");
    assert!(page.contains("✓ issuer corp"), "{page}");
    stage.issuer.fail(None);
    stage.end();
}
