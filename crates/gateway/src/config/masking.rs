//! `[masking]`, and `[connection.mask]`.

use std::path::Path;

use super::{
    connection::SecretSource,
    document::{Placed, Section},
    mistake::Located,
};

/// What is found in bodies, and what becomes of it.
#[derive(Clone, Debug)]
pub struct MaskingConfig {
    /// `builtin`, files, and `folder/*.toml`.
    pub rules: Vec<Located<String>>,
    /// The key of hashes, surrogates and tokens; one of the gateway's own where there is none.
    pub key: Option<Located<SecretSource>>,
    /// `[[masking.profile]]`.
    pub profiles: Vec<ProfileConfig>,
}

/// Which rules count, and what is done with what they find.
#[derive(Clone, Debug)]
pub struct ProfileConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The name that connections call it by; empty where it is missing.
    pub name: String,
    /// The profile that it begins with.
    pub base: Option<String>,
    /// What is done with secrets.
    pub secrets: Option<String>,
    /// What is done with personal data.
    pub personal: Option<String>,
    /// What is done with what rules with these tags find.
    pub tags: Vec<(String, Vec<String>)>,
    /// What is done with what these rules find.
    pub rules: Vec<(String, Vec<String>)>,
}

/// What is masked on one connection.
#[derive(Clone, Debug, Default)]
pub struct MaskConfig {
    /// For everybody who is in no group below.
    pub everyone: MaskProfiles,
    /// For callers in one of these groups. The first entry that fits counts.
    pub groups: Vec<(Vec<String>, MaskProfiles)>,
}

/// The profiles by their names. What is not told is that of everybody, or else the default.
#[derive(Clone, Debug, Default)]
pub struct MaskProfiles {
    /// The line of the configuration in which they stand.
    pub line: usize,
    /// Of what is recorded.
    pub record: Option<String>,
    /// The same, for answers.
    pub record_answers: Option<String>,
    /// Of what goes on.
    pub wire: Option<String>,
    /// The same, for answers.
    pub wire_answers: Option<String>,
    /// Whether tokens in answers are turned back.
    pub restore: Option<bool>,
}

impl Default for MaskingConfig {
    fn default() -> Self {
        Self {
            rules: vec![Located {
                line: None,
                value: "builtin".to_owned(),
            }],
            key: None,
            profiles: Vec::new(),
        }
    }
}

impl MaskingConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path) -> Self {
        let mut config = Self::default();
        if let Some(rules) = section.texts("rules") {
            config.rules = rules
                .into_iter()
                .map(|rule| rule.located(section.notes(), |rule| rule))
                .collect();
        }
        if section.has("key") {
            let line = section.table("key").line();
            let source = SecretSource::read(&section, "key", folder);
            config.key = source.map(|value| Located {
                line: Some(line),
                value,
            });
        }
        let profiles = super::named(section.tables("profile"), "profile", ProfileConfig::read);
        config.profiles = profiles;
        section.finish();
        config
    }
}

impl ProfileConfig {
    fn read(section: Section<'_>) -> Self {
        let text = |key| section.text(key).map(|text| text.value);
        let config = Self {
            line: section.line(),
            name: section
                .required("name")
                .map_or_else(String::new, |name| name.value),
            base: text("base"),
            secrets: text("secrets"),
            personal: text("personal"),
            tags: section.pairs("tags"),
            rules: section.pairs("rules"),
        };
        section.finish();
        config
    }
}

impl MaskConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let everyone = MaskProfiles::of(&section);
        let mut groups = Vec::new();
        for entry in section.tables("for") {
            let names = entry.values("groups");
            if names.is_empty() {
                entry.wrong("`groups` is missing or empty in a [[connection.mask.for]]");
            }
            groups.push((names, MaskProfiles::of(&entry)));
            entry.finish();
        }
        section.finish();
        Self { everyone, groups }
    }
}

impl MaskProfiles {
    /// These, and what is not told here as it is told there.
    pub(crate) fn or(&self, general: &Self) -> Self {
        let or = |own: &Option<String>, general: &Option<String>| {
            own.as_ref().or(general.as_ref()).cloned()
        };
        Self {
            line: self.line,
            record: or(&self.record, &general.record),
            record_answers: or(&self.record_answers, &general.record_answers),
            wire: or(&self.wire, &general.wire),
            wire_answers: or(&self.wire_answers, &general.wire_answers),
            restore: self.restore.or(general.restore),
        }
    }

    fn of(section: &Section<'_>) -> Self {
        let text = |key| section.text(key).map(|text: Placed<String>| text.value);
        Self {
            line: section.line(),
            record: text("record"),
            record_answers: text("record_answers"),
            wire: text("wire"),
            wire_answers: text("wire_answers"),
            restore: section.flag("restore"),
        }
    }
}
