//! A session told as a conversation: what each exchange brought to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::{Value, json};
use tollbook_exchange::ExchangeId;
use tollbook_recording::Reader;

use crate::{
    Error, Index, Sql,
    blocks::{Block, Said, blocks},
    facts::{Spent, masked_in},
};

/// One exchange of a session, with what it brought to the conversation: history that was sent again
/// is left out.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Turn {
    /// The exchange.
    pub id: ExchangeId,
    /// The index of its first entry in the log.
    pub index: u64,
    /// When it began, as an RFC 3339 time.
    pub started: Value,
    /// When it ended; null while it is under way.
    pub ended: Value,
    /// Which conversation of the session it belongs to, from 1: agents have others beside the main
    /// one. Two are the same if they began with the same words of the user.
    pub thread: Option<usize>,
    /// What was asked for.
    pub action: Value,
    /// The models, as asked for and as served.
    pub model: Value,
    /// Verdict, rules, and the approval that let it through.
    pub decision: Value,
    /// How it ended.
    pub outcome: Value,
    /// The status that the caller saw.
    pub status: Value,
    /// Why the gate refused it.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub refusal: Value,
    /// The error of the upstream.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub error: Value,
    /// What was masked: rule and count.
    pub masked: BTreeMap<String, u64>,
    /// What the answer took, as the upstream counts.
    pub usage: Value,
    /// What that costs in US dollars.
    pub cost: Option<f64>,
    /// What was said.
    pub said: Vec<Part>,
    /// How many blocks were sent that the session has had before.
    pub repeated: usize,
}

/// One thing that was said, thought, called or given back.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// `system`, `prompt`, `answer`, `thinking`, `call`, `result` or `other`; of SQL `statement` and `rows`.
    pub kind: &'static str,
    /// The masked text; the input of a call as JSON.
    pub text: String,
    /// The tool that is called or that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The id of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// What became of a call that was judged, or why a block of another kind is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The rules that judged the call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Whether a tool says that it failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// Tells the exchanges of a session, oldest first, one at a time: sessions may be of any length.
#[derive(Debug)]
pub struct Conversation<'a> {
    book: &'a Reader,
    index: &'a Index,
    turns: std::vec::IntoIter<u64>,
    seen: HashSet<i64>,
    threads: HashMap<i64, usize>,
    tools: HashMap<String, String>,
}

impl<'a> Conversation<'a> {
    /// The conversation of these exchanges, by the indexes of their first entries, oldest first.
    pub(crate) fn of(book: &'a Reader, index: &'a Index, turns: Vec<u64>) -> Self {
        Self {
            book,
            index,
            turns: turns.into_iter(),
            seen: HashSet::new(),
            threads: HashMap::new(),
            tools: HashMap::new(),
        }
    }

    fn turn(&mut self, index: u64) -> Result<Option<Turn>, Error> {
        let Some(summary) = self.book.summaries(&[index])?.pop() else {
            return Ok(None);
        };
        let Some(record) = self.book.exchange(&summary.id.to_string())? else {
            return Ok(None);
        };
        let blocks = blocks(&record);
        let sql = Sql::of(&record);
        // Statements are no conversation of their own.
        let thread = match sql {
            Some(_) => None,
            None => self.thread(&blocks),
        };
        let (mut said, mut repeated) = (Vec::new(), 0);
        for block in blocks {
            let is_new = self.seen.insert(block.mark());
            if !is_new && !block.brought {
                repeated += 1;
            } else {
                let mut part = self.part(block.said, &record);
                if let (Some(part), Some(sql)) = (&mut part, &sql) {
                    match part.kind {
                        "prompt" => part.kind = "statement",
                        _ => (part.kind, part.text) = ("rows", sql.tables(ROWS)),
                    }
                }
                said.extend(part);
            }
        }
        let mut masked: BTreeMap<String, u64> = BTreeMap::new();
        for finding in masked_in(&record) {
            if let (Some(rule), Some(count)) = (finding["rule"].as_str(), finding["count"].as_u64())
            {
                *masked.entry(rule.to_owned()).or_default() += count;
            }
        }
        let decision = match &record["decision"] {
            Value::Object(decision) => json!({
                "verdict": decision.get("verdict"),
                "rules": decision.get("rules"),
                "approval": decision.get("approval"),
            }),
            _ => Value::Null,
        };
        Ok(Some(Turn {
            id: summary.id,
            index,
            started: record["started"].clone(),
            ended: record["ended"].clone(),
            thread,
            action: record["action"]["name"].clone(),
            model: match &record["model"] {
                Value::Null => json!({ "requested": record["action"]["model"] }),
                model => model.clone(),
            },
            decision,
            outcome: record["outcome"].clone(),
            status: record["status"].clone(),
            refusal: record["refusal"].clone(),
            error: record["error"].clone(),
            masked,
            usage: record["usage"].clone(),
            cost: Spent::of(&record, self.index.prices()).map(|spent| dollars(spent.cost)),
            said,
            repeated,
        }))
    }

    fn thread(&mut self, blocks: &[Block]) -> Option<usize> {
        let opens = |block: &&Block| matches!(block.said, Said::Prompt(_));
        let mark = blocks.iter().find(opens)?.mark();
        let next = self.threads.len() + 1;
        Some(*self.threads.entry(mark).or_insert(next))
    }

    fn part(&mut self, said: Said, record: &Value) -> Option<Part> {
        let mut part = Part {
            kind: "other",
            text: String::new(),
            tool: None,
            call: None,
            note: None,
            rules: Vec::new(),
            failed: false,
        };
        match said {
            Said::System(text) => (part.kind, part.text) = ("system", text),
            Said::Prompt(text) => (part.kind, part.text) = ("prompt", text),
            Said::Answer(text) => (part.kind, part.text) = ("answer", text),
            // It stands beside what was said.
            Said::Error(_) => return None,
            // The API may keep the text of a thought to itself.
            Said::Thinking(text) if text.is_empty() => return None,
            Said::Thinking(text) => (part.kind, part.text) = ("thinking", text),
            Said::Call {
                id, tool, input, ..
            } => {
                self.tools.insert(id.clone(), tool.clone());
                let judged = record["tool_decisions"].as_array().into_iter().flatten();
                if let Some(judged) = judged.into_iter().find(|one| one["id"] == *id) {
                    part.note = judged["verdict"].as_str().map(str::to_owned);
                    let rules = judged["rules"].as_array().into_iter().flatten();
                    part.rules = rules.filter_map(Value::as_str).map(str::to_owned).collect();
                }
                part.kind = "call";
                part.text = match input {
                    Value::String(raw) => raw,
                    input => input.to_string(),
                };
                (part.tool, part.call) = (Some(tool), Some(id));
            }
            Said::Result { id, text, failed } => {
                part.kind = "result";
                part.text = text;
                part.tool = self.tools.get(&id).cloned();
                part.call = Some(id);
                part.failed = failed;
            }
            Said::Other { kind, text, .. } => {
                part.text = text;
                part.note = Some(kind);
            }
        }
        Some(part)
    }
}

impl Iterator for Conversation<'_> {
    type Item = Result<Turn, Error>;

    fn next(&mut self) -> Option<Result<Turn, Error>> {
        loop {
            let index = self.turns.next()?;
            // One that is gone since it was looked up is no turn.
            if let Some(turn) = self.turn(index).transpose() {
                return Some(turn);
            }
        }
    }
}

/// The most rows of a result of SQL that are told.
const ROWS: usize = 20;

pub(crate) fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}
