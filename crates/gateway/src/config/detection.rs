//! `[detection]`.

use super::{document::Section, mistake::Located};

/// What detectors look for.
#[derive(Clone, Debug)]
pub struct DetectionConfig {
    /// `builtin`, files, and `folder/*.toml`.
    pub rules: Vec<Located<String>>,
    /// MCP servers that are known; any other is labelled as new. Not looked at when empty.
    pub known_mcp_servers: Vec<String>,
}

impl Default for DetectionConfig {
    fn default() -> Self {
        Self {
            rules: vec![Located {
                line: None,
                value: "builtin".to_owned(),
            }],
            known_mcp_servers: Vec::new(),
        }
    }
}

impl DetectionConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut config = Self::default();
        if let Some(rules) = section.texts("rules") {
            config.rules = rules
                .into_iter()
                .map(|rule| rule.located(section.notes(), |rule| rule))
                .collect();
        }
        config.known_mcp_servers = section.values("known_mcp_servers");
        section.finish();
        config
    }
}
