//! Rules of others, turned into rules of this crate.
//!
//! Files in the form of gitleaks hold regular expressions that search. What is masked while it
//! streams must be decided from bounded surroundings, so each expression is taken apart: into what
//! a secret begins with, what it is made of, and the words before it. What cannot be taken apart is
//! left out, and it is told why; what means something else than before is told too.

mod branch;
mod expression;
mod sample;
mod write;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use self::branch::{Branch, branches};
use crate::{
    Masker,
    rules::{
        BuildError, Origin, RuleError, compile,
        source::{Lines, id_of},
    },
};

/// What became of a file of rules in another form.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The rules that were kept, in the form that [`MaskerBuilder::rules`] takes. They hold what
    /// the file held, so its licence goes with them.
    ///
    /// [`MaskerBuilder::rules`]: crate::MaskerBuilder::rules
    pub rules: String,
    /// What was kept, in the order of the file.
    pub kept: Vec<Kept>,
    /// What was not.
    pub left_out: Vec<LeftOut>,
}

/// A rule that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Its id in the file.
    pub from: String,
    /// The ids of the rules that it became: one, or one for each of its alternatives.
    pub ids: Vec<String>,
    /// What it means now that it did not mean before.
    pub changes: Vec<String>,
}

/// A rule that was not kept, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its id in the file.
    pub id: String,
    /// The line on which it begins.
    pub line: usize,
    /// Why it was not kept.
    pub reason: String,
}

impl Masker {
    /// Turns a file of rules in the form of gitleaks into rules of this crate.
    ///
    /// Every rule that is kept has test vectors, which were made up and have been run.
    ///
    /// ```
    /// # use tollbook_masking::Masker;
    /// let imported = Masker::import_gitleaks("gitleaks.toml", r#"
    ///     [[rules]]
    ///     id = "house-badge"
    ///     description = "Badge of our house"
    ///     regex = '''\b(bdg_[a-z0-9]{24})\b'''
    ///
    ///     [[rules]]
    ///     id = "house-file"
    ///     path = '''\.badge$'''
    /// "#)?;
    /// let masker = Masker::builder().rules("imported", &imported.rules).build()?;
    /// let scan = masker.mask(b"badge: bdg_0123456789abcdefghijklmn");
    /// assert_eq!(scan.masked.as_inner().as_ref(), b"badge: [REDACTED:house-badge]");
    /// assert_eq!(imported.left_out[0].reason, "it is about paths of files, and texts have none");
    /// # Ok::<(), tollbook_masking::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the file is no TOML.
    pub fn import_gitleaks(name: &str, toml: &str) -> Result<Imported, BuildError> {
        let lines = Lines::of(toml);
        let table = match DeTable::parse(toml) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                return Err(BuildError::new(vec![RuleError {
                    file: name.to_owned(),
                    line: error.span().map(|span| lines.at(span.start)),
                    rule: None,
                    reason: error.message().to_owned(),
                }]));
            }
        };
        let mut import = Import::default();
        for (key, value) in table {
            let line = lines.at(key.span().start);
            match (&**key.get_ref(), value.into_inner()) {
                ("rules", DeValue::Array(array)) => {
                    for value in array {
                        let line = lines.at(value.span().start);
                        let id = id_of(&value).unwrap_or_default();
                        match TheirRule::deserialize(ValueDeserializer::from(value)) {
                            Ok(rule) => import.rule(&rule, line),
                            Err(error) => import.leave_out(&id, line, error.message().to_owned()),
                        }
                    }
                }
                ("title" | "description" | "minVersion", _) => {}
                (key, _) => {
                    let reason = "only rules are taken over; what is no secret is told by `not-placeholder` and by their entropy";
                    import.leave_out(key, line, reason.to_owned());
                }
            }
        }
        Ok(import.into_imported())
    }
}

/// A rule as gitleaks writes it, as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TheirRule {
    id: String,
    #[serde(default)]
    description: String,
    regex: Option<String>,
    path: Option<String>,
    #[serde(default)]
    secret_group: u32,
    entropy: Option<f64>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    allowlist: Option<toml::Value>,
    #[serde(default)]
    allowlists: Vec<toml::Value>,
}

#[derive(Default)]
struct Import {
    rules: Vec<String>,
    ids: Vec<String>,
    kept: Vec<Kept>,
    left_out: Vec<LeftOut>,
}

impl Import {
    fn rule(&mut self, rule: &TheirRule, line: usize) {
        let Some(regex) = &rule.regex else {
            let reason = match rule.path {
                Some(_) => "it is about paths of files, and texts have none",
                None => "it has no `regex`",
            };
            return self.leave_out(&rule.id, line, reason.to_owned());
        };
        let mut changes = Vec::new();
        if rule.path.is_some() {
            changes.push("it counts everywhere, and not only in files of some names".to_owned());
        }
        if rule.allowlist.is_some() || !rule.allowlists.is_empty() {
            changes.push("its allow list does not count".to_owned());
        }
        let branches = match branches(regex, rule.secret_group, &rule.keywords) {
            Ok(branches) => branches,
            Err(reason) => return self.leave_out(&rule.id, line, reason),
        };
        let mut kept = Kept {
            from: rule.id.clone(),
            ids: Vec::new(),
            changes,
        };
        let several = branches.len() > 1;
        for (number, branch) in branches.into_iter().enumerate() {
            let told = match branch.and_then(|branch| self.branch(rule, branch)) {
                Ok((id, changes)) => {
                    kept.ids.push(id);
                    for change in changes {
                        if !kept.changes.contains(&change) {
                            kept.changes.push(change);
                        }
                    }
                    continue;
                }
                Err(reason) if several => format!("alternative {}: {reason}", number + 1),
                Err(reason) => reason,
            };
            self.leave_out(&rule.id, line, told);
        }
        if !kept.ids.is_empty() {
            self.kept.push(kept);
        }
    }

    /// Keeps one alternative of a rule, and tells its id and what has changed.
    fn branch(
        &mut self,
        rule: &TheirRule,
        branch: Branch,
    ) -> Result<(String, Vec<String>), String> {
        let id = self.free_id(&rule.id);
        let mut changes = branch.changes.clone();
        let mut told = String::new();
        // Without the entropy if what the rule itself describes does not have it.
        for entropy in [rule.entropy, None] {
            match write::rule(&id, rule, &branch, entropy) {
                Ok(toml) => {
                    if entropy != rule.entropy {
                        changes.push(
                            "its entropy does not count: what it describes does not reach it"
                                .to_owned(),
                        );
                    }
                    let file = Origin::File {
                        name: id.clone(),
                        toml: toml.clone(),
                    };
                    if let Err(error) = compile(&[file]) {
                        let reasons = error.mistakes().iter().map(|mistake| &*mistake.reason);
                        return Err(reasons.collect::<Vec<_>>().join("; "));
                    }
                    self.ids.push(id.clone());
                    self.rules.push(toml);
                    return Ok((id, changes));
                }
                Err(reason) => told = reason,
            }
        }
        Err(told)
    }

    /// An id in our form that no other rule has.
    fn free_id(&self, theirs: &str) -> String {
        const MAX: usize = 36;

        let plain: String = theirs
            .chars()
            .map(|letter| match letter.to_ascii_lowercase() {
                letter @ ('a'..='z' | '0'..='9' | '.') => letter,
                _ => '-',
            })
            .take(MAX)
            .collect();
        let plain = plain.trim_matches(['-', '.']);
        let plain = if plain.is_empty() { "rule" } else { plain };
        let numbers = (2..).map(|number| format!("{plain}-{number}"));
        std::iter::once(plain.to_owned())
            .chain(numbers)
            .find(|id| !self.ids.contains(id))
            .unwrap_or_default()
    }

    fn leave_out(&mut self, id: &str, line: usize, reason: String) {
        self.left_out.push(LeftOut {
            id: id.to_owned(),
            line,
            reason,
        });
    }

    fn into_imported(self) -> Imported {
        Imported {
            rules: self.rules.join("\n"),
            kept: self.kept,
            left_out: self.left_out,
        }
    }
}
