//! What a query can be held against: the facts of one exchange.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollbook_budget::{Bill, Prices, Usage};
use tollbook_exchange::Timestamp;
use tollbook_recording::Summary;

use crate::{
    Sql,
    blocks::{Block, Said, blocks, spoken},
    query::{NumberField, Place},
    sql,
};

/// The facts of one exchange, out of its JSON form.
#[derive(Clone, Debug)]
pub struct Facts {
    words: Vec<(String, String)>,
    numbers: BTreeMap<NumberField, i64>,
    started: i64,
    ended: Option<i64>,
    blocks: Vec<Block>,
}

impl Facts {
    /// The facts of an exchange as [`Reader::exchange`](tollbook_recording::Reader::exchange)
    /// gives it, with what it cost by these prices.
    pub fn of(record: &Value, prices: &Prices) -> Self {
        let blocks = blocks(record);
        let mut facts = Self {
            words: Vec::new(),
            numbers: BTreeMap::new(),
            started: micros(&record["started"]).unwrap_or_default(),
            ended: micros(&record["ended"]),
            blocks: Vec::new(),
        };
        facts.who(record);
        facts.what(record);
        facts.became(record);
        facts.sql(record);
        facts.calls(record, &blocks);
        facts.took(record, prices);
        facts.blocks = blocks;
        facts.own(record);
        facts.words.sort_unstable();
        facts.words.dedup();
        facts
    }

    /// What the lists of the book have of an exchange whose record is damaged. Which secrets were
    /// masked in it is not known.
    pub(crate) fn of_row(row: &Summary, prices: &Prices) -> Self {
        let mut facts = Self::of(
            &json!({
                "session": row.session,
                "connection": row.connection,
                "protocol": row.protocol,
                "started": row.started,
                "ended": row.ended,
                "principal": { "kind": row.kind, "issuer": row.issuer, "subject": row.subject },
                "action": { "name": row.action, "model": row.model },
                "decision": { "verdict": row.verdict },
                "outcome": row.outcome,
                "status": row.status,
            }),
            prices,
        );
        facts.push("secret", CUT);
        facts
    }

    /// Fields and their values, in lower case.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        self.words.iter().map(|(field, value)| (&**field, &**value))
    }

    pub(crate) fn number(&self, field: NumberField) -> Option<i64> {
        self.numbers.get(&field).copied()
    }

    pub(crate) const fn started(&self) -> i64 {
        self.started
    }

    pub(crate) const fn ended(&self) -> Option<i64> {
        self.ended
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The texts that this exchange brings, and the setting.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Place, &str)> {
        let own = |block: &&Block| block.brought || matches!(block.said, Said::System(_));
        self.blocks
            .iter()
            .filter(own)
            .map(|block| (block.said.place(), block.text.as_str()))
    }

    fn who(&mut self, record: &Value) {
        let caller = &record["principal"];
        for (field, path) in [
            ("principal.kind", "/kind"),
            ("principal.issuer", "/issuer"),
            ("principal.subject", "/subject"),
            ("principal.actor", "/actor/login"),
            ("principal.actor", "/actor/id"),
            ("principal.environment", "/environment"),
            ("principal.run", "/run/id"),
            ("principal.for", "/on_behalf_of"),
            ("principal.token", "/access/token"),
        ] {
            self.word(field, caller.pointer(path));
        }
        self.all("principal.group", &caller["groups"]);
        self.all("principal.role", &caller["roles"]);
        for (claim, value) in caller["claims"].as_object().into_iter().flatten() {
            let field = format!("principal.{}", claim.to_lowercase());
            match value {
                Value::Array(_) => self.all(&field, value),
                value => self.word(&field, Some(value)),
            }
        }
    }

    fn what(&mut self, record: &Value) {
        for (field, path) in [
            ("session", "/session"),
            ("connection", "/connection"),
            ("protocol", "/protocol"),
            ("action", "/action/name"),
            ("method", "/request/method"),
            ("target", "/request/target"),
            ("model", "/action/model"),
            ("model", "/model/requested"),
            ("model", "/model/served"),
            ("stream", "/action/stream"),
            ("verdict", "/decision/verdict"),
            ("approval", "/decision/approval"),
            ("policy", "/decision/policy_hash"),
        ] {
            self.word(field, record.pointer(path));
        }
        self.all("rule", &record["decision"]["rules"]);
        self.all("label", &record["action"]["labels"]);
        self.count(NumberField::Risk, &record["action"]["risk"]);
    }

    fn sql(&mut self, record: &Value) {
        let Some(sql) = Sql::of(record) else { return };
        let action = &record["action"];
        for (field, fact) in [
            ("table", "tables_read"),
            ("table", "tables_written"),
            ("function", "functions"),
            ("statement_class", "statement_classes"),
            ("statement_kind", "statement_kinds"),
        ] {
            self.all(field, &action[fact]);
        }
        self.word("sqlstate", record.get("sqlstate"));
        self.word("database", action.get("database"));
        for statement in sql::fingerprints(&sql.statement) {
            self.push("statement", &statement);
        }
    }

    fn became(&mut self, record: &Value) {
        match record["outcome"].as_str() {
            Some(_) => self.word("outcome", record.get("outcome")),
            None => self.push("outcome", "open"),
        }
        self.word("refusal", record.pointer("/refusal/code"));
        self.word("error", record.pointer("/error/type"));
        self.word("stop", record.get("stop_reason"));
        let mut masked = 0;
        for finding in record["findings"].as_array().into_iter().flatten() {
            self.word("finding", finding.get("rule"));
            self.all("secret", &finding["digests"]);
            if finding["digests_cut"] == true {
                self.push("secret", CUT);
            }
        }
        for finding in masked_in(record) {
            masked += finding["count"].as_i64().unwrap_or_default();
        }
        self.numbers.insert(NumberField::Masked, masked);
    }

    fn calls(&mut self, record: &Value, blocks: &[Block]) {
        let mut calls = 0;
        for block in blocks.iter().filter(|block| block.brought) {
            match &block.said {
                Said::Call {
                    id, tool, input, ..
                } => {
                    calls += 1;
                    self.push("tool", tool);
                    self.push("tool.id", id);
                    for statement in sql::in_input(input) {
                        self.push("tool.statement", &statement);
                    }
                }
                Said::Result { id, .. } => self.push("tool.id", id),
                _ => {}
            }
        }
        self.numbers.insert(NumberField::Calls, calls);
        for one in record["tool_decisions"].as_array().into_iter().flatten() {
            self.word("tool", one.get("tool"));
            self.word("tool.verdict", one.get("verdict"));
            self.all("rule", &one["rules"]);
        }
    }

    fn took(&mut self, record: &Value, prices: &Prices) {
        self.count(NumberField::Status, &record["status"]);
        self.count(NumberField::BytesIn, &record["request"]["bytes"]);
        self.count(NumberField::BytesOut, &record["response"]["bytes"]);
        self.count(NumberField::FirstByte, &record["response"]["first_byte"]);
        self.count(NumberField::Index, &record["ledger"]["intent_index"]);
        if let Some(ended) = self.ended {
            let took = ended.saturating_sub(self.started);
            self.numbers.insert(NumberField::Duration, took);
        }
        if let Some(Spent { usage, cost }) = Spent::of(record, prices) {
            let all = usage.prompt().saturating_add(usage.output);
            for (field, number) in [
                (NumberField::Tokens, all),
                (NumberField::TokensIn, usage.input),
                (NumberField::TokensOut, usage.output),
                (NumberField::TokensCached, usage.cache_read),
                (
                    NumberField::TokensWritten,
                    usage.cache_write.saturating_add(usage.cache_write_1h),
                ),
                (NumberField::Cost, cost),
            ] {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                self.numbers.insert(field, number);
            }
        }
    }

    /// What the gate's own acts say stands in their action, and in no body.
    fn own(&mut self, record: &Value) {
        if !record["connection"]
            .as_str()
            .is_some_and(|name| name.starts_with('('))
        {
            return;
        }
        let mut action = record["action"].clone();
        // What somebody looked for would stay here when it is erased where it was found.
        if let Some(facts) = action.as_object_mut() {
            facts.remove("query");
        }
        let text = spoken(&action);
        if !text.is_empty() {
            self.blocks.push(Block::new(Said::Prompt(text), true));
        }
    }

    fn word(&mut self, field: &str, value: Option<&Value>) {
        match value {
            Some(Value::String(text)) => self.push(field, text),
            Some(Value::Number(number)) => self.push(field, &number.to_string()),
            Some(Value::Bool(is)) => self.push(field, if *is { "true" } else { "false" }),
            _ => {}
        }
    }

    fn all(&mut self, field: &str, values: &Value) {
        for value in values.as_array().into_iter().flatten() {
            self.word(field, Some(value));
        }
    }

    fn push(&mut self, field: &str, value: &str) {
        self.words.push((field.to_owned(), value.to_lowercase()));
    }

    fn count(&mut self, field: NumberField, value: &Value) {
        if let Some(number) = value.as_i64() {
            self.numbers.insert(field, number);
        }
    }
}

/// What an exchange has for a digest that had more secrets than digests are kept, or whose record
/// cannot be read.
pub(crate) const CUT: &str = "more";

/// What an answer took, and what that costs in millionths of a dollar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    pub(crate) cost: u64,
}

impl Spent {
    /// `None` where the upstream said nothing of it.
    pub(crate) fn of(record: &Value, prices: &Prices) -> Option<Self> {
        let object = record["usage"].as_object()?;
        let usage = Usage::from_object(object);
        let model = [&record["model"]["served"], &record["model"]["requested"]];
        let model = model.into_iter().find_map(Value::as_str);
        let mut bill = Bill::new(model.unwrap_or_default(), usage);
        bill.region = object
            .get("inference_geo")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let cost = prices.cost(&bill);
        Some(Self { usage, cost })
    }
}

fn micros(time: &Value) -> Option<i64> {
    let time: Timestamp = time.as_str()?.parse().ok()?;
    Some(time.as_micros())
}
/// What was masked: what was noted only, and left as it is, does not count.
pub(crate) fn masked_in(record: &Value) -> impl Iterator<Item = &Value> {
    let findings = record["findings"].as_array().into_iter().flatten();
    findings.filter(|finding| finding["operator"] != "flag")
}
