//! The commands and their exit codes.

use std::{
    fs,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{Stage, TOLLBOOK};

fn tollbook(folder: &TempDir, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(TOLLBOOK);
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("TOLLBOOK_CONFIG")
        .env_remove("TOLLBOOK_LOG")
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", folder.path())
        .stdin(Stdio::null());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn quickstart_once_shows_a_masked_record_and_verifies() {
    let folder = TempDir::new().unwrap();
    let once = tollbook(&folder, &["quickstart", "--once"]);
    assert_eq!(code(&once), 0, "{}", text(&once.stderr));
    let page = text(&once.stdout);
    assert!(page.contains("verified"), "{page}");
    assert!(page.contains("entries    6, for 2 exchanges\n"), "{page}");
    assert!(
        page.contains("repo:acme/payments:ref:refs/heads/main (developers)"),
        "{page}"
    );
    assert!(
        page.contains("prompt     Is it a problem that my GitHub token is [REDACTED:"),
        "{page}"
    );
    assert!(
        page.matches("[REDACTED:").count() >= 2,
        "prompt and answer are masked: {page}"
    );
    assert!(page.contains("allow by connection.claude.allow"), "{page}");
    assert!(!page.contains("ghp_"), "{page}");

    // Not in the record, and nowhere else in the folder either.
    let mut folders = vec![folder.path().join("tollbook-data")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(path).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"ghp_a1B2c"));
        }
    }

    // Again on the same book, as JSON.
    let again = tollbook(&folder, &["quickstart", "--once", "--json"]);
    assert_eq!(code(&again), 0, "{}", text(&again.stderr));
    let value: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(value["exchange"]["outcome"], "complete");
    assert_eq!(value["exchange"]["ledger"]["index"], 10);

    let listed = tollbook(
        &folder,
        &["exchanges", "list", "--json", "--data", "tollbook-data"],
    );
    // Each start is in the book as well.
    assert_eq!(text(&listed.stdout).lines().count(), 4);
}

#[test]
fn a_changed_book_is_told_by_exit_code_one() {
    let folder = TempDir::new().unwrap();
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let journal = folder.path().join("tollbook-data/journal.db");
    let mut bytes = fs::read(&journal).unwrap();
    let at = |bytes: &[u8], text: &[u8]| -> Vec<usize> {
        let all = 0..bytes.len() - text.len();
        all.filter(|place| bytes[*place..].starts_with(text))
            .collect()
    };
    // What is recorded is sealed; what the book says of itself is not.
    assert_eq!(at(&bytes, b"\"verdict\":"), Vec::<usize>::new());
    // The name of the program as the first entry has it, changed by one letter. The database may
    // have copies of it in places that are not in use.
    let places = at(&bytes, b"\"program\":\"tollbook");
    assert!(!places.is_empty());
    for place in places {
        bytes[place + 11] = b'b';
    }
    fs::write(&journal, bytes).unwrap();

    let verified = tollbook(&folder, &["verify", "--data", "tollbook-data"]);
    assert_eq!(code(&verified), 1, "{}", text(&verified.stdout));
    assert!(
        text(&verified.stdout).contains("index 0"),
        "{}",
        text(&verified.stdout)
    );
    let verified = tollbook(&folder, &["verify", "--json", "--data", "tollbook-data"]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["faults"][0]["index"], 0, "{report}");
}

#[test]
fn check_lists_every_mistake_and_ends_with_two() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(
        folder.path().join("policies/a.cedar"),
        "@id(\"typo\")\npermit (principal, action, resource)\nwhen { context.modle == \"x\" };\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("tollbook.toml"),
        r#"[gateway]
lissten = "127.0.0.1:1"

[[issuer]]
name = "ci"
issuer = "http://plain.example"
audience = "tollbook"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.anthropic.com"
credential = { env = "NO_SUCH_VARIABLE" }

[policy]
path = "policies"

[masking]
rules = ["builtin", "rules/none.toml"]
"#,
    )
    .unwrap();
    let check = tollbook(&folder, &["check"]);
    assert_eq!(code(&check), 2);
    let told = text(&check.stderr);
    for part in [
        "line 2: unknown key `lissten`; did you mean `listen`?",
        "issuer `ci`:",
        "NO_SUCH_VARIABLE is not set",
        "policies/a.cedar",
        "rules/none.toml cannot be read",
    ] {
        assert!(told.contains(part), "`{part}` is missing in:\n{told}");
    }
    let check = tollbook(&folder, &["check", "--json"]);
    assert_eq!(code(&check), 2);
    let value: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(value["ok"], false);
    assert!(value["mistakes"].as_array().unwrap().len() >= 5);
    assert_eq!(code(&tollbook(&folder, &["serve"])), 2);
}

#[test]
fn exit_codes_tell_apart_no_wrong_and_unknown() {
    let folder = TempDir::new().unwrap();
    // Wrong use.
    assert_eq!(code(&tollbook(&folder, &["frobnicate"])), 2);
    assert_eq!(code(&tollbook(&folder, &["exchanges", "list"])), 2);
    assert_eq!(
        code(&tollbook(
            &folder,
            &["exchanges", "list", "--since", "yesterday", "--data", "."]
        )),
        2
    );
    // No book there: nothing can be told.
    for command in [&["verify"][..], &["exchanges", "list"]] {
        let told = tollbook(&folder, &[command, &["--data", "nowhere"]].concat());
        assert_eq!(code(&told), 3);
        assert_eq!(
            text(&told.stderr),
            "tollbook: there is no book in nowhere\n"
        );
    }
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    // No such exchange: the answer is no.
    let unknown = [
        "exchanges",
        "show",
        "00000000-0000-7000-8000-000000000000",
        "--data",
        "tollbook-data",
    ];
    assert_eq!(code(&tollbook(&folder, &unknown)), 1);
}

#[test]
fn help_and_completions_name_every_command() {
    let folder = TempDir::new().unwrap();
    let help = text(&tollbook(&folder, &["--help"]).stdout);
    let completions = tollbook(&folder, &["completions", "bash"]);
    assert_eq!(code(&completions), 0);
    for command in [
        "quickstart",
        "serve",
        "check",
        "exchanges",
        "approvals",
        "policy",
        "token",
        "doctor",
        "verify",
        "completions",
    ] {
        assert!(help.contains(command), "{help}");
        assert!(text(&completions.stdout).contains(command));
    }
}

#[test]
fn tail_prints_what_is_there_and_what_comes() {
    use std::io::{BufRead, BufReader};

    let folder = TempDir::new().unwrap();
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let mut tail = Command::new(TOLLBOOK)
        .args(["exchanges", "tail", "--json", "--data", "tollbook-data"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let second = next();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        (&first["outcome"], &second["outcome"]),
        (&"complete".into(), &"complete".into())
    );
}

#[test]
fn quickstart_leaves_a_configuration_alone() {
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("tollbook.toml");
    fs::write(&own, "# mine\n").unwrap();
    for _ in 0..2 {
        let once = tollbook(&folder, &["quickstart", "--once", "--dir", "."]);
        assert_eq!(code(&once), 0, "{}", text(&once.stderr));
        assert_eq!(fs::read_to_string(&own).unwrap(), "# mine\n");
    }
    let written = fs::read_to_string(folder.path().join("quickstart.toml")).unwrap();
    assert!(
        written.starts_with("# This file belongs to `tollbook quickstart`"),
        "{written}"
    );
}

#[test]
fn quickstart_once_uses_the_stand_in_whatever_key_is_set() {
    let folder = TempDir::new().unwrap();
    let once = command(&folder, &["quickstart", "--once"])
        .env("ANTHROPIC_API_KEY", "nonsense")
        .output()
        .unwrap();
    assert_eq!(code(&once), 0, "{}", text(&once.stderr));
    let written = fs::read_to_string(folder.path().join("tollbook-data/quickstart.toml")).unwrap();
    assert!(
        written.contains("upstream = \"http://127.0.0.1:"),
        "{written}"
    );
}

#[test]
fn logs_are_plain_in_a_pipe_and_their_filter_is_checked() {
    let folder = TempDir::new().unwrap();
    let logged = |filter: &str| {
        command(&folder, &["quickstart", "--once"])
            .env("TOLLBOOK_LOG", filter)
            .output()
            .unwrap()
    };
    let plain = logged("info");
    assert_eq!(code(&plain), 0, "{}", text(&plain.stderr));
    let lines = text(&plain.stderr);
    assert!(lines.contains(" INFO "), "{lines}");
    assert!(!lines.contains('\u{1b}'), "{lines}");

    let wrong = logged("tollbook=loud");
    assert_eq!(code(&wrong), 2);
    assert!(
        text(&wrong.stderr).starts_with("tollbook: TOLLBOOK_LOG: "),
        "{}",
        text(&wrong.stderr)
    );
    assert_eq!(code(&logged("")), 0);
}

#[test]
fn flags_stand_where_they_mean_something() {
    let folder = TempDir::new().unwrap();
    let has = |arguments: &[&str]| {
        let help = text(&tollbook(&folder, &[arguments, &["--help"]].concat()).stdout);
        (help.contains("--config"), help.contains("--json"))
    };
    for both in [
        &["serve"][..],
        &["check"],
        &["verify"],
        &["exchanges", "list"],
        &["exchanges", "show"],
        &["exchanges", "tail"],
        &["sessions", "list"],
        &["sessions", "show"],
        &["search"],
        &["why"],
        &["approvals", "list"],
        &["approvals", "show"],
        &["approvals", "approve"],
        &["approvals", "deny"],
        &["approvals", "cancel"],
        &["approvals", "grants"],
        &["approvals", "grant"],
        &["approvals", "break-glass"],
        &["approvals", "end-grant"],
        &["approvals", "review"],
        &["policy", "test"],
        &["policy", "explain"],
        &["policy", "replay"],
        &["policy", "show"],
        &["policy", "reload"],
        &["token", "list"],
        &["token", "revoke"],
        &["doctor"],
    ] {
        assert_eq!(has(both), (true, true), "{both:?}");
    }
    assert_eq!(has(&["quickstart"]), (false, true));
    assert_eq!(has(&["completions"]), (false, false));
    // It prints a token and nothing else, for a job that has no configuration of the gateway.
    assert_eq!(has(&["token", "helper"]), (false, false));
    assert_eq!(has(&["token", "exchange"]), (false, true));
    // The whole text of a command, with what is not seen in its first line.
    let help = text(&tollbook(&folder, &["verify", "--help"]).stdout);
    assert!(help.contains("Exit code 0: every"), "{help}");
}

/// Whenever it begins, `tail` prints each exchange once.
#[test]
fn tail_skips_nothing_at_its_start() {
    use std::{
        collections::BTreeMap,
        io::{BufRead, BufReader},
        sync::atomic::{AtomicBool, Ordering},
    };

    let stage = Stage::set();
    let (address, token) = (stage.address().to_owned(), stage.token("tail"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut tails = Vec::new();
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    models(&address, &token);
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        for _ in 0..6 {
            let mut tail = Command::new(TOLLBOOK)
                .args(["exchanges", "tail", "--json", "--limit", "100000", "--data"])
                .arg(stage.book())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
            let printed = scope.spawn(move || {
                let mut printed: BTreeMap<String, u32> = BTreeMap::new();
                for line in lines.map_while(Result::ok) {
                    let summary: Value = serde_json::from_str(&line).unwrap();
                    let id = summary["id"].as_str().unwrap().to_owned();
                    *printed.entry(id).or_default() += 1;
                }
                printed
            });
            tails.push((tail, printed));
            thread::sleep(Duration::from_millis(150));
        }
        done.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(1_500));
        let ended: Vec<_> = stage
            .exchanges(1, |_| true)
            .iter()
            .map(|found| found["id"].as_str().unwrap().to_owned())
            .collect();
        let all = tails.into_iter().map(|(mut tail, printed)| {
            tail.kill().unwrap();
            tail.wait().unwrap();
            printed.join().unwrap()
        });
        let all: Vec<_> = all.collect();
        for printed in all {
            let missed = ended.iter().filter(|id| !printed.contains_key(*id)).count();
            assert_eq!(missed, 0, "of {}", ended.len());
            assert!(printed.values().all(|times| *times == 1));
        }
    });
    stage.end();
}

/// One call, over a connection of its own.
fn models(address: &str, token: &str) {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "GET /claude/v1/models HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         anthropic-version: 2023-06-01\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_page_shows_what_went_wrong() {
    let stage = Stage::set();
    stage.ask(&stage.token("page"), "claude-haiku-4-5", "[[529]]");
    let found = stage.exchanges(1, |_| true);
    let page = stage.read(&["exchanges", "show", found[0]["id"].as_str().unwrap()]);
    let page = text(&page.stdout);
    assert!(page.contains("  error      overloaded_error: "), "{page}");
    stage.end();
}

#[test]
fn one_open_exchange_is_counted_in_the_singular() {
    let stage = Stage::set();
    stage
        .upstream
        .faults()
        .change(|plan| plan.head_delay = Duration::from_secs(3));
    thread::scope(|scope| {
        scope.spawn(|| stage.ask(&stage.token("open"), "claude-haiku-4-5", "wait"));
        let begun = Instant::now();
        let mut page = String::new();
        while !page.contains("open       1 ") && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(50));
            page = text(&stage.read(&["verify"]).stdout);
        }
        assert!(
            page.contains("open       1 exchange has no outcome yet\n"),
            "{page}"
        );
    });
    stage.end();
}

#[test]
fn a_book_put_back_from_a_copy_is_continued_only_in_a_new_epoch() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    fs::create_dir(at("copy")).unwrap();
    for file in ["journal.db", "log.key", "log.vkey"] {
        fs::copy(at("tollbook-data").join(file), at("copy").join(file)).unwrap();
    }
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let verified = tollbook(&folder, &["verify", "--json", "--data", "tollbook-data"]);
    let newest: Value = serde_json::from_slice(&verified.stdout).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(
        at("elsewhere/anchor"),
        newest["checkpoint"].as_str().unwrap(),
    )
    .unwrap();
    for file in ["journal.db-wal", "journal.db-shm"] {
        let _missing = fs::remove_file(at("tollbook-data").join(file));
    }
    fs::copy(at("copy/journal.db"), at("tollbook-data/journal.db")).unwrap();

    let name = newest["origin"].as_str().unwrap();
    let config = format!(
        "[gateway]\ndata = \"tollbook-data\"\nname = \"{name}\"\n\
         [record]\nanchor = \"elsewhere/anchor\"\n\
         [[issuer]]\nname = \"ci\"\npreset = \"github-actions\"\naudience = \"tollbook\"\n\
         [[connection]]\nname = \"claude\"\nprotocol = \"claude\"\n\
         upstream = \"https://api.anthropic.com\"\n\
         credential = {{ header = \"x-api-key\", env = \"SOME_KEY\" }}\nallow = [\"all\"]\n"
    );
    fs::write(at("c.toml"), config).unwrap();
    let bare = tollbook(&folder, &["recover", "--config", "c.toml"]);
    assert_eq!(code(&bare), 2, "{}", text(&bare.stderr));
    let recover = [
        "recover",
        "--accept-gap",
        "--reason",
        "disk",
        "--config",
        "c.toml",
    ];
    let done = tollbook(&folder, &recover);
    assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    let page = text(&done.stdout);
    assert!(
        page.contains("epoch      2\n") && page.contains("/e2"),
        "{page}"
    );
    assert_eq!(
        code(&tollbook(&folder, &["verify", "--config", "c.toml"])),
        0
    );
    let aside = ["verify", "--data", "tollbook-data/epoch-1"];
    assert_eq!(code(&tollbook(&folder, &aside)), 0);
    let again = tollbook(&folder, &recover);
    assert_eq!(code(&again), 1, "{}", text(&again.stderr));
}
