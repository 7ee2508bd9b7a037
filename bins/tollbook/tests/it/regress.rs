//! PostgreSQL's own regression suite, run against the server and through the gate.
//!
//! What the suite's programs print must be the same to the byte. What the server alone does otherwise than
//! the suite expects, such as where a library of tests is missing, is the same both ways too, and so needs
//! no list of exceptions.
//!
//! A third of the suite runs by default, all of it with `TEST_REGRESS=all cargo test -p tollbook-cli
//! --test it regress::`.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tollbook_testkit::postgres::Postgres;

use crate::{clients, stage::Stage};

/// What a third of the suite is, in an order in which each finds what it needs.
const THIRD: &str = "test_setup boolean char name varchar text int2 int4 int8 oid float4 float8 bit numeric \
    uuid enum money rangetypes strings date time timetz timestamp timestamptz interval inet \
    create_index create_table create_type insert insert_conflict copy copyselect copydml \
    constraints triggers select inherit updatable_views errors select_into select_distinct \
    subselect union case join aggregates transactions random portals arrays update delete namespace \
    prepared_xacts matview rowsecurity groupingsets password identity generated merge async prepare \
    plancache limit plpgsql copy2 temp domain rangefuncs truncate alter_table sequence polymorphism \
    rowtypes returning largeobject with xml json jsonb jsonpath guc explain";

/// Tests that sign in anew as somebody else in their middle (`\c - name`): the gate signs in for its
/// callers, and as whom is the operator's word.
const AS_OTHERS: [&str; 2] = ["privileges", "foreign_data"];

/// The suite's texts, and the program that runs them.
struct Suite {
    texts: PathBuf,
    programs: PathBuf,
}

impl Suite {
    fn get() -> Self {
        let texts = clients::debian_source("postgresql-15", "src/test/regress");
        let programs = PathBuf::from("/usr/lib/postgresql/15");
        Self { texts, programs }
    }

    /// All tests of the suite, in its own order.
    fn all(&self) -> Vec<String> {
        let schedule = fs::read_to_string(self.texts.join("parallel_schedule")).unwrap();
        let lines = schedule
            .lines()
            .filter_map(|line| line.strip_prefix("test:"));
        let names = lines.flat_map(str::split_whitespace);
        names
            .filter(|name| !AS_OTHERS.contains(name))
            .map(str::to_owned)
            .collect()
    }

    /// Runs these tests one after the other and gives what each printed.
    fn run(&self, to: &At<'_>, tests: &[String]) -> BTreeMap<String, String> {
        let folder = TempDir::new().unwrap();
        let program = self.programs.join("lib/pgxs/src/test/regress/pg_regress");
        let done = Command::new(program)
            .arg("--use-existing")
            .arg(format!("--bindir={}", self.programs.join("bin").display()))
            .arg(format!("--dlpath={}", self.programs.join("lib").display()))
            .arg(format!("--inputdir={}", self.texts.display()))
            .arg(format!("--outputdir={}", folder.path().display()))
            .args(["--host=127.0.0.1", "--user=postgres", "--dbname=regression"])
            .arg(format!("--port={}", to.port))
            .args(tests)
            .env("PGPASSWORD", to.password)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let results = folder.path().join("results");
        let all: BTreeMap<String, String> = (fs::read_dir(&results).into_iter().flatten())
            .map(|file| {
                let file = file.unwrap();
                let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
                let name = file.file_name().to_string_lossy().into_owned();
                (
                    name,
                    text.replace(&folder.path().display().to_string(), "FOLDER"),
                )
            })
            .collect();
        assert_eq!(
            all.len(),
            tests.len(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        all
    }
}

/// Where the suite runs.
struct At<'a> {
    port: u16,
    password: &'a str,
}

#[test]
fn postgresql_s_own_suite_prints_the_same_through_the_gate() {
    let suite = Suite::get();
    let tests = match std::env::var("TEST_REGRESS").as_deref() {
        Ok("all") => suite.all(),
        _ => THIRD.split_whitespace().map(str::to_owned).collect(),
    };
    let direct = {
        let server = server();
        let to = At {
            port: server.port(),
            password: "",
        };
        suite.run(&to, &tests)
    };
    let server = server();
    let port = free_port();
    let more = format!(
        r#"
[[connection]]
name = "regression"
protocol = "postgres"
listen = "127.0.0.1:{port}"
upstream = "postgres://postgres@127.0.0.1:{}/regression?sslmode=disable"
allow = ["developers"]
"#,
        server.port()
    );
    let stage = Stage::with("", &more, "");
    let token = stage.token("suite");
    let through = suite.run(
        &At {
            port,
            password: &token,
        },
        &tests,
    );
    let differs: Vec<&String> = (direct.iter())
        .filter(|(name, text)| through.get(*name) != Some(text))
        .map(|(name, _)| name)
        .collect();
    if let Some(first) = differs.first() {
        let folder = TempDir::new().unwrap().keep();
        for name in &differs {
            fs::write(folder.join(format!("{name}.direct")), &direct[*name]).unwrap();
            fs::write(folder.join(format!("{name}.gate")), &through[*name]).unwrap();
        }
        panic!(
            "{} of {} differ, {first} first: see {}",
            differs.len(),
            tests.len(),
            folder.display()
        );
    }
    // And all of it is in the book.
    let listed = stage.read(&[
        "exchanges",
        "list",
        "--json",
        "--limit",
        "1",
        "connection:regression",
    ]);
    assert!(listed.status.success());
    assert!(!listed.stdout.is_empty());
    stage.end();
}

/// A server with the suite's database.
fn server() -> Postgres {
    let server = Postgres::start()
        .unwrap()
        .expect("a PostgreSQL server is here");
    let made = server
        .psql("CREATE DATABASE regression TEMPLATE template0")
        .unwrap();
    assert!(made.status.success());
    server
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
