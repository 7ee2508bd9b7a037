//! The policies of a configuration: where they come from, and those in force.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tollbook_exchange::Principal;
use tollbook_policy::{Outcome, Policies, PolicySet};

use crate::{
    config::Config,
    events::{Event, Events},
    protocols,
};

/// Where policies come from. They can be loaded from there again and again.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// The connections with the groups that may use them.
    allows: Vec<(String, Vec<String>)>,
    /// The folder with Cedar files, files in the short form, and tests.
    folder: Option<PathBuf>,
    /// What the names of files are shown relative to.
    base: PathBuf,
    zone: Option<String>,
    /// What else has a say in decisions, by its hash.
    bound: Vec<(String, String)>,
}

/// The texts of a folder of policies, each with its name.
#[derive(Debug, Default)]
struct Texts {
    cedar: Vec<(String, String)>,
    short: Vec<(String, String)>,
    tests: Vec<(String, String)>,
}

impl PolicySource {
    /// What the configuration says, for a file in `base`.
    pub fn of(config: &Config, base: &Path) -> Self {
        let mut allows: Vec<(String, Vec<String>)> = Vec::new();
        for connection in &config.connections {
            // A name that is used twice is a mistake already.
            if allows.iter().all(|(name, _)| *name != connection.name) {
                allows.push((connection.name.clone(), connection.allow.clone()));
            }
        }
        Self {
            allows,
            folder: config.policies.as_ref().map(|folder| folder.value.clone()),
            base: base.to_owned(),
            zone: config.zone.as_ref().map(|zone| zone.value.clone()),
            bound: Vec::new(),
        }
    }

    /// The same source, whose sets also name what else has a say, such as the detectors.
    #[must_use]
    pub fn bound(mut self, name: &str, hash: &str) -> Self {
        self.bound.push((name.to_owned(), hash.to_owned()));
        self
    }

    /// Loads everything and runs the tests beside it.
    ///
    /// # Errors
    ///
    /// Every mistake; then nothing is loaded.
    pub fn load(&self) -> Result<PolicySet, Vec<String>> {
        self.build(&self.texts()?, true)
    }

    /// Loads everything and runs the tests beside it, one by one.
    ///
    /// # Errors
    ///
    /// Every mistake in the policies, or in how the tests are written.
    pub fn test(&self) -> Result<Vec<Outcome>, Vec<String>> {
        let texts = self.texts()?;
        let set = self.build(&texts, false)?;
        let mut outcomes = Vec::new();
        let mut mistakes = Vec::new();
        for (name, text) in &texts.tests {
            match set.parse_tests(name, text) {
                Ok(tests) => outcomes.extend(tests.run(&set)),
                Err(errors) => mistakes.extend(errors.mistakes().iter().map(ToString::to_string)),
            }
        }
        if mistakes.is_empty() {
            Ok(outcomes)
        } else {
            Err(mistakes)
        }
    }

    /// The same source with another folder of policies.
    #[must_use]
    pub fn with_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    fn texts(&self) -> Result<Texts, Vec<String>> {
        match &self.folder {
            Some(folder) => Texts::of(folder, &self.base).map_err(|error| vec![error]),
            None => Ok(Texts::default()),
        }
    }

    fn build(&self, texts: &Texts, tested: bool) -> Result<PolicySet, Vec<String>> {
        let mut policies = PolicySet::builder();
        for protocol in protocols::SPOKEN {
            policies = policies.speaks(*protocol);
        }
        for (name, groups) in &self.allows {
            policies = policies.allow(name, groups.iter().cloned());
        }
        for (name, text) in &texts.cedar {
            policies = policies.file(name, text);
        }
        for (name, text) in &texts.short {
            policies = policies.short(name, text);
        }
        for (name, text) in texts.tests.iter().filter(|_| tested) {
            policies = policies.tests(name, text);
        }
        for (name, hash) in &self.bound {
            policies = policies.bound(name, hash);
        }
        if let Some(zone) = &self.zone {
            policies = policies.zone(zone);
        }
        policies
            .build()
            .map_err(|errors| errors.mistakes().iter().map(ToString::to_string).collect())
    }

    /// The folder, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

impl Texts {
    /// Everything in the folder that is a policy or a test of policies, in the order of names.
    fn of(folder: &Path, base: &Path) -> Result<Self, String> {
        let unreadable =
            |error: io::Error| format!("folder {} cannot be read: {error}", folder.display());
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(unreadable)?;
        files.sort();
        let mut texts = Self::default();
        for file in files {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let list = if name.ends_with(".cedar") {
                &mut texts.cedar
            } else if name.ends_with(".test.toml") {
                &mut texts.tests
            } else if name.ends_with(".toml") {
                &mut texts.short
            } else {
                continue;
            };
            let text = fs::read_to_string(&file)
                .map_err(|error| format!("file {} cannot be read: {error}", file.display()))?;
            let shown = file.strip_prefix(base).unwrap_or(&file);
            list.push((shown.display().to_string(), text));
        }
        Ok(texts)
    }
}

/// The policies in force, and how to load others in their place. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LivePolicies {
    source: Arc<PolicySource>,
    policies: Policies,
    events: Events,
    /// One at a time: of two that load at once, the later must win.
    loading: Arc<tokio::sync::Mutex<()>>,
}

/// What a reload changed.
#[derive(Clone, Debug)]
pub(crate) struct Reloaded {
    pub(crate) before: String,
    pub(crate) after: String,
}

impl LivePolicies {
    pub(crate) fn new(source: PolicySource, set: PolicySet, events: Events) -> Self {
        Self {
            source: Arc::new(source),
            policies: Policies::new(set),
            events,
            loading: Arc::default(),
        }
    }

    /// The handle by which decisions are made. It always asks those in force.
    pub(crate) const fn handle(&self) -> &Policies {
        &self.policies
    }

    /// Loads the policies anew: all of them, or none. What comes of it is in the book.
    pub(crate) async fn reload(&self, by: Option<&Principal>) -> Result<Reloaded, Vec<String>> {
        let _one = self.loading.lock().await;
        let before = self.policies.current().hash().to_owned();
        let source = Arc::clone(&self.source);
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let loaded = loaded.unwrap_or_else(|_| Err(vec!["loading met a fault".to_owned()]));
        let event = Event::new("policy.reloaded")
            .by(by)
            .with("before", before.as_str());
        match loaded {
            Ok(set) => {
                let after = set.hash().to_owned();
                let event = event
                    .with("after", after.as_str())
                    .with("policies", set.len());
                // In the book first: no exchange may be judged by policies that the book does not
                // know of.
                if let Err(error) = self.events.note(event).await {
                    tracing::error!(%error, "new policies could not be recorded, so the old ones stay");
                    return Err(vec!["the change cannot be recorded".to_owned()]);
                }
                self.policies.swap(set);
                tracing::info!(before, after, "policies loaded");
                Ok(Reloaded { before, after })
            }
            Err(mistakes) => {
                tracing::error!(
                    mistakes = mistakes.len(),
                    first = mistakes.first().map_or("", String::as_str),
                    "policies were not loaded; the old ones stay"
                );
                let refusal = tollbook_exchange::Refusal::new(
                    tollbook_exchange::Code::PolicyError,
                    format!("{} mistakes; the policies in force stay", mistakes.len()),
                );
                if let Err(error) = self.events.note(event.refused(refusal)).await {
                    tracing::warn!(%error, "a failed reload could not be recorded");
                }
                Err(mistakes)
            }
        }
    }

    /// What is in force, for the admin API.
    pub(crate) fn summary(&self) -> Value {
        let set = self.policies.current();
        json!({
            "hash": set.hash(),
            "policies": set.len(),
            "folder": self.source.folder(),
            "warnings": set.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}
