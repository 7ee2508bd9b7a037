use std::{path::PathBuf, time::Duration};

use tollbook_recording::{KeyCommand, KeySource};

use super::{Config, Mistake, *};

fn read(text: &str) -> (Config, Vec<String>) {
    read_with(text, &[])
}

fn read_with(text: &str, environment: &[(&str, &str)]) -> (Config, Vec<String>) {
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let (config, mistakes) = Config::read(text, Path::new("/etc/tollbook"), environment);
    (config, mistakes.iter().map(Mistake::to_string).collect())
}

const WHOLE: &str = r#"
[gateway]
listen = "127.0.0.1:9000"
admin = "127.0.0.1:9001"
data = "book"
name = "audit.example/gw1"
drain = "5s"

[[issuer]]
name = "ci"
issuer = "https://token.example"
audience = "tollbook"
groups_claim = "groups"
jwks_file = "keys.json"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.anthropic.com"
credential = { header = "x-api-key", env = "ANTHROPIC_API_KEY" }
allow = ["ci-payments"]
mask = { record = "default", wire = "off" }
record = "intent"
on_record_failure = "block"
max_body = "1MiB"

[policy]
path = "policies/"

[masking]
rules = ["builtin", "rules/*.toml"]

[[federation]]
id = "payments-ci"
issuer = "ci"
subject = "repo:acme/*"
claims = { repository_id = "123456", ref = ["refs/heads/main", "refs/heads/release"], run_attempt = 1 }
groups = ["ci-payments"]
lifetime = "10m"

[detection]
rules = ["builtin", "detectors/*.toml"]
known_mcp_servers = ["mcp.example"]

[approvals]
expires = "20m"
per_caller = 5
break_glass = ["oncall"]
unlinked_actors = true

[[approvals.webhook]]
url = "https://hooks.example/tollbook"
secret = { env = "HOOK_SECRET" }

[approvals.slack]
signing_secret = { file = "slack.secret" }
bot_token = { command = ["vault", "read", "slack"] }
channel = "C123"

[[person]]
name = "ana"
accounts = ["corp/00u1", "ci/actor/583231", "slack/T1/U2"]

[[budget]]
id = "ci-hourly"
per = "group"
groups = ["ci-payments"]
tokens = 1_000_000
cost_usd = "12.50"
window = "1h"

[limits]
repeated_tool_calls = 5

[admin]
issuers = ["corp"]
operator = ["platform"]
"#;

#[test]
fn a_whole_configuration_is_read() {
    let (config, mistakes) = read(WHOLE);
    assert_eq!(mistakes, [""; 0]);
    assert_eq!(config.gateway.listen.port(), 9000);
    assert_eq!(config.gateway.data, PathBuf::from("/etc/tollbook/book"));
    assert_eq!(config.issuers[0].groups_claim.as_deref(), Some("groups"));
    let ProtocolConfig::Claude(own) = &config.connections[0].protocol else {
        panic!("no Claude");
    };
    assert_eq!(own.max_body, 1 << 20);
    assert_eq!(config.connections[0].allow, ["ci-payments"]);
    assert_eq!(
        config.policies,
        Some(Located {
            line: Some(28),
            value: PathBuf::from("/etc/tollbook/policies/")
        })
    );
    assert_eq!(config.masking.rules.len(), 2);
    let rule = &config.federation[0];
    assert_eq!(rule.subjects, ["repo:acme/*"]);
    assert_eq!(
        rule.claims.iter().find(|(name, _)| name == "ref"),
        Some(&(
            "ref".to_owned(),
            vec![
                "refs/heads/main".to_owned(),
                "refs/heads/release".to_owned()
            ]
        ))
    );
    assert!(
        rule.claims
            .contains(&("run_attempt".to_owned(), vec!["1".to_owned()]))
    );
    assert_eq!(config.approvals.per_caller, Some(5));
    assert!(config.approvals.unlinked_actors);
    assert_eq!(config.approvals.webhooks.len(), 1);
    let slack = config.approvals.slack.as_ref().unwrap();
    assert!(matches!(&slack.bot_token, Some(SecretSource::Command(argv)) if argv.len() == 3));
    assert_eq!(config.people[0].accounts.len(), 3);
    assert_eq!(config.budgets[0].cost, Some(12_500_000));
    assert_eq!(config.budgets[0].tokens, Some(1_000_000));
    assert_eq!(config.limits.repeated_tool_calls, Some(5));
    assert_eq!(config.admin.operator, ["platform"]);
}

#[test]
fn every_mistake_is_listed_with_its_line() {
    let (_, mistakes) = read(
        r#"
[gateway]
lisen = "127.0.0.1:9000"
admin = "nowhere"
drain = 5

[[issuer]]
name = "ci"
issuer = "https://token.example"
preset = "github-actions"

[[connection]]
name = "claude"
protocol = "claud"
upstream = "https://api.anthropic.com"
record = "relese"
credential = { header = "x-api-key" }

[[connection]]
name = "orders"
protocol = "mysql"
upstream = "postgres://db"

[[federation]]
id = "payments"

[gateway.tls]
client_certificates = "required"
[[person]]
name = "ana"

[[budget]]
id = "b"
per = "team"

[limits]
repeated_tool_calls = -1
"#,
    );
    let expected = [
        "line 3: unknown key `lisen`; did you mean `listen`?",
        "line 4: `admin` is no address; write `\"127.0.0.1:8080\"`",
        "line 5: `drain` must be a string, not integer",
        "line 7: `audience` is missing in issuer.ci",
        "line 14: `protocol` cannot be `claud`; did you mean `claude`?",
        "line 16: `record` cannot be `relese`; did you mean `release`?",
        "line 17: a secret is named by one of `env`, `file` and `command`",
        "line 21: `protocol` is not available in this version; `mysql` is to come, `claude` and `postgres` are here",
        "line 24: `issuer` is missing in federation.payments",
        "line 27: `client_certificates` needs the authorities in `client_ca`",
        "line 27: `cert` is missing in gateway.tls",
        "line 27: `key` is missing in gateway.tls",
        "line 29: `accounts` is missing or empty in a [[person]]",
        "line 32: `window` is missing in a [[budget]]",
        "line 32: a [[budget]] limits `requests`, `tokens` or `cost_usd`",
        "line 34: `per` cannot be `team`; it is one of principal, group, session",
        "line 37: `repeated_tool_calls` must be a whole number from 0 on",
    ];
    assert_eq!(mistakes, expected);
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let (_, mistakes) = read_with(
        "[gateway]\nlisten = \n",
        &[("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:7000")],
    );
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].starts_with("line 2: "), "{mistakes:?}");
}

#[test]
fn an_environment_variable_overrides_one_key() {
    let (config, mistakes) = read_with(
        WHOLE,
        &[
            ("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:7000"),
            (
                "TOLLBOOK_CONNECTION__CLAUDE__UPSTREAM",
                "http://127.0.0.1:1",
            ),
            ("TOLLBOOK_LOG", "debug"),
            ("TOLLBOOK_CONFIG", "here.toml"),
            ("HOME", "/root"),
        ],
    );
    assert_eq!(mistakes, [""; 0]);
    assert_eq!(config.gateway.listen.port(), 7000);
    assert_eq!(config.connections[0].upstream, "http://127.0.0.1:1");

    let (_, mistakes) = read_with(WHOLE, &[("TOLLBOOK_GATEWAY__LISEN", "127.0.0.1:7000")]);
    assert_eq!(
        mistakes,
        ["environment variable TOLLBOOK_GATEWAY__LISEN overrides no key"]
    );
    // One underscore is the same mistake, whatever it was meant to be.
    let (_, mistakes) = read_with(WHOLE, &[("TOLLBOOK_GATEWAY_LISTEN", "127.0.0.1:7000")]);
    assert_eq!(
        mistakes,
        ["environment variable TOLLBOOK_GATEWAY_LISTEN overrides no key"]
    );
}

#[test]
fn names_are_unique() {
    let twice = WHOLE.replace("[policy]", "[[connection]]\nname = \"claude\"\nprotocol = \"claude\"\nupstream = \"http://x\"\n[policy]");
    let (_, mistakes) = read(&twice);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].contains("two connections named `claude`"));
}

#[test]
fn nothing_to_reach_is_a_mistake() {
    let (_, mistakes) = read("[gateway]\n");
    assert_eq!(
        mistakes,
        [
            "no issuer is configured: nobody could pass the gate",
            "no [[connection]]: there is nothing to reach through the gate"
        ]
    );
}

#[test]
fn how_the_book_is_written_can_be_told() {
    let told = "[gateway]\ndata = \"book\"\nname = \"log.example\"\n[record]\n\
                anchor = \"../elsewhere/anchor\"\nheartbeat = \"30s\"\nsession_idle = \"5m\"\n\
                deadline = \"1s\"\nlow_space = \"2GiB\"\nreserve = \"64MiB\"\n";
    let (config, _) = read(told);
    let book = config.book();
    assert_eq!(book.folder, Path::new("/etc/tollbook/book"));
    let anchor = Path::new("/etc/tollbook/../elsewhere/anchor");
    assert_eq!(book.anchor.as_deref(), Some(anchor));
    let times = [book.heartbeat, book.idle, book.deadline];
    assert_eq!(times.map(|time| time.as_secs()), [30, 300, 1]);
    assert_eq!((book.low_space, book.reserve), (2 << 30, 64 << 20));

    let (_, mistakes) = read("[gateway]\ndata = \"book\"\n[record]\nanchor = \"book/anchor\"\n");
    let within = |mistake: &String| mistake.contains("lies in the folder of the book");
    assert!(mistakes.iter().any(within), "{mistakes:?}");

    for told in [
        "heartbeat = \"0s\"",
        "heartbeat = \"1500ms\"",
        "heartbeat = \"72h\"",
        "deadline = \"0s\"",
    ] {
        let (_, mistakes) = read(&format!("[gateway]\ndata = \"book\"\n[record]\n{told}\n"));
        let key = told.split(' ').next().unwrap();
        let wrong = |mistake: &String| mistake.contains(&format!("`{key}` "));
        assert!(mistakes.iter().any(wrong), "{told}: {mistakes:?}");
    }
}

#[test]
fn how_long_things_are_kept_can_be_told_by_class_and_connection() {
    const DAY: Duration = Duration::from_secs(86_400);
    let told = "[retention]\nmetadata = { min = \"180d\", max = \"400d\" }\n\
                answer = { max = \"30d\" }\nindex = { max = \"60d\" }\n\
                [[connection]]\nname = \"claude\"\nprotocol = \"claude\"\n\
                upstream = \"https://api.example\"\n\
                [connection.retention]\nrequest = { max = \"7d\" }\nrows = { max = \"3d\" }\n";
    let (config, mistakes) = read(told);
    assert_eq!(
        mistakes,
        ["no issuer is configured: nobody could pass the gate"]
    );
    let retention = config.retention();
    let (usual, own) = (retention.terms, retention.connections["claude"]);
    assert_eq!(usual.metadata.min, Some(DAY * 180));
    assert_eq!(
        (usual.request.max, usual.answer.max),
        (None, Some(DAY * 30))
    );
    assert_eq!(
        (own.request.max, own.answer.max),
        (Some(DAY * 7), Some(DAY * 30))
    );
    assert_eq!((usual.rows.max, own.rows.max), (None, Some(DAY * 3)));
    assert_eq!(retention.words("claude"), Some(DAY * 60));

    for (told, mistake) in [
        (
            "answer = { max = \"30\" }",
            "`max` is in days; write `\"90d\"`",
        ),
        (
            "answer = { min = \"3d\", max = \"2d\" }",
            "the `min` of `answer` is more than its `max`",
        ),
        (
            "metadata = { max = \"2d\" }\nanswer = { min = \"3d\" }",
            "nothing is kept for longer than `metadata`: its `max` is below the `min` of another class",
        ),
        (
            "blob = { max = \"3d\" }",
            "unknown key `blob`; known here: metadata, request, answer, rows, index",
        ),
        (
            "metadata = { max = \"2d\" }\nindex = { min = \"3d\" }",
            "nothing is kept for longer than `metadata`: its `max` is below the `min` of another class",
        ),
    ] {
        let (_, mistakes) = read(&format!("[retention]\n{told}\n"));
        let named = mistakes.iter().any(|one| one.ends_with(mistake));
        assert!(named, "{told}: {mistakes:?}");
    }
}

#[test]
fn a_gateway_that_cannot_read_the_book_does_not_index_it() {
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let sealed = format!("[keys]\nrecipient = \"{recipient}\"\n");
    assert!(read("").0.search.index);
    assert!(!read(&sealed).0.search.index);
    let (config, mistakes) = read(&format!("{sealed}[search]\nindex = \"gateway\"\n"));
    assert!(!config.search.index);
    let named = mistakes
        .iter()
        .any(|one| one.contains("beside `recipient`"));
    assert!(named, "{mistakes:?}");
}

#[test]
fn where_the_top_key_is_can_be_told() {
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let source = |text: &str| read(&format!("[keys]\n{text}\n")).0.keys;
    assert_eq!(source(""), KeySource::default());
    let file = KeySource::file("/etc/tollbook/top.key");
    assert_eq!(source("file = \"top.key\""), file);
    let sealed = format!("file = \"top.key\"\nrecipient = \"{recipient}\"");
    assert_eq!(source(&sealed), file.sealed_to(recipient.parse().unwrap()));
    let (wrap, unwrap) = (
        vec!["kms".to_owned(), "wrap".to_owned()],
        vec!["un".to_owned()],
    );
    let mut command = KeyCommand::new(wrap, unwrap);
    command.deadline = Duration::from_secs(3);
    let told = "wrap = [\"kms\", \"wrap\"]\nunwrap = [\"un\"]\ndeadline = \"3s\"";
    assert_eq!(source(told), KeySource::command(command));

    for wrong in [
        "wrap = [\"kms\"]",
        "file = \"a\"\nwrap = [\"kms\"]\nunwrap = [\"kms\"]",
        "recipient = \"age1\"",
    ] {
        let (_, mistakes) = read(&format!("[keys]\n{wrong}\n"));
        assert_eq!(mistakes.len(), 3, "{wrong}: {mistakes:?}");
    }
}

/// The first connection of a configuration that says this of it, and what is wrong.
fn connection(told: &str) -> (crate::config::Durability, Vec<String>) {
    let text = format!(
        "[[connection]]\nname = \"claude\"\nprotocol = \"claude\"\nupstream = \"https://up\"\n{told}\n"
    );
    let (config, mut mistakes) = read(&text);
    mistakes.retain(|mistake| !mistake.starts_with("no issuer"));
    (config.connections[0].durability.clone(), mistakes)
}

#[test]
fn a_connection_says_what_must_be_durable_and_what_passes_otherwise() {
    let (usual, mistakes) = connection("");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    assert_eq!((usual.level(), usual.now()), ("intent", "block"));
    for (told, level, policy, said) in [
        (
            "record = \"release\"",
            "release",
            "block",
            "64 KiB or 100 ms",
        ),
        (
            "record = \"release\"\nrelease = { step = \"4KiB\", within = \"20ms\" }",
            "release",
            "block",
            "4 KiB or 20 ms",
        ),
        (
            "record = \"release\"\nrelease = { strict = true }",
            "release",
            "block",
            "each piece",
        ),
        (
            "on_record_failure = \"block_writes\"",
            "intent",
            "block_writes",
            "only reads",
        ),
        (
            "on_record_failure = \"spool\"",
            "intent",
            "spool",
            "16384 KiB of it for 30 s",
        ),
        (
            "on_record_failure = \"spool\"\nspool = { size = \"1MiB\", time = \"5s\" }",
            "intent",
            "spool",
            "1024 KiB of it for 5 s",
        ),
        (
            "on_record_failure = \"allow\"\nunrecorded = { until = \"2020-01-01T00:00:00Z\", \
             reason = \"r\", approved_by = \"ana\" }",
            "intent",
            "block",
            "the permission ended at 2020",
        ),
    ] {
        let (durability, mistakes) = connection(told);
        assert!(mistakes.is_empty(), "{told}: {mistakes:?}");
        assert_eq!(
            (durability.level(), durability.now()),
            (level, policy),
            "{told}"
        );
        let sentence = durability.sentence();
        assert!(sentence.contains(said), "{told}: {sentence}");
    }
    let soon = tollbook_exchange::Timestamp::now().after_micros(60_000_000);
    let (durability, mistakes) = connection(&format!(
        "on_record_failure = \"allow\"\nunrecorded = {{ until = \"{soon}\", reason = \"r\", \
         approved_by = \"ana\" }}"
    ));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    assert_eq!(durability.now(), "allow");
    assert!(durability.sentence().contains("signed off by ana: r"));
}

#[test]
fn what_passes_without_a_record_needs_somebody_who_says_so() {
    for (told, mistake) in [
        ("on_record_failure = \"allow\"", "needs `unrecorded"),
        (
            "on_record_failure = \"allow\"\nunrecorded = { until = \"2020-01-01T00:00:00Z\" }",
            "`reason` is missing",
        ),
        (
            "on_record_failure = \"allow\"\nunrecorded = { until = \"soon\", reason = \"r\", \
             approved_by = \"a\" }",
            "`until` is no time",
        ),
        (
            "on_record_failure = \"allow\"\nunrecorded = { until = \"9999-01-01T00:00:00Z\", \
             reason = \"r\", approved_by = \"a\" }",
            "more than a year away",
        ),
        (
            "unrecorded = { until = \"2020-01-01T00:00:00Z\" }",
            "where `on_record_failure = \"allow\"`",
        ),
        (
            "spool = { size = \"1MiB\" }",
            "where `on_record_failure = \"spool\"`",
        ),
        (
            "on_record_failure = \"spool\"\nspool = { size = \"1GiB\" }",
            "at most 48MiB",
        ),
        ("on_record_failure = \"pass\"", "cannot be `pass`"),
        (
            "release = { step = \"1KiB\" }",
            "where `record = \"release\"`",
        ),
        (
            "record = \"release\"\nrelease = { step = \"0KiB\" }",
            "`step` of nothing",
        ),
        (
            "record = \"release\"\nrelease = { strict = true, step = \"1KiB\" }",
            "leave `step` and `within` out",
        ),
        (
            "record = \"release\"\nrelease = { steps = \"1KiB\" }",
            "did you mean `step`?",
        ),
    ] {
        let (durability, mistakes) = connection(told);
        assert!(
            mistakes.iter().any(|found| found.contains(mistake)),
            "{told}: {mistakes:?}"
        );
        assert_ne!(durability.now(), "allow", "{told}");
    }
}

/// A key that a sink of this kind does not look at would seem to count.
#[test]
fn a_sink_has_the_keys_of_its_kind() {
    let sink = |keys: &str| {
        let (config, mistakes) = read(&format!("[[sink]]\nname = \"a\"\n{keys}\n"));
        let mistakes: Vec<String> = mistakes
            .into_iter()
            .filter(|mistake| mistake.starts_with("line "))
            .collect();
        (config.sinks.into_iter().next(), mistakes)
    };
    let (config, mistakes) = sink(
        "kind = \"file\"\npath = \"copies/a.jsonl\"\nrotate_size = \"1MiB\"\ninterval = \"1s\"\n\
         query = \"tool:Bash\"",
    );
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let config = config.unwrap();
    assert!(matches!(
        config.to,
        Some(SinkTo::File { path, rotate_size: Some(0x0010_0000), .. })
            if path == Path::new("/etc/tollbook/copies/a.jsonl")
    ));
    assert_eq!(config.interval, Some(Duration::from_secs(1)));
    let sealed = "kind = \"file\"\npath = \"a\"\n[keys]\nrecipient = \
                  \"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\"";
    for (keys, wrong) in [
        (sealed, "would never send anything"),
        (
            "kind = \"file\"\npath = \"b/../tollbook-data/a.jsonl\"",
            "lies in the folder of the book",
        ),
        ("", "`kind` is missing"),
        ("kind = \"files\"", "did you mean `file`?"),
        ("kind = \"file\"", "`path` is missing"),
        (
            "kind = \"file\"\npath = \"a\"\nbucket = \"b\"",
            "`bucket` is not for a sink of the kind `file`",
        ),
        (
            "kind = \"file\"\npath = \"tollbook-data/a.jsonl\"",
            "lies in the folder of the book",
        ),
        (
            "kind = \"webhook\"\nurl = \"https://a\"",
            "`credential` is missing",
        ),
        ("kind = \"s3\"\nbucket = \"b\"", "`access_key` is missing"),
        ("kind = \"nats\"\nurl = \"tls://a\"", "`subject` is missing"),
        (
            "kind = \"otlp\"\nurl = \"https://a\"\ninterval = \"0s\"",
            "above zero",
        ),
    ] {
        let (_, mistakes) = sink(keys);
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(wrong)),
            "{keys}: {mistakes:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_path_is_where_its_links_lead() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let place = super::place(&real.join("a.jsonl"));
    for same in [
        "link/a.jsonl",
        "real/../link/a.jsonl",
        "none/../real/a.jsonl",
    ] {
        assert_eq!(super::place(&folder.path().join(same)), place, "{same}");
    }
    assert_ne!(super::place(&link.join("b.jsonl")), place);
}
