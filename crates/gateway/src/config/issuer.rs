//! `[[issuer]]`.

use std::{path::Path, path::PathBuf, time::Duration};

use super::{
    document::{Placed, Section},
    mistake::Located,
};

/// One OIDC issuer whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The name that records and policies use; empty, as the next two, where it is missing.
    pub name: String,
    /// The issuer exactly as its tokens name it.
    pub issuer: String,
    /// The audience that a token must be made out to.
    pub audience: String,
    /// Where its keys come from.
    pub keys: KeySource,
    /// What kind of callers it vouches for: `ci`, `human` or `service`.
    pub kind: &'static str,
    /// The claim that lists groups.
    pub groups_claim: Option<String>,
    /// The signature algorithms that are accepted; the engine's default when left out.
    pub algorithms: Option<Vec<String>>,
    /// Claims that policies and records may see; the usual ones of CI systems when empty.
    pub claims: Vec<String>,
    /// The longest life of a token.
    pub max_lifetime: Option<Duration>,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The issuer's discovery document.
    Discovery,
    /// A fixed address.
    Url(String),
    /// A file.
    File(Located<PathBuf>),
}

impl IssuerConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path) -> Self {
        let text = |text: Option<Placed<String>>| text.map_or_else(String::new, |text| text.value);
        let name = text(section.required("name"));
        let issuer = text(section.required("issuer"));
        let audience = text(section.required("audience"));
        let keys = match (section.text("jwks_url"), section.text("jwks_file")) {
            (Some(url), None) => KeySource::Url(url.value),
            (None, Some(file)) => {
                KeySource::File(file.located(section.notes(), |file| folder.join(file)))
            }
            (Some(url), Some(file)) => {
                file.wrong(
                    section.notes(),
                    "`jwks_url` and `jwks_file` exclude each other",
                );
                KeySource::Url(url.value)
            }
            (None, None) => KeySource::Discovery,
        };
        section.not_available("preset", "name the claims you need in `claims`");
        let config = Self {
            line: section.line(),
            name,
            issuer,
            audience,
            keys,
            kind: section
                .word("kind", &["ci", "human", "service"])
                .unwrap_or("ci"),
            groups_claim: section.text("groups_claim").map(|claim| claim.value),
            algorithms: section
                .texts("algorithms")
                .map(|all| all.into_iter().map(|one| one.value).collect()),
            claims: section
                .texts("claims")
                .map(|all| all.into_iter().map(|one| one.value).collect())
                .unwrap_or_default(),
            max_lifetime: section.duration("max_lifetime"),
        };
        section.finish();
        config
    }
}
