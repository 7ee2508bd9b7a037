//! `[[budget]]` and `[limits]`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tollbook_budget::micro_dollars;

use super::{document::Section, mistake::Located};

/// What callers may use in a span of time.
#[derive(Clone, Debug)]
pub struct BudgetConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The id that refusals name; empty where it is missing.
    pub id: String,
    /// Whose use is counted together: `principal`, `group` or `session`.
    pub per: &'static str,
    /// The connection it holds for; all when left out.
    pub connection: Option<Located<String>>,
    /// The groups whose callers it holds for; everybody when empty.
    pub groups: Vec<String>,
    /// Requests in a window.
    pub requests: Option<u64>,
    /// Tokens in a window.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar in a window.
    pub cost: Option<u64>,
    /// The span of time.
    pub window: Duration,
    /// What the caller is told.
    pub reason: Option<String>,
}

/// Limits that hold for every caller.
#[derive(Clone, Debug, Default)]
pub struct LimitsConfig {
    /// How often in a row an agent may make the same tool call.
    pub repeated_tool_calls: Option<u64>,
    /// A table of prices beside the built-in one.
    pub prices: Option<Located<PathBuf>>,
}

impl BudgetConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let cost = section.text("cost_usd").and_then(|text| {
            let parsed = micro_dollars(&text.value);
            if parsed.is_none() {
                text.wrong(
                    section.notes(),
                    "`cost_usd` is no amount; write `\"12.50\"`, with at most six decimals",
                );
            }
            parsed
        });
        let window = if section.has("window") {
            section.duration("window")
        } else {
            section.wrong("`window` is missing in a [[budget]]");
            None
        };
        let config = Self {
            line: section.line(),
            id: section
                .required("id")
                .map_or_else(String::new, |id| id.value),
            per: section
                .word("per", &["principal", "group", "session"])
                .unwrap_or("principal"),
            connection: section
                .text("connection")
                .map(|name| name.located(section.notes(), |name| name)),
            groups: section.values("groups"),
            requests: section.count("requests"),
            tokens: section.count("tokens"),
            cost,
            window: window.unwrap_or(Duration::from_secs(3600)),
            reason: section.text("reason").map(|text| text.value),
        };
        if !["requests", "tokens", "cost_usd"]
            .iter()
            .any(|key| section.has(key))
        {
            section.wrong("a [[budget]] limits `requests`, `tokens` or `cost_usd`");
        }
        section.finish();
        config
    }
}

impl LimitsConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path) -> Self {
        let config = Self {
            repeated_tool_calls: section.count("repeated_tool_calls"),
            prices: section
                .text("prices")
                .map(|file| file.located(section.notes(), |file| folder.join(file))),
        };
        section.finish();
        config
    }
}
