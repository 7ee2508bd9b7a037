//! What a running gateway has in memory is nobody else's to read.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::stage::TOLLBOOK;

/// A user who is not root, for tests that are run by root.
const NOBODY: u32 = 65534;

/// The owner of what the system shows of the process. It is root, and nobody else can read it or
/// attach to it, when the process may not be dumped (proc(5), prctl(2) `PR_SET_DUMPABLE`).
fn owner(process: &Child) -> u32 {
    fs::metadata(format!("/proc/{}/environ", process.id()))
        .unwrap()
        .uid()
}

/// The command as a user who is not root, so that the owner tells something.
fn as_somebody(program: impl AsRef<Path>, folder: &Path) -> (Command, u32) {
    let mut command = Command::new(program.as_ref());
    command
        .current_dir(folder)
        .env_remove("ANTHROPIC_API_KEY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let user = fs::metadata("/proc/self").unwrap().uid();
    if user != 0 {
        return (command, user);
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    command.uid(NOBODY).gid(NOBODY);
    (command, NOBODY)
}

#[test]
fn a_running_gateway_cannot_be_dumped() {
    let folder = TempDir::new().unwrap();
    // A copy, because the build folder may be in a place that only root can enter.
    let program = folder.path().join("tollbook");
    fs::copy(TOLLBOOK, &program).unwrap();

    let (mut other, user) = as_somebody("/bin/sh", folder.path());
    let mut other = other
        .args(["-c", "echo started; exec sleep 60"])
        .spawn()
        .unwrap();
    first_line(&mut other);
    assert_eq!(owner(&other), user, "an ordinary process is its user's");
    end(other);

    let (mut gateway, _) = as_somebody(&program, folder.path());
    let mut gateway = gateway
        .args(["quickstart", "--json", "--dir", "book"])
        .spawn()
        .unwrap();
    let started = first_line(&mut gateway);
    assert!(started.contains("base_url"), "{started}");
    let found = owner(&gateway);
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.id()));
    let config = folder.path().join("book/quickstart.toml");
    end(gateway);
    assert_eq!(found, 0, "quickstart may be dumped");
    let core = limits.unwrap();
    let core = core
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);

    // The same gateway by `serve`, whose upstream's key is in its environment.
    let (mut gateway, _) = as_somebody(&program, folder.path());
    let mut gateway = gateway
        .args(["serve", "--json", "--config"])
        .arg(&config)
        .env("ANTHROPIC_API_KEY", "sk-ant-of-the-test")
        .env("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:0")
        .env("TOLLBOOK_GATEWAY__ADMIN", "127.0.0.1:0")
        .env("TOLLBOOK_LOG", "error")
        .spawn()
        .unwrap();
    let started = first_line(&mut gateway);
    assert!(started.contains("listen"), "{started}");
    let found = owner(&gateway);
    end(gateway);
    assert_eq!(found, 0, "serve may be dumped");
}

fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    let output = process.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    line
}

fn end(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}
