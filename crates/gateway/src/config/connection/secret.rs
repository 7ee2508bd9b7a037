//! Where a secret is.

use std::path::{Path, PathBuf};

use super::super::document::Section;

/// Where a secret is. The secret itself is never part of a configuration.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// An environment variable of this name.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A program and its arguments, which prints it.
    Command(Vec<String>),
}

impl SecretSource {
    /// The source in the table under `key`, which must be there.
    pub(in crate::config) fn read(
        section: &Section<'_>,
        key: &'static str,
        folder: &Path,
    ) -> Option<Self> {
        if !section.has(key) {
            section.wrong(format!("`{key}` is missing"));
            return None;
        }
        let table = section.table(key);
        let source = Self::of(&table, folder);
        table.finish();
        source
    }

    pub(super) fn of(table: &Section<'_>, folder: &Path) -> Option<Self> {
        let command = table.has("command").then(|| table.values("command"));
        match (table.text("env"), table.text("file"), command) {
            (Some(env), None, None) => Some(Self::Env(env.value)),
            (None, Some(file), None) => Some(Self::File(folder.join(file.value))),
            (None, None, Some(command)) if !command.is_empty() => Some(Self::Command(command)),
            _ => {
                table.wrong("a secret is named by one of `env`, `file` and `command`");
                None
            }
        }
    }
}
