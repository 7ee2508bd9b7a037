//! What connections of PostgreSQL have of their own.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;
use tollbook_relay::postgres::{Protection, is_local};

use super::{
    super::{
        document::{Placed, Section},
        gateway::address,
        mistake::Located,
    },
    SecretSource, WaitConfig,
};

/// What a connection of PostgreSQL has of its own.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Where clients reach it; none where it is missing.
    pub listen: Option<SocketAddr>,
    /// The upstream's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role that sessions have there.
    pub user: String,
    /// The database.
    pub database: String,
    /// Whether the gate reaches it over TLS.
    pub upstream_tls: bool,
    /// Where the upstream's password is, if it has one.
    pub credential: Option<SecretSource>,
    /// How long what a command printed is used.
    pub credential_ttl: Option<Duration>,
    /// The certificate that the gate shows to the upstream and its key, PEM, if it shows one.
    pub certificate: Option<(Located<PathBuf>, Located<PathBuf>)>,
    /// How long it may take until a session of the upstream has begun.
    pub connect_timeout: Duration,
    /// Whether clients speak TLS, if that is told.
    pub tls: Option<ClientTls>,
    /// The issuer that clients are sent to, where they show tokens by OAuth.
    pub oauth: Option<OAuthConfig>,
    /// What of the rows of a result is recorded.
    pub rows: RowsConfig,
    /// The longest message, in bytes.
    pub max_message: usize,
    /// Columns that policies look out for, and what becomes of their values.
    pub protected_columns: Vec<(String, Protection)>,
    /// Whether an expression over one of them is refused, and not masked.
    pub deny_protected_expressions: bool,
    /// Functions of the operator's that only compute.
    pub harmless_functions: Vec<String>,
    /// How a statement waits for its approval.
    pub approvals: WaitConfig,
}

/// Whether clients speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTls {
    /// All of them.
    Required,
    /// Those that want to.
    Optional,
    /// None.
    Off,
}

/// The issuer that clients are sent to.
#[derive(Clone, Debug)]
pub struct OAuthConfig {
    /// Its address, which begins with `https`.
    pub issuer: String,
    /// What is asked of it.
    pub scope: String,
}

/// What of the rows of a result is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsConfig {
    /// All of them.
    All,
    /// The first so many.
    First(u64),
    /// A keyed digest.
    Digest,
    /// Nothing but their number.
    None,
}

impl fmt::Display for RowsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::First(count) => write!(f, "first {count}"),
            Self::Digest => f.write_str("digest"),
            Self::None => f.write_str("none"),
        }
    }
}

impl PostgresConfig {
    /// The default of `max_message`.
    pub const MAX_MESSAGE: usize = 64 << 20;

    pub(super) fn read(
        section: &Section<'_>,
        folder: &Path,
        upstream: Option<&Placed<String>>,
    ) -> Self {
        let listen = match section.required("listen") {
            Some(_) => address(section, "listen"),
            None => None,
        };
        let mut config = Self {
            listen,
            host: String::new(),
            port: PORT,
            user: String::new(),
            database: String::new(),
            upstream_tls: true,
            credential: None,
            credential_ttl: None,
            certificate: None,
            connect_timeout: section.duration("connect_timeout").unwrap_or(PATIENCE),
            tls: match section.word("tls", &["required", "optional", "off"]) {
                Some("required") => Some(ClientTls::Required),
                Some("optional") => Some(ClientTls::Optional),
                Some(_) => Some(ClientTls::Off),
                None => None,
            },
            oauth: oauth(section),
            rows: rows(section),
            max_message: section.size("max_message").unwrap_or(Self::MAX_MESSAGE),
            protected_columns: protected(section),
            deny_protected_expressions: section.word("protected_expressions", &["mask", "deny"])
                == Some("deny"),
            harmless_functions: section.values("harmless_functions"),
            approvals: waiting(section),
        };
        if config.max_message < LEAST_MESSAGE {
            section.wrong("`max_message` is less than the 64KiB that every session needs");
        }
        if let Some(upstream) = upstream
            && let Err(why) = config.reach(&upstream.value)
        {
            upstream.wrong(section.notes(), format!("`upstream` {why}"));
        }
        config.credential(section, folder);
        config
    }

    /// Takes apart `postgres://app@db.internal:5432/orders?sslmode=verify-full`.
    fn reach(&mut self, upstream: &str) -> Result<(), String> {
        const SHAPE: &str = "is no address; write `\"postgres://app@db.internal:5432/orders\"`";
        let uri: Uri = upstream.parse().map_err(|_| SHAPE)?;
        if !matches!(uri.scheme_str(), Some("postgres" | "postgresql")) {
            return Err(SHAPE.to_owned());
        }
        let authority = uri.authority().ok_or(SHAPE)?;
        let (user, _) = authority.as_str().rsplit_once('@').ok_or(SHAPE)?;
        if user.contains(':') {
            let message = "has no place for a password; name where it is in `credential`";
            return Err(message.to_owned());
        }
        let database = uri.path().strip_prefix('/').unwrap_or_default();
        (self.user, self.database) = (plain(user), plain(database));
        if self.user.is_empty() || self.database.is_empty() || authority.host().is_empty() {
            return Err(SHAPE.to_owned());
        }
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.host = host.to_owned();
        self.port = authority.port_u16().unwrap_or(PORT);
        self.upstream_tls = !is_local(host);
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match (&*name, &*value) {
                ("sslmode", "verify-full") => self.upstream_tls = true,
                ("sslmode", "disable") => self.upstream_tls = false,
                ("sslmode", _) => {
                    return Err("takes `sslmode=verify-full` or `sslmode=disable`: a certificate \
                                that is not verified proves nothing; name its authority in `ca_file`"
                        .to_owned());
                }
                _ => return Err("takes the parameter `sslmode` and no other".to_owned()),
            }
        }
        Ok(())
    }

    fn credential(&mut self, section: &Section<'_>, folder: &Path) {
        if !section.has("credential") {
            return;
        }
        let table = section.table("credential");
        let file = |key| {
            let text: Placed<String> = table.text(key)?;
            Some(text.located(section.notes(), |file| folder.join(file)))
        };
        self.credential_ttl = table.duration("ttl");
        self.certificate = match (file("cert"), file("key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                table.wrong("`cert` and `key` go together");
                None
            }
        };
        let secret = ["env", "file", "command"].map(|key| table.has(key));
        if secret.contains(&true) || self.certificate.is_none() {
            self.credential = SecretSource::of(&table, folder);
        }
        if self.certificate.is_some() && !self.upstream_tls {
            table.wrong(
                "a certificate is shown inside TLS only: `upstream` needs `sslmode=verify-full`",
            );
        }
        table.finish();
    }

    /// Whether its listener can be reached from this machine alone.
    pub(crate) fn is_local(&self) -> bool {
        self.listen
            .is_some_and(|address| address.ip().is_loopback())
    }
}

/// `users.ssn`, or with an operator `users.ssn:partial`.
fn protected(section: &Section<'_>) -> Vec<(String, Protection)> {
    let texts = section.texts("protected_columns").unwrap_or_default();
    let columns = texts.into_iter().filter_map(|text| {
        let (name, operator) = match text.value.rsplit_once(':') {
            Some((name, operator)) => (name, operator),
            None => (&*text.value, "redact"),
        };
        let protection = match operator {
            "redact" => Protection::Redact,
            "null" => Protection::Null,
            "hash" => Protection::Hash,
            "partial" => Protection::Partial,
            _ => {
                let message =
                    "`protected_columns` has redact, null, hash or partial behind the colon";
                text.wrong(section.notes(), message);
                return None;
            }
        };
        Some((name.to_owned(), protection))
    });
    columns.collect()
}

fn rows(section: &Section<'_>) -> RowsConfig {
    if !section.is_table("rows") {
        return match section.word("rows", &["all", "digest", "none"]) {
            Some("digest") => RowsConfig::Digest,
            Some("none") => RowsConfig::None,
            _ => RowsConfig::All,
        };
    }
    let table = section.table("rows");
    let first = table.count("first");
    if first.is_none() {
        table.wrong("`rows` is \"all\", \"digest\", \"none\" or { first = 100 }");
    }
    table.finish();
    first.map_or(RowsConfig::All, RowsConfig::First)
}

fn oauth(section: &Section<'_>) -> Option<OAuthConfig> {
    if !section.has("oauth") {
        return None;
    }
    let table = section.table("oauth");
    let (issuer, scope) = (table.required("issuer"), table.text("scope"));
    if let Some(issuer) = issuer
        .as_ref()
        .filter(|one| !one.value.starts_with("https://"))
    {
        issuer.wrong(
            section.notes(),
            "`issuer` begins with `https://`: clients take no other",
        );
    }
    table.finish();
    Some(OAuthConfig {
        issuer: issuer?.value,
        scope: scope.map_or_else(|| "openid".to_owned(), |scope| scope.value),
    })
}

fn waiting(section: &Section<'_>) -> WaitConfig {
    let table = section.table("approvals");
    let config = WaitConfig {
        notice: table.duration_above_zero("notice"),
        ..WaitConfig::read(&table)
    };
    table.finish();
    config
}

/// A part of an address without its escapes.
fn plain(part: &str) -> String {
    let part = format!("x={}", part.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = form_urlencoded::parse(part.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

const PORT: u16 = 5432;
const PATIENCE: Duration = Duration::from_secs(10);
/// What messages without data may have.
const LEAST_MESSAGE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{Config, ProtocolConfig},
        *,
    };

    fn read(lines: &str) -> (PostgresConfig, Vec<String>) {
        let text = format!(
            "[[issuer]]\nname = \"ci\"\npreset = \"github-actions\"\naudience = \"tollbook\"\n\
             [[connection]]\nname = \"orders\"\nprotocol = \"postgres\"\n{lines}\n"
        );
        let (config, mistakes) = Config::read(&text, Path::new("/etc/tollbook"), []);
        let ProtocolConfig::Postgres(own) = config.connections[0].protocol.clone() else {
            panic!("no PostgreSQL");
        };
        (
            *own,
            mistakes.iter().map(|one| one.message.clone()).collect(),
        )
    }

    /// With everything that is required.
    fn with(upstream: &str, lines: &str) -> (PostgresConfig, Vec<String>) {
        read(&format!(
            "listen = \"127.0.0.1:6432\"\nupstream = \"{upstream}\"\n{lines}"
        ))
    }

    const DB: &str = "postgres://app@db.internal/orders";

    #[test]
    fn an_upstream_is_taken_apart() {
        for (upstream, user, host, port, database, tls) in [
            (DB, "app", "db.internal", 5432, "orders", true),
            (
                "postgresql://a%40b@[::1]:6000/x%20y",
                "a@b",
                "::1",
                6000,
                "x y",
                false,
            ),
            (
                "postgres://app@localhost/o?sslmode=verify-full",
                "app",
                "localhost",
                5432,
                "o",
                true,
            ),
            (
                "postgres://app@db/o?sslmode=disable",
                "app",
                "db",
                5432,
                "o",
                false,
            ),
        ] {
            let (own, mistakes) = with(upstream, "");
            assert_eq!(mistakes, [""; 0], "{upstream}");
            let found = (
                &*own.user,
                &*own.host,
                own.port,
                &*own.database,
                own.upstream_tls,
            );
            assert_eq!(found, (user, host, port, database, tls), "{upstream}");
        }
        let secret = "postgres://app:hun".to_owned() + "ter2@db/o";
        for (upstream, told) in [
            (&*secret, "no place for a password"),
            ("https://app@db/orders", "is no address"),
            ("postgres://db/orders", "is no address"),
            ("postgres://app@db", "is no address"),
            (
                "postgres://app@db/o?sslmode=require",
                "`sslmode=verify-full`",
            ),
            ("postgres://app@db/o?application_name=x", "no other"),
        ] {
            let (_, mistakes) = with(upstream, "");
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(told), "{mistakes:?}");
            assert!(!mistakes[0].contains("hunter"), "{mistakes:?}");
        }
    }

    #[test]
    fn what_is_told_counts_and_what_is_wrong_is_told() {
        let (own, mistakes) = with(
            DB,
            "credential = { file = \"pw\", cert = \"c\", key = \"k\" }\nrows = { first = 7 }\n\
             tls = \"optional\"\nmax_message = \"1MiB\"\nprotected_columns = [\"a.b\", \"c:partial\"]\n\
             approvals = { hold = \"5s\", notice = \"1s\", mode = \"fail_fast\" }\n\
             oauth = { issuer = \"https://issuer.example\" }",
        );
        assert_eq!(mistakes, [""; 0]);
        assert_eq!(
            (own.rows, own.tls),
            (RowsConfig::First(7), Some(ClientTls::Optional))
        );
        assert_eq!(
            (own.max_message, &*own.protected_columns),
            (
                1 << 20,
                &[
                    ("a.b".to_owned(), Protection::Redact),
                    ("c".to_owned(), Protection::Partial)
                ][..]
            )
        );
        let wait = &own.approvals;
        assert_eq!(
            (wait.hold, wait.fail_fast),
            (Some(Duration::from_secs(5)), true)
        );
        assert_eq!(
            own.oauth.map(|oauth| oauth.scope).as_deref(),
            Some("openid")
        );
        assert!(own.credential.is_some() && own.certificate.is_some());

        for (lines, told) in [
            ("credential = { }", "one of `env`, `file` and `command`"),
            ("credential = { cert = \"c\" }", "go together"),
            (
                "credential = { env = \"A\", header = \"x\" }",
                "unknown key `header`",
            ),
            ("rows = { last = 3 }", "{ first = 100 }"),
            ("rows = \"some\"", "`rows` cannot be"),
            ("tls = \"maybe\"", "`tls` cannot be"),
            ("max_message = \"1KiB\"", "64KiB"),
            ("oauth = { issuer = \"http://issuer\" }", "https://"),
            ("approvals = { quiet = \"5s\" }", "unknown key `quiet`"),
            ("tools = \"judge\"", "unknown key `tools`"),
        ] {
            let (_, mistakes) = with(DB, lines);
            assert!(
                mistakes.iter().any(|one| one.contains(told)),
                "{lines}: {mistakes:?}"
            );
        }
        let (_, mistakes) = read("");
        assert!(
            mistakes
                .iter()
                .any(|one| one.contains("`listen` is missing")),
            "{mistakes:?}"
        );
    }
}
