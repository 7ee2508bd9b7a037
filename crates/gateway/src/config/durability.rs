//! What must be durable on a connection before what passes, and what passes when nothing can be.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tollbook_exchange::{Draft, Timestamp};
use tollbook_recording::{Allow, OnFailure, Reads, Release, Spool};

use super::document::Section;
use crate::{claude, sessions};

/// What must be durable on a connection before what passes, and what passes when nothing can be.
#[derive(Clone, Debug, Default)]
pub struct Durability {
    /// How answers pass that must be durable first; `None` where only requests must be.
    pub release: Option<Release>,
    /// What becomes of requests that cannot be recorded.
    pub on_failure: Arc<OnFailure>,
}

impl Durability {
    /// Of a connection of the Claude API: `intent` unless told, and a GET only reads.
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self::of(section, "intent", claude::only_reads)
    }

    /// Of a database's: `release` unless told, and a statement only reads whose class says so.
    pub(super) fn of_sessions(section: &Section<'_>) -> Self {
        Self::of(section, "release", sessions::only_reads)
    }

    fn of(section: &Section<'_>, usual: &'static str, reads: fn(&Draft) -> bool) -> Self {
        let level = section.word("record", &["intent", "release"]);
        let level = level.or(Some(usual));
        let steps = section.table("release");
        let usual = Release::default();
        let step = steps.size("step").unwrap_or(usual.step);
        let within = steps.duration("within").unwrap_or(usual.within);
        let strict = steps.flag("strict").unwrap_or(false);
        if section.has("release") && level != Some("release") {
            steps.wrong("`release` says how answers pass where `record = \"release\"`");
        }
        if strict && (steps.has("step") || steps.has("within")) {
            steps.wrong("with `strict` each piece is a step; leave `step` and `within` out");
        }
        if step == 0 {
            steps.wrong("a `step` of nothing is none; write `strict = true` for each piece");
        }
        steps.finish();
        let release = match strict {
            true => Release::strict(),
            false => Release::new(step.max(1), within),
        };
        Self {
            release: (level == Some("release")).then_some(release),
            on_failure: Arc::new(on_failure(section, reads)),
        }
    }

    /// The level, as records name it.
    pub fn level(&self) -> &'static str {
        match self.release {
            Some(_) => "release",
            None => "intent",
        }
    }

    /// What becomes of requests that cannot be recorded, as it stands now.
    pub(crate) fn now(&self) -> &'static str {
        match &*self.on_failure {
            OnFailure::Allow(allow) if !allow.is_open() => "block",
            policy => policy.as_str(),
        }
    }

    /// Both, for those who watch the gateway.
    pub(crate) fn told(&self) -> Value {
        let mut told = json!({ "record": self.level(), "on_record_failure": self.now() });
        if let OnFailure::Allow(allow) = &*self.on_failure {
            told["allow"] = json!(allow);
        }
        told
    }

    /// The same in a sentence, for a person.
    pub fn sentence(&self) -> String {
        let durable = match &self.release {
            None => "requests before they are forwarded".to_owned(),
            Some(release) if *release == Release::strict() => {
                "requests before they are forwarded, and each piece of an answer before it passes"
                    .to_owned()
            }
            Some(release) => format!(
                "requests before they are forwarded, and answers before they pass, in steps of {} \
                 KiB or {} ms",
                release.step.div_ceil(1 << 10),
                release.within.as_millis()
            ),
        };
        let otherwise = match &*self.on_failure {
            OnFailure::Block => "what cannot be recorded is refused".to_owned(),
            OnFailure::BlockWrites(_) => {
                "what cannot be recorded is refused, unless it only reads".to_owned()
            }
            OnFailure::Spool(spool) => format!(
                "what cannot be recorded waits in memory, {} KiB of it for {} s",
                spool.bytes >> 10,
                spool.time.as_secs()
            ),
            OnFailure::Allow(allow) if allow.is_open() => format!(
                "WHAT CANNOT BE RECORDED PASSES UNTIL {}, signed off by {}: {}",
                allow.until, allow.approved_by, allow.reason
            ),
            OnFailure::Allow(allow) => format!(
                "what cannot be recorded is refused, since the permission ended at {}",
                allow.until
            ),
            _ => "what cannot be recorded is refused".to_owned(),
        };
        format!("{durable}; {otherwise}")
    }
}

fn on_failure(section: &Section<'_>, reads: fn(&Draft) -> bool) -> OnFailure {
    let words = ["block", "block_writes", "spool", "allow"];
    let word = section.word("on_record_failure", &words);
    let spool = section.table("spool");
    let usual = Spool::default();
    let read = Spool {
        bytes: spool.size("size").unwrap_or(usual.bytes),
        time: spool.duration_above_zero("time").unwrap_or(usual.time),
    };
    if section.has("spool") && word != Some("spool") {
        spool.wrong("`spool` says how much may wait where `on_record_failure = \"spool\"`");
    }
    if read.bytes > LARGEST_SPOOL {
        spool.wrong("a spool holds at most 48MiB");
    }
    spool.finish();
    let permission = section.table("unrecorded");
    let allow = match word {
        Some("allow") => allow(section, &permission),
        _ => {
            if section.has("unrecorded") {
                permission.wrong(
                    "`unrecorded` says who lets what pass where `on_record_failure = \"allow\"`",
                );
            }
            // Known all the same.
            for key in ["until", "reason", "approved_by"] {
                permission.has(key);
            }
            None
        }
    };
    permission.finish();
    match word {
        Some("block_writes") => OnFailure::BlockWrites(Reads::new(reads)),
        Some("spool") => OnFailure::Spool(read),
        // What is wrong with it was told.
        Some("allow") => allow.map_or(OnFailure::Block, OnFailure::Allow),
        _ => OnFailure::Block,
    }
}

/// Who lets requests pass without a record, until when, and why: none of it can be left out.
fn allow(section: &Section<'_>, permission: &Section<'_>) -> Option<Allow> {
    if !section.has("unrecorded") {
        section.wrong(
            "`on_record_failure = \"allow\"` needs `unrecorded = { until = \"2026-12-01T00:00:00Z\", \
             reason = \"…\", approved_by = \"…\" }`",
        );
        return None;
    }
    let until = permission.required("until");
    let reason = permission.required("reason");
    let approved_by = permission.required("approved_by");
    let time = until.as_ref().and_then(|until| {
        let time: Option<Timestamp> = until.value.parse().ok();
        let latest = Timestamp::now().after_micros(MICROS_OF_A_YEAR);
        match time {
            None => until.wrong(
                section.notes(),
                "`until` is no time; write `\"2026-12-01T00:00:00Z\"`",
            ),
            Some(time) if time > latest => until.wrong(
                section.notes(),
                "`until` is more than a year away: what never ends is no exception",
            ),
            Some(time) => return Some(time),
        }
        None
    });
    Some(Allow {
        until: time?,
        reason: reason?.value,
        approved_by: approved_by?.value,
    })
}

/// What is spooled waits in the queue of the recorder, which has 64 MiB for all connections.
const LARGEST_SPOOL: usize = 48 << 20;
const MICROS_OF_A_YEAR: u64 = Duration::from_secs(366 * 24 * 3600).as_secs() * 1_000_000;
