//! Which rules count.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::Args;
use tollbook_gateway::{
    Plan,
    config::{Config, Mistakes},
};
use tollbook_masking::{Base, Masker};

use crate::{command::Configuration, exit::Failure};

/// Rules, and which of them count.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// `default`: secrets, and personal data that rules are sure enough of. `secrets`, `strict`
    /// (everything), `none`, or a profile of the configuration.
    #[arg(long, value_name = "NAME", default_value = "default")]
    profile: String,
    /// Rules of your own, beside those that are built in; may be given again.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Take rules and profiles of this configuration of the gateway. What it has tokens for is
    /// redacted.
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    config: Option<PathBuf>,
}

impl Source {
    /// A masker with these rules and this profile.
    pub(super) fn masker(&self) -> Result<Masker, Failure> {
        if let Some(file) = &self.config {
            let (file, config) = Configuration::of(file).read()?;
            let folder = file.parent().unwrap_or(Path::new("."));
            let masker = Plan::masker(&config, folder, env::vars(), &self.profile);
            return masker.map_err(|mistakes| {
                let file = Some(file);
                Failure::usage(Mistakes { file, ..mistakes }.to_string())
            });
        }
        let base: Base = self.profile.parse().map_err(wrong)?;
        let all = if self.rules.is_empty() {
            Masker::builtin()
        } else {
            let mut builder = Masker::builder().builtin();
            for file in &self.rules {
                builder = builder.rules(file.display().to_string(), read(file)?);
            }
            builder.build().map_err(wrong)?
        };
        all.profile(base).build().map_err(wrong)
    }
}

/// A masker with nothing but the rules that a configuration adds to those that are built in.
pub(crate) fn own_rules(config: &Config, folder: &Path) -> Result<Masker, Failure> {
    let files = own_files(config, folder)?.into_iter();
    files
        .fold(Masker::builder(), |builder, (name, text)| {
            builder.rules(name, text)
        })
        .build()
        .map_err(wrong)
}

fn own_files(config: &Config, folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for rules in &config.masking.rules {
        let path = folder.join(&rules.value);
        if rules.value == "builtin" {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "*.toml") {
            let inside = path.parent().unwrap_or(folder);
            let entries = fs::read_dir(inside).map_err(|error| unreadable(inside, &error))?;
            let mut all: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
                .collect();
            all.sort();
            for path in all {
                files.push((path.display().to_string(), read(&path)?));
            }
        } else {
            files.push((path.display().to_string(), read(&path)?));
        }
    }
    Ok(files)
}

pub(super) fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", file.display()))
}

fn wrong(error: impl std::error::Error) -> Failure {
    Failure::usage(error.to_string())
}
