//! Erasure, holds and retention, on a gateway that runs and on a book at rest.

use std::{fs, process::Output};

use serde_json::Value;

use crate::stage::Stage;

const MODEL: &str = "claude-haiku-4-5";

/// The exit code, and what was printed.
fn ran(output: &Output) -> (i32, String) {
    let printed = [&output.stdout[..], &output.stderr[..]].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(printed).unwrap(),
    )
}

fn json(output: &Output) -> (i32, Value) {
    let (code, printed) = ran(output);
    let value = serde_json::from_slice(&output.stdout);
    (code, value.unwrap_or_else(|_| panic!("{code}: {printed}")))
}

/// Whether the bytes stand in a file of the folder.
fn is_in(stage: &Stage, bytes: &str) -> bool {
    let files = fs::read_dir(stage.book()).unwrap();
    let mut found = files.filter(|file| {
        let path = file.as_ref().unwrap().path();
        let of_file = fs::read(path).unwrap_or_default();
        of_file
            .windows(bytes.len())
            .any(|window| window == bytes.as_bytes())
    });
    found.next().is_some()
}

#[test]
fn a_subject_is_erased_while_the_gateway_runs_unless_it_is_held() {
    let stage = Stage::set();
    for turn in 0..3 {
        let gone = format!("quetzalcoatl {turn}");
        stage.ask(&stage.token("agent-gone"), MODEL, &gone);
        stage.ask(&stage.token("agent-stays"), MODEL, "huitzilopochtli");
    }
    let all = stage.exchanges(6, |_| true);
    assert!(stage.read(&["search", "quetzalcoatl"]).status.success());
    assert!(is_in(&stage, "quetzalcoatl"), "in the index");
    assert!(is_in(&stage, "agent-gone"));
    let whose = ["--subject", "ci/agent-gone"];
    let erase = |more: &[&str]| stage.operate(&[&["erase", "--json"], &whose[..], more].concat());

    let (code, would) = json(&erase(&["--dry-run"]));
    assert_eq!((code, &would["exchanges"]), (0, &Value::from(3)));
    let (code, told) = ran(&stage.operate(&["erase", "--subject", "agent-gone", "--basis", "17"]));
    assert_eq!(code, 2, "{told}");
    let (code, told) = ran(&erase(&[]));
    assert!(code == 2 && told.contains("--basis"), "{told}");

    // A hold.
    let hold = ["hold", "add", "--json", "--reason", "case 4"];
    let (code, hold) = json(&stage.operate(&[&hold[..], &whose].concat()));
    assert_eq!(code, 0);
    let hold = hold["id"].to_string();
    let (code, told) = ran(&erase(&["--basis", "request 17"]));
    assert!(
        code == 1 && told.contains("a legal hold forbids it"),
        "{told}"
    );
    let (code, would) = json(&erase(&["--dry-run"]));
    assert_eq!((code, would["holds"][0].to_string()), (1, hold.clone()));
    let (code, listed) = ran(&stage.read(&["hold", "list"]));
    assert!(code == 0 && listed.contains("case 4"), "{listed}");
    assert!(!listed.contains("agent-gone"));
    let release = |hold: &str| stage.operate(&["hold", "release", hold, "--reason", "over"]);
    assert_eq!(ran(&release("0")).0, 1);
    assert_eq!(ran(&release(&hold)).0, 0);
    assert_eq!(ran(&stage.read(&["hold", "list"])).0, 1, "none is in force");

    // And then it is gone.
    let (code, erased) = json(&erase(&["--basis", "request 17"]));
    assert_eq!(
        (code, &erased["exchanges"]),
        (0, &Value::from(3)),
        "{erased}"
    );
    for bytes in ["quetzalcoatl", "agent-gone"] {
        assert!(!is_in(&stage, bytes), "{bytes}");
    }
    assert!(stage.read(&["search", "huitzilopochtli"]).status.success());
    assert_eq!(
        ran(&erase(&["--basis", "request 17"])).0,
        1,
        "nothing is left"
    );
    for record in &all {
        let shown = stage.exchange(&record["id"]);
        let is_gone = record["subject"] == "agent-gone";
        assert_eq!(!shown["erased"].is_null(), is_gone, "{shown}");
        let (_, page) = ran(&stage.read(&["exchanges", "show", record["id"].as_str().unwrap()]));
        let says = page.contains("all of it: ") && page.contains("by erasure (request 17), entry ");
        assert_eq!(says, is_gone, "{page}");
    }
    let (_, found) = ran(&stage.read(&["search", "--json", "prompt:quetzalcoatl"]));
    assert_eq!(found, "");
    let (code, report) = json(&stage.read(&["verify", "--json"]));
    assert_eq!((code, &report["erased"]["entries"]), (0, &Value::from(6)));

    // Who asked for it is in the book, and not of whom.
    let (_, asked) = ran(&stage.read(&["search", "--all", "--json", "action:book.erase"]));
    let asked: Vec<&str> = asked.lines().collect();
    assert!(asked.len() >= 3, "{asked:?}");
    let asked: Value = serde_json::from_str(asked[0]).unwrap();
    let asked = stage.exchange(&asked["id"]);
    assert!(asked.to_string().contains("request 17") && !asked.to_string().contains("agent-gone"));
    stage.end();
}

#[test]
fn what_is_old_goes_and_keys_are_rotated_where_no_gateway_runs() {
    let retention = "[retention]\nanswer = { max = \"0d\" }\nmetadata = { min = \"30d\" }\n";
    let mut stage = Stage::with("", retention, "");
    stage.ask(&stage.token("agent-7"), MODEL, "huitzilopochtli");
    let id = stage.exchanges(1, |_| true)[0]["id"].clone();
    let (code, told) = ran(&stage.operate(&["keys", "rotate"]));
    assert!(code == 1 && told.contains("stop it first"), "{told}");
    stage.stop();

    let (code, plan) = json(&stage.operate(&["retention", "plan", "--json"]));
    let answers = &plan["classes"][2];
    assert_eq!((code, &answers["class"]), (0, &Value::from("answer")));
    let count = answers["exchanges"].as_u64().unwrap();
    assert!(count >= 1, "{plan}");
    let (code, told) = ran(&stage.operate(&["retention", "apply", "--dry-run"]));
    assert!(code == 0 && told.contains("WOULD GO"), "{told}");
    let (code, gone) = json(&stage.operate(&["retention", "apply", "--json"]));
    assert_eq!(code, 0, "{gone}");
    let shown = stage.exchange(&id);
    assert_eq!(shown["erased"]["classes"], serde_json::json!(["answer"]));
    assert!(shown["request"].to_string().contains("huitzilopochtli"));
    assert!(shown["answer"].is_null(), "{shown}");

    // What has to be kept is erased for a reason alone.
    let erase = ["erase", "--subject", "ci/agent-7", "--basis", "request 17"];
    let (code, told) = ran(&stage.operate(&erase));
    assert!(code == 1 && told.contains("has to be kept until"), "{told}");
    // Where it is not known whether it has to be, it is not.
    for config in [&[][..], &["--config", "/nonexistent/tollbook.toml"]] {
        let (code, told) = ran(&stage.read(&[&erase[..], config].concat()));
        assert!(
            code == 2
                && told.contains(if config.is_empty() {
                    "--config"
                } else {
                    "cannot read"
                })
        );
    }
    assert!(
        stage.exchange(&id)["request"]
            .to_string()
            .contains("huitzilopochtli")
    );
    // An index that cannot be written still has the words.
    for suffix in ["", "-wal", "-shm"] {
        drop(fs::remove_file(
            stage.book().join(format!("search.db{suffix}")),
        ));
    }
    fs::create_dir(stage.book().join("search.db")).unwrap();
    let override_minimum = ["--override-minimum", "a court said so"];
    let (code, told) = ran(&stage.operate(&[&erase[..], &override_minimum].concat()));
    assert!(code == 3 && told.contains("delete search.db"), "{told}");
    fs::remove_dir(stage.book().join("search.db")).unwrap();
    assert!(!stage.exchange(&id)["erased"].is_null());

    let key = fs::read(stage.book().join("book.key")).unwrap();
    let (code, told) = ran(&stage.operate(&["keys", "rotate"]));
    assert_eq!(code, 0, "{told}");
    assert_ne!(fs::read(stage.book().join("book.key")).unwrap(), key);
    let (code, report) = json(&stage.read(&["verify", "--json"]));
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["unopened"]["entries"], 0);
    let copied = stage.folder().join("copy");
    fs::create_dir(&copied).unwrap();
    for file in ["journal.db", "keys.db", "log.vkey"] {
        fs::copy(stage.book().join(file), copied.join(file)).unwrap();
    }
    let data = copied.to_str().unwrap();
    let erase = ["erase", "--session", "01010101-0101-8101-8101-010101010101"];
    let (code, told) =
        ran(&stage.operate(&[&erase[..], &["--basis", "1", "--data", data]].concat()));
    assert!(code == 3 && told.contains("copy"), "{told}");
}
