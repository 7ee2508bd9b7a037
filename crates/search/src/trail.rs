//! The causal trail: which exchange made which happen.
//!
//! A tool call in a recorded answer has an id, and the request that brings its result names that id.
//! Where both belong to one session of one caller, the first made the second happen.
//!
//! A SQL statement names no call. It was made by the call of the same caller whose input holds it, apart
//! from values, and that came last before it: in the same session if there is one, and otherwise within
//! a quarter of an hour.

use serde::Serialize;
use serde_json::Value;
use tollbook_exchange::Timestamp;
use tollbook_recording::{Reader, Summary};

use crate::{
    Clock, Error, ErrorKind, Index, Query, Sql,
    blocks::{Said, blocks},
    sql,
};

/// Why an exchange happened, and what it made happen.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Trail {
    /// The exchange that was asked about.
    pub exchange: Step,
    /// What led to it, the nearest first, back to the exchange in which nothing but a prompt did.
    pub caused_by: Vec<Cause>,
    /// What it made happen, one step on.
    pub causes: Vec<Cause>,
    /// Whether there is more than is told: the way back is longer, or too much would have to be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// An exchange on the trail.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The exchange, as lists have it.
    #[serde(flatten)]
    pub summary: Summary,
    /// What the user said in it, masked; empty where tools alone spoke.
    pub prompt: String,
}

/// A tool call that ties two exchanges together.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Cause {
    /// The exchange at the other end.
    pub exchange: Step,
    /// The tool that was called.
    pub tool: String,
    /// The id of the call.
    pub call: String,
    /// The masked input of the call.
    pub input: Value,
}

impl Index {
    /// Why this exchange happened and what it made happen; `None` if there is no such exchange. At
    /// most `back` steps of the way to it are told, and `forth` of what followed; no more exchanges are
    /// read for each than a few.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::exchange_id`], and when the index cannot be read.
    pub fn trail(
        &self,
        book: &Reader,
        id: &str,
        back: usize,
        forth: usize,
    ) -> Result<Option<Trail>, Error> {
        let Some(record) = book.exchange(id)? else {
            return Ok(None);
        };
        let Some(asked) = Told::of(book, &record)? else {
            return Ok(None);
        };
        // Each exchange that is read brings its whole conversation.
        let mut left = forth.saturating_mul(READ);
        let mut causes = Vec::new();
        let mut cut = false;
        'calls: for (call, tool, input) in &asked.calls {
            for later in self.with_call(book, &asked, call, &mut left)? {
                let follows = later.step.summary.index > asked.step.summary.index;
                if follows && later.results.contains(call) {
                    if causes.len() == forth {
                        cut = true;
                        break 'calls;
                    }
                    causes.push(Cause {
                        exchange: later.step,
                        tool: tool.clone(),
                        call: call.clone(),
                        input: input.clone(),
                    });
                }
            }
        }
        for (call, tool, input) in &asked.calls {
            for statement in sql::in_input(input) {
                for later in self.near(
                    book,
                    &asked,
                    "statement",
                    &statement,
                    Side::After,
                    &mut left,
                )? {
                    // Another call may have come between.
                    let own = self.cause_of_statement(book, &later, &mut left)?;
                    let own = own.is_some_and(|(cause, _)| {
                        (cause.exchange.summary.id, &cause.call) == (asked.step.summary.id, call)
                    });
                    let known = |cause: &Cause| cause.exchange.summary.id == later.step.summary.id;
                    if !own || causes.iter().any(known) {
                        continue;
                    }
                    if causes.len() >= forth {
                        cut = true;
                        break;
                    }
                    causes.push(Cause {
                        exchange: later.step,
                        tool: tool.clone(),
                        call: call.clone(),
                        input: input.clone(),
                    });
                }
            }
        }
        cut |= left == 0;
        causes.sort_by_key(|cause| cause.exchange.summary.index);
        left = back.saturating_mul(READ);
        let mut caused_by: Vec<Cause> = Vec::new();
        let mut from = asked.clone();
        // Each step is earlier than the one before, so that there is an end.
        while let Some((cause, told)) = self.cause(book, &from, &mut left)? {
            if caused_by.len() == back {
                cut = true;
                break;
            }
            caused_by.push(cause);
            from = told;
        }
        cut |= left == 0;
        Ok(Some(Trail {
            exchange: asked.step,
            caused_by,
            causes,
            cut,
        }))
    }

    /// The exchange whose answer called what this one brings the results of.
    fn cause(
        &self,
        book: &Reader,
        of: &Told,
        left: &mut usize,
    ) -> Result<Option<(Cause, Told)>, Error> {
        for result in &of.results {
            for earlier in self.with_call(book, of, result, left)? {
                let made = earlier.calls.iter().find(|(call, ..)| call == result);
                if let Some((call, tool, input)) = made
                    && earlier.step.summary.index < of.step.summary.index
                {
                    let cause = Cause {
                        exchange: earlier.step.clone(),
                        tool: tool.clone(),
                        call: call.clone(),
                        input: input.clone(),
                    };
                    return Ok(Some((cause, earlier)));
                }
            }
        }
        self.cause_of_statement(book, of, left)
    }

    /// The exchange whose answer called a tool with these statements in its input, the last before them.
    fn cause_of_statement(
        &self,
        book: &Reader,
        of: &Told,
        left: &mut usize,
    ) -> Result<Option<(Cause, Told)>, Error> {
        let mut nearest: Option<(Cause, Told)> = None;
        let in_session = |told: &Told| told.step.summary.session == of.step.summary.session;
        for statement in &of.statements {
            for earlier in self.near(book, of, "tool.statement", statement, Side::Before, left)? {
                let holds = |input: &Value| sql::in_input(input).contains(statement);
                // Of two calls of one answer, the first.
                let Some((call, tool, input)) =
                    earlier.calls.iter().find(|(.., input)| holds(input))
                else {
                    continue;
                };
                let rank = |told: &Told| (in_session(told), told.step.summary.index);
                if nearest
                    .as_ref()
                    .is_some_and(|(_, known)| rank(known) >= rank(&earlier))
                {
                    continue;
                }
                let cause = Cause {
                    exchange: earlier.step.clone(),
                    tool: tool.clone(),
                    call: call.clone(),
                    input: input.clone(),
                };
                nearest = Some((cause, earlier));
            }
        }
        Ok(nearest)
    }

    /// The exchanges of the same caller with this statement, on one side of it: in the same session, or
    /// not long before or after.
    fn near(
        &self,
        book: &Reader,
        of: &Told,
        field: &str,
        statement: &str,
        side: Side,
        left: &mut usize,
    ) -> Result<Vec<Told>, Error> {
        let summary = &of.step.summary;
        let at = summary.started.as_micros();
        let (from, before) = match side {
            Side::Before => (at.saturating_sub(NEAR), at.saturating_add(1)),
            Side::After => (at, at.saturating_add(NEAR)),
        };
        let [from, before] = [from, before].map(Timestamp::from_micros);
        let near = format!("{field}:{statement} since:\"{from}\" until:\"{before}\"");
        let near: Query = near.parse().map_err(|_| ErrorKind::Index)?;
        let own = Query::all()
            .with("session", &summary.session.to_string())
            .with(field, statement);
        let mut indexes = Vec::new();
        for query in [own, near] {
            indexes.extend(self.indexes(&query, &Clock::utc(), TIES, None)?);
        }
        indexes.sort_unstable();
        indexes.dedup();
        let mut all = Vec::new();
        // The nearest first, so that what is left to be read goes to them.
        let mut others = book.summaries(&indexes)?;
        others.sort_unstable_by_key(|other| other.index.abs_diff(summary.index));
        for other in others {
            let same_caller =
                (&other.issuer, &other.subject) == (&summary.issuer, &summary.subject);
            let on_side = match side {
                Side::Before => other.index < summary.index,
                Side::After => other.index > summary.index,
            };
            if !same_caller || !on_side {
                continue;
            }
            if *left == 0 {
                break;
            }
            *left -= 1;
            if let Some(record) = book.exchange(&other.id.to_string())? {
                all.extend(Told::of(book, &record)?);
            }
        }
        Ok(all)
    }

    /// The other exchanges of the same session and caller that bring this call or its result, as long
    /// as something is `left` to be read.
    fn with_call(
        &self,
        book: &Reader,
        of: &Told,
        call: &str,
        left: &mut usize,
    ) -> Result<Vec<Told>, Error> {
        let summary = &of.step.summary;
        let query = Query::all()
            .with("session", &summary.session.to_string())
            .with("tool.id", call);
        let indexes = self.indexes(&query, &Clock::utc(), TIES, None)?;
        let mut all = Vec::new();
        for other in book.summaries(&indexes)? {
            let same_caller =
                (&other.issuer, &other.subject) == (&summary.issuer, &summary.subject);
            if other.id == summary.id || !same_caller {
                continue;
            }
            if *left == 0 {
                break;
            }
            *left -= 1;
            if let Some(record) = book.exchange(&other.id.to_string())? {
                all.extend(Told::of(book, &record)?);
            }
        }
        Ok(all)
    }
}

/// Where an exchange stands to another.
#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// How long after a tool call a statement of another session may come, in microseconds.
const NEAR: i64 = 15 * 60 * 1_000_000;
/// How many exchanges with one call are looked at: a call has one result, which may be sent again.
const TIES: usize = 100;
/// How many exchanges are read for each step that may be told, on the whole.
const READ: usize = 8;

/// What an exchange says about calls.
#[derive(Clone)]
struct Told {
    step: Step,
    calls: Vec<(String, String, Value)>,
    results: Vec<String>,
    /// Fingerprints of SQL that it ran.
    statements: Vec<String>,
}

impl Told {
    fn of(book: &Reader, record: &Value) -> Result<Option<Self>, Error> {
        let index = record["ledger"]["intent_index"].as_u64();
        let index = index.unwrap_or(u64::MAX);
        let Some(summary) = book.summaries(&[index])?.pop() else {
            return Ok(None);
        };
        let (mut prompt, mut calls, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for block in blocks(record).into_iter().filter(|block| block.brought) {
            match block.said {
                Said::Prompt(text) => prompt.push(text),
                Said::Call {
                    id, tool, input, ..
                } => calls.push((id, tool, input)),
                Said::Result { id, .. } => results.push(id),
                _ => {}
            }
        }
        let prompt = prompt.join("\n");
        let statements = Sql::of(record).map(|sql| sql::fingerprints(&sql.statement));
        Ok(Some(Self {
            step: Step { summary, prompt },
            calls,
            results,
            statements: statements.unwrap_or_default(),
        }))
    }
}
