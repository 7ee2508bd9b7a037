//! Two gateways that are each other's witness.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tollbook_testkit::authority::{Authority, openssl};

use crate::stage::TOLLBOOK;

/// A gateway that nobody calls: it writes heartbeats.
struct Gateway {
    name: &'static str,
    folder: PathBuf,
    /// Where it is a witness.
    port: u16,
    running: Option<(Child, String)>,
}

impl Gateway {
    fn new(folder: &Path, name: &'static str) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Self {
            name,
            folder,
            port: free.local_addr().unwrap().port(),
            running: None,
        };
        gateway.configure("");
        gateway
    }

    fn configure(&self, more: &str) {
        let config = format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data = "book"
name = "audit.example/{}"

[record]
heartbeat = "1s"
anchor = "anchor"
witness_interval = "100ms"

[[issuer]]
name = "ci"
issuer = "http://127.0.0.1:1"
audience = "tollbook"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "http://127.0.0.1:1"

{more}
"#,
            self.name
        );
        fs::write(self.folder.join("tollbook.toml"), config).unwrap();
    }

    /// Makes the other the witness of this one, and this one a witness of the other.
    fn join(&self, other: &Self) {
        let keys = other.keys();
        self.configure(&format!(
            r#"
[[record.witness]]
name = "{}"
url = "http://127.0.0.1:{}"
key = {}

[witness]
listen = "127.0.0.1:{}"
logs = [{}]
"#,
            other.name, other.port, keys["witness"], self.port, keys["log"],
        ));
    }

    fn keys(&self) -> Value {
        let keys = self.run(&["witness", "key", "--json"]);
        serde_json::from_slice(&keys.stdout).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(TOLLBOOK)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn start(&mut self) {
        let mut gateway = Command::new(TOLLBOOK)
            .args(["serve", "--json"])
            .current_dir(&self.folder)
            .env("TOLLBOOK_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = gateway.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("serve says where it listens");
        let admin = told["admin"].as_str().unwrap().to_owned();
        self.running = Some((gateway, admin));
    }

    fn stop(&mut self) {
        let (mut gateway, _) = self.running.take().unwrap();
        let id = gateway.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        assert!(gateway.wait().unwrap().success());
    }

    /// What health says of the witnesses, as soon as it is what is wanted.
    fn witnesses(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.health("witnesses", wanted)
    }

    /// What health says of this, as soon as it is what is wanted.
    fn health(&self, check: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        let (_, admin) = self.running.as_ref().unwrap();
        loop {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let health = runtime.block_on(async {
                let answer = client.get(format!("http://{admin}/readyz")).send().await?;
                assert_eq!(answer.status(), 200);
                answer.json::<Value>().await
            });
            let told = health.unwrap()["checks"][check].clone();
            if wanted(&told) {
                return told;
            }
            assert!(Instant::now() < deadline, "{}: {told}", self.name);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the witness has signed something new.
    fn witnessed(&self) -> u64 {
        let size = |told: &Value| told["witnessed"].as_u64().unwrap();
        let before = size(&self.witnesses(|told| size(told) > 0));
        size(&self.witnesses(|told| size(told) > before))
    }

    fn told(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}{errors}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some((gateway, _)) = &mut self.running {
            drop(gateway.kill());
            drop(gateway.wait());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn two_gateways_are_each_others_witness_and_one_that_was_restored_is_found_out() {
    let folder = TempDir::new().unwrap();
    let (mut one, mut two) = (
        Gateway::new(folder.path(), "one"),
        Gateway::new(folder.path(), "two"),
    );
    for gateway in [&mut one, &mut two] {
        assert!(gateway.keys()["log"].is_null());
        gateway.start();
        gateway.stop();
    }
    one.join(&two);
    two.join(&one);
    one.start();
    // The other is down: nothing waits for it, and health says so.
    let told = one.witnesses(|told| {
        let each = told["each"]["two"].as_str().unwrap_or_default();
        each.contains("does not answer")
    });
    assert_eq!(
        (&told["quorum"], &told["witnessed"]),
        (&"1 of 1".into(), &0.into())
    );
    one.told(&["verify"], 0);
    one.told(&["verify", "--quorum", "1"], 1);

    two.start();
    let size = one.witnessed();
    two.witnessed();
    for gateway in [&one, &two] {
        let report = gateway.told(&["verify", "--quorum", "1", "--json"], 0);
        let witnessed = &report["witnessed"];
        assert_eq!(witnessed["met"], true, "{witnessed}");
        assert_eq!(witnessed["verdict"], "consistent", "{witnessed}");
        assert_eq!(report["kept"], Value::Array(Vec::new()));
    }
    // Beside the anchor is a copy, which only the witness's key opens.
    let copied = fs::read_to_string(one.folder.join("anchor.witnessed")).unwrap();
    let (log, witness) = (one.keys(), two.keys());
    let log: tollbook_ledger::VerifierKey = log["log"].as_str().unwrap().parse().unwrap();
    let head = tollbook_ledger::Checkpoint::open(&copied, &log).unwrap();
    assert!(head.size >= size);
    let witness = witness["witness"].as_str().unwrap();
    let stranger = one.keys();
    let stranger = stranger["witness"].as_str().unwrap();
    one.told(
        &[
            "verify",
            "--data",
            "book",
            "--witness",
            witness,
            "--quorum",
            "1",
        ],
        0,
    );
    one.told(
        &[
            "verify",
            "--data",
            "book",
            "--witness",
            stranger,
            "--quorum",
            "1",
        ],
        1,
    );
    one.told(&["verify", "--data", "book", "--quorum", "1"], 2);
    one.told(&["verify", "--witness", witness, "--quorum", "2"], 2);

    // Yesterday's copy, and what happened since then.
    one.stop();
    copy(&one.folder, &folder.path().join("yesterday"));
    one.start();
    one.witnessed();
    one.stop();

    // It is put back with its anchor, so that nothing on this machine tells it.
    fs::remove_dir_all(&one.folder).unwrap();
    copy(&folder.path().join("yesterday"), &one.folder);
    one.start();
    let alarm = |told: &Value| {
        let each = told["each"]["two"].as_str().unwrap_or_default();
        each.starts_with("ALARM")
    };
    one.witnesses(alarm);
    let forked = |told: &Value| {
        told["each"]["two"]
            .as_str()
            .is_some_and(|told| told.contains("fork"))
    };
    one.witnesses(forked);
    let events = |gateway: &Gateway, name: &str| {
        let listed = gateway.run(&["exchanges", "list", "--connection", "(gate)", "--json"]);
        String::from_utf8(listed.stdout).unwrap().contains(name)
    };
    // A proof that does not hold accuses nobody at the witness: a stranger could have sent it.
    assert!(events(&one, "book.forked") && !events(&two, "witness.fork"));
    assert!(!events(&two, "book.forked"));

    // The book is whole; what the witness kept says that it is not the one that it was.
    one.told(&["verify"], 0);
    let known = fs::read_dir(two.folder.join("book/witness")).unwrap();
    let known = known.map(|entry| entry.unwrap().path());
    let known: Vec<PathBuf> = known
        .filter(|path| path.extension().is_some_and(|end| end == "checkpoint"))
        .collect();
    let known = known[0].to_str().unwrap();
    let report = one.told(&["verify", "--checkpoint", known, "--json"], 1);
    assert_eq!(report["kept"][0]["verdict"], "fork");
    one.stop();
    two.stop();
}

#[test]
fn an_authority_gives_times_that_everybody_can_check() {
    let folder = TempDir::new().unwrap();
    let tsa = folder.path().join("tsa");
    let address = Authority::new(&tsa).unwrap().serve().unwrap();
    let stranger = folder.path().join("stranger");
    Authority::new(&stranger).unwrap();
    let mut gateway = Gateway::new(folder.path(), "one");
    let configure = |gateway: &Gateway, url: &str| {
        gateway.configure(&format!(
            "[record.timestamp]\nurl = \"{url}\"\nroots = \"../tsa/root.pem\"\ninterval = \"1s\"\n"
        ));
    };
    // Nothing waits for an authority that is not there.
    configure(&gateway, "http://127.0.0.1:1");
    gateway.start();
    gateway.health("timestamps", |told| {
        told["state"]
            .as_str()
            .is_some_and(|state| state.contains("does not answer"))
    });
    gateway.stop();
    gateway.told(&["verify"], 0);
    gateway.told(&["verify", "--tsa-roots", "../tsa/root.pem"], 1);

    configure(&gateway, &address);
    gateway.start();
    gateway.health("timestamps", |told| told["entries"].as_u64() > Some(0));
    let report = gateway.told(&["verify", "--json"], 0);
    let stamped = &report["stamped"];
    assert_eq!(
        (&stamped["trusted"], &stamped["verdict"]),
        (&true.into(), &"consistent".into())
    );
    gateway.told(&["verify", "--tsa-roots", "../stranger/root.pem"], 1);
    gateway.stop();

    // Evidence of nothing but what was there before the last stamp.
    let until = stamped["time"].as_str().unwrap();
    let written = gateway.run(&["export", "evidence", "evidence", "--until", until]);
    assert!(
        written.status.success(),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
    let evidence = gateway.folder.join("evidence");
    let check = |roots: &Path| {
        let pem = fs::read(roots.join("root.pem")).unwrap();
        let demands = tollbook_verify::Demands {
            tsa_roots: Some(tollbook_timestamp::Roots::from_pem(&pem).unwrap()),
            ..tollbook_verify::Demands::default()
        };
        tollbook_verify::check_with(&evidence, &demands).unwrap()
    };
    let report = check(&tsa);
    assert!(
        report.is_verified(),
        "{:?} {:?}",
        report.faults,
        report.attested
    );
    assert_eq!(check(&stranger).exit_code(), 1);
    let without = tollbook_verify::check(&evidence, None, &[]).unwrap();
    assert!(without.is_verified(), "{:?}", without.faults);

    // And openssl takes what is there.
    let stamp = report
        .attested
        .iter()
        .find(|attested| attested.stamp.is_some())
        .unwrap();
    let (stamped, token) = (&stamp.file, stamp.file.replace(".stamped", ".tsr"));
    let roots = tsa.join("root.pem");
    openssl(
        &evidence,
        &format!(
            "ts -verify -data {stamped} -in {token} -CAfile {}",
            roots.display()
        ),
    )
    .unwrap();
    for file in [stamped, &token] {
        let file = evidence.join(file);
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        let place = changed.len() - 30;
        changed[place] ^= 1;
        fs::write(&file, changed).unwrap();
        assert_eq!(check(&tsa).exit_code(), 1, "{}", file.display());
        fs::remove_file(&file).unwrap();
        assert_eq!(check(&tsa).exit_code(), 1, "{}", file.display());
        fs::write(&file, whole).unwrap();
    }
    assert!(check(&tsa).is_verified());
}

#[test]
fn mistakes_about_witnesses_are_told_with_their_lines() {
    let folder = TempDir::new().unwrap();
    let gateway = Gateway::new(folder.path(), "one");
    let key = gateway.keys()["witness"].to_string();
    for (more, what) in [
        (
            "[[record.witness]]\nname = \"w\"\nurl = \"http://w\"\n",
            "`key` is missing",
        ),
        (
            "[[record.witness]]\nname = \"w\"\nurl = \"http://w\"\nkey = \"w+1\"\n",
            "no public key of a witness",
        ),
        (
            &format!("[[record.witness]]\nname = \"w\"\nurl = \"gopher://w\"\nkey = {key}\n"),
            "no address of a witness",
        ),
        (
            &format!(
                "[[record.witness]]\nname = \"w\"\nurl = \"http://w\"\nkey = {key}\n[[record.witness]]\nname = \"v\"\nurl = \"http://v\"\nkey = {key}\n"
            ),
            "two witnesses have the same key",
        ),
        ("[witness]\nlogs = []\n", "`listen` is missing"),
        (
            "[witness]\nlisten = \"127.0.0.1:0\"\nname = \"a b\"\n",
            "`name` must not",
        ),
        (
            "[record.timestamp]\nurl = \"http://t\"\nroots = \"nowhere\"\n",
            "the roots in",
        ),
        (
            "[record.timestamp]\nurl = \"http://t\"\n",
            "`roots` is missing",
        ),
        (
            &format!("[witness]\nlisten = \"127.0.0.1:0\"\nlogs = [{key}]\n"),
            "no public key of a log",
        ),
    ] {
        gateway.configure(more);
        let checked = gateway.run(&["check"]);
        let errors = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(2), "{errors}");
        assert!(errors.contains(what), "`{what}` is missing in {errors}");
    }
}
