//! `[admin]`: who may use the admin API.

use super::document::Section;

/// Who may see and do what on the admin listener, by group. Nobody has a role who is not named.
#[derive(Clone, Debug, Default)]
pub struct AdminConfig {
    /// The names of the issuers whose people may sign in; all of kind `human` when left out.
    pub issuers: Vec<String>,
    /// May see what goes on.
    pub viewer: Vec<String>,
    /// May see everything, and change nothing.
    pub auditor: Vec<String>,
    /// May revoke tokens and load policies.
    pub operator: Vec<String>,
}

impl AdminConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let config = Self {
            issuers: section.values("issuers"),
            viewer: section.values("viewer"),
            auditor: section.values("auditor"),
            operator: section.values("operator"),
        };
        section.finish();
        config
    }
}
