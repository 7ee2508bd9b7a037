//! Where in a conversation a text stands.

use std::{fmt, sync::Arc};

/// Where a text stands. The same words are an order in a tool call and a report in its result, so
/// each detector says in which places it looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// The system prompt.
    System,
    /// What a person, or the program in a person's name, says.
    UserText,
    /// What the model said earlier.
    AssistantText,
    /// What the model thought earlier.
    Thinking,
    /// Name, description or schema of a tool.
    ToolDefinition,
    /// The input of a tool call.
    ToolUse {
        /// The tool's name.
        tool: Arc<str>,
    },
    /// What a tool gave back.
    ToolResult,
    /// A document or a search result.
    Document,
    /// The address or settings of an MCP server.
    McpServer,
    /// A text whose meaning the caller does not know. Every detector looks here.
    Other,
}

impl Place {
    /// The input of a call of this tool.
    pub fn tool_use(tool: impl Into<Arc<str>>) -> Self {
        Self::ToolUse { tool: tool.into() }
    }

    /// The name that rules and findings use.
    pub const fn name(&self) -> &'static str {
        NAMES[self.index()].0
    }

    const fn index(&self) -> usize {
        match self {
            Self::System => 0,
            Self::UserText => 1,
            Self::AssistantText => 2,
            Self::Thinking => 3,
            Self::ToolDefinition => 4,
            Self::ToolUse { .. } => 5,
            Self::ToolResult => 6,
            Self::Document => 7,
            Self::McpServer => 8,
            Self::Other => 9,
        }
    }

    pub(crate) const fn set(&self) -> Places {
        NAMES[self.index()].1
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Several kinds of places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Places(u16);

impl Places {
    pub(crate) const TOOL_USE: Self = Self(1 << 5);
    pub(crate) const MCP_SERVER: Self = Self(1 << 8);
    pub(crate) const OTHER: Self = Self(1 << 9);

    /// The set that a rule calls so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, set)| *set)
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of the places that are in the set.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .filter(move |(_, set)| self.meets(*set))
            .map(|(name, _)| *name)
    }
}

const NAMES: [(&str, Places); 10] = [
    ("system", Places(1)),
    ("user_text", Places(1 << 1)),
    ("assistant_text", Places(1 << 2)),
    ("thinking", Places(1 << 3)),
    ("tool_definition", Places(1 << 4)),
    ("tool_use", Places::TOOL_USE),
    ("tool_result", Places(1 << 6)),
    ("document", Places(1 << 7)),
    ("mcp_server", Places::MCP_SERVER),
    ("other", Places::OTHER),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let places = [
            Place::System,
            Place::UserText,
            Place::AssistantText,
            Place::Thinking,
            Place::ToolDefinition,
            Place::tool_use("t"),
            Place::ToolResult,
            Place::Document,
            Place::McpServer,
            Place::Other,
        ];
        for (place, name) in places.iter().zip(Places::names()) {
            assert_eq!(place.name(), name);
            assert_eq!(Places::named(name), Some(place.set()));
            assert_eq!(place.set().iter().collect::<Vec<_>>(), [name]);
        }
        assert_eq!(Places::named("everywhere"), None);
    }
}
