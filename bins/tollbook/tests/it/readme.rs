//! The README, by doing what it says. And the reference of the configuration, held against what the
//! program takes.

mod house;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Output, Stdio},
};

use clap::Parser;
use tempfile::TempDir;
use tollbook_gateway::config::Config;

use self::house::{House, github_runner, shell};
use crate::stage::{Stage, TOLLBOOK};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// A fenced block of the README.
struct Block {
    language: String,
    text: String,
}

impl Block {
    fn all() -> Vec<Self> {
        let readme = fs::read_to_string(repository().join("README.md")).unwrap();
        let parts: Vec<&str> = readme.split("```").collect();
        let fenced = parts.iter().skip(1).step_by(2);
        fenced
            .map(|block| block.split_once('\n').unwrap())
            .map(|(language, text)| Self {
                language: language.to_owned(),
                text: text.to_owned(),
            })
            .collect()
    }

    /// The file that it goes into, which its first line names.
    fn file(&self) -> &str {
        let first = self.text.lines().next().unwrap();
        let file = first.trim_start_matches(['#', '/', ' ']);
        assert!(file != first && !file.contains(' '), "no file: {first}");
        file
    }

    /// Adds it to its file. A folder of policies is there twice: one is a candidate for the other.
    fn write(&self, folder: &Path) {
        let file = self.file();
        let candidate = file.replace("policies/", "candidate/");
        for file in BTreeSet::from([file, &candidate]) {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)
                .unwrap();
            file.write_all(self.text.as_bytes()).unwrap();
        }
    }

    fn is(&self, language: &str) -> bool {
        self.language == language
    }
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Ends a server as an operator would.
fn stop(server: Child) -> Output {
    let told = Command::new("kill")
        .arg(server.id().to_string())
        .status()
        .unwrap();
    assert!(told.success());
    server.wait_with_output().unwrap()
}

/// Everything that the README writes into files.
fn written(blocks: Vec<Block>) -> Vec<Block> {
    let kinds = ["toml", "cedar"];
    let written = blocks.into_iter();
    written
        .filter(|block| kinds.contains(&block.language.as_str()))
        .collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let ci = fs::read_to_string(repository().join(".ci/run")).unwrap();
    let blocks = Block::all();
    let commands = blocks.iter().filter(|block| block.is("sh"));
    let lines: Vec<String> = commands
        .flat_map(|block| block.text.lines().map(str::to_owned))
        .collect();
    // No block is spelt in a way that nobody looks at.
    for block in &blocks {
        let known = ["sh", "toml", "cedar", "yaml"];
        assert!(
            known.contains(&block.language.as_str()),
            "```{}",
            block.language
        );
    }

    let house = House::open(&written(blocks));
    let once = shell("tollbook quickstart --once", house.site())
        .output()
        .unwrap();
    assert!(once.status.success(), "{}", said(&once));
    let exchange = house.exchange();

    let (mut ran, mut left_to_ci) = (0, 0);
    for line in &lines {
        if line.starts_with("cargo ") {
            // Building from within a test would wait for itself; these are CI's own steps.
            let known = ci.contains(line.as_str())
                || line == "cargo run --release --bin tollbook -- quickstart";
            assert!(known, "`{line}` is run neither here nor by .ci/run");
            left_to_ci += 1;
            continue;
        }
        ran += 1;
        let output = if line == "tollbook serve" {
            // It does already; the first configuration by itself has a test of its own.
            continue;
        } else if line.starts_with("tollbook-verify ") {
            // The program is another package's and need not be there; this is all of it.
            let words = line.split(' ').map(|word| match house.site().join(word) {
                path if path.exists() => path.into_os_string(),
                _ => word.into(),
            });
            let code = tollbook_verify::Command::parse_from(words).run();
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
            continue;
        } else if line.starts_with("tollbook token exchange")
            || line.starts_with("tollbook token helper")
            || line == "tollbook doctor"
        {
            house.in_job(line, &house.with_token())
        } else if line.contains(" --serve ") || line.starts_with("tollbook connect ") {
            let line = line.replace(":8090", ":0");
            let mut command = house.operator(&format!("exec {line} --json"));
            let command = command.env("EXCHANGE", &exchange).stdout(Stdio::piped());
            let mut server = command.spawn().unwrap();
            let mut first = String::new();
            let mut stdout = BufReader::new(server.stdout.take().unwrap());
            stdout.read_line(&mut first).unwrap();
            assert!(first.contains("listen"), "`{line}`: {first}");
            stop(server)
        } else {
            // Nobody is asked here but the stand-in.
            let line = line.replace("https://api.anthropic.com", &house.upstream_url());
            let mut command = house.operator(&line);
            command.env("EXCHANGE", &exchange);
            if line.contains("$APPROVAL") {
                let (approval, hash) = house.pending();
                command.env("APPROVAL", approval).env("HASH", hash);
            }
            command.output().unwrap()
        };
        assert!(output.status.success(), "`{line}`: {}", said(&output));
    }
    assert_eq!(ran + left_to_ci, lines.len());
    assert!(ran > 20 && left_to_ci > 0, "{lines:?}");
    house.close();
}

/// A reader who has come that far and no further has something that runs.
#[test]
fn the_first_configuration_of_the_readme_runs_by_itself() {
    let folder = TempDir::new().unwrap();
    let blocks = Block::all();
    for language in ["toml", "cedar"] {
        let first = blocks.iter().find(|block| block.is(language)).unwrap();
        first.write(folder.path());
    }
    let command = |line: &str| {
        let mut command = shell(&format!("exec {line}"), folder.path());
        command
            .env("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:0")
            .env("TOLLBOOK_GATEWAY__ADMIN", "127.0.0.1:0")
            .env("ANTHROPIC_API_KEY", "sk-ant-of-the-readme");
        command
    };
    let checked = command("tollbook check").output().unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
    let mut serve = command("tollbook serve --json").spawn().unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(serve.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    assert!(first.contains("listen"), "{first}");
    let ended = stop(serve);
    assert!(ended.status.success(), "{}", said(&ended));
}

/// The variables and the script of each CI system's file bring a job in.
#[test]
fn the_jobs_of_the_readme_get_a_token() {
    let blocks = Block::all();
    let job = |file: &str| {
        let found = blocks
            .iter()
            .find(|block| block.is("yaml") && block.file() == file);
        found.unwrap().text.clone()
    };
    let (github, gitlab) = (job(".github/workflows/review.yml"), job(".gitlab-ci.yml"));
    let house = House::open(&written(Block::all()));

    let (url, runner) = github_runner(house.github_token("refs/heads/main"));
    let mut variables = variables(&github);
    variables.push(("ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(), url));
    variables.push((
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN".to_owned(),
        "of-the-job".to_owned(),
    ));
    let output = house.in_job(&indented_after(&github, "- run: |"), &variables);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).starts_with("gws_"), "{}", said(&output));
    let asked = runner.join().unwrap();
    assert!(
        asked.starts_with("GET /token?v=1&audience=tollbook "),
        "{asked}"
    );
    assert!(asked.contains("bearer of-the-job"), "{asked}");

    let mut variables = self::variables(&gitlab);
    assert!(gitlab.contains("id_tokens:\n    ANTHROPIC_IDENTITY_TOKEN:\n      aud: tollbook"));
    variables.push(("ANTHROPIC_IDENTITY_TOKEN".to_owned(), house.gitlab_token()));
    let script = indented_after(&gitlab, "script:");
    let output = house.in_job(script.trim().trim_start_matches("- "), &variables);
    assert!(said(&output).starts_with("gws_"), "{}", said(&output));
    house.close();
}

/// Every call that the README's table names is there.
#[test]
fn the_admin_api_is_as_the_readme_says() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    let house = House::open(&written(Block::all()));
    let mut calls = 0;
    for row in rows.filter(|row| row.starts_with("GET /") || row.starts_with("POST /")) {
        let cell = row.split(" | ").next().unwrap();
        let (method, _) = cell.split_once(' ').unwrap();
        let words = cell.split(['`', ' ']);
        for path in words.filter(|word| word.starts_with('/')) {
            // An id that is none is told so, and not that there is no such call.
            let status = house.call(method, &path.replace("{id}", "x"));
            assert_ne!(status, 404, "{method} {path}");
            calls += 1;
        }
    }
    assert!(calls > 15, "{calls}");
    assert_eq!(house.call("GET", "/v1/nothing"), 404);
    house.close();
}

/// A label that no detector gives would make a rule that never speaks.
#[test]
fn labels_are_those_that_detectors_give() {
    let quoted = |text: &str, mark: char| -> BTreeSet<String> {
        text.split(mark)
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let rules = repository().join("crates/detection/rules/builtin.toml");
    let mut known: BTreeSet<String> = fs::read_to_string(rules)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("label = "))
        .flat_map(|label| quoted(label, '"'))
        .collect();
    // These come of what was found, and not of a rule.
    known.extend(["secrets", "new-mcp-server", "overload"].map(str::to_owned));

    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let table = readme
        .split("| label | what it stands for |")
        .nth(1)
        .unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let told = rows.flat_map(|row| quoted(row.split(" | ").next().unwrap(), '`'));
    assert_eq!(told.collect::<BTreeSet<_>>(), known);

    for block in Block::all() {
        let own = block
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("label = "));
        known.extend(own.flat_map(|label| quoted(label, '"')));
    }
    for block in Block::all().iter().filter(|block| block.is("cedar")) {
        for asked in block.text.split("context.labels.contains").skip(1) {
            let asked = quoted(asked.split(')').next().unwrap(), '"');
            assert!(asked.is_subset(&known), "{asked:?}");
        }
    }
}

/// The variables of clients that a job's file sets.
fn variables(yaml: &str) -> Vec<(String, String)> {
    let lines = yaml.lines().filter_map(|line| line.trim().split_once(": "));
    lines
        .filter(|(name, _)| name.starts_with("ANTHROPIC_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The lines below this one that are further in.
fn indented_after(yaml: &str, line: &str) -> String {
    let inset = |line: &str| line.len() - line.trim_start().len();
    let mut lines = yaml.lines().skip_while(|other| other.trim() != line);
    let first = inset(lines.next().unwrap());
    let inside: Vec<&str> = lines.take_while(|line| inset(line) > first).collect();
    inside.join("\n")
}

#[test]
fn what_quickstart_prints_works() {
    let folder = TempDir::new().unwrap();
    let mut quickstart = Command::new(TOLLBOOK)
        .args(["quickstart", "--dir", "book"])
        .current_dir(folder.path())
        .env_remove("ANTHROPIC_API_KEY")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut page = String::new();
    for line in BufReader::new(quickstart.stdout.take().unwrap()).lines() {
        page.push_str(&line.unwrap());
        page.push('\n');
        if page.contains("tollbook verify") {
            break;
        }
    }
    // Each block that sets variables is for a terminal of its own.
    let terminals: Vec<&str> = page
        .split("\n\n")
        .filter(|block| block.contains("export "))
        .collect();
    let terminal = |name: &str, line: &str| {
        let block = terminals.iter().find(|block| block.contains(name));
        let block = block.unwrap_or_else(|| panic!("no terminal sets {name}:\n{page}"));
        let set = block
            .lines()
            .filter(|line| line.starts_with("export ") || line.starts_with("unset "));
        let set: Vec<&str> = set.collect();
        let script = format!("{}\n{line}", set.join("\n"));
        let output = shell(&script, folder.path()).output().unwrap();
        assert!(output.status.success(), "{script}\n{}", said(&output));
        said(&output)
    };
    let curl = page.split("\n\n").find(|block| block.starts_with("curl "));
    let answer = terminal("ANTHROPIC_AUTH_TOKEN", curl.unwrap());
    assert!(answer.contains("event: message_stop"), "{answer}");
    let token = terminal("ANTHROPIC_FEDERATION_RULE_ID", "tollbook token exchange");
    assert!(token.starts_with("gws_"), "{token}");
    terminal("TOLLBOOK_ADMIN_URL", "tollbook approvals list");
    let ended = stop(quickstart);
    assert!(ended.status.success());
}

/// Every key that the program takes has its line in the reference, and no other key has one.
#[test]
fn the_reference_of_the_configuration_is_whole() {
    // A key that is nothing like any other makes the program name those that it knows.
    const ODD: &str = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq = 1";
    let sections = [
        "[gateway]",
        "[gateway.tls]",
        "[record]",
        "[keys]",
        "[retention]",
        "[search]",
        "[[record.witness]]",
        "[record.timestamp]",
        "[witness]",
        "[[issuer]]",
        "[[federation]]",
        "[[connection]]",
        "[connection.release]",
        "[connection.spool]",
        "[connection.unrecorded]",
        "[connection.mask]",
        "[[connection.mask.for]]",
        "[connection.approvals]",
        "[connection.credential]",
        "[connection.credential.federation]",
        "[policy]",
        "[masking]",
        "[[masking.profile]]",
        "[detection]",
        "[[budget]]",
        "[limits]",
        "[approvals]",
        "[[approvals.webhook]]",
        "[approvals.slack]",
        "[[person]]",
        "[admin]",
        "[[sink]]",
        "[[connection]] of PostgreSQL",
        "[connection.approvals] of PostgreSQL",
        "[connection.credential] of PostgreSQL",
        "[connection.oauth] of PostgreSQL",
        "[connection.rows] of PostgreSQL",
    ];
    let reference = fs::read_to_string(repository().join("crates/gateway/CONFIG.md")).unwrap();
    for section in sections {
        // One at a time, in the table that it stands in.
        let (table, protocol) = match section.split_once(" of PostgreSQL") {
            Some((table, _)) => (table, "protocol = \"postgres\""),
            None => (section, ""),
        };
        let text = match (
            table,
            table.trim_start_matches('[').starts_with("connection."),
        ) {
            ("[[connection]]", _) => format!("{table}\n{protocol}\n{ODD}\n"),
            (_, true) => format!("[[connection]]\n{protocol}\n{table}\n{ODD}\n"),
            _ => format!("{table}\n{ODD}\n"),
        };
        let (_, mistakes) = Config::read(&text, Path::new("."), []);
        let known: BTreeSet<String> = mistakes
            .iter()
            .filter_map(|mistake| mistake.message.split_once("known here: "))
            .flat_map(|(_, keys)| keys.split(", ").map(str::to_owned))
            .collect();
        assert!(!known.is_empty(), "{section}: {mistakes:?}");
        assert_eq!(known, documented(&reference, section), "{section}");
    }
    let headings = reference.lines().filter(|line| line.starts_with("## `["));
    assert_eq!(headings.count(), sections.len());
}

/// The keys in the table below the heading of this section.
fn documented(reference: &str, section: &str) -> BTreeSet<String> {
    let heading = match section.split_once(' ') {
        Some((table, of)) => format!("## `{table}` {of}"),
        None => format!("## `{section}`"),
    };
    let lines = reference
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1);
    lines
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key.to_owned())
        .collect()
}

/// The README and the reference name commands, keys and files that are there.
#[test]
fn links_lead_somewhere() {
    let mut links = BTreeMap::new();
    for page in ["README.md", "ARCHITECTURE.md", "crates/gateway/CONFIG.md"] {
        let text = fs::read_to_string(repository().join(page)).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap().to_owned();
            links.insert(link, page);
        }
    }
    let own = links.iter().filter(|(link, _)| !link.contains("://"));
    for (link, page) in own {
        let folder = repository().join(page);
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let file = match file {
            "" => folder,
            file => folder.parent().unwrap().join(file),
        };
        if anchor.is_empty() && file.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{page}: {link}"));
        let is_meant = |line: &str| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |it: &char| it.is_alphanumeric() || " -_".contains(*it);
            let name: String = heading.chars().filter(kept).collect();
            line.starts_with('#') && name.replace(' ', "-") == anchor
        };
        assert!(
            anchor.is_empty() || text.lines().any(is_meant),
            "{page}: {link}"
        );
    }
}

#[test]
fn a_stage_ends_as_it_should() {
    Stage::set().end();
}
