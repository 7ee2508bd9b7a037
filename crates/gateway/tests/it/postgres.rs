//! Sessions of PostgreSQL through the gate, with the real server and real clients.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::net::TcpListener;
use tollbook_gateway::tunnel::{
    PasswordFuture, ProvidePassword, Server, Tunnel, Upstream, UpstreamTls,
};
use tollbook_testkit::postgres::Postgres;

use crate::stage::{Records, Scene, Stage, until};

/// A server on this machine; what needs one is left out where there is none.
#[expect(clippy::print_stdout, reason = "whoever reads the output has to know")]
fn server() -> Option<Postgres> {
    let server = Postgres::start().unwrap();
    if server.is_none() {
        println!("NOT TESTED: no PostgreSQL server on this machine (Debian: postgresql)");
    }
    server
}

/// A connection with this upstream and these lines.
fn connection(upstream: &str, lines: &str) -> String {
    format!(
        "[[connection]]\nname = \"orders\"\nprotocol = \"postgres\"\nlisten = \"127.0.0.1:0\"\n\
         upstream = \"{upstream}\"\nallow = [\"developers\"]\n{lines}\n"
    )
}

fn local(server: &Postgres, user: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/postgres", server.port())
}

async fn stage(upstream: &str, lines: &str) -> Stage {
    Scene::default()
        .more(&connection(upstream, lines))
        .set()
        .await
}

/// What psql says of a script, with this in the place of the password and more settings.
async fn psql(stage: &Stage, password: &str, settings: &str, script: &str) -> Output {
    let address = stage.gateway.databases()["orders"];
    let (host, port) = (address.ip(), address.port());
    let target = format!("host={host} port={port} user=ann dbname=postgres {settings}");
    let mut command = Command::new("psql");
    command
        .args([
            "-X",
            "-A",
            "-t",
            "-v",
            "VERBOSITY=verbose",
            "-d",
            &target,
            "-c",
            script,
        ])
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "30");
    run(command).await
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap())
        .await
        .unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The sessions' beginnings, the oldest first.
fn connects(records: &Records) -> Vec<&Value> {
    let all = records.of("orders").into_iter();
    all.filter(|record| record["action"]["name"] == "sql.connect")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_a_token_and_is_recorded() {
    let Some(server) = server() else { return };
    let stage = stage(&local(&server, "postgres"), "").await;
    let token = stage.token();
    let script = "SELECT current_user, current_setting('application_name')";
    let settings = "application_name=report options='-c tollbook.session=s-1'";
    let (told, complaint) = said(&psql(&stage, &token, settings, script).await);
    assert!(told.starts_with("postgres|tollbook "), "{told} {complaint}");
    assert!(told.ends_with(" report"), "{told}");

    let other = "not-a-".to_owned() + "token";
    let (told, complaint) = said(&psql(&stage, &other, "", script).await);
    assert_eq!(told, "");
    assert!(
        complaint.contains("no acceptable credential"),
        "{complaint}"
    );
    let (_, complaint) = said(&psql(&stage, &token, "dbname=other", script).await);
    assert!(complaint.contains("and no other"), "{complaint}");
    assert!(complaint.contains("`postgres`"), "{complaint}");
    let settings = "options='-c search_path=evil'";
    let (_, complaint) = said(&psql(&stage, &token, settings, script).await);
    assert!(complaint.contains("`search_path`"), "{complaint}");
    // A caller who is in none of the connection's groups.
    let (_, complaint) = said(&psql(&stage, &stage.job("repo:acme/other"), "", script).await);
    assert!(complaint.contains("no rule permits"), "{complaint}");

    let records = stage.end().await;
    let all = connects(&records);
    let outcomes: Vec<&Value> = all.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(
        outcomes,
        ["complete", "denied", "denied", "denied", "denied"]
    );
    let first = all[0];
    assert_eq!(first["principal"]["subject"], "repo:acme/payments");
    assert_eq!(first["action"]["user"], "ann");
    assert_eq!(first["action"]["application"], "report");
    assert_eq!(first["action"]["database"], "postgres");
    assert!(
        first["server_version"].as_str().unwrap().contains('.'),
        "{first}"
    );
}

/// Lets roles in as they are told: each line of PostgreSQL's own rules, before that for everybody.
fn rules(server: &Postgres, lines: &str) {
    let file = server.folder().join("data/pg_hba.conf");
    let rest = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n";
    fs::write(file, format!("{lines}\n{rest}")).unwrap();
    sql(server, "SELECT pg_reload_conf()");
}

fn sql(server: &Postgres, script: &str) {
    let output = server.psql(script).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && !complaint.contains("ERROR"),
        "{complaint}"
    );
}

/// A certificate for `localhost` and its key, as files that the owner of `folder` alone can read.
fn certified(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    );
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let owner = fs::metadata(folder).unwrap().uid();
    for file in [&cert, &key] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(file, Some(owner), None).unwrap();
    }
    (cert, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_signs_in_in_every_way_that_a_server_asks_for() {
    let Some(server) = server() else { return };
    let (cert, key) = certified(server.folder(), "server");
    sql(
        &server,
        &format!(
            "CREATE ROLE scram LOGIN PASSWORD 'corr{0}ect horse';
             SET password_encryption = 'md5';
             CREATE ROLE digest LOGIN PASSWORD 'corr{0}ect horse';
             CREATE ROLE plain LOGIN PASSWORD 'corr{0}ect horse';
             ALTER SYSTEM SET ssl_cert_file = '{1}';
             ALTER SYSTEM SET ssl_key_file = '{2}';
             ALTER SYSTEM SET ssl = on;",
            "",
            cert.display(),
            key.display(),
        ),
    );
    rules(
        &server,
        "host all scram 127.0.0.1/32 scram-sha-256\nhost all digest 127.0.0.1/32 md5\n\
         host all plain 127.0.0.1/32 password\nhostssl all scram ::1/128 scram-sha-256",
    );
    let password = "corr".to_owned() + "ect horse";
    let tls = format!(
        "postgres://scram@localhost:{}/postgres?sslmode=verify-full",
        server.port()
    );
    let script = "SELECT current_user, coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)";
    for (upstream, lines, expected) in [
        (local(&server, "scram"), String::new(), "scram|f"),
        (local(&server, "digest"), String::new(), "digest|f"),
        (local(&server, "plain"), String::new(), "plain|f"),
        // With the binding to the certificate, which the server offers inside TLS.
        (tls.clone(), format!("ca_file = {cert:?}"), "scram|t"),
    ] {
        let lines = format!("credential = {{ env = \"ORDERS_PASSWORD\" }}\n{lines}");
        let scene = Scene::default().more(&connection(&upstream, &lines));
        let stage = scene.variable("ORDERS_PASSWORD", &password).set().await;
        let (told, complaint) = said(&psql(&stage, &stage.token(), "", script).await);
        assert_eq!(told, expected, "{complaint}");
        stage.end().await;
    }
    // Another password, a certificate of somebody else, and nobody there: the caller learns that there is
    // no database, and the record why.
    let other = certified(server.folder(), "other").0;
    let nobody = "postgres://scram@127.0.0.1:1/postgres".to_owned();
    let (refused, none) = (
        "cannot sign in to the database",
        "database cannot be reached",
    );
    for (upstream, lines, why, state, message) in [
        (
            local(&server, "scram"),
            String::new(),
            "upstream_credential_refused",
            Value::from("28P01"),
            refused,
        ),
        (
            tls,
            format!("ca_file = {other:?}"),
            "upstream_tls",
            Value::Null,
            none,
        ),
        (
            nobody,
            String::new(),
            "upstream_unreachable",
            Value::Null,
            none,
        ),
    ] {
        let lines = format!("credential = {{ env = \"ORDERS_PASSWORD\" }}\n{lines}");
        let scene = Scene::default().more(&connection(&upstream, &lines));
        let stage = scene.variable("ORDERS_PASSWORD", "wrong").set().await;
        let (told, complaint) = said(&psql(&stage, &stage.token(), "", script).await);
        assert!(
            told.is_empty() && complaint.contains(message),
            "{complaint}"
        );
        assert!(!complaint.contains("scram"), "{complaint}");
        let records = stage.end().await;
        let record = connects(&records)[0];
        assert_eq!(record["outcome"], "upstream_error");
        assert_eq!(record["refusal"]["reason"], why, "{record}");
        assert_eq!(record["sqlstate"], state, "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_as_the_connection_says() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certified(folder.path(), "gate");
    let tls = format!("[gateway.tls]\ncert = {cert:?}\nkey = {key:?}\n");
    let script = "SELECT 1";
    for (word, plain, encrypted) in [
        ("required", false, true),
        ("optional", true, true),
        ("off", true, false),
    ] {
        let lines = format!("tls = \"{word}\"");
        let more = format!("{tls}{}", connection(&local(&server, "postgres"), &lines));
        let stage = Scene::default().more(&more).set().await;
        let token = stage.token();
        let (told, complaint) = said(&psql(&stage, &token, "sslmode=disable", script).await);
        assert_eq!(told == "1", plain, "{word}: {complaint}");
        if !plain {
            assert!(complaint.contains("sslmode=require"), "{complaint}");
            assert!(complaint.contains("`tls` setting"), "{complaint}");
        }
        let verified = format!(
            "host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={}",
            cert.display()
        );
        let (told, complaint) = said(&psql(&stage, &token, &verified, script).await);
        assert_eq!(told == "1", encrypted, "{word}: {complaint}");
        let records = stage.end().await;
        let facts: Vec<(&Value, &Value)> = (connects(&records).iter())
            .map(|record| (&record["action"]["tls"], &record["outcome"]))
            .collect();
        let (ok, no) = (Value::from("complete"), Value::from("denied"));
        let expected = match word {
            "required" => vec![(false, &no), (true, &ok)],
            "optional" => vec![(false, &ok), (true, &ok)],
            _ => vec![(false, &ok)],
        };
        assert_eq!(facts.len(), expected.len(), "{word}: {facts:?}");
        for ((tls, outcome), (expected_tls, expected)) in facts.into_iter().zip(expected) {
            assert_eq!(
                (tls, outcome),
                (&Value::from(expected_tls), expected),
                "{word}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_statement_of_its_session_and_is_recorded() {
    let Some(server) = server() else { return };
    let stage = stage(&local(&server, "postgres"), "").await;
    let address = stage.gateway.databases()["orders"];
    let target = format!(
        "host={} port={} user=ann dbname=orders",
        address.ip(),
        address.port()
    );
    let client = Command::new("psql")
        .args(["-X", "-A", "-t", "-d", &target, "-c", "SELECT pg_sleep(60)"])
        .env("PGPASSWORD", stage.token())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("statements that sleep", async || {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' \
                        AND application_name LIKE 'tollbook %' AND state = 'active'";
        let told = server.psql(sleeping).unwrap().stdout;
        String::from_utf8_lossy(&told).trim() == "1"
    })
    .await;
    let begun = Instant::now();
    let id = i32::try_from(client.id()).unwrap();
    let kill = Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap());
    let (_, complaint) = said(&output.await.unwrap());
    assert!(complaint.contains("canceling statement"), "{complaint}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    let records = stage.end().await;
    let all = records.of("orders");
    let cancel = all
        .iter()
        .find(|record| record["action"]["name"] == "sql.cancel");
    let (cancel, connect) = (cancel.unwrap(), connects(&records)[0]);
    assert_eq!(cancel["outcome"], "complete");
    assert_eq!(cancel["principal"]["subject"], "repo:acme/payments");
    assert_eq!(cancel["session"], connect["session"]);
}

/// The token of a caller, for a tunnel.
#[derive(Debug)]
struct Token(String);

impl ProvidePassword for Token {
    fn current(&self) -> PasswordFuture<'_> {
        Box::pin(std::future::ready(Ok(self.0.clone().into())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_gives_native_clients_the_caller_s_identity() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certified(folder.path(), "gate");
    let more = format!(
        "[gateway.tls]\ncert = {cert:?}\nkey = {key:?}\n{}",
        connection(&local(&server, "postgres"), "tls = \"required\"")
    );
    let stage = Scene::default().more(&more).set().await;
    let gate = Server {
        host: "localhost".to_owned(),
        port: stage.gateway.databases()["orders"].port(),
        user: String::new(),
        database: String::new(),
        tls: Some(UpstreamTls::verified(Some(&fs::read(&cert).unwrap()), None).unwrap()),
        password: None,
        patience: Duration::from_secs(10),
    };
    let token = Arc::new(Token(stage.token()));
    let tunnel = Tunnel::new(Upstream::new(gate).unwrap(), token, Some("s-1".to_owned())).unwrap();
    let password = tunnel.password().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            drop(tunnel.serve(stream).await);
        }
    });
    let mut told = Vec::new();
    for password in [&*password, "other"] {
        let mut command = Command::new("psql");
        let target = format!("host=127.0.0.1 port={port} user=me dbname=orders sslmode=disable");
        command.args(["-X", "-A", "-t", "-d", &target, "-c", "SELECT current_user"]);
        command.env("PGPASSWORD", password);
        told.push(said(&run(command).await));
    }
    serving.await.unwrap();
    assert_eq!(told[0].0, "postgres", "{}", told[0].1);
    assert!(
        told[1].1.contains("the tunnel's password is another"),
        "{}",
        told[1].1
    );
    let records = stage.end().await;
    let all = connects(&records);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["principal"]["subject"], "repo:acme/payments");
    assert_eq!(all[0]["action"]["tls"], true);
}
