//! `tollbook replay --serve`.

use std::{process::ExitCode, sync::Arc};

use serde_json::json;
use tokio::net::TcpListener;
use tollbook_replay::{Event, Fallback, How, Pace, Report, Sandbox};

use super::{Replay, failed};
use crate::{
    command::serve::Signals,
    exit::Failure,
    print::{self, Tone, field, heading, inert, tone},
};

/// How many of the exchanges are listed that nobody asked for.
const LISTED: usize = 20;

impl Replay {
    pub(super) async fn serve(&self) -> Result<ExitCode, Failure> {
        let address = self
            .way
            .serve
            .ok_or_else(|| Failure::usage("--serve takes an address"))?;
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(Failure::usage(format!(
                "whoever reaches {address} could read what was recorded; listen on 127.0.0.1, or say \
                 --allow-remote"
            )));
        }
        let mut signals = Signals::listen()?;
        let (reader, found) = self.selected()?;
        let masker = self.masker(&reader, found.first())?;
        let sandbox = tokio::task::block_in_place(|| Sandbox::load(reader, found, masker));
        let mut sandbox = sandbox
            .map_err(failed)?
            .pace(self.pace(Pace::at_once()))
            .watch(if self.form.json { as_json } else { as_text });
        if self.fallback == "next" {
            sandbox = sandbox.fallback(Fallback::Next);
        }
        if self.same_setting {
            sandbox = sandbox.same_setting();
        }
        if self.allow_remote {
            sandbox = sandbox.any_name();
        }
        let answers = sandbox.answers();
        if answers == 0 {
            return Err(Failure::no(
                "none of these exchanges has an answer that could be given again",
            ));
        }
        let sandbox = Arc::new(sandbox);
        let unreachable = |error| Failure::unknown(&format!("cannot listen on {address}"), error);
        let listener = TcpListener::bind(address).await.map_err(unreachable)?;
        let listen = listener.local_addr().map_err(unreachable)?;
        if self.form.json {
            print::json(&json!({
                "event": "listening",
                "listen": listen.to_string(),
                "answers": answers,
                "left_out": sandbox.report().left_out,
            }))?;
        } else {
            print::page(&[
                heading(&format!("the API of then, with {answers} answers")),
                String::new(),
                format!("export ANTHROPIC_BASE_URL=http://{listen}"),
                "export ANTHROPIC_AUTH_TOKEN=replay".to_owned(),
                String::new(),
                "Answers are given as they were recorded, masked. Any credential is taken. Ctrl-C ends it."
                    .to_owned(),
            ])?;
        }
        Arc::clone(&sandbox)
            .serve(listener, async { signals.next().await })
            .await;
        let report = sandbox.report();
        if self.form.json {
            let mut ended = json!(report);
            ended["event"] = "ended".into();
            print::json(&ended)?;
        } else {
            print::page(&told(&report))?;
        }
        Ok(self.code(report.differs()))
    }
}

/// Tells programs what happened. Whoever reads no longer has seen enough.
fn as_json(event: &Event) {
    if print::json(event).is_err() {
        std::process::exit(0);
    }
}

/// Tells people what happened, where that is more than what was expected.
fn as_text(event: &Event) {
    let line = match event {
        Event::Served {
            exchange,
            action,
            how,
            status,
            differs,
        } => {
            let how = match how {
                How::Exact => return print::aside(&format!("{action}: {exchange} ({status})")),
                How::Alike => "the same was said under another setting",
                How::Again => "asked for again",
                How::Next => "nothing fits, this was the closest left",
                _ => "",
            };
            format!("{action}: {exchange} ({status}), {how}{}", places(differs))
        }
        Event::MadeUp { action } => format!("{action}: made up, it is not recorded"),
        Event::Unmatched {
            method,
            path,
            nearest,
            differs,
        } => {
            let nearest = nearest.as_deref().map_or_else(String::new, |nearest| {
                format!("; the nearest is {nearest}{}", places(differs))
            });
            format!("{method} {path}: nothing recorded fits{nearest}")
        }
        _ => return,
    };
    anstream::eprintln!("{}", tone(&inert(&line), Tone::Bad));
}

fn places(differs: &[String]) -> String {
    if differs.is_empty() {
        String::new()
    } else {
        format!(", which differs at {}", differs.join(", "))
    }
}

/// The report for people.
fn told(report: &Report) -> Vec<String> {
    let count = |number: u64, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let served = [
        count(report.exact, "as recorded"),
        count(report.alike, "under another setting"),
        count(report.again, "asked for again"),
        count(report.next, "the closest left"),
        count(report.made_up, "made up"),
    ];
    let served: Vec<String> = served.into_iter().flatten().collect();
    let mut page = vec![
        String::new(),
        field(
            "answered",
            &if served.is_empty() {
                "nothing".to_owned()
            } else {
                served.join(", ")
            },
        ),
    ];
    if report.unmatched > 0 {
        let line = format!(
            "{} requests for which nothing is recorded",
            report.unmatched
        );
        page.push(field("refused", &tone(&line, Tone::Bad)));
    }
    if !report.never_asked.is_empty() {
        page.push(field(
            "not asked",
            &format!("{} exchanges", report.never_asked.len()),
        ));
        let listed = report.never_asked.iter().take(LISTED);
        page.extend(listed.map(|one| format!("{:13}{} {}", "", one.exchange, inert(&one.action))));
        if report.never_asked.len() > LISTED {
            page.push(format!("{:13}…", ""));
        }
    }
    if report.left_out > 0 {
        let line = format!(
            "{} exchanges that have no answer to give: refused unread, unfinished, erased, or of another kind",
            report.left_out
        );
        page.push(field("left out", &line));
    }
    page
}
