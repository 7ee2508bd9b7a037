//! What PostgreSQL through the gate costs: pgbench against the server, through pgbouncer, and through the
//! gate at each level of recording, in turn; and a large result.
//!
//! `cargo bench --bench postgres`, or `-- 1` for a second of each instead of five. Server, poolers, gate and
//! clients share this machine, so the ratios count. In the end the records are counted.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints a table"
)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::{Filter, Reader};
use tollbook_testkit::{
    issuer::{Config as IssuerConfig, OidcIssuer},
    postgres::Postgres,
};

/// How often each way has its turn.
const ROUNDS: usize = 3;
/// Clients at once.
const CLIENTS: [usize; 2] = [1, 8];
/// Rows of the large result, of 1,000 bytes each.
const ROWS: usize = 100_000;

/// One way to the server.
struct Way {
    name: &'static str,
    port: u16,
    password: String,
}

/// What pgbench says.
#[derive(Clone, Copy)]
struct Told {
    transactions: u64,
    per_second: f64,
    /// In milliseconds.
    latency: f64,
}

fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse::<u32>().ok());
    let seconds = seconds.unwrap_or(5);
    let Some(server) = Postgres::start().unwrap() else {
        println!("there is no PostgreSQL server on this machine");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let pooler = Pooler::start(folder.path(), server.port());
    let runtime = Runtime::new().unwrap();
    let (intent, release) = (free_port(), free_port());
    let (gateway, _issuer, token) =
        runtime.block_on(gate(folder.path(), server.port(), [intent, release]));

    let way = |name, port, password: &str| Way {
        name,
        port,
        password: password.to_owned(),
    };
    let mut ways = vec![way("direct", server.port(), "")];
    ways.extend(
        pooler
            .as_ref()
            .map(|pooler| way("pgbouncer", pooler.port, "")),
    );
    ways.push(way("gate, intent", intent, &token));
    ways.push(way("gate, release", release, &token));

    ways[0].run("pgbench", &["-i", "-q", "-s", "1"]);
    println!(
        "pgbench -S -M prepared, {ROUNDS} rounds of {seconds} s for each way in turn, the best of each"
    );
    println!(
        "{:>14} {:>8} | {:>10} {:>10} | {:>10} {:>10}",
        "", "clients", "per second", "ms", "to direct", "to pooler"
    );
    let mut recorded = 0;
    for clients in CLIENTS {
        let mut best: Vec<Option<Told>> = vec![None; ways.len()];
        for _ in 0..ROUNDS {
            for (way, best) in ways.iter().zip(&mut best) {
                let told = way.bench(clients, seconds);
                if way.name.starts_with("gate") {
                    recorded += told.transactions;
                }
                if best.is_none_or(|best| told.per_second > best.per_second) {
                    *best = Some(told);
                }
            }
        }
        let best: Vec<Told> = best.into_iter().flatten().collect();
        let pooled = pooler.is_some().then(|| best[1].per_second);
        for (way, told) in ways.iter().zip(&best) {
            let pooled = pooled.map_or_else(String::new, |pooled| {
                format!("{:.2}", told.per_second / pooled)
            });
            println!(
                "{:>14} {clients:>8} | {:>10.0} {:>10.3} | {:>10.2} {pooled:>10}",
                way.name,
                told.per_second,
                told.latency,
                told.per_second / best[0].per_second
            );
        }
    }

    println!("\na result of {ROWS} rows of 1,000 bytes, seconds, the best of {ROUNDS}");
    let mut direct = None;
    for way in &ways {
        let time = (0..ROUNDS).map(|_| way.large()).min().unwrap();
        let direct = *direct.get_or_insert(time);
        let ratio = direct.as_secs_f64() / time.as_secs_f64();
        println!(
            "{:>14} {:>8.2} | {ratio:.2} of direct's rate",
            way.name,
            time.as_secs_f64()
        );
        if way.name.starts_with("gate") {
            recorded += ROUNDS as u64;
        }
    }
    runtime.block_on(gateway.shutdown());
    let reader = Reader::open(folder.path().join("book")).unwrap();
    let mut filter = Filter::default();
    filter.limit = u64::MAX;
    let all = reader.exchanges(&filter).unwrap();
    let found = (all.iter())
        .filter(|exchange| exchange.action.as_deref() == Some("sql.query"))
        .count() as u64;
    println!("\n{recorded} statements were counted by their clients, {found} are in the book");
    // pgbench has questions of its own before it begins to count.
    assert!(found >= recorded);
}

impl Way {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.port.to_string())
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", "postgres")
            .env("PGSSLMODE", "disable")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// What the program prints.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let done = self.command(program).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{}: {program}: {errors}", self.name);
        String::from_utf8(done.stdout).unwrap()
    }

    fn bench(&self, clients: usize, seconds: u32) -> Told {
        let (clients, seconds) = (clients.to_string(), seconds.to_string());
        let told = self.run(
            "pgbench",
            &[
                "-n", "-S", "-M", "prepared", "-c", &clients, "-j", "1", "-T", &seconds,
            ],
        );
        let word = |after: &str| {
            let (_, rest) = told.split_once(after).unwrap();
            rest.trim_start().split([' ', '/', '\n']).next().unwrap()
        };
        Told {
            transactions: word("number of transactions actually processed:")
                .parse()
                .unwrap(),
            per_second: word("tps =").parse().unwrap(),
            latency: word("latency average =").parse().unwrap(),
        }
    }

    /// Reads the large result once.
    fn large(&self) -> Duration {
        let query = format!("SELECT repeat(md5(i::text), 32) FROM generate_series(1, {ROWS}) i");
        let began = Instant::now();
        let mut psql = self.command("psql");
        let done = psql
            .args(["-X", "-A", "-t", "-q", "-o", "/dev/null", "-c", &query])
            .output()
            .unwrap();
        assert!(done.status.success());
        began.elapsed()
    }
}

/// pgbouncer in a folder, one server connection for each client's session.
struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    fn start(folder: &Path, server: u16) -> Option<Self> {
        let program = PathBuf::from("/usr/sbin/pgbouncer");
        if !program.exists() {
            println!("pgbouncer is not on this machine: compared with the server alone");
            return None;
        }
        let port = free_port();
        let config = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\npostgres = host=127.0.0.1 port={server} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             pool_mode = session\nunix_socket_dir =\nlogfile = /dev/null\nmax_client_conn = 100\n\
             default_pool_size = 50\nignore_startup_parameters = extra_float_digits\n"
        );
        fs::write(&config, text).unwrap();
        // It refuses to run as root.
        let process = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program)
            .args(["-q", "/dev/stdin"])
            .stdin(fs::File::open(&config).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "no pgbouncer");
            thread::sleep(Duration::from_millis(20));
        }
        Some(Self { process, port })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A gateway with a connection for each level of recording, and a token for both.
async fn gate(folder: &Path, server: u16, ports: [u16; 2]) -> (Gateway, OidcIssuer, String) {
    let issuer = OidcIssuer::start(IssuerConfig::default()).await.unwrap();
    let mut config = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"book\"\n\
         [[issuer]]\nname = \"ci\"\nissuer = \"{}\"\naudience = \"tollbook\"\ngroups_claim = \"groups\"\n",
        issuer.issuer_url()
    );
    for (port, level) in ports.into_iter().zip(["intent", "release"]) {
        config += &format!(
            "[[connection]]\nname = \"{level}\"\nprotocol = \"postgres\"\nlisten = \"127.0.0.1:{port}\"\n\
             upstream = \"postgres://postgres@127.0.0.1:{server}/postgres?sslmode=disable\"\n\
             allow = [\"all\"]\nrecord = \"{level}\"\n"
        );
    }
    let plan = Plan::read(&config, folder, []).unwrap();
    let gateway = Gateway::start(plan).await.unwrap();
    let token = issuer
        .token("bench")
        .audience("tollbook")
        .groups(["all"])
        .lifetime(Duration::from_secs(3000))
        .sign()
        .unwrap();
    (gateway, issuer, token)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
