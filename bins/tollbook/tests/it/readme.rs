//! The README, by doing what it says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::stage::{Stage, TOLLBOOK};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The fenced blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// The languages of all fences, as they are spelt.
fn languages() -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let fences = readme.lines().filter_map(|line| line.strip_prefix("```"));
    fences.step_by(2).map(str::to_owned).collect()
}

fn shell(line: &str, folder: &Path) -> Command {
    let binaries = Path::new(TOLLBOOK).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("exec {line}")])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", binaries.display()))
        .env("ANTHROPIC_API_KEY", "sk-ant-of-the-readme")
        .env("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:0")
        .env("TOLLBOOK_GATEWAY__ADMIN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
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

#[test]
fn every_command_of_the_readme_works() {
    let folder = TempDir::new().unwrap();
    let (toml, cedar) = (blocks("toml").remove(0), blocks("cedar").remove(0));
    fs::write(folder.path().join("tollbook.toml"), toml).unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("policies/ci.cedar"), cedar).unwrap();
    let once = Command::new(TOLLBOOK)
        .args(["quickstart", "--once"])
        .current_dir(folder.path())
        .env_remove("ANTHROPIC_API_KEY")
        .output()
        .unwrap();
    assert!(once.status.success(), "{}", said(&once));

    let ci = fs::read_to_string(repository().join(".ci/run")).unwrap();
    let blocks = blocks("sh");
    let lines: Vec<_> = blocks.iter().flat_map(|block| block.lines()).collect();
    let (mut ran, mut left_to_ci) = (Vec::new(), Vec::new());
    for &line in &lines {
        if line.starts_with("cargo ") {
            // Building from within a test would wait for itself; these are CI's own steps.
            let known =
                ci.contains(line) || line == "cargo run --release --bin tollbook -- quickstart";
            assert!(known, "`{line}` is run neither here nor by .ci/run");
            left_to_ci.push(line);
        } else if line == "tollbook serve" {
            let mut serve = shell("tollbook serve --json", folder.path())
                .spawn()
                .unwrap();
            let mut first = String::new();
            let stdout = serve.stdout.take().unwrap();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut first).unwrap();
            assert!(first.contains("listen"), "{first}");
            let ended = stop(serve);
            assert!(ended.status.success(), "{}", said(&ended));
            ran.push(line);
        } else {
            let output = shell(line, folder.path()).output().unwrap();
            assert!(output.status.success(), "`{line}`: {}", said(&output));
            ran.push(line);
        }
    }
    // Every line was met, there are both kinds, and no block of commands is spelt in another way.
    assert_eq!(ran.len() + left_to_ci.len(), lines.len());
    assert!(!ran.is_empty() && !left_to_ci.is_empty(), "{lines:?}");
    let fences = languages();
    let commands = fences.iter().filter(|language| *language == "sh").count();
    assert_eq!(commands, blocks.len());
    for other in ["", "bash", "shell", "console"] {
        assert!(
            !fences.iter().any(|language| language == other),
            "```{other} is not run"
        );
    }
}

#[test]
fn the_call_that_quickstart_prints_works() {
    let folder = TempDir::new().unwrap();
    let mut quickstart = Command::new(TOLLBOOK)
        .args(["quickstart", "--dir", "book"])
        .current_dir(folder.path())
        .env_remove("ANTHROPIC_API_KEY")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(quickstart.stdout.take().unwrap()));
    let mut page = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        page.push(line);
        if page
            .last()
            .is_some_and(|line| line.contains("tollbook verify"))
        {
            break;
        }
    }
    let page = page.join("\n");
    let exports: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("export "))
        .collect();
    assert_eq!(exports.len(), 2, "{page}");
    let curl = &page[page.find("curl ").unwrap()..page.find("  upstream").unwrap_or(page.len())];
    let curl = curl.split("\n\n").next().unwrap();
    let script = format!("{}\n{curl}", exports.join("\n"));
    let answer = Command::new("sh").args(["-c", &script]).output().unwrap();
    let ended = stop(quickstart);
    assert!(answer.status.success(), "{script}\n{}", said(&answer));
    assert!(
        said(&answer).contains("event: message_stop"),
        "{}",
        said(&answer)
    );
    assert!(ended.status.success());
}

#[test]
fn a_stage_ends_as_it_should() {
    Stage::set().end();
}
