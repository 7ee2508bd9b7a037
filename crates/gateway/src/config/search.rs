//! `[search]`.

use super::document::Section;

/// How the book is searched.
#[derive(Clone, Copy, Debug)]
pub struct SearchConfig {
    /// Whether the gateway keeps the index fresh; else whoever searches does.
    pub index: bool,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { index: true }
    }
}

impl SearchConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let index = section.word("index", &["gateway", "on_demand"]);
        section.finish();
        Self {
            index: index != Some("on_demand"),
        }
    }
}
