//! What is wrong with a configuration is told before it runs: all of it, once, in its order.

use std::{fs, path::Path};

use tempfile::TempDir;
use tollbook_gateway::Plan;

/// The mistakes of a configuration, without the folder's name.
fn mistakes(folder: &Path, text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let told = match Plan::read(text, folder, environment) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.all.iter().map(ToString::to_string).collect(),
    };
    let name = format!("{}/", folder.display());
    told.iter()
        .map(|text: &String| text.replace(&name, ""))
        .collect()
}

const RIGHT: &str = r#"
[[issuer]]
name = "ci"
issuer = "https://token.example"
audience = "tollbook"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.example"
"#;

#[test]
fn a_text_that_is_no_toml_has_no_other_mistake() {
    let folder = TempDir::new().unwrap();
    let text = "[gateway\nlisten = \"127.0.0.1:0\"\n[masking]\nrules = [\"none.toml\"]\n";
    let told = mistakes(
        folder.path(),
        text,
        &[("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:0")],
    );
    assert!(!told.is_empty());
    assert!(
        told.iter().all(|text| text.starts_with("line 1: ")),
        "{told:?}"
    );
}

#[test]
fn each_mistake_is_told_once_and_in_the_order_of_the_lines() {
    let folder = TempDir::new().unwrap();
    let text = r#"
[masking]
rules = [
  "builtin",
  "none.toml",
]

[[connection]]
name = "claude"
protocol = "claude"
upstream = "ftp://api.example"
credential = { env = "NO_SUCH_VARIABLE" }
ca_file = "ca.pem"

[[connection]]
name = "claude"
protocol = "smtp"
upstream = "nowhere"

[[connection]]
protocol = "claude"
head_timeout = "soon"
colour = "red"

[policy]
path = "policies"

[[issuer]]
name = "ci"
issuer = "http://plain.example"
audience = "tollbook"
algorithms = ["HS256"]

[[issuer]]
name = "ci"
issuer = "https://token.example"
algorithms = []
jwks_file = "keys.json"
"#;
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    fs::write(folder.path().join("keys.json"), "{}").unwrap();
    let environment = [("TOLLBOOK_DATA", "elsewhere"), ("TOLLBOOK_LOG", "info")];
    let expected = [
        "line 5: file none.toml cannot be read: No such file or directory (os error 2)",
        "line 8: connection `claude`: environment variable NO_SUCH_VARIABLE is not set",
        "line 8: connection `claude`: the upstream is not an absolute http or https address",
        "line 8: connection `claude`: there is no certificate among the CA certificates",
        "line 15: there are two connections named `claude`",
        "line 15: connection `claude`: the upstream is not an absolute http or https address",
        "line 17: `protocol` cannot be `smtp`; it is one of claude",
        "line 20: `name` is missing in connection.",
        "line 20: `upstream` is missing in connection.",
        "line 22: `head_timeout` is no duration; write `\"30s\"`, `\"10m\"` or `\"1h\"`",
        "line 23: unknown key `colour`; known here:",
        "line 26: folder policies cannot be read: No such file or directory (os error 2)",
        "line 28: issuer `ci`: algorithm `HS256` is not an asymmetric signature this gate knows",
        "line 28: issuer `ci`: `http://plain.example` must be https, or http on a loopback address",
        "line 34: there are two issuers named `ci`",
        "line 34: `audience` is missing in issuer.ci",
        "line 34: issuer `ci` allows no algorithm",
        "line 38: `jwks_file`: file keys.json is no key set to use: it has no list of keys",
        "environment variable TOLLBOOK_DATA overrides no key",
    ];
    let told = mistakes(folder.path(), text, &environment);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
}

#[test]
fn issuers_of_one_identifier_are_told_at_the_later_one() {
    let folder = TempDir::new().unwrap();
    let again = RIGHT.replace(
        "[[connection]]",
        "[[issuer]]\nname = \"other\"\nissuer = \"https://token.example\"\naudience = \"a\"\n[[connection]]",
    );
    assert_eq!(mistakes(folder.path(), RIGHT, &[]), [""; 0]);
    assert_eq!(
        mistakes(folder.path(), &again, &[]),
        ["line 7: issuer identifier `https://token.example` is used twice"]
    );
    let without = RIGHT.replace("[[issuer]]", "[[isuer]]");
    assert_eq!(
        mistakes(folder.path(), &without, &[]),
        [
            "line 2: unknown key `isuer`; did you mean `issuer`?",
            "no issuer is configured: nobody could pass the gate",
        ]
    );
}

#[test]
fn a_certificate_that_cannot_be_served_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let tls = "[gateway.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    let text = format!("{tls}{RIGHT}");
    let missing = "cannot be read: No such file or directory (os error 2)";
    assert_eq!(
        mistakes(folder.path(), &text, &[]),
        [
            format!("line 2: `cert`: file cert.pem {missing}"),
            format!("line 3: `key`: file key.pem {missing}"),
        ]
    );
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (own, other) = (pair(), pair());
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("cert.pem", own.cert.pem());
    write("key.pem", other.signing_key.serialize_pem());
    assert_eq!(
        mistakes(folder.path(), &text, &[]),
        ["line 3: `key`: file key.pem is not the key of the certificate"]
    );
    write("key.pem", own.signing_key.serialize_pem());
    assert_eq!(mistakes(folder.path(), &text, &[]), [""; 0]);
}

#[test]
fn what_the_configuration_told_the_engines_do_not_tell_again() {
    let folder = TempDir::new().unwrap();
    let text = RIGHT
        .replace("\"claude\"\nprotocol", "\"my claude\"\nprotocol")
        .replace("name = \"ci\"\nissuer = \"https://token.example\"\n", "")
        + "[masking]\nrules = [\"rules/*.toml\"]\n";
    let told = mistakes(folder.path(), &text, &[]);
    let expected = [
        "line 2: `name` is missing in issuer.",
        "line 2: `issuer` is missing in issuer.",
        "line 6: a connection's `name` holds",
        "line 10: folder rules cannot be read",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
}

#[tokio::test]
async fn a_key_file_that_holds_no_key_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let text = RIGHT.replace(
        "[[connection]]",
        "jwks_file = \"keys.json\"\n[[connection]]",
    );
    let told = || mistakes(folder.path(), &text, &[]);
    assert_eq!(
        told(),
        [
            "line 7: `jwks_file`: file keys.json cannot be read: No such file or directory (os error 2)"
        ]
    );
    for (keys, fault) in [
        ("no JSON", "is not a JSON object"),
        ("{\"keys\":{}}", "has no list of keys"),
        ("{\"keys\":[]}", "has no usable key"),
    ] {
        fs::write(folder.path().join("keys.json"), keys).unwrap();
        let expected =
            format!("line 7: `jwks_file`: file keys.json is no key set to use: it {fault}");
        assert_eq!(told(), [expected]);
    }
    let issuer = tollbook_testkit::issuer::OidcIssuer::start(Default::default())
        .await
        .unwrap();
    let keys = issuer.jwks_json();
    fs::write(folder.path().join("keys.json"), keys).unwrap();
    assert_eq!(told(), [""; 0]);
}

/// What cannot be sent to is told before anything runs, and never with a credential.
#[test]
fn sinks_that_cannot_be_are_told_with_their_line() {
    let sink = |keys: &str| {
        let text = format!("[[sink]]\nname = \"a\"\n{keys}\n");
        let environment = [("WORD".to_owned(), "canary\u{7}".to_owned())];
        let mistakes = Plan::read(&text, Path::new("."), environment).unwrap_err();
        let all = mistakes.all.iter().filter(|mistake| mistake.line.is_some());
        all.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let fine = "kind = \"file\"\npath = \"a.jsonl\"\n";
    assert_eq!(sink(fine), "");
    for (keys, wrong) in [
        ("format = \"parquet\"", "does not take this format"),
        ("format = \"xml\"", "it is one of jsonl"),
        ("query = \"nonsense:1\"", "`query`"),
        (
            "connections = [\"nowhere\"]",
            "there is no connection `nowhere`",
        ),
        ("batch = 0", "above zero"),
    ] {
        let told = sink(&format!("{fine}{keys}"));
        assert!(told.contains(wrong), "{keys}: {told}");
    }
    for (keys, wrong) in [
        (
            "kind = \"otlp\"\nurl = \"http://collector.example\"",
            "has no TLS",
        ),
        (
            "kind = \"otlp\"\nurl = \"https://a.example\"\ncredential = { env = \"WORD\" }",
            "cannot stand in a header",
        ),
        (
            "kind = \"webhook\"\nurl = \"https://a.example\"\ncredential = { env = \"WORD\" }",
            "`whsec_`",
        ),
        (
            "kind = \"nats\"\nurl = \"tls://a.example\"\nsubject = \"a.>\"",
            "wildcards",
        ),
        (
            "kind = \"nats\"\nurl = \"tls://a.example\"\nsubject = \"a\"\nuser = \"me\"",
            "without a `credential`",
        ),
        (
            "kind = \"otlp\"\nurl = \"https://a.example\"\nca_file = \"nowhere.pem\"",
            "CA certificates cannot be read",
        ),
    ] {
        let told = sink(keys);
        assert!(told.contains(wrong), "{keys}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn two_sinks_do_not_write_one_file() {
    let folder = TempDir::new().unwrap();
    let sinks = |second: &str| {
        let sink = |name: &str, path: &str| {
            format!("[[sink]]\nname = \"{name}\"\nkind = \"file\"\npath = \"{path}\"\n")
        };
        format!("{RIGHT}{}{}", sink("a", "copy.jsonl"), sink("b", second))
    };
    let told = |second| mistakes(folder.path(), &sinks(second), &[]);
    assert_eq!(told("other.jsonl"), [""; 0]);
    for same in ["copy.jsonl", "./copy.jsonl", "none/../copy.jsonl"] {
        let told = told(same);
        assert!(
            told[0].contains("another sink writes this file"),
            "{told:?}"
        );
    }
}

#[test]
fn databases_that_cannot_be_reached_are_told_with_their_line() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    let database = |lines: &str| {
        format!(
            "{RIGHT}[[connection]]\nname = \"orders\"\nprotocol = \"postgres\"\n\
             upstream = \"postgres://app@db/orders\"\n{lines}\n"
        )
    };
    let told = |lines: &str| mistakes(folder.path(), &database(lines), &[]);
    assert_eq!(told("listen = \"127.0.0.1:6432\""), [""; 0]);
    for (lines, expected) in [
        (
            "listen = \"127.0.0.1:6432\"\ncredential = { env = \"NOT_SET\" }",
            "line 11: connection `orders`: environment variable NOT_SET is not set",
        ),
        (
            "listen = \"127.0.0.1:6432\"\nca_file = \"ca.pem\"",
            "line 11: connection `orders`: the authorities are no certificates in PEM",
        ),
        (
            "listen = \"0.0.0.0:6432\"",
            "line 11: connection `orders`: TLS needs the certificate of [gateway.tls]; without it \
             say `tls = \"off\"`",
        ),
        (
            "listen = \"127.0.0.1:8081\"",
            "line 11: connection `orders`: 127.0.0.1:8081 is taken",
        ),
        (
            "listen = \"127.0.0.1:6432\"\nmask = { wire = \"default\", restore = true }",
            "line 16: `restore` has no place on a database's connection: statements are not rewritten",
        ),
    ] {
        assert!(
            told(lines).iter().any(|one| one == expected),
            "{:?}",
            told(lines)
        );
    }
}
