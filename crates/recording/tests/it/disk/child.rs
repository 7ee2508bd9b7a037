//! The process that records.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::TempDir;
use tollbook_exchange::{ExchangeId, Outcome};
use tollbook_recording::{Config, Health, Recorder};

use crate::support::{ORIGIN, masked, open};

/// A recorder that writes in a process of its own.
pub(crate) struct Child {
    dir: TempDir,
    command: Command,
}

/// What the disk is to do wrong.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    /// `sync` or `write`.
    pub(crate) call: &'static str,
    /// How the names of the files end.
    pub(crate) name: &'static str,
    /// The first and the last call that goes wrong.
    pub(crate) calls: [u32; 2],
    /// The error, or none if the call is to take so many seconds longer.
    pub(crate) errno: Option<i32>,
    pub(crate) seconds: u32,
}

impl Child {
    /// One that records so many exchanges.
    pub(crate) fn new(exchanges: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["disk_child", "--exact", "--ignored", "--nocapture"])
            .env("DISK_ROOT", dir.path().join("disk"))
            .env("DISK_EXCHANGES", exchanges.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self { dir, command }
    }

    /// The same with everything written down.
    pub(crate) fn traced(mut self) -> Self {
        let trace = self.trace();
        self.command
            .env("LD_PRELOAD", shim())
            .env("DISK_TRACE", trace);
        self
    }

    /// The same with syncs of files with such names left out.
    pub(crate) fn deaf(mut self, name: &str) -> Self {
        self.command.env("DISK_DEAF", name);
        self
    }

    /// The same on a disk that does something wrong.
    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.command
            .env("LD_PRELOAD", shim())
            .env("DISK_FAIL", fault.call)
            .env("DISK_FAIL_NAME", fault.name)
            .env("DISK_FAIL_AT", fault.calls[0].to_string())
            .env("DISK_FAIL_LAST", fault.calls[1].to_string())
            .env("DISK_FAIL_SLEEP", fault.seconds.to_string());
        if let Some(errno) = fault.errno {
            self.command.env("DISK_FAIL_ERRNO", errno.to_string());
        }
        self
    }

    /// The same with something that the library is told.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.command
            .env("LD_PRELOAD", shim())
            .env(name, value.to_string());
        self
    }

    /// The same with so many callers at once, instead of four.
    pub(crate) fn callers(mut self, callers: u32) -> Self {
        self.command.env("DISK_CALLERS", callers.to_string());
        self
    }

    /// One that records a single answer of so many pieces of this size.
    pub(crate) fn answer(mut self, pieces: u64, size: usize) -> Self {
        self.command.env("DISK_ANSWER", format!("{pieces} {size}"));
        self
    }

    /// The same, and what is to go wrong goes wrong only when it ends.
    pub(crate) fn at_the_end(self) -> Self {
        let armed = self.disk().join(ARMED);
        self.set("DISK_FAIL_WHEN", armed.display())
    }

    /// Begins to record.
    pub(crate) fn start(&mut self) -> std::process::Child {
        self.command.spawn().unwrap()
    }

    /// Lets it record to its end.
    pub(crate) fn run(&mut self) {
        let status = self.command.status().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Lets it record for this long, and then kills it.
    pub(crate) fn kill_after(&mut self, time: Duration) {
        let mut child = self.command.spawn().unwrap();
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    pub(crate) fn trace(&self) -> PathBuf {
        self.dir.path().join("trace")
    }

    /// The exchanges that were acknowledged.
    pub(crate) fn acknowledged(&self) -> BTreeSet<String> {
        acknowledged(&fs::read_to_string(self.disk().join(ACKS)).unwrap_or_default())
    }

    /// What it said at its end.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.disk().join("said")).unwrap_or_default()
    }
}

/// The lines that were written whole.
pub(crate) fn acknowledged(text: &str) -> BTreeSet<String> {
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    lines.map(|line| line.trim_end().to_owned()).collect()
}

/// What the exchange with this id asked.
pub(crate) fn body_of(id: &str) -> String {
    let length = id.bytes().map(usize::from).sum::<usize>() % 300 + 1;
    id.repeat(length)
}

/// How a recorder on such a disk is set up.
pub(crate) fn config(disk: &Path) -> Config {
    let mut config = Config::new(disk.join("book"), ORIGIN);
    config.anchor = Some(disk.join("anchor"));
    config.deadline = Duration::from_secs(2);
    config
}

/// The file that has a line for each exchange that was acknowledged.
pub(crate) const ACKS: &str = "acks";

/// The file that is there when the end begins.
const ARMED: &str = "armed";

/// The library that stands between a program and its disk.
fn shim() -> &'static Path {
    static SHIM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SHIM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/disk/shim.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&path, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "these tests need `cc`"
        );
        (dir, path)
    });
    path
}

/// The recorder's side: begins exchanges, four at a time, and writes down which were acknowledged.
pub(crate) async fn record() {
    let Some(disk) = std::env::var_os("DISK_ROOT").map(PathBuf::from) else {
        return;
    };
    let exchanges: u32 = std::env::var("DISK_EXCHANGES").unwrap().parse().unwrap();
    let recorder = match Recorder::open(config(&disk)) {
        Ok(recorder) => recorder,
        Err(error) => {
            fs::write(disk.join("said"), format!("not opened: {error}")).unwrap();
            return;
        }
    };
    if let Ok(answer) = std::env::var("DISK_ANSWER") {
        let told = one_answer(&recorder, &answer).await;
        recorder.close();
        fs::write(disk.join("said"), told).unwrap();
        return;
    }
    let callers = std::env::var("DISK_CALLERS").map_or(4, |callers| callers.parse().unwrap());
    let mut acks = fs::OpenOptions::new();
    let acks = acks
        .create(true)
        .append(true)
        .open(disk.join(ACKS))
        .unwrap();
    let acks = Arc::new(Mutex::new(acks));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (recorder, acks) = (recorder.clone(), Arc::clone(&acks));
        tasks.spawn(async move {
            let mut slowest = Duration::ZERO;
            for _ in 0..exchanges / callers {
                let began = Instant::now();
                let acknowledged = exchange(&recorder).await;
                slowest = slowest.max(began.elapsed());
                if let Some(id) = acknowledged {
                    writeln!(acks.lock().unwrap(), "{id}").unwrap();
                }
                // So that the log is checkpointed meanwhile as well.
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            slowest
        });
    }
    let slowest = tasks.join_all().await.into_iter().max().unwrap();
    let health = |health| match health {
        Health::Blocked { reason } => format!("blocked: {reason}"),
        other => format!("{other:?}"),
    };
    let (before, commits) = (health(recorder.health()), recorder.stats().commits);
    fs::write(disk.join(ARMED), "").unwrap();
    let closed = health(recorder.close());
    let slowest = slowest.as_millis();
    fs::write(
        disk.join("said"),
        format!("{before}\nclosed {closed}\ncommits {commits}\nslowest {slowest} ms"),
    )
    .unwrap();
}

/// Records one long answer, and tells what memory that took in KiB.
async fn one_answer(recorder: &Recorder, answer: &str) -> String {
    let (pieces, size) = answer.split_once(' ').unwrap();
    let (pieces, size): (u64, usize) = (pieces.parse().unwrap(), size.parse().unwrap());
    let exchange = open();
    let recording = recorder.begin(&exchange).await.unwrap();
    recorder.commit(&exchange).await.unwrap();
    let before = memory();
    let mut piece = vec![b'x'; size];
    for number in 0..pieces {
        // No two are the same.
        let number = number.to_le_bytes();
        let length = number.len().min(size);
        piece[..length].copy_from_slice(&number[..length]);
        exchange.answered(masked(Bytes::copy_from_slice(&piece)));
        if recording.is_full() {
            recording.keep().await.unwrap();
        }
    }
    exchange.draft(|draft| draft.response.bytes = pieces * size as u64);
    exchange.conclude(Outcome::Complete);
    drop(recording);
    format!("before {before} most {}", memory())
}

/// The most memory that this process had so far, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// An exchange, if its request was acknowledged as durable.
async fn exchange(recorder: &Recorder) -> Option<ExchangeId> {
    let exchange = open();
    let recording = recorder.begin(&exchange).await.ok()?;
    let body = body_of(&exchange.id().to_string());
    exchange.draft(|draft| draft.request.body = masked(Bytes::from(body)));
    recorder.commit(&exchange).await.ok()?;
    exchange.answered(masked(Bytes::from_static(b"answer")));
    exchange.conclude(Outcome::Complete);
    drop(recording);
    Some(exchange.id())
}
