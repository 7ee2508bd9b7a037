//! A PostgreSQL server of one's own: the real one, in a temporary folder.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Where Debian puts servers, one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with the role and the database `postgres`, for everybody on this machine. It ends, and
/// its folder goes, when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts the newest server of this machine, or gives [`None`] where there is none.
    ///
    /// Looks into the folder that `TEST_POSTGRES_BIN` names, or else where Debian has them. A server
    /// refuses to run as root; it then runs as `postgres`.
    ///
    /// # Errors
    ///
    /// When there is a server and it does not begin, or there is none and `TEST_POSTGRES` is set: where
    /// everything has to be tested, nothing is left out.
    pub fn start() -> io::Result<Option<Self>> {
        let Some(programs) = programs() else {
            return match std::env::var_os("TEST_POSTGRES") {
                Some(_) => Err(io::Error::other("no PostgreSQL server on this machine")),
                None => Ok(None),
            };
        };
        let folder = folder()?;
        let data = folder.join("data");
        let made = run_as(&folder, &programs.join("initdb"))?
            .args([
                "--auth=trust",
                "--username=postgres",
                "--no-sync",
                "--pgdata",
            ])
            .arg(&data)
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other("initdb failed"));
        }
        // PostgreSQL takes no port 0. Somebody may take this one before it does; then it does not begin.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let server = run_as(&folder, &programs.join("postgres"))?
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut postgres = Self {
            server,
            programs,
            folder,
            port,
        };
        postgres.wait()?;
        Ok(Some(postgres))
    }

    /// The port on the loopback address.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the server's socket, which clients take as host.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `psql` on a script.
    ///
    /// # Errors
    ///
    /// When it cannot be run. What it says of itself is in its output.
    pub fn psql(&self, script: &str) -> io::Result<Output> {
        let path = self.folder.join("script.sql");
        fs::write(&path, script)?;
        Command::new(self.programs.join("psql"))
            .args([
                "-X", "-A", "-t", "-q", "-U", "postgres", "-d", "postgres", "-h",
            ])
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-f"])
            .arg(&path)
            .env("PGCLIENTENCODING", "UTF8")
            .output()
    }

    fn wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.server.try_wait()?.is_some() {
                return Err(io::Error::other("the server ended at its start"));
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
                && self.psql("SELECT 1")?.status.success()
            {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server does not answer",
        ))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Killed alone, the server would leave its shared memory behind.
        let stopped = run_as(&self.folder, &self.programs.join("pg_ctl")).and_then(|mut stop| {
            stop.args(["stop", "-m", "immediate", "-D"])
                .arg(self.folder.join("data"))
                .output()
        });
        if stopped.is_err() {
            drop(self.server.kill());
        }
        drop(self.server.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn programs() -> Option<PathBuf> {
    if let Some(told) = std::env::var_os("TEST_POSTGRES_BIN") {
        return Some(told.into());
    }
    let versions = fs::read_dir(DEBIAN).ok()?.flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(version)?;
    Some(newest.join("bin")).filter(|programs| programs.join("initdb").exists())
}

/// A new folder that belongs to whom the server runs as.
fn folder() -> io::Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tollbook-postgres-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder)?;
    if let Some((user, group)) = other() {
        chown(&folder, Some(user), Some(group))?;
    }
    Ok(folder)
}

fn run_as(folder: &Path, program: &Path) -> io::Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((user, group)) = other() {
        command.gid(group).uid(user);
    }
    Ok(command)
}

/// The user and group `postgres`, for root.
fn other() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    if user.split_whitespace().next() != Some("0") {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let user = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = user.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
