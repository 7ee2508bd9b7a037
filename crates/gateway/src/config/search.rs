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
    /// `sealed`: what is recorded is sealed to a recipient, so that the gateway cannot read it.
    pub(super) fn read(section: Section<'_>, sealed: bool) -> Self {
        let index = section.word("index", &["gateway", "on_demand"]);
        if sealed && index == Some("gateway") {
            section.wrong(
                "`index` cannot be \"gateway\" beside `recipient` in [keys]: the gateway cannot read \
                 what is sealed to somebody else",
            );
        }
        section.finish();
        Self {
            index: !sealed && index != Some("on_demand"),
        }
    }
}
