//! From a call through the gate to evidence that a stranger checks.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;
use tollbook_ledger::{Completeness, Integrity};
use tollbook_verify::check;

use crate::stage::TOLLBOOK;

fn tollbook(folder: &TempDir, arguments: &str) -> Output {
    std::process::Command::new(TOLLBOOK)
        .args(arguments.split(' '))
        .current_dir(folder.path())
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("TOLLBOOK_CONFIG")
        .env_remove("TOLLBOOK_LOG")
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", folder.path())
        .output()
        .unwrap()
}

/// Standard output of a command that ends with this code.
fn said(folder: &TempDir, arguments: &str, code: i32) -> String {
    let output = tollbook(folder, arguments);
    let all = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments}: {all}");
    all
}

#[test]
fn evidence_of_the_quickstart_is_checked_by_those_who_have_nothing_else() {
    let folder = TempDir::new().unwrap();
    let once = said(&folder, "quickstart --once --json", 0);
    let once: Value = serde_json::from_str(once.lines().next().unwrap()).unwrap();
    let id = once["exchange"]["id"].as_str().unwrap();
    let at = |name: &str| folder.path().join(name);

    let page = said(&folder, "export evidence all --data tollbook-data", 0);
    assert!(page.contains("10 of 3 exchanges"), "{page}");
    let key = fs::read_to_string(at("tollbook-data/log.vkey")).unwrap();
    let key = key.trim_end().parse().unwrap();
    let report = check(at("all"), Some(&key), &[]).unwrap();
    assert!(report.is_verified(), "{:?}", report.faults);
    assert_eq!((report.records, report.exchanges), (10, Some(3)));
    // The run, and whoever wrote the evidence, with what a recorder notes of itself.

    let one = format!("export evidence one --json --data tollbook-data --exchange {id}");
    let written: Value = serde_json::from_str(&said(&folder, &one, 0)).unwrap();
    assert_eq!(
        (&written["records"], &written["size"]),
        (&2.into(), &14.into())
    );
    let report = check(at("one"), Some(&key), &[]).unwrap();
    assert!(report.is_verified(), "{:?}", report.faults);
    let record = fs::read_to_string(at("one/records/3.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["id"], id);
    // What is handed on is masked, as the book is.
    let prompt = fs::read_to_string(at("one/records/3.body")).unwrap();
    assert!(
        prompt.contains("[REDACTED:") && !prompt.contains("ghp_"),
        "{prompt}"
    );

    let bare = "export evidence bare --without-leaves --without-contents --data tollbook-data";
    said(&folder, bare, 0);
    let report = check(at("bare"), None, &[]).unwrap();
    assert_eq!(report.integrity, Integrity::Proven, "{:?}", report.faults);
    assert_eq!(report.completeness, Completeness::NotShown);

    // The folder is in use; there is no such exchange; that is no id.
    said(&folder, "export evidence all --data tollbook-data", 3);
    let none = "export evidence none --data tollbook-data --exchange";
    said(&folder, &format!("{none} 00000000"), 1);
    said(&folder, &format!("{none} xyz"), 2);
    assert!(!at("none").exists());
}

#[test]
fn verify_holds_checkpoints_against_the_book() {
    let folder = TempDir::new().unwrap();
    said(&folder, "quickstart --once", 0);
    copy(
        &folder.path().join("tollbook-data"),
        &folder.path().join("yesterday"),
    );
    said(&folder, "export evidence first --data tollbook-data", 0);
    said(&folder, "quickstart --once", 0);
    said(&folder, "export evidence later --data tollbook-data", 0);

    let verify = |data: &str, kept: &str, code: i32| {
        let arguments = format!("verify --data {data} --checkpoint {kept}");
        let page = said(&folder, &arguments, code);
        let report = said(&folder, &format!("{arguments} --json"), code);
        let report: Value = serde_json::from_str(&report).unwrap();
        (
            page,
            report["kept"][0]["verdict"].as_str().unwrap().to_owned(),
        )
    };
    let (page, verdict) = verify("tollbook-data", "first/checkpoint", 0);
    assert_eq!(verdict, "consistent");
    assert!(page.contains("the log grew out of it"), "{page}");
    assert_eq!(verify("yesterday", "later/checkpoint", 1).1, "behind");
    fs::write(folder.path().join("note"), "not a checkpoint").unwrap();
    assert_eq!(verify("tollbook-data", "note", 3).1, "unreadable");
    said(
        &folder,
        "verify --data tollbook-data --checkpoint nowhere",
        2,
    );

    // Work goes on with the older copy, further than the other had come.
    for _ in 0..5 {
        said(&folder, "quickstart --once --dir yesterday", 0);
    }
    let (page, verdict) = verify("yesterday", "later/checkpoint", 1);
    assert_eq!(verdict, "fork");
    assert!(page.contains("fork: "), "{page}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}
