//! Real clients of PostgreSQL through the gate, in front of a real server.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tollbook_testkit::postgres::Postgres;

use crate::{claude_code, clients, stage::Stage};

/// What every stage here has: nobody changes all rows, as the ready policy has it.
const POLICIES: &str = include_str!("../../../../crates/policy/cookbook/sql-bounded-writes.cedar");
const TABLES: &str = "
    CREATE TABLE users (id int PRIMARY KEY, ssn text UNIQUE, pin int, note text, born date, doc jsonb, tags text[]);
    CREATE VIEW people AS SELECT id, ssn FROM users;
    CREATE TABLE spare (id int);
    INSERT INTO users SELECT n, CASE n WHEN 1 THEN '219-09-9999' ELSE n || '-x' END, 1234,
        CASE n WHEN 1 THEN 'use SECRET' ELSE 'nothing' END, '1980-01-02',
        CASE n WHEN 1 THEN '{\"a\": \"SECRET\"}'::jsonb END, CASE n WHEN 1 THEN ARRAY['a', 'SECRET'] END
      FROM generate_series(1, 3) n;
";

fn secret() -> String {
    ["AKIA", "IOSFODNN7EXAMPLE"].concat()
}

/// A server with tables, and a gateway in front of it.
struct Scene {
    server: Postgres,
    stage: Stage,
}

impl Scene {
    /// [`None`] where this machine has no server.
    fn set(lines: &str) -> Option<Self> {
        let Some(server) = Postgres::start().unwrap() else {
            println!("NOT TESTED: no PostgreSQL server on this machine (Debian: postgresql)");
            return None;
        };
        let made = server.psql(&TABLES.replace("SECRET", &secret())).unwrap();
        assert!(
            made.status.success() && made.stderr.is_empty(),
            "{}",
            told(&made)
        );
        let more = format!(
            "[[connection]]\nname = \"orders\"\nprotocol = \"postgres\"\nlisten = \"127.0.0.1:0\"\n\
             upstream = \"postgres://postgres@127.0.0.1:{}/postgres\"\nallow = [\"developers\"]\n{lines}\n",
            server.port()
        );
        let stage = Stage::with("", &more, POLICIES);
        Some(Self { server, stage })
    }

    /// A client with what it has to know in its environment.
    fn client(&self, program: impl AsRef<std::ffi::OsStr>, subject: &str) -> Command {
        let (host, port) = self.stage.databases["orders"].rsplit_once(':').unwrap();
        let token = self.stage.token(subject);
        let mut command = Command::new(program);
        command
            .envs([
                ("HOST", host),
                ("PORT", port),
                ("TOKEN", &token),
                ("SECRET", &secret()),
            ])
            .envs([("PGHOST", host), ("PGPORT", port), ("PGPASSWORD", &token)])
            .envs([("PGUSER", "ann"), ("PGDATABASE", "postgres")])
            .stdin(Stdio::null());
        command
    }

    /// The exchanges of this subject with this action, oldest first.
    fn records(&self, subject: &str, action: &str, count: usize) -> Vec<Value> {
        let of = |found: &Value| found["subject"] == subject && found["action"] == action;
        let found = self.stage.exchanges(count, of);
        found
            .iter()
            .map(|found| self.stage.exchange(&found["id"]))
            .collect()
    }
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The wire is masked, and two columns are protected.
const MASKED: &str =
    "mask = { wire = \"default\" }\nprotected_columns = [\"users.ssn:partial\", \"users.pin\"]";

#[test]
fn drivers_get_masked_rows_and_denials_that_leave_them_in_step() {
    let Some(scene) = Scene::set(MASKED) else {
        return;
    };
    let python = scene
        .client(clients::databases(), "python")
        .arg(clients::script("postgres.py"))
        .output()
        .unwrap();
    assert!(python.status.success(), "{}", told(&python));
    let node = clients::node_postgres();
    fs::copy(clients::script("postgres.mjs"), node.join("postgres.mjs")).unwrap();
    let node = scene
        .client("node", "node")
        .arg(node.join("postgres.mjs"))
        .output()
        .unwrap();
    assert!(node.status.success(), "{}", told(&node));

    // Nothing of what is masked is in the book either.
    let records = scene.records("python", "sql.query", 60);
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains(&secret()) && !all.contains("219-09-9999"));
    let denied = records
        .iter()
        .filter(|record| record["outcome"] == "denied");
    assert!(denied.count() >= 3);
    let copied = |record: &&Value| record["action"]["statement_kinds"][0] == "copy_out";
    assert!(records.iter().filter(copied).count() >= 5);
    scene.stage.end();
}

#[test]
fn pgbench_runs_in_each_of_its_ways_and_each_statement_is_in_the_book() {
    let Some(scene) = Scene::set("") else { return };
    let prepared = Command::new("pgbench")
        .args(["-i", "-q", "-s", "1", "-U", "postgres", "-h"])
        .arg(scene.server.folder())
        .args(["-p", &scene.server.port().to_string(), "postgres"])
        .output()
        .unwrap();
    assert!(prepared.status.success(), "{}", told(&prepared));
    for way in ["simple", "extended", "prepared"] {
        let ran = scene
            .client("pgbench", way)
            .args(["-n", "-M", way, "-c", "2", "-t", "20"])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{way}: {}", told(&ran));
        assert!(told(&ran).contains("40/40"), "{way}: {}", told(&ran));
        // Seven statements in each transaction.
        let of = |found: &Value| found["subject"] == way && found["action"] == "sql.query";
        let found = scene.stage.exchanges(280, of);
        assert!(found.len() >= 280, "{way}: {}", found.len());
        assert!(found.iter().all(|one| one["outcome"] == "complete"));
    }
    scene.stage.end();
}

#[test]
fn the_book_tells_what_psql_asked_and_got() {
    let Some(scene) = Scene::set(MASKED) else {
        return;
    };
    let statement = "SELECT id, ssn FROM users WHERE id < 3 ORDER BY id";
    let ran = scene
        .client("psql", "ann")
        .args(["-X", "-c", statement])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", told(&ran));
    let record = &scene.records("ann", "sql.query", 1)[0];
    let page = scene
        .stage
        .read(&["exchanges", "show", record["id"].as_str().unwrap()]);
    let page = told(&page);
    for part in [statement, "id | ssn", "1  | ***-**-9999", "SELECT 2"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for query in [
        "table:users",
        "statement_class:read",
        "statement_kind:select",
    ] {
        let found = scene.stage.read(&["search", query, "--json"]);
        assert!(
            told(&found).contains(record["id"].as_str().unwrap()),
            "{query}: {}",
            told(&found)
        );
    }
    scene.stage.end();
}

/// B7.8: from the statement in the database's book back to the prompt.
#[test]
fn why_leads_from_a_statement_to_the_prompt_of_claude_code() {
    let Some(scene) = Scene::set("") else { return };
    let program = &clients::claude_code()[1];
    let gate = claude_code::Gate {
        program,
        stage: &scene.stage,
    };
    let prompt = r#"how many are there? [[tool:Bash {"command":"psql -X -Atc \"SELECT count(*) AS tollgate FROM users WHERE id < 42\"","description":"count"}]]"#;
    let mut command = gate.command("agent", &[prompt, "--allowedTools", "Bash(psql:*)"]);
    let (host, port) = scene.stage.databases["orders"].rsplit_once(':').unwrap();
    let output = command
        .envs([
            ("PGHOST", host),
            ("PGPORT", port),
            ("PGUSER", "ann"),
            ("PGDATABASE", "postgres"),
        ])
        .env("PGPASSWORD", scene.stage.token("agent"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let records = scene.records("agent", "sql.query", 1);
    assert_eq!(records.len(), 1, "{records:#?}");
    assert!(
        records[0]["response"]["body"]
            .as_str()
            .unwrap()
            .contains("[\"3\"]"),
        "{:#}",
        records[0]
    );
    gate.records("agent", 2);
    let id = records[0]["id"].as_str().unwrap();
    let why = scene.stage.read(&["why", id, "--json"]);
    let trail: Value = serde_json::from_slice(&why.stdout).unwrap();
    let cause = &trail["caused_by"][0];
    assert_eq!(cause["tool"], "Bash", "{trail:#}");
    assert!(
        cause["input"]["command"]
            .as_str()
            .unwrap()
            .contains("tollgate"),
        "{trail:#}"
    );
    let prompt = cause["exchange"]["prompt"].as_str().unwrap();
    assert!(prompt.contains("how many are there?"), "{trail:#}");
    // And forth again.
    let back = scene
        .stage
        .read(&["why", cause["exchange"]["id"].as_str().unwrap(), "--json"]);
    let back: Value = serde_json::from_slice(&back.stdout).unwrap();
    let causes = back["causes"].as_array().unwrap();
    assert!(
        causes.iter().any(|one| one["exchange"]["id"] == id),
        "{back:#}"
    );
    scene.stage.end();
}
