//! Comma-separated values (RFC 4180), for spreadsheets: who, what, and what became of it.

use std::io::Write;

use serde_json::Value;

use super::{Form, took};
use crate::{
    Error,
    facts::{Spent, masked_in},
};

pub(super) struct Csv;

const COLUMNS: [&str; 31] = [
    "id",
    "session",
    "index",
    "started",
    "ended",
    "duration_ms",
    "connection",
    "protocol",
    "kind",
    "issuer",
    "subject",
    "repository",
    "action",
    "model_requested",
    "model_served",
    "verdict",
    "rules",
    "approval",
    "outcome",
    "status",
    "refusal",
    "stop_reason",
    "tools",
    "masked",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
    "request_bytes",
    "response_bytes",
];

impl Form for Csv {
    fn begin(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        write!(to, "{}\r\n", COLUMNS.join(","))?;
        Ok(())
    }

    fn record(
        &mut self,
        record: &Value,
        spent: Option<Spent>,
        to: &mut dyn Write,
    ) -> Result<bool, Error> {
        let row = row(record, spent);
        let row: Vec<String> = row.iter().map(|value| cell(value)).collect();
        write!(to, "{}\r\n", row.join(","))?;
        Ok(true)
    }
}

fn row(record: &Value, spent: Option<Spent>) -> [String; COLUMNS.len()] {
    let at = |pointer: &str| match record.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let names = |list: &Value, key: &str| {
        let all = list.as_array().into_iter().flatten();
        let all = all.filter_map(|one| one.as_str().or_else(|| one[key].as_str()));
        all.collect::<Vec<_>>().join(" ")
    };
    let masked = masked_in(record).filter_map(|one| one["count"].as_u64());
    let masked: u64 = masked.sum();
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let usage = spent.map(|spent| spent.usage);
    [
        at("/id"),
        at("/session"),
        at("/ledger/intent_index"),
        at("/started"),
        at("/ended"),
        took(record).map_or_else(String::new, |took| decimal(took.unsigned_abs(), 3)),
        at("/connection"),
        at("/protocol"),
        at("/principal/kind"),
        at("/principal/issuer"),
        at("/principal/subject"),
        at("/principal/claims/repository"),
        at("/action/name"),
        at("/model/requested"),
        at("/model/served"),
        at("/decision/verdict"),
        names(&record["decision"]["rules"], ""),
        at("/decision/approval"),
        at("/outcome"),
        at("/status"),
        at("/refusal/code"),
        at("/stop_reason"),
        names(&record["tool_calls"], "name"),
        masked.to_string(),
        number(usage.map(|usage| usage.input)),
        number(usage.map(|usage| usage.output)),
        number(usage.map(|usage| usage.cache_read)),
        number(usage.map(|usage| usage.cache_write.saturating_add(usage.cache_write_1h))),
        spent.map_or_else(String::new, |spent| decimal(spent.cost, 6)),
        at("/request/bytes"),
        at("/response/bytes"),
    ]
}

/// A number of units of which the decimals are so many.
fn decimal(units: u64, decimals: u32) -> String {
    let one = 10_u64.pow(decimals);
    let width = usize::try_from(decimals).unwrap_or_default();
    format!("{}.{:0width$}", units / one, units % one)
}

/// A value as a cell. What a spreadsheet would take for a formula gets an apostrophe before it: the
/// names in a record are those that callers gave
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn cell(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let value = if formula {
        format!("'{value}")
    } else {
        value.to_owned()
    };
    if value.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (value, is) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
            ("=1+1", "'=1+1"),
            ("@x,y", "\"'@x,y\""),
        ] {
            assert_eq!(cell(value), is);
        }
        assert_eq!(decimal(1_234_567, 6), "1.234567");
        assert_eq!(decimal(42, 3), "0.042");
    }
}
