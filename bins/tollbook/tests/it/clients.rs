//! The official clients and what reads exports, installed once into the build folder.
//!
//! A client that cannot be installed fails the tests that need it, and says so: a suite that skips
//! what it is for would look green.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const PYTHON_SDK: &str = "anthropic==2.12.0";
/// What reads exports, none of it ours.
const READERS: [&str; 4] = [
    "haralyzer==2.4.0",
    "jsonschema==4.26.0",
    "opentelemetry-proto==1.45.2",
    "pyarrow==26.0.1",
];
/// What holds exports against the schemas of HAR, none of it ours.
const HAR_VALIDATOR: &str = "har-validator@5.1.5";
/// What sinks send to, none of it ours.
const SERVERS: [&str; 4] = [
    "moto[server]==5.2.5",
    "nats-py==2.16.0",
    "opentelemetry-proto==1.45.2",
    "standardwebhooks==1.1.0",
];
/// Drivers of PostgreSQL.
const DRIVERS: [&str; 2] = ["psycopg[binary]==3.3.9", "asyncpg==0.32.0"];
const NODE_POSTGRES: &str = "pg@8.23.1";
const NODE_PACKAGES: [&str; 2] = [
    "@anthropic-ai/sdk@1.12.0",
    "@anthropic-ai/claude-code@2.1.197",
];
/// The version that the package above gives way to where Node is 22 or newer.
const CLAUDE_CODE: &str = "2.1.330";

/// Python with the official SDK.
pub(crate) fn python() -> PathBuf {
    venv("python", &[PYTHON_SDK])
}

/// Python with readers of the formats that are exported.
pub(crate) fn readers() -> PathBuf {
    venv("readers", &READERS)
}

/// A folder whose `node_modules` holds a validator of HAR.
pub(crate) fn har_validator() -> PathBuf {
    installed("har-validator", HAR_VALIDATOR, |folder| {
        npm(folder, &[HAR_VALIDATOR]);
    })
}

/// Python with what sinks send to.
pub(crate) fn servers() -> PathBuf {
    venv("servers", &SERVERS)
}

/// Python with drivers of PostgreSQL.
pub(crate) fn databases() -> PathBuf {
    venv("databases", &DRIVERS)
}

/// A folder whose `node_modules` holds node-postgres.
pub(crate) fn node_postgres() -> PathBuf {
    installed("node-postgres", NODE_POSTGRES, |folder| {
        npm(folder, &[NODE_POSTGRES]);
    })
}

fn venv(name: &str, packages: &[&str]) -> PathBuf {
    let venv = installed(name, &packages.join(" "), |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages));
    });
    venv.join("bin/python")
}

/// A folder whose `node_modules` holds the official SDK and Claude Code.
pub(crate) fn node() -> PathBuf {
    installed("node", &NODE_PACKAGES.join(" "), |folder| {
        npm(folder, &NODE_PACKAGES);
    })
}

/// Claude Code in the two versions that Node 20 and newer Nodes get. They differ in what they do
/// with an error.
pub(crate) fn claude_code() -> [PathBuf; 2] {
    // The wrapper package asks for Node 22, the program inside for none.
    let processor = if std::env::consts::ARCH == "aarch64" {
        "arm64"
    } else {
        "x64"
    };
    let package = format!(
        "@anthropic-ai/claude-code-{}-{processor}",
        std::env::consts::OS
    );
    let versioned = format!("{package}@{CLAUDE_CODE}");
    let newest = installed("claude-code", &versioned, |folder| {
        npm(folder, &[&versioned]);
    });
    [
        node().join("node_modules/.bin/claude"),
        newest.join("node_modules").join(package).join("claude"),
    ]
}

/// The file of `tests/clients` with this name.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// A folder out of the source of a Debian package of the stable release, as Debian has it.
pub(crate) fn debian_source(package: &str, inside: &str) -> PathBuf {
    let folder = installed(package, inside, |folder| {
        let lists = folder.join("lists");
        fs::create_dir_all(lists.join("partial")).unwrap();
        let sources = folder.join("sources.list");
        let line = "deb-src http://deb.debian.org/debian bookworm main\n";
        fs::write(&sources, line).unwrap();
        let apt = |arguments: &[&str]| {
            let option = |name: &str, value: &Path| format!("{name}={}", value.display());
            run(Command::new("apt-get")
                .current_dir(folder)
                .args(["-qq", "-o", "Dir::Etc::sourceparts=-", "-o"])
                .arg(option("Dir::Etc::sourcelist", &sources))
                .arg("-o")
                .arg(option("Dir::State::Lists", &lists))
                .args(arguments));
        };
        apt(&["update"]);
        apt(&["source", "--download-only", package]);
        let archive = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .find(|file| file.to_string_lossy().contains(".orig.tar."))
            .unwrap();
        run(Command::new("tar")
            .current_dir(folder)
            .args(["--strip-components=1", "--wildcards", "-xf"])
            .arg(archive)
            .arg(format!("*/{inside}/*")));
    });
    folder.join(inside)
}

/// The folder `name`, filled by `install` unless it is there with these very packages.
fn installed(name: &str, packages: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&clients).unwrap();
    // Tests run side by side, in one process or in many.
    let lock = File::create(clients.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let (folder, done) = (
        clients.join(name),
        clients.join(format!("{name}.installed")),
    );
    if fs::read_to_string(&done).is_ok_and(|found| found == packages) {
        return folder;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    install(&folder);
    fs::write(&done, packages).unwrap();
    folder
}

fn npm(folder: &Path, packages: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("package.json"), "{\"private\":true}\n").unwrap();
    run(Command::new("npm")
        .args([
            "install",
            "--force",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--prefix",
        ])
        .arg(folder)
        .args(packages));
}

fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("CANNOT INSTALL WHAT OTHERS WROTE: {command:?} does not start: {error}")
        });
    assert!(
        output.status.success(),
        "CANNOT INSTALL WHAT OTHERS WROTE: {command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
