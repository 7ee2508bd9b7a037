//! `[[record.witness]]` and `[record.timestamp]`, who is asked to vouch for the book; `[witness]`,
//! being a witness.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tollbook_ledger::{Quorum, VerifierKey, WitnessKey};

use super::{document::Section, gateway::address, mistake::Located, named};

/// Who is asked to sign the book's checkpoints.
#[derive(Clone, Debug, Default)]
pub struct WitnessesConfig {
    /// The witnesses.
    pub all: Vec<WitnessConfig>,
    /// How many must have signed a checkpoint, unless it is more than half of them.
    pub quorum: Option<u64>,
    /// How often they are asked, unless it is each ten seconds.
    pub interval: Option<Duration>,
}

/// One witness that is asked.
#[derive(Clone, Debug)]
pub struct WitnessConfig {
    /// The name in health and in the log.
    pub name: String,
    /// The address before `/add-checkpoint`.
    pub url: Located<String>,
    /// Its public key.
    pub key: Option<WitnessKey>,
}

/// The time-stamping authority that is asked.
#[derive(Clone, Debug)]
pub struct TimestampConfig {
    /// Its address.
    pub url: Located<String>,
    /// The file of the roots of its certificates, in PEM.
    pub roots: Located<PathBuf>,
    /// How often it is asked, unless it is each hour.
    pub interval: Option<Duration>,
}

/// Being a witness of others' logs.
#[derive(Clone, Debug)]
pub struct WitnessService {
    /// Where it is asked.
    pub listen: SocketAddr,
    /// The name of its key: an address without a scheme, unique in the world.
    pub name: String,
    /// The logs that it knows, by their keys.
    pub logs: Vec<VerifierKey>,
}

/// The folder, below that of the book, of what a gateway knows as a witness.
pub const WITNESS: &str = "witness";

impl WitnessesConfig {
    pub(super) fn read(record: &Section<'_>) -> Self {
        let config = Self {
            all: named(
                record.tables("witness"),
                "record.witness",
                WitnessConfig::read,
            ),
            quorum: record.count("witness_quorum"),
            interval: record.duration_above_zero("witness_interval"),
        };
        let keys = || config.all.iter().map(|witness| witness.key.clone());
        // What is wrong with a key was told at its line.
        if let Some(keys) = keys().collect::<Option<Vec<_>>>()
            && (!keys.is_empty() || config.quorum.is_some())
            && Quorum::new(keys, config.needed()).is_err()
        {
            record.wrong(
                "two witnesses have the same key or the same name in it, or `witness_quorum` asks \
                 for none or for more than there are",
            );
        }
        config
    }

    /// The quorum, if anybody is asked.
    pub fn quorum(&self) -> Option<Quorum> {
        let keys = self.all.iter().map(|witness| witness.key.clone());
        Quorum::new(keys.collect::<Option<_>>()?, self.needed()).ok()
    }

    fn needed(&self) -> usize {
        let most = self.all.len() / 2 + 1;
        self.quorum
            .map_or(most, |quorum| usize::try_from(quorum).unwrap_or(usize::MAX))
    }
}

impl WitnessConfig {
    fn read(section: Section<'_>) -> Self {
        let key = section.required("key").and_then(|text| {
            let key = text.value.parse().ok();
            if key.is_none() {
                text.wrong(
                    section.notes(),
                    "`key` is no public key of a witness; one looks like `name+0123abcd+B…`",
                );
            }
            key
        });
        let missing = || Located {
            line: None,
            value: String::new(),
        };
        let config = Self {
            name: section
                .required("name")
                .map_or_else(String::new, |name| name.value),
            url: section
                .required("url")
                .map_or_else(missing, |url| url.located(section.notes(), |url| url)),
            key,
        };
        section.finish();
        config
    }
}

impl TimestampConfig {
    pub(super) fn read(record: &Section<'_>, folder: &Path) -> Option<Self> {
        let section = record.table("timestamp");
        if !record.has("timestamp") {
            return None;
        }
        let notes = section.notes();
        let url = section.required("url");
        let roots = section.required("roots");
        let interval = section.duration_above_zero("interval");
        section.finish();
        Some(Self {
            url: url?.located(notes, |url| url),
            roots: roots?.located(notes, |file| folder.join(file)),
            interval,
        })
    }
}

impl WitnessService {
    /// Nothing where the section is not written. `gateway` is the gateway's own name.
    pub(super) fn read(section: Section<'_>, gateway: &str) -> Option<Self> {
        let listen = if section.has("listen") {
            address(&section, "listen")
        } else {
            if section.has("name") || section.has("logs") {
                section.wrong("`listen` is missing in [witness]");
            }
            None
        };
        let name = section.text("name");
        if let Some(name) = &name
            && (name.value.is_empty()
                || name.value.contains(|c: char| c.is_whitespace() || c == '+'))
        {
            name.wrong(
                section.notes(),
                "`name` must not be empty or hold white space or `+`",
            );
        }
        let mut logs = Vec::new();
        for text in section.texts("logs").unwrap_or_default() {
            match text.value.parse() {
                Ok(key) => logs.push(key),
                Err(_) => text.wrong(
                    section.notes(),
                    "this is no public key of a log; one looks like `name+0123abcd+A…`",
                ),
            }
        }
        section.finish();
        Some(Self {
            listen: listen?,
            name: name.map_or_else(|| format!("{gateway}/witness"), |name| name.value),
            logs,
        })
    }
}
