//! `tollbook quickstart`.

mod files;

use std::{
    convert::Infallible,
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tollbook_gateway::{Gateway, Plan, StartError};
use tollbook_recording::{Health, Reader};
use tollbook_testkit::{
    issuer::{self, OidcIssuer},
    upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig},
};

use self::files::{APPROVED_MODEL, Addresses, CONFIGURATION, JOB, KEY, LEAD, RULE};
use crate::{
    command::{Form, log, serve::Signals, token},
    exit::Failure,
    memory,
    print::{self, field, heading},
};

/// The life of the token that is printed for trying things out.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);
/// The life of the tokens in files, as short as that of real ones.
const FILE_LIFE: Duration = Duration::from_secs(600);
/// How often these are written anew.
const RENEWED: Duration = Duration::from_secs(240);
/// An organization that means nothing; clients want one to exchange a token.
const ORGANIZATION: &str = "00000000-0000-0000-0000-000000000000";

/// Run a whole gateway on this machine, with a stand-in for whatever you do not have.
///
/// Starts two development OIDC issuers on loopback, one for programs and one for people, a stand-in
/// for the Claude API (or uses the real one where ANTHROPIC_API_KEY is set), and a gateway in front
/// of it, and prints what to paste into other terminals: to send a call, to send one as a CI job
/// does, and to approve one as a person. What it runs is written into DIR/quickstart.toml, which is
/// its own; a configuration of yours is neither read nor changed. The policies in
/// DIR/quickstart-policies are there to be changed.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Send one streamed call with a secret in it through the gate to the stand-in, print its
    /// record, verify the book, and end. Needs no network, whatever is set.
    #[arg(long)]
    once: bool,
    /// Where the book, quickstart.toml and its policies are kept.
    #[arg(long, value_name = "DIR", default_value = "tollbook-data")]
    dir: PathBuf,
    #[command(flatten)]
    form: Form,
}

impl Quickstart {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log("warn")?;
        memory::keep()?;
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
    issuers: Issuers,
    /// `None` where the real one is used.
    upstream: Option<ClaudeUpstream>,
}

impl Stage {
    /// Sets the stage. For one call alone its ports are any, and its upstream is the stand-in: that
    /// call must cost nothing.
    async fn set(folder: &Path, once: bool) -> Result<Self, Failure> {
        let stand_in = files::stands_in(once);
        let upstream = if stand_in {
            let started = ClaudeUpstream::start(UpstreamConfig::default()).await;
            Some(started.map_err(|error| Failure::unknown("cannot start the stand-in", error))?)
        } else {
            None
        };
        let address = upstream
            .as_ref()
            .map_or("https://api.anthropic.com", ClaudeUpstream::url);
        let issuers = Issuers::start()
            .await
            .map_err(|error| Failure::unknown("cannot start the issuers", error))?;
        let token = issuers
            .developer()
            .map_err(|error| Failure::unknown("cannot sign a token", error))?;

        let folder = files::folder(folder)?;
        let addresses = Addresses {
            jobs: issuers.jobs.issuer_url(),
            people: issuers.people.issuer_url(),
            upstream: address,
        };
        let start = async |any_port| {
            let text = files::configuration(&addresses, any_port);
            let environment = env::vars()
                .filter(|(name, _)| !(stand_in && name == KEY))
                .chain(stand_in.then(|| (KEY.to_owned(), STANDIN_API_KEY.to_owned())));
            let plan = Plan::read(&text, &folder, environment)
                .map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
            Ok((text, Gateway::start(plan).await))
        };
        let (text, gateway) = match start(once).await? {
            // Somebody took a usual port in between.
            (_, Err(StartError::Edge(_))) => start(true).await?,
            started => started,
        };
        let gateway =
            gateway.map_err(|error| Failure::unknown("cannot start the gateway", error))?;
        // Only now: the folder may be that of a quickstart that is still running.
        let file = folder.join(CONFIGURATION);
        fs::write(&file, &text).map_err(|error| {
            Failure::unknown(&format!("cannot write {}", file.display()), error)
        })?;
        Ok(Self {
            folder,
            token,
            gateway,
            issuers,
            upstream,
        })
    }

    /// Runs until it is told to stop.
    async fn play(self, form: Form) -> Result<ExitCode, Failure> {
        let signals = Signals::listen()?;
        self.issuers.write(&self.folder).map_err(|error| {
            let folder = self.folder.display();
            Failure::unknown(&format!("cannot write tokens into {folder}"), error)
        })?;
        if form.json {
            print::json(&json!({
                "base_url": self.base(),
                "token": self.token,
                "admin": format!("http://{}", self.gateway.admin()),
                "config": self.folder.join(CONFIGURATION),
                "policies": files::policies(&self.folder),
                "federation": {
                    "rule": RULE,
                    "organization": ORGANIZATION,
                    "identity_token_file": self.folder.join(JOB),
                },
                "approver_token_file": self.folder.join(LEAD),
                "approved_model": APPROVED_MODEL,
                "upstream": if self.upstream.is_some() { "stand-in" } else { "api.anthropic.com" },
            }))?;
        } else {
            print::page(&self.page())?;
        }
        let code = tokio::select! {
            code = signals.serve(self.gateway) => code,
            never = self.issuers.renew(&self.folder) => match never {},
        };
        drop(self.issuers);
        if let Some(upstream) = self.upstream {
            upstream.shutdown().await;
        }
        code
    }

    fn base(&self) -> String {
        format!("http://{}/claude", self.gateway.address())
    }

    /// What to paste, one block for each terminal.
    fn page(&self) -> Vec<String> {
        let base = self.base();
        let book = self.folder.display();
        let file = |name: &str| self.folder.join(name).display().to_string();
        let upstream = match &self.upstream {
            Some(_) => "a stand-in that echoes (set ANTHROPIC_API_KEY for the real one)",
            None => "https://api.anthropic.com",
        };
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let mut page = vec![
            heading("The gate stands. In another terminal:"),
            String::new(),
        ];
        page.extend(lines(&format!(
            "export ANTHROPIC_BASE_URL={base}\n\
             export ANTHROPIC_AUTH_TOKEN={}\n\
             unset ANTHROPIC_API_KEY",
            self.token
        )));
        page.extend([
            String::new(),
            heading("then Claude Code (claude -p \"hello\"), an official SDK, or:"),
            String::new(),
            files::curl(),
            String::new(),
            heading(
                "As a CI job, without a key (Claude Code and the SDKs exchange the job's token):",
            ),
            String::new(),
        ]);
        page.extend(lines(&format!(
            "export ANTHROPIC_BASE_URL={base}\n\
             export ANTHROPIC_FEDERATION_RULE_ID={RULE}\n\
             export ANTHROPIC_ORGANIZATION_ID={ORGANIZATION}\n\
             export ANTHROPIC_IDENTITY_TOKEN_FILE={}\n\
             unset ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN",
            file(JOB)
        )));
        page.extend([
            String::new(),
            heading(&format!(
                "As a person who approves (ask above for {APPROVED_MODEL}, and decide here):"
            )),
            String::new(),
        ]);
        page.extend(lines(&format!(
            "export TOLLBOOK_ADMIN_URL=http://{}\n\
             export TOLLBOOK_TOKEN_FILE={}\n\
             tollbook approvals list\n\
             tollbook approvals approve ID",
            self.gateway.admin(),
            file(LEAD)
        )));
        page.extend([
            String::new(),
            field("upstream", upstream),
            field("ready?", &format!("http://{}/readyz", self.gateway.admin())),
            field(
                "policies",
                &format!(
                    "{}: change them, then `tollbook policy reload`",
                    files::policies(&self.folder).display()
                ),
            ),
            field(
                "the book",
                &format!("tollbook exchanges list --data {book}"),
            ),
            field("", &format!("tollbook exchanges tail --data {book}")),
            field("", &format!("tollbook verify --data {book}")),
        ]);
        page
    }

    /// Sends one call, shows its record, and proves the book.
    async fn play_once(self, form: Form) -> Result<ExitCode, Failure> {
        let call = self.call().await;
        if let Health::Blocked { reason } = self.gateway.shutdown().await {
            return Err(Failure::Unknown(format!(
                "the book could not be written: {reason}"
            )));
        }
        drop(self.issuers);
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
            let mut page = print::exchange(&record, &[]);
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

/// Who vouches for programs and for people.
struct Issuers {
    jobs: OidcIssuer,
    people: OidcIssuer,
}

impl Issuers {
    async fn start() -> io::Result<Self> {
        Ok(Self {
            jobs: OidcIssuer::start(issuer::Config::default()).await?,
            people: OidcIssuer::start(issuer::Config::default()).await?,
        })
    }

    /// The token that is printed.
    fn developer(&self) -> io::Result<String> {
        self.jobs
            .token("repo:acme/payments:ref:refs/heads/main")
            .audience("tollbook")
            .groups(["developers"])
            .claim("repository", "acme/payments")
            .claim("run_id", "1")
            .lifetime(TOKEN_LIFE)
            .sign()
    }

    /// Writes the token of a job and that of a person who may approve.
    fn write(&self, folder: &Path) -> io::Result<()> {
        let job = self
            .jobs
            .token("repo:acme/payments:ref:refs/heads/main")
            .audience("tollbook")
            .claim("repository", "acme/payments")
            .claim("repository_id", "123456")
            .claim("run_id", "2")
            .lifetime(FILE_LIFE)
            .sign()?;
        token::keep(&folder.join(JOB), job.as_bytes())?;
        let lead = self
            .people
            .token("ana")
            .audience("tollbook")
            .groups(["leads", "platform"])
            .lifetime(FILE_LIFE)
            .sign()?;
        token::keep(&folder.join(LEAD), lead.as_bytes())
    }

    /// Keeps these tokens fresh.
    async fn renew(&self, folder: &Path) -> Infallible {
        loop {
            tokio::time::sleep(RENEWED).await;
            if let Err(error) = self.write(folder) {
                tracing::warn!(%error, "the tokens in the folder could not be renewed");
            }
        }
    }
}
