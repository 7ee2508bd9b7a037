//! `tollbook replay --to`.

use std::{env, process::ExitCode};

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tollbook_replay::{Comparison, Pair, RecordedExchange, Resend};

use super::{Replay, failed};
use crate::{
    exit::Failure,
    print::{self, Tone, field, heading, inert, tone},
};

/// How many lines of a text are shown that are not the same, on either side.
const LINES: usize = 12;

impl Replay {
    pub(super) async fn resend(&self) -> Result<ExitCode, Failure> {
        let to = self.way.to.as_deref().unwrap_or_default();
        let (reader, found) = self.selected()?;
        let masker = self.masker(&reader, found.first())?;
        let mut upstream = Resend::to(to, masker).map_err(failed)?;
        for header in &self.header_env {
            let (name, value) = header_of(header)?;
            upstream = upstream.header(name, value);
        }
        if let Some(model) = &self.model {
            upstream = upstream.model(model.clone());
        }
        let (mut sent, mut left_out, mut different, mut masked) = (0_u64, 0_u64, 0_u64, 0_u64);
        for id in found {
            let record = reader
                .exchange(&id.to_string())
                .map_err(|error| Failure::unknown("cannot read the book", error))?;
            let recorded = RecordedExchange::from_json(record.unwrap_or_default());
            let Some(comparison) = upstream.compare(&recorded).await.map_err(failed)? else {
                left_out += 1;
                continue;
            };
            sent += 1;
            different += u64::from(!comparison.differs.is_empty());
            masked += u64::from(comparison.placeholders > 0);
            if self.form.json {
                print::json(&comparison)?;
            } else {
                print::page(&told(&comparison))?;
            }
        }
        if sent == 0 {
            return Err(Failure::no(
                "none of these exchanges is sent again: only messages, counts of tokens and \
                 questions about models are, that were allowed and are still whole in the book",
            ));
        }
        let same = sent - different;
        print::aside(&format!(
            "{sent} sent: {same} answered as then, {different} not; {left_out} not sent"
        ));
        if masked > 0 {
            print::aside(&format!(
                "{masked} of the requests have [REDACTED:…] where something was masked, so they are \
                 not what was asked then"
            ));
        }
        Ok(self.code(different > 0))
    }
}

/// A header from `NAME=VARIABLE`. The value is never shown.
fn header_of(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::usage(format!("`{text}` is not NAME=VARIABLE"));
    let (name, variable) = text.split_once('=').ok_or_else(wrong)?;
    let name: HeaderName = name.parse().map_err(|_| wrong())?;
    let value = env::var(variable)
        .map_err(|_| Failure::usage(format!("the variable {variable} is not set")))?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| Failure::usage(format!("the value of {variable} cannot stand in a header")))?;
    Ok((name, value))
}

fn told(comparison: &Comparison) -> Vec<String> {
    let verdict = if comparison.differs.is_empty() {
        tone("as then", Tone::Good)
    } else {
        let differs = format!("not the same: {}", comparison.differs.join(", "));
        tone(&differs, Tone::Bad)
    };
    let mut page = vec![format!(
        "{}  {}  {verdict}",
        heading(&comparison.exchange),
        inert(&comparison.action)
    )];
    let mut pair = |name: &str, both: &Pair<Value>| {
        if both.differs() {
            let line = format!("{} → {}", shown(&both.recorded), shown(&both.now));
            page.push(field(name, &line));
        }
    };
    pair(
        "status",
        &Pair {
            recorded: json!(comparison.status.recorded),
            now: json!(comparison.status.now),
        },
    );
    pair("model", &comparison.model);
    pair("stopped", &comparison.stop_reason);
    pair("error", &comparison.error);
    if comparison.text.differs() {
        page.push(field(
            "text",
            &difference(&comparison.text.recorded, &comparison.text.now),
        ));
    }
    if comparison.tool_calls.differs() {
        let lines = |calls: &[Value]| {
            let calls = calls.iter().map(|call| {
                let name = call["name"].as_str().unwrap_or_default();
                format!("{name} {}", call["input"])
            });
            calls.collect::<Vec<_>>().join("\n")
        };
        let (then, now) = (&comparison.tool_calls.recorded, &comparison.tool_calls.now);
        page.push(field("calls", &difference(&lines(then), &lines(now))));
    }
    let tokens = |usage: &Value| {
        let count = |key: &str| usage[key].as_u64().unwrap_or_default();
        format!("{} + {}", count("input_tokens"), count("output_tokens"))
    };
    let usage = &comparison.usage;
    page.push(field(
        "tokens",
        &format!("{} → {}", tokens(&usage.recorded), tokens(&usage.now)),
    ));
    let timing = &comparison.timing;
    let seconds = |micros: u64| format!("{:.2} s", micros as f64 / 1e6);
    page.push(field(
        "took",
        &format!(
            "{} → {}",
            seconds(timing.recorded.total),
            seconds(timing.now.total)
        ),
    ));
    if comparison.placeholders > 0 {
        let line = format!("{} places of the request", comparison.placeholders);
        page.push(field("masked", &line));
    }
    page
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => inert(text),
        other => inert(&other.to_string()),
    }
}

/// The lines that are not the same, between those at the beginning and the end that are.
fn difference(then: &str, now: &str) -> String {
    let (then, now): (Vec<&str>, Vec<&str>) = (then.lines().collect(), now.lines().collect());
    let before = then.iter().zip(&now).take_while(|(a, b)| a == b).count();
    let (then, now) = (&then[before..], &now[before..]);
    let after = then
        .iter()
        .rev()
        .zip(now.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut lines = Vec::new();
    for (mark, side, meant) in [("-", then, Tone::Bad), ("+", now, Tone::Good)] {
        let own = &side[..side.len() - after];
        for line in own.iter().take(LINES) {
            lines.push(tone(&format!("{mark} {}", inert(line)), meant));
        }
        if own.len() > LINES {
            let more = format!("{mark} … {} more lines", own.len() - LINES);
            lines.push(tone(&more, Tone::Aside));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        let shown = difference("a\nb\nc", "a\nx\ny\nc");
        assert_eq!(plain(&shown), "- b\n+ x\n+ y");
        assert_eq!(plain(&difference("a", "a\u{1b}[2J")), "- a\n+ a\\u{1b}[2J");
        let long = "l\n".repeat(20);
        assert!(plain(&difference(&long, "")).ends_with("- … 8 more lines"));
    }

    #[test]
    fn a_credential_is_in_no_message() {
        let Err(error) = header_of("x-api-key=TOLLBOOK_TEST_NO_SUCH") else {
            panic!("the variable is not set");
        };
        assert_eq!(
            error.message(),
            "the variable TOLLBOOK_TEST_NO_SUCH is not set"
        );
        assert!(header_of("x-api-key").is_err());
        assert!(header_of("a header=PATH").is_err());
    }
}
