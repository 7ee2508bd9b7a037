//! The detectors, compiled, and how they are put together.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use sha2::{Digest, Sha256};

use crate::{
    Scan,
    engine::Engine,
    hosts::Known,
    rules::{self, BUILTIN, BuildError},
};

/// Detectors of risky texts. A cheap handle: clones share the compiled rules.
#[derive(Clone)]
pub struct Detectors {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) known: Option<Known>,
    hash: [u8; 32],
}

/// Collects rules for [`Detectors`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct DetectorsBuilder {
    files: Vec<(String, String)>,
    known: Option<Vec<String>>,
}

/// What is told about a detector.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DetectorInfo<'a> {
    /// The id, as in findings after `detect.`.
    pub id: &'a str,
    /// The version of the rule, from 1.
    pub version: u32,
    /// The label that a hit gives to the exchange.
    pub label: &'a str,
    /// What it adds to the risk, 0 to 100.
    pub risk: u8,
    /// The names of the places where it looks.
    pub places: Vec<&'static str>,
    /// What it finds.
    pub description: &'a str,
    /// Where that is described in public, or `own`.
    pub source: &'a str,
}

impl Detectors {
    /// The detectors of this crate and no others.
    #[expect(
        clippy::expect_used,
        reason = "the rules are part of this crate, and its tests compile them"
    )]
    pub fn builtin() -> Self {
        static BUILT: OnceLock<Detectors> = OnceLock::new();
        BUILT
            .get_or_init(|| {
                Self::builder()
                    .builtin()
                    .build()
                    .expect("built-in detectors compile")
            })
            .clone()
    }

    /// Detectors with other rules.
    pub fn builder() -> DetectorsBuilder {
        DetectorsBuilder::default()
    }

    /// Begins to look through the texts of one request, or of one tool call.
    pub fn scan(&self) -> Scan<'_> {
        Scan::new(&self.inner)
    }

    /// The detectors, in the order in which they were given.
    pub fn detectors(&self) -> impl Iterator<Item = DetectorInfo<'_>> {
        self.inner
            .engine
            .detectors
            .iter()
            .map(|detector| DetectorInfo {
                id: &detector.id,
                version: detector.version,
                label: &detector.label,
                risk: detector.risk,
                places: detector.places.iter().collect(),
                description: &detector.description,
                source: &detector.source,
            })
    }

    /// SHA-256 over the texts of the rules and the known MCP servers, so that a record can say by
    /// what it was judged. Neither the names nor the order of the files matter.
    pub fn hash(&self) -> [u8; 32] {
        self.inner.hash
    }
}

impl fmt::Debug for Detectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detectors")
            .field("detectors", &self.inner.engine.detectors.len())
            .finish_non_exhaustive()
    }
}

impl DetectorsBuilder {
    /// Adds the detectors of this crate.
    pub fn builtin(self) -> Self {
        self.rules("builtin", BUILTIN)
    }

    /// Adds detectors written in TOML. `name` says in errors where they came from.
    pub fn rules(mut self, name: impl Into<String>, toml: impl Into<String>) -> Self {
        self.files.push((name.into(), toml.into()));
        self
    }

    /// The MCP servers that are known, by host. An entry that begins with a dot stands for every
    /// host that ends so. Any other server is labelled
    /// [`NEW_MCP_SERVER`](crate::NEW_MCP_SERVER). Without this call no server is; with an empty
    /// list, every one.
    pub fn known_mcp_servers(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.known
            .get_or_insert_default()
            .extend(hosts.into_iter().map(Into::into));
        self
    }

    /// Compiles the detectors and runs their test vectors.
    ///
    /// # Errors
    ///
    /// When anything is wrong with any detector. The error names every mistake.
    pub fn build(self) -> Result<Detectors, BuildError> {
        let mut mistakes = Vec::new();
        let mut checked = Vec::new();
        for (name, toml) in &self.files {
            checked.extend(rules::read(name, toml, &mut mistakes));
        }
        let engine = rules::check_all(checked, &mut mistakes);
        let known = self.known.map(Known::new);
        let hash = hash(&self.files, known.as_ref());
        match engine {
            Some(engine) if mistakes.is_empty() => Ok(Detectors {
                inner: Arc::new(Inner {
                    engine,
                    known,
                    hash,
                }),
            }),
            _ => Err(BuildError::new(mistakes)),
        }
    }
}

fn hash(files: &[(String, String)], known: Option<&Known>) -> [u8; 32] {
    let mut texts: Vec<[u8; 32]> = files
        .iter()
        .map(|(_, text)| Sha256::digest(text).into())
        .collect();
    texts.sort_unstable();
    let mut all = Sha256::new();
    // The engine decides too, so its version is part of what was judged by.
    all.update(concat!(
        "tollbook-detection ",
        env!("CARGO_PKG_VERSION"),
        "\n"
    ));
    texts.iter().for_each(|text| all.update(text));
    if let Some(known) = known {
        all.update("known MCP servers\n");
        for host in known.iter() {
            all.update(host);
            all.update("\n");
        }
    }
    all.finalize().into()
}
