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
    /// What kind of callers it vouches for: `ci`, `human` or `service`; what the preset says, and
    /// `ci` without one, when left out.
    pub kind: Option<&'static str>,
    /// The claim that lists groups.
    pub groups_claim: Option<String>,
    /// The signature algorithms that are accepted; the engine's default when left out.
    pub algorithms: Option<Vec<String>>,
    /// Claims that policies and records may see; the usual ones of CI systems when empty.
    pub claims: Vec<String>,
    /// The longest life of a token.
    pub max_lifetime: Option<Duration>,
    /// The provider whose tokens these are, which says what their claims mean.
    pub preset: Option<Located<String>>,
    /// The claim that lists roles.
    pub roles_claim: Option<String>,
    /// The number of groups at which the issuer silently cuts the list.
    pub groups_cut_at: Option<usize>,
    /// The type (`typ`) that tokens must be of.
    pub token_type: Option<String>,
    /// The parties that tokens may have been handed out to.
    pub authorized_parties: Vec<String>,
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
        let preset = section
            .text("preset")
            .map(|preset| preset.located(section.notes(), |preset| preset));
        // Some providers have one issuer for everybody, which their preset knows.
        let issuer = text(if preset.is_some() {
            section.text("issuer")
        } else {
            section.required("issuer")
        });
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
        let config = Self {
            line: section.line(),
            name,
            issuer,
            audience,
            keys,
            kind: section.word("kind", &["ci", "human", "service"]),
            groups_claim: section.text("groups_claim").map(|claim| claim.value),
            algorithms: section
                .texts("algorithms")
                .map(|all| all.into_iter().map(|one| one.value).collect()),
            claims: section
                .texts("claims")
                .map(|all| all.into_iter().map(|one| one.value).collect())
                .unwrap_or_default(),
            max_lifetime: section.duration("max_lifetime"),
            preset,
            roles_claim: section.text("roles_claim").map(|claim| claim.value),
            groups_cut_at: section
                .count("groups_cut_at")
                .and_then(|count| usize::try_from(count).ok()),
            token_type: section.text("token_type").map(|text| text.value),
            authorized_parties: section.values("authorized_parties"),
        };
        section.finish();
        config
    }
}
