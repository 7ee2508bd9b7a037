//! `[[federation]]`.

use std::time::Duration;

use super::document::Section;

/// Who may exchange an issuer's token for one of the gate, and in which groups the caller is then.
#[derive(Clone, Debug)]
pub struct FederationConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The id that callers name; empty where it is missing.
    pub id: String,
    /// The name of the issuer; empty where it is missing.
    pub issuer: String,
    /// The subjects that tokens may have; `*` stands for anything.
    pub subjects: Vec<String>,
    /// The claims that tokens must have, each with the values it may have.
    pub claims: Vec<(String, Vec<String>)>,
    /// The audience that tokens must name besides the issuer's.
    pub audience: Option<String>,
    /// The groups of callers that the rule speaks for.
    pub groups: Vec<String>,
    /// How long a gateway token lives at most.
    pub lifetime: Option<Duration>,
    /// Whether a token is bound to the client certificate it was exchanged with.
    pub require_certificate: bool,
}

impl FederationConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let text = |key| section.required(key).map(|text| text.value);
        let config = Self {
            line: section.line(),
            id: text("id").unwrap_or_default(),
            issuer: text("issuer").unwrap_or_default(),
            subjects: subjects(&section),
            claims: section.pairs("claims"),
            audience: section.text("audience").map(|text| text.value),
            groups: section.values("groups"),
            lifetime: section.duration("lifetime"),
            require_certificate: section.flag("require_certificate").unwrap_or(false),
        };
        section.finish();
        config
    }
}

/// `subject = "…"` or `subjects = ["…", …]`.
fn subjects(section: &Section<'_>) -> Vec<String> {
    let mut all = section.values("subjects");
    all.extend(section.text("subject").map(|text| text.value));
    all
}
