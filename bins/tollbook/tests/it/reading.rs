//! The book as its readers see it: an agent's run through a real gateway, and then search, sessions,
//! why, lists by query and exports.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{clients, stage::Stage};

/// The run of an agent that calls one tool, and is denied another model afterwards.
struct Run<'a> {
    stage: &'a Stage,
    token: String,
    runtime: Runtime,
}

impl Run<'_> {
    fn ask(&self, model: &str, messages: &Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client
            .post(format!("{}/v1/messages", self.stage.base))
            .bearer_auth(&self.token)
            .header("anthropic-version", "2023-06-01")
            .header("x-claude-code-session-id", "run-1")
            .json(&json!({
                "model": model,
                "max_tokens": 64,
                "system": "You tidy up.",
                "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
                "messages": messages,
            }))
            .send();
        self.runtime.block_on(async {
            let text = call.await.unwrap().text().await.unwrap();
            serde_json::from_str(&text).unwrap()
        })
    }

    fn go(&self) {
        let secret = ["ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"].concat();
        let asks =
            format!("tidy up with {secret} [[tool:Bash {{\"command\":\"rm -rf /tmp/zeppelin\"}}]]");
        let mut messages = vec![json!({ "role": "user", "content": asks })];
        let answer = self.ask("claude-haiku-4-5", &json!(messages));
        let calls = answer["content"].as_array().unwrap();
        let call = calls.iter().find(|block| block["type"] == "tool_use");
        let id = call.unwrap_or_else(|| panic!("{answer}"))["id"].clone();
        messages.push(json!({ "role": "assistant", "content": answer["content"] }));
        messages.push(json!({ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": id, "content": "all gone" },
        ] }));
        self.ask("claude-haiku-4-5", &json!(messages));
        messages.push(json!({ "role": "assistant", "content": "Done." }));
        messages.push(json!({ "role": "user", "content": "and now with more power" }));
        self.ask("claude-forbidden", &json!(messages));
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = text(output);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn what_an_agent_did_is_found_told_traced_and_handed_on() {
    let stage = Stage::set();
    let run = Run {
        stage: &stage,
        token: stage.token("agent-7"),
        runtime: Runtime::new().unwrap(),
    };
    run.go();
    let all = stage.exchanges(3, |_| true);
    let [first, second, third] = &*all else {
        panic!("{all:?}");
    };
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    let found = |arguments: &[&str]| -> Vec<String> {
        let output = stage.read(&[&["search", "--json"], arguments].concat());
        lines(&output).iter().map(id).collect()
    };

    // Search.
    assert_eq!(found(&["tool:Bash", "rm -rf"]), [id(first)]);
    assert_eq!(found(&["result:\"all gone\""]), [id(second)]);
    assert_eq!(found(&["subject:agent-7", "-verdict:allow"]), [id(third)]);
    assert_eq!(
        found(&["system:tidy", "since:1h", "tokens:>0"]),
        [id(first)]
    );
    let page = text(&stage.read(&["search", "prompt:tidy"]));
    assert!(
        page.contains("    prompt tidy up with [REDACTED:github-pat]"),
        "{page}"
    );
    let wrong = stage.read(&["search", "a", "tol:Bash"]);
    assert_eq!(wrong.status.code(), Some(2));
    let told = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        told.contains("did you mean `tool`?\n  a tol:Bash\n    ^"),
        "{told}"
    );
    let again = found(&["--rebuild", "zeppelin"]);
    assert_eq!(again, [id(first)]);

    // A search that is kept is a word in others.
    let kept = found(&["verdict:deny", "since:7d", "--save", "denied"]);
    assert_eq!(kept, [id(third)]);
    assert_eq!(found(&["@denied", "power"]), kept);
    assert_eq!(found(&["@denied", "zeppelin"]), [""; 0]);
    let saved = lines(&stage.read(&["search", "--saved", "--json"]));
    assert_eq!(
        saved,
        [json!({ "name": "denied", "query": "verdict:deny started:>=7d" })]
    );
    text(&stage.read(&["search", "--unsave", "denied"]));
    assert_eq!(stage.read(&["search", "@denied"]).status.code(), Some(2));
    assert_eq!(
        stage.read(&["search", "--unsave", "denied"]).status.code(),
        Some(1)
    );

    // Lists take the same queries, beside their own flags.
    let listed = |arguments: &[&str]| -> Vec<String> {
        let output = stage.read(&[&["exchanges", "list", "--json"], arguments].concat());
        lines(&output).iter().map(id).collect()
    };
    assert_eq!(listed(&["calls:>0"]), [id(first)]);
    assert_eq!(listed(&["--verdict", "deny", "power"]), [id(third)]);
    // What the caller was told is the answer.
    assert_eq!(
        listed(&["answer:\"not approved for pipelines\""]),
        [id(third)]
    );
    assert_eq!(listed(&["--verdict", "allow", "power"]), [""; 0]);

    // Sessions.
    let sessions = lines(&stage.read(&["sessions", "list", "--json"]));
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(
        (
            &sessions[0]["exchanges"],
            &sessions[0]["denied"],
            &sessions[0]["calls"]
        ),
        (&json!(3), &json!(1), &json!(1))
    );
    let none = stage.read(&[
        "sessions",
        "list",
        "--json",
        "--since",
        "9000-01-01T00:00:00Z",
    ]);
    assert_eq!(lines(&none), [Value::Null; 0]);
    assert_eq!(found(&["--since", "1h", "power"]), [id(third)]);
    let session = sessions[0]["id"].as_str().unwrap();
    let shown = lines(&stage.read(&["sessions", "show", "--json", session]));
    let turns = shown[0]["turns"].as_array().unwrap();
    let kinds = |turn: &Value| -> Vec<String> {
        let said = turn["said"].as_array().unwrap().iter();
        said.map(|part| part["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds(&turns[0])[..2], ["system", "prompt"]);
    assert!(kinds(&turns[0]).contains(&"call".to_owned()));
    assert_eq!(kinds(&turns[1])[..2], ["result", "answer"]);
    let page = text(&stage.read(&["sessions", "show", &id(second)]));
    for part in [
        "  user       tidy up with [REDACTED:github-pat]",
        "  calls      Bash {\"command\":\"rm -rf /tmp/zeppelin\"}",
        "  gave back  Bash all gone",
        "  decision   deny by no-forbidden-model",
        "  masked     2 × github-pat",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // In the prompt and in the call, and not once more in what was sent again.
    assert_eq!(page.matches("zeppelin").count(), 2, "{page}");

    // Why.
    let why = &lines(&stage.read(&["why", "--json", &id(second)]))[0];
    assert_eq!(why["caused_by"][0]["exchange"]["id"], first["id"]);
    assert_eq!(why["caused_by"][0]["tool"], "Bash");
    let why = &lines(&stage.read(&["why", "--json", &id(first)]))[0];
    assert_eq!(why["causes"][0]["exchange"]["id"], second["id"]);
    let shown = stage.exchange(&first["id"]);
    assert_eq!(
        (&shown["causes"], &shown["caused_by"]),
        (&json!([second["id"]]), &Value::Null)
    );
    let shown = stage.exchange(&second["id"]);
    assert_eq!(
        (&shown["causes"], &shown["caused_by"]),
        (&json!([]), &first["id"])
    );
    let page = text(&stage.read(&["why", &id(second)]));
    assert!(
        page.contains("  prompt     tidy up with [REDACTED:"),
        "{page}"
    );
    assert_eq!(stage.read(&["why", "00000000"]).status.code(), Some(1));
    assert_eq!(stage.read(&["why", "x"]).status.code(), Some(2));

    exports(&stage, [first, second, third]);
    views(&stage, first);
    leaked(&stage, first);
    // Nothing that was masked got into the index. Words are in it in lower case, and a word of which
    // it has the beginning already by its rest.
    let index = fs::read(stage.book().join("search.db")).unwrap();
    let has = |text: &[u8]| index.windows(text.len()).any(|window| window == text);
    assert!(has(b"ppelin") && !has(b"d4e5f6g7h"));
    stage.end();
}

/// Whoever has a secret finds where it was masked.
fn leaked(stage: &Stage, first: &Value) {
    let secret = ["ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"].concat();
    let file = stage.folder().join("leaked");
    let look = |text: &str| {
        fs::write(&file, text).unwrap();
        stage.read(&["search", "--json", "--secret", file.to_str().unwrap()])
    };
    for text in [format!("{secret}\n"), format!("TOKEN='{secret}'\n")] {
        let found = lines(&look(&text));
        assert!(
            found.iter().any(|one| one["id"] == first["id"]),
            "{found:?}"
        );
    }
    let other = look(&secret.replace("a1B2", "b1B2"));
    assert_eq!((other.status.code(), &*other.stdout), (Some(1), &b""[..]));
    assert_eq!(look(" \n").status.code(), Some(2));
    // Not even that it was looked for is told with it.
    let asked = [
        "exchanges",
        "list",
        "--json",
        "connection:(book)",
        "action:book.secret",
    ];
    let asked = lines(&stage.read(&asked));
    assert_eq!(asked.len(), 3, "{asked:?}");
    let asked = stage.exchange(&asked[1]["id"]);
    assert!(!asked.to_string().contains("a1B2c3"), "{asked}");
    assert_eq!(asked["action"]["query"], Value::Null);
}

/// Each look was noted, with who looked and what they saw, and none is found unless asked for.
fn views(stage: &Stage, first: &Value) {
    let looks = |arguments: &[&str]| lines(&stage.read(&[&["exchanges"], arguments].concat()));
    let all = looks(&[
        "list",
        "--json",
        "--limit",
        "1000",
        "--connection",
        "(book)",
    ]);
    let actions: BTreeSet<_> = all
        .iter()
        .map(|view| view["action"].as_str().unwrap())
        .collect();
    let known = [
        "book.export",
        "book.list",
        "book.search",
        "book.sessions",
        "book.show",
        "book.why",
    ];
    assert_eq!(actions, BTreeSet::from(known));
    assert!(
        all.iter()
            .all(|view| view["kind"] == "local" && view["issuer"] == "(local)")
    );

    // What was looked for is in the record, and not in the index.
    let searches = looks(&["list", "--json", "connection:(book)", "action:book.search"]);
    let searches = searches.iter().map(|search| stage.exchange(&search["id"]));
    let is_of_tidy = |search: &Value| {
        let query = search["action"]["query"].as_str().unwrap_or_default();
        query.contains("tidy")
    };
    let searches: Vec<Value> = searches.filter(is_of_tidy).collect();
    let action = &searches.last().unwrap()["action"];
    assert_eq!(
        (&action["ids"], &action["count"]),
        (&json!([first["id"]]), &json!(1))
    );
    let exported = looks(&["list", "--json", "connection:(book)", "action:book.export"]);
    let exported = stage.exchange(&exported.last().unwrap()["id"]);
    assert_eq!(
        (&exported["action"]["format"], &exported["shown"]),
        (&json!("jsonl"), &json!(3))
    );

    let found = lines(&stage.read(&["search", "--json", "tidy"]));
    assert!(
        found.iter().all(|one| one["connection"] == "claude"),
        "{found:?}"
    );
    let searched = |more: &[&str]| {
        let arguments = [&["search", "--json"], more, &["action:book.search"]].concat();
        lines(&stage.read(&arguments)).len()
    };
    assert_eq!(searched(&[]), 0);
    assert!(searched(&["--all"]) > 0);
    let newest = |arguments: &[&str]| looks(arguments)[0]["connection"].clone();
    assert_ne!(newest(&["list", "--json"]), "(book)");
    assert_eq!(newest(&["list", "--json", "--all"]), "(book)");
}

fn exports(stage: &Stage, [first, second, third]: [&Value; 3]) {
    let export = |format: &str, more: &[&str]| {
        let arguments = [&["export", "subject:agent-7", "--format", format], more].concat();
        text(&stage.read(&arguments))
    };
    let ids = |values: Vec<Value>| {
        values
            .iter()
            .map(|one| one["id"].clone())
            .collect::<Vec<_>>()
    };
    let every = [&first["id"], &second["id"], &third["id"]].map(Clone::clone);
    let read = |text: &str| -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let jsonl = export("jsonl", &[]);
    assert_eq!(ids(read(&jsonl)), every);
    assert!(jsonl.contains("zeppelin"));
    let bare = export("jsonl", &["--without-contents"]);
    assert_eq!(ids(read(&bare)), every);
    assert!(!bare.contains("zeppelin"), "{bare}");
    let index = first["index"].to_string();
    assert_eq!(
        ids(read(&export("jsonl", &["--after", &index]))),
        every[1..]
    );

    // The other formats, read by programs that others wrote.
    let read_by_others = |format: &str| -> Vec<Value> {
        let file = stage.folder().join(format);
        export(format, &["--to", file.to_str().unwrap()]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/read.py");
        let output = Command::new(clients::readers())
            .arg(script)
            .arg(format)
            .arg(file)
            .output()
            .unwrap();
        serde_json::from_str(&text(&output)).unwrap()
    };
    let rows = read_by_others("csv");
    assert_eq!(ids(rows.clone()), every);
    let row = |column: &str| {
        rows.iter()
            .map(|row| row[column].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(row("verdict"), ["allow", "allow", "deny"]);
    assert_eq!(row("tools"), ["Bash", "", ""]);
    assert_eq!(row("rules")[2], "no-forbidden-model");
    let entries = read_by_others("har");
    assert_eq!(ids(entries.clone()), every);
    let url = format!("{}/v1/messages", stage.base);
    assert_eq!(
        (&entries[1]["url"], &entries[2]["status"]),
        (&json!(url), &json!(403))
    );
    let answered = entries[1]["text"].as_str().unwrap();
    assert!(answered.contains("all gone"), "{answered}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/har.mjs");
    let mut validate = Command::new("node");
    validate.arg(script).arg(clients::har_validator());
    let wrong = validate.arg(stage.folder().join("har")).output().unwrap();
    assert_eq!(text(&wrong).trim(), "[]", "{entries:?}");
    let events = read_by_others("ocsf");
    assert_eq!(ids(events.clone()), every);
    assert_eq!(events[2]["disposition"], 2);
    let spans = read_by_others("otlp");
    assert_eq!(ids(spans.clone()), every);
    assert_eq!(spans[2]["name"], "chat claude-forbidden");
    assert!(
        spans.iter().all(|span| span["took"].as_u64() > Some(0)),
        "{spans:?}"
    );
    let rows = read_by_others("parquet");
    assert_eq!(ids(rows.clone()), every);
    assert_eq!(rows[0]["tools"], json!(["Bash"]));
    assert_eq!(rows[2]["rules"], json!(["no-forbidden-model"]));
    assert!(
        rows[0]["request_body"]
            .as_str()
            .unwrap()
            .contains("zeppelin")
    );
    assert!(rows[0]["duration_us"].as_i64() > Some(0));

    // A file that is there already is not written over.
    let file = stage.folder().join("csv");
    let refused = stage.read(&["export", "--to", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3));
    let none = stage.read(&["export", "--format", "xml"]);
    assert_eq!(none.status.code(), Some(2));
}
