//! `tollbook token`.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    command::{Form, remote::Remote},
    exit::Failure,
    print::{self, Table, Tone, inert, local},
};

/// The grant by which a JWT is exchanged (RFC 7523 §2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What the official clients send along with an exchange.
const BETA: &str = "oauth-2025-04-20,oidc-federation-2026-04-01";
/// An organization that means nothing, for gates that do not look at it.
const NO_ORGANIZATION: &str = "00000000-0000-0000-0000-000000000000";

/// Get a gateway token for a CI job, and end tokens before their time.
///
/// The official SDKs and Claude Code exchange their job's token themselves, given environment
/// variables alone. These commands are for everything else.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Exchange(Exchange),
    Helper(Helper),
    List(List),
    Revoke(Revoke),
}

/// Exchange the job's own OIDC token for a gateway token, and print that.
#[derive(Debug, Args)]
pub(crate) struct Exchange {
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    form: Form,
}

/// The same for Claude Code's apiKeyHelper: prints one token and nothing else, and keeps it in a
/// file that only you can read until half of its life is over.
#[derive(Debug, Args)]
pub(crate) struct Helper {
    #[command(flatten)]
    with: With,
    /// Exchange anew, whatever is kept.
    #[arg(long)]
    fresh: bool,
}

/// What is exchanged, and where.
#[derive(Clone, Debug, Args)]
struct With {
    /// The connection's address, such as `https://gate.example/claude`.
    #[arg(
        long,
        value_name = "URL",
        env = "ANTHROPIC_BASE_URL",
        hide_env_values = true
    )]
    base_url: String,
    /// The federation rule that speaks for the job.
    #[arg(
        long,
        value_name = "ID",
        env = "ANTHROPIC_FEDERATION_RULE_ID",
        hide_env_values = true
    )]
    rule: String,
    /// The organization, where the gate looks at it.
    #[arg(
        long,
        value_name = "UUID",
        env = "ANTHROPIC_ORGANIZATION_ID",
        hide_env_values = true
    )]
    organization: Option<String>,
    /// The file with the job's token; else it is in $ANTHROPIC_IDENTITY_TOKEN, or GitHub Actions
    /// is asked for one.
    #[arg(
        long,
        value_name = "FILE",
        env = "ANTHROPIC_IDENTITY_TOKEN_FILE",
        hide_env_values = true
    )]
    identity_token_file: Option<PathBuf>,
    /// The audience to ask GitHub Actions for.
    #[arg(long, value_name = "NAME", default_value = "tollbook")]
    audience: String,
}

/// List gateway tokens, the newest first. The tokens themselves are known to their holders only.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    remote: Remote,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
    #[command(flatten)]
    form: Form,
}

/// End credentials now, also for requests that are held or under way.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    which: Which,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

/// Which credentials end.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The token of this id, as `token list` shows it.
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    /// All that this federation rule spoke for.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// All behind which this issuer stands.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// All of this caller, as `issuer/id`.
    #[arg(long, value_name = "CALLER")]
    identity: Option<String>,
    /// All of this subject, as `issuer/subject`.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// All that came of this job's token.
    #[arg(long, value_name = "HASH")]
    assertion: Option<String>,
}

impl Token {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Exchange(exchange) => exchange.run().await,
            Self::Helper(helper) => helper.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Exchange {
    async fn run(self) -> Result<ExitCode, Failure> {
        let answer = self.with.exchange().await?;
        if self.form.json {
            print::json(&answer)?;
        } else {
            shown(&answer.access_token)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Helper {
    async fn run(self) -> Result<ExitCode, Failure> {
        let kept = self.with.kept()?;
        if !self.fresh
            && let Some(token) = kept.as_ref().and_then(|file| read(file, now()))
        {
            shown(&token)?;
            return Ok(ExitCode::SUCCESS);
        }
        let answer = self.with.exchange().await?;
        if let Some(file) = kept {
            // Whoever cannot keep it exchanges again next time.
            write(&file, &answer, now()).ok();
        }
        shown(&answer.access_token)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a token exchange answers (RFC 6749 §5.1).
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl With {
    async fn exchange(&self) -> Result<Answer, Failure> {
        let client = client()?;
        let assertion = self.assertion(&client).await?;
        let url = format!("{}/v1/oauth/token", self.base_url.trim_end_matches('/'));
        let url = safe(&url)?;
        let organization = self.organization.as_deref().unwrap_or(NO_ORGANIZATION);
        let unreachable = |error: reqwest::Error| {
            Failure::unknown(&format!("{url} is not reachable"), error.without_url())
        };
        let response = client
            .post(url.clone())
            .header("anthropic-beta", BETA)
            .json(&json!({
                "grant_type": JWT_BEARER,
                "assertion": assertion.trim(),
                "federation_rule_id": self.rule,
                "organization_id": organization,
            }))
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        if !status.is_success() {
            let said = answer["error"]["message"]
                .as_str()
                .unwrap_or("no reason given")
                .trim_end_matches('.');
            return Err(Failure::no(format!(
                "the gate refuses the exchange with {status}: {said}. It does not say why; the \
                 record of the exchange does, and `tollbook doctor` finds the usual mistakes"
            )));
        }
        serde_json::from_value(answer)
            .map_err(|_| Failure::Unknown(format!("{url} answers with no token")))
    }

    /// The job's own token.
    async fn assertion(&self, client: &reqwest::Client) -> Result<String, Failure> {
        if let Some(file) = &self.identity_token_file {
            return fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", file.display()))
            });
        }
        let set = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        if let Some(token) = set("ANTHROPIC_IDENTITY_TOKEN") {
            return Ok(token);
        }
        match (
            set("ACTIONS_ID_TOKEN_REQUEST_URL"),
            set("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        ) {
            (Some(url), Some(token)) => github(client, &url, &token, &self.audience).await,
            _ => Err(Failure::usage(
                "there is no identity token: name its file with --identity-token-file, or give the \
                 GitHub Actions job `permissions: id-token: write`",
            )),
        }
    }

    /// Where the helper keeps its token: a file of its own for each gate, rule and job. On a machine
    /// that runs one job after another, a job must not be taken for the one before it.
    fn kept(&self) -> Result<Option<PathBuf>, Failure> {
        let folder = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        let (Some(folder), Some(job)) = (folder, self.job()) else {
            return Ok(None);
        };
        let folder = folder.join("tollbook");
        let made = private_folder(&folder);
        made.map_err(|error| {
            Failure::unknown(
                &format!("cannot use the folder {}", folder.display()),
                error,
            )
        })?;
        let mut hash = Sha256::new();
        for part in [&*self.base_url, &self.rule, &job] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(folder.join(format!("token-{name}.json"))))
    }

    /// What only this job has: its token, or the secret with which it asks for one.
    fn job(&self) -> Option<String> {
        let set = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        match &self.identity_token_file {
            Some(file) => fs::read_to_string(file).ok(),
            None => {
                set("ANTHROPIC_IDENTITY_TOKEN").or_else(|| set("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
            }
        }
    }
}

impl List {
    async fn run(self) -> Result<ExitCode, Failure> {
        let query = [("limit", self.limit.to_string())];
        let answer = self.remote.get("/v1/tokens", &query).await?;
        let all = answer["tokens"].as_array().cloned().unwrap_or_default();
        if self.form.json {
            all.iter().try_for_each(print::json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&[
            "ISSUED", "ID", "RULE", "CALLER", "SUBJECT", "UNTIL", "STATE",
        ]);
        for token in &all {
            let text = |key: &str| inert(token[key].as_str().unwrap_or("-"));
            let state = text("state");
            let meant = if state == "valid" {
                Tone::Good
            } else {
                Tone::Aside
            };
            table.row(vec![
                (local(&text("issued")), Tone::Aside),
                (text("id"), Tone::Plain),
                (text("rule"), Tone::Plain),
                (text("identity"), Tone::Plain),
                (text("subject"), Tone::Plain),
                (local(&text("expires")), Tone::Aside),
                (state, meant),
            ]);
        }
        print::page(&table.lines())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Revoke {
    async fn run(self) -> Result<ExitCode, Failure> {
        let Which {
            token,
            rule,
            issuer,
            identity,
            subject,
            assertion,
        } = self.which;
        let mut body = json!({ "reason": self.reason });
        for (name, value) in [
            ("token", token),
            ("rule", rule),
            ("issuer", issuer),
            ("identity", identity),
            ("subject", subject),
            ("assertion", assertion),
        ] {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        let answer = self.remote.post("/v1/tokens/revoke", &body).await?;
        if self.form.json {
            print::json(&answer)?;
        } else {
            let ended = match answer["revoked"].as_array().map_or(0, Vec::len) {
                1 => "one gateway token ended by it".to_owned(),
                count => format!("{count} gateway tokens ended by it"),
            };
            print::page(&[format!("revoked; {ended}")])?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks GitHub Actions for the job's token, as its documentation of OpenID Connect says.
async fn github(
    client: &reqwest::Client,
    url: &str,
    token: &str,
    audience: &str,
) -> Result<String, Failure> {
    let wrong = || Failure::usage("ACTIONS_ID_TOKEN_REQUEST_URL is no address");
    let mut url = Url::parse(url).map_err(|_| wrong())?;
    url.query_pairs_mut().append_pair("audience", audience);
    let failed = |error: reqwest::Error| {
        Failure::unknown(
            "GitHub Actions gives no identity token",
            error.without_url(),
        )
    };
    let answer: Value = client
        .get(safe(url.as_str())?)
        .bearer_auth(token)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?
        .json()
        .await
        .map_err(failed)?;
    (answer["value"].as_str().map(str::to_owned))
        .ok_or_else(|| Failure::Unknown("GitHub Actions gives no identity token".to_owned()))
}

/// The address, if a secret may be sent there.
pub(super) fn safe(url: &str) -> Result<Url, Failure> {
    let parsed = Url::parse(url).map_err(|_| Failure::usage(format!("`{url}` is no address")))?;
    let loopback = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if parsed.scheme() == "https" || (parsed.scheme() == "http" && loopback) {
        Ok(parsed)
    } else {
        Err(Failure::usage(format!(
            "{url} is not encrypted; a token must not be sent there"
        )))
    }
}

/// A client for the control path.
pub(super) fn client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(|error| Failure::unknown("cannot make an HTTP client", error))
}

/// What the helper keeps.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    /// When half of its life is over, in seconds since 1970.
    until: u64,
}

fn read(file: &Path, now: u64) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(file).ok()?.permissions().mode() & 0o077 != 0 {
            return None;
        }
    }
    let kept: Kept = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (kept.until > now).then_some(kept.token)
}

fn write(file: &Path, answer: &Answer, now: u64) -> io::Result<()> {
    let kept = Kept {
        token: answer.access_token.clone(),
        until: now.saturating_add(answer.expires_in / 2),
    };
    keep(file, &serde_json::to_vec(&kept)?)
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // Under a name of its own first: two processes at once must not mix what they write.
    let other = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&other)?.write_all(bytes)?;
    fs::rename(&other, file)
}

fn private_folder(folder: &PathBuf) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Prints the token and nothing else: whoever calls takes all of it.
fn shown(token: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{token}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::unknown("cannot write to standard output", error))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_token_is_private_and_ends_at_half_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.json");
        let answer = Answer {
            access_token: "gws_x".to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: 600,
            scope: None,
        };
        write(&file, &answer, 1_000).unwrap();
        assert_eq!(read(&file, 1_299).as_deref(), Some("gws_x"));
        assert_eq!(read(&file, 1_300), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            assert_eq!(read(&file, 1_000), None, "readable by others");
        }
    }

    #[test]
    fn secrets_go_to_encrypted_addresses_only() {
        assert!(safe("https://gate.example/claude").is_ok());
        assert!(safe("http://127.0.0.1:8080/claude").is_ok());
        assert!(safe("http://gate.example/claude").is_err());
        assert!(safe("gate.example").is_err());
    }
}
