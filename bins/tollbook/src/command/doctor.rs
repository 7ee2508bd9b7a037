//! `tollbook doctor`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tollbook_gateway::Plan;

use crate::{
    command::{Configuration, Form, token},
    exit::Failure,
    print::{self, Tone, inert, tone},
};

/// A clock that is further off than this makes tokens fail, in seconds.
const SKEW: i64 = 30;
/// The variable that overrides where a gateway keeps its data.
const DATA: &str = "TOLLBOOK_GATEWAY__DATA";

/// Find the usual mistakes: in a job's environment, in its token, and in a gateway's
/// configuration.
///
/// Looks at the environment variables that Claude Code and the official SDKs read, at the job's
/// token if there is one, and asks the gate whether it is there. Where there is a configuration, it
/// is checked, and its issuers are asked for their keys. Prints no secret.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    form: Form,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    result: Found,
    /// What was seen, and what to do about it.
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    Good,
    Wrong,
    Unknown,
}

#[derive(Debug, Default)]
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, result: Found, what: &str, detail: impl Into<String>) {
        self.0.push(Check {
            what: what.to_owned(),
            result,
            detail: detail.into(),
        });
    }
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let environment: BTreeMap<String, String> = env::vars().collect();
        let mut report = Report::default();
        if self.configuration.file().is_ok() && !is_client(&environment) {
            let detail = "none: this is no client of a gate. To have a job's looked at, run this \
                          with its variables";
            report.add(Found::Good, "variables of clients", detail);
        } else {
            variables(&environment, &mut report);
        }
        let expected = self.configuration(&environment, &mut report).await;
        rule(&environment, &expected, &mut report);
        assertion(&environment, &expected.audiences, now(), &mut report);
        gate(&environment, &mut report).await?;

        let worst = report.0.iter().map(|check| check.result);
        let wrong = worst.clone().any(|found| found == Found::Wrong);
        let unknown = worst.clone().any(|found| found == Found::Unknown);
        if self.form.json {
            report.0.iter().try_for_each(print::json)?;
        } else {
            print::page(&lines(&report))?;
        }
        Ok(ExitCode::from(match (wrong, unknown) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 0,
        }))
    }

    /// Looks at the configuration if there is one, and tells what it expects.
    async fn configuration(
        &self,
        environment: &BTreeMap<String, String>,
        report: &mut Report,
    ) -> Expected {
        let Ok(file) = self.configuration.file() else {
            return Expected::default();
        };
        let what = "configuration";
        // In a folder of its own: keys that a gateway keeps would hide that they cannot be had now.
        let scratch = Scratch::new();
        let mut environment = environment.clone();
        environment.insert(DATA.to_owned(), scratch.0.display().to_string());
        let plan = match Plan::load(&file, environment) {
            Ok(plan) => plan,
            Err(mistakes) => {
                report.add(Found::Wrong, what, mistakes.to_string());
                return Expected::default();
            }
        };
        report.add(Found::Good, what, format!("{} is right", file.display()));
        book(&plan.summary().admin, report).await;
        let without = plan.issuers_without_keys().await;
        for (name, identifier) in plan.issuers() {
            let what = format!("issuer {name}");
            if without.iter().any(|missing| *missing == name) {
                let detail = format!(
                    "no key of {identifier} could be loaded: is it reachable from here, and is \
                     its address right? Tokens of it are refused until then"
                );
                report.add(Found::Wrong, &what, detail);
            } else {
                report.add(Found::Good, &what, "its keys are there");
            }
        }
        Expected {
            audiences: plan.audiences(),
            rules: Some(plan.summary().federation),
        }
    }
}

/// A folder that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("tollbook-doctor-{}", std::process::id());
        Self(env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed holds public keys and nothing else.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What a configuration expects of callers.
#[derive(Debug, Default)]
struct Expected {
    /// The audiences of the issuers, by the issuer's own name for itself.
    audiences: BTreeMap<String, String>,
    /// The ids of the federation rules; `None` without a configuration.
    rules: Option<Vec<String>>,
}

/// Whether this is the environment of somebody who calls a gate. A key of the provider alone says
/// nothing: the gateway itself has one.
fn is_client(environment: &BTreeMap<String, String>) -> bool {
    [
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_FEDERATION_RULE_ID",
        "ANTHROPIC_IDENTITY_TOKEN",
        "ANTHROPIC_IDENTITY_TOKEN_FILE",
    ]
    .iter()
    .any(|name| environment.contains_key(*name))
}

/// The variables that decide which credential a client shows.
fn variables(environment: &BTreeMap<String, String>, report: &mut Report) {
    let get = |name: &str| environment.get(name).map(|value| value.trim());
    for name in [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_FEDERATION_RULE_ID",
        "ANTHROPIC_ORGANIZATION_ID",
        "ANTHROPIC_IDENTITY_TOKEN",
        "ANTHROPIC_IDENTITY_TOKEN_FILE",
        "ANTHROPIC_BASE_URL",
    ] {
        if get(name) == Some("") {
            let detail = "is set and empty, which clients take for a value: unset it".to_owned();
            report.add(Found::Wrong, name, detail);
        }
    }
    for name in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"] {
        if get(name).is_some_and(|value| value.starts_with("sk-ant-")) {
            let detail = "holds a key of the provider. A client shows it to the gate, which \
                          refuses it; and whoever has it needs no gate. Unset it, and revoke it \
                          if jobs have it";
            report.add(Found::Wrong, name, detail);
        }
    }
    let federated = get("ANTHROPIC_FEDERATION_RULE_ID").is_some_and(|id| !id.is_empty());
    if federated {
        let other = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
            .into_iter()
            .find(|name| get(name).is_some());
        if let Some(name) = other {
            let detail = "is set beside ANTHROPIC_FEDERATION_RULE_ID and goes first: clients \
                          do not exchange the job's token then. Unset it";
            report.add(Found::Wrong, name, detail);
        }
        if get("ANTHROPIC_ORGANIZATION_ID").is_none_or(str::is_empty) {
            let detail = "is missing: clients need it to exchange a token. Any UUID will do \
                          where the gate does not ask for one";
            report.add(Found::Wrong, "ANTHROPIC_ORGANIZATION_ID", detail);
        }
        let token = ["ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE"]
            .iter()
            .any(|name| get(name).is_some_and(|value| !value.is_empty()));
        if !token {
            let detail = "is missing: there is no token of the job to exchange";
            report.add(Found::Wrong, "ANTHROPIC_IDENTITY_TOKEN_FILE", detail);
        }
    }
    if get("GITHUB_ACTIONS") == Some("true")
        && get("ACTIONS_ID_TOKEN_REQUEST_URL").is_none_or(str::is_empty)
    {
        let detail = "is not there, so the job can get no token of its own: give it \
                      `permissions: id-token: write`";
        report.add(Found::Wrong, "ACTIONS_ID_TOKEN_REQUEST_URL", detail);
    }
    match get("ANTHROPIC_BASE_URL") {
        None => report.add(
            Found::Wrong,
            "ANTHROPIC_BASE_URL",
            "is not set: clients go straight to the provider, past the gate",
        ),
        Some(url) if url.contains("api.anthropic.com") => report.add(
            Found::Wrong,
            "ANTHROPIC_BASE_URL",
            "names the provider: clients go past the gate",
        ),
        Some("") => {}
        Some(url) => match token::safe(url) {
            Ok(_) => report.add(Found::Good, "ANTHROPIC_BASE_URL", url),
            Err(failure) => {
                report.add(
                    Found::Wrong,
                    "ANTHROPIC_BASE_URL",
                    failure.message().to_owned(),
                );
            }
        },
    }
}

/// Whether there is a rule of this id. The exchange itself does not tell callers.
fn rule(environment: &BTreeMap<String, String>, expected: &Expected, report: &mut Report) {
    let name = "ANTHROPIC_FEDERATION_RULE_ID";
    let id = environment.get(name).map(|id| id.trim());
    let (Some(id), Some(rules)) = (id.filter(|id| !id.is_empty()), &expected.rules) else {
        return;
    };
    if rules.iter().any(|rule| rule == id) {
        report.add(Found::Good, name, format!("names the rule `{id}`"));
    } else {
        let known = match rules.join(", ") {
            none if none.is_empty() => "there is no [[federation]] at all".to_owned(),
            ids => format!("there are {ids}"),
        };
        let detail = format!("no [[federation]] has the id `{id}`: {known}");
        report.add(Found::Wrong, name, detail);
    }
}

/// The job's token: not whether it is genuine, which only its issuer's keys can tell, but whether
/// it could be.
fn assertion(
    environment: &BTreeMap<String, String>,
    audiences: &BTreeMap<String, String>,
    now: i64,
    report: &mut Report,
) {
    let set = |name: &str| {
        environment
            .get(name)
            .filter(|value| !value.trim().is_empty())
    };
    let what = "the job's token";
    let text = if let Some(file) = set("ANTHROPIC_IDENTITY_TOKEN_FILE") {
        match fs::read_to_string(Path::new(file)) {
            Ok(text) => text,
            Err(error) => {
                return report.add(
                    Found::Wrong,
                    what,
                    format!("{file} cannot be read: {error}"),
                );
            }
        }
    } else if let Some(token) = set("ANTHROPIC_IDENTITY_TOKEN") {
        token.clone()
    } else if let Some(token) = set("ANTHROPIC_AUTH_TOKEN").filter(|it| claims(it.trim()).is_some())
    {
        // Shown to the gate as it is. Anything but a JWT is a token of the gate.
        token.clone()
    } else {
        return;
    };
    let Some(claims) = claims(text.trim()) else {
        return report.add(Found::Wrong, what, "is no JSON Web Token");
    };
    let mut faults = Vec::new();
    let time = |name: &str| claims[name].as_i64();
    match time("exp") {
        None => faults.push("it has no time of expiry".to_owned()),
        Some(exp) if exp <= now => faults.push(format!(
            "it expired {} s ago: it has to be written anew while the job runs",
            now - exp
        )),
        Some(_) => {}
    }
    if let Some(issued) = time("iat").filter(|issued| *issued > now + SKEW) {
        faults.push(format!(
            "it was issued {} s in the future: this machine's clock is behind",
            issued - now
        ));
    }
    let issuer = claims["iss"].as_str().unwrap_or_default();
    if let Some(wanted) = audiences.get(issuer) {
        let is = |value: &Value| value.as_str() == Some(wanted);
        let named = is(&claims["aud"])
            || claims["aud"]
                .as_array()
                .is_some_and(|all| all.iter().any(is));
        if !named {
            faults.push(format!(
                "it is made out to {} and not to `{wanted}`: ask for it with that audience",
                inert(&claims["aud"].to_string())
            ));
        }
    } else if !audiences.is_empty() {
        faults.push(format!("its issuer {} is not configured", inert(issuer)));
    }
    if faults.is_empty() {
        report.add(
            Found::Good,
            what,
            format!("could be good; it is from {}", inert(issuer)),
        );
    } else {
        report.add(Found::Wrong, what, faults.join("; "));
    }
}

/// The claims of a token, unverified.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// How the book of the gateway does that runs here, if one does.
async fn book(admin: &str, report: &mut Report) {
    let what = "the book";
    let asked = async {
        let answer = token::client()
            .ok()?
            .get(format!("http://{admin}/readyz"))
            .send();
        answer.await.ok()?.json::<Value>().await.ok()
    };
    let Some(ready) = asked.await else {
        let detail = format!("no gateway answers at {admin}, so it could not be asked");
        return report.add(Found::Good, what, detail);
    };
    let checks = &ready["checks"];
    let mut wrong: Vec<String> = ["journal", "book"]
        .iter()
        .filter_map(|check| checks[*check].as_str())
        .filter(|told| *told != "ok")
        .map(str::to_owned)
        .collect();
    if let Some(unrecorded) = checks["unrecorded"].as_object() {
        let counts = unrecorded.iter();
        let counts = counts.filter(|(_, count)| count.as_u64() != Some(0));
        let counts: Vec<String> = counts
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        wrong.push(format!(
            "not recorded since the gateway began: {}",
            counts.join(", ")
        ));
    }
    if wrong.is_empty() {
        report.add(Found::Good, what, "is being written");
    } else {
        report.add(Found::Wrong, what, wrong.join("; "));
    }
}

/// Whether the gate is there, and how far its clock is from ours.
async fn gate(environment: &BTreeMap<String, String>, report: &mut Report) -> Result<(), Failure> {
    let Some(Ok(url)) = environment
        .get("ANTHROPIC_BASE_URL")
        .map(|url| token::safe(url))
    else {
        return Ok(());
    };
    let before = now();
    let response = match token::client()?.head(url.clone()).send().await {
        Ok(response) => response,
        Err(error) => {
            let error = error.without_url();
            report.add(
                Found::Unknown,
                "the gate",
                format!("{url} is not reachable: {error}"),
            );
            return Ok(());
        }
    };
    if response.headers().contains_key("x-tollbook-exchange") {
        report.add(Found::Good, "the gate", "answers");
    } else {
        let detail = format!("{url} answers, but is no Tollbook: it names no exchange");
        report.add(Found::Wrong, "the gate", detail);
    }
    let date = response
        .headers()
        .get("date")
        .and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else {
        return Ok(());
    };
    let theirs = theirs.timestamp().as_second();
    // The answer was made at some time in between; a second is what the header leaves out.
    let skew = if theirs < before - 1 {
        before - theirs
    } else {
        (theirs - now() - 1).max(0)
    };
    if skew > SKEW {
        let detail = format!(
            "this machine and the gate are {skew} s apart; tokens fail at {SKEW} s. Set the clock \
             of the one that is wrong"
        );
        report.add(Found::Wrong, "clocks", detail);
    } else {
        report.add(Found::Good, "clocks", "agree");
    }
    Ok(())
}

fn lines(report: &Report) -> Vec<String> {
    report
        .0
        .iter()
        .map(|check| {
            let mark = match check.result {
                Found::Good => tone("✓", Tone::Good),
                Found::Wrong => tone("✗", Tone::Bad),
                Found::Unknown => tone("?", Tone::Aside),
            };
            format!("{mark} {}: {}", check.what, inert(&check.detail))
        })
        .collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(environment: &[(&str, &str)]) -> Vec<String> {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut report = Report::default();
        variables(&environment, &mut report);
        let wrong = report
            .0
            .into_iter()
            .filter(|check| check.result == Found::Wrong);
        wrong.map(|check| check.what).collect()
    }

    const BASE: (&str, &str) = ("ANTHROPIC_BASE_URL", "https://gate.example/claude");

    #[test]
    fn the_usual_mistakes_are_found() {
        assert_eq!(wrong(&[BASE, ("ANTHROPIC_AUTH_TOKEN", "a.b.c")]), [""; 0]);
        assert_eq!(
            wrong(&[BASE, ("ANTHROPIC_API_KEY", "sk-ant-api03-x")]),
            ["ANTHROPIC_API_KEY"]
        );
        assert_eq!(
            wrong(&[BASE, ("ANTHROPIC_API_KEY", "")]),
            ["ANTHROPIC_API_KEY"]
        );
        assert_eq!(wrong(&[]), ["ANTHROPIC_BASE_URL"]);
        let rule = ("ANTHROPIC_FEDERATION_RULE_ID", "ci");
        let organization = (
            "ANTHROPIC_ORGANIZATION_ID",
            "00000000-0000-0000-0000-000000000000",
        );
        let file = ("ANTHROPIC_IDENTITY_TOKEN_FILE", "/tmp/token");
        assert_eq!(wrong(&[BASE, rule, organization, file]), [""; 0]);
        assert_eq!(
            wrong(&[BASE, rule, file, ("ANTHROPIC_API_KEY", "x")]),
            ["ANTHROPIC_API_KEY", "ANTHROPIC_ORGANIZATION_ID"]
        );
    }

    fn told(claims: &str, audiences: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let payload = URL_SAFE_NO_PAD.encode(claims);
        fs::write(&file, format!("e30.{payload}.c2ln\n")).unwrap();
        let environment = BTreeMap::from([(
            "ANTHROPIC_IDENTITY_TOKEN_FILE".to_owned(),
            file.display().to_string(),
        )]);
        let audiences = audiences
            .iter()
            .map(|(issuer, audience)| ((*issuer).to_owned(), (*audience).to_owned()))
            .collect();
        let mut report = Report::default();
        assertion(&environment, &audiences, 1_000, &mut report);
        assert_eq!(report.0.len(), 1);
        format!("{:?} {}", report.0[0].result, report.0[0].detail)
    }

    #[test]
    fn a_token_is_looked_at_without_a_key() {
        let ours = [("https://i", "tollbook")];
        let good = r#"{"iss":"https://i","aud":["x","tollbook"],"iat":990,"exp":1300}"#;
        assert!(told(good, &ours).starts_with("Good "));
        assert!(told(good, &[]).starts_with("Good "));
        for (claims, part) in [
            (
                r#"{"iss":"https://i","aud":"tollbook","exp":940}"#,
                "expired 60 s ago",
            ),
            (
                r#"{"iss":"https://i","aud":"acme","exp":1300}"#,
                "not to `tollbook`",
            ),
            (
                r#"{"iss":"https://j","aud":"tollbook","exp":1300}"#,
                "not configured",
            ),
            (
                r#"{"iss":"https://i","aud":"tollbook","iat":1100,"exp":1300}"#,
                "clock is behind",
            ),
            (
                r#"{"iss":"https://i","aud":"tollbook"}"#,
                "no time of expiry",
            ),
            ("[", "no JSON Web Token"),
        ] {
            let told = told(claims, &ours);
            assert!(told.starts_with("Wrong ") && told.contains(part), "{told}");
        }
    }
}
