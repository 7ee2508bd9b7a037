//! One look through the texts of a request.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::Arc,
};

use tollbook_exchange::{Finding, Operator};

use crate::{Place, detectors::Inner, engine::Memory};

/// The label, and the detector's id, of an MCP server that is not in the list of those known.
pub const NEW_MCP_SERVER: &str = "new-mcp-server";
/// What a new MCP server adds to the risk.
const NEW_MCP_SERVER_RISK: u8 = 30;
/// The label, and the detector's id, of a text that holds more of what has to be checked than any
/// text does that means something. The rest of it was not looked at.
pub const OVERLOAD: &str = "overload";
/// What such a text adds to the risk.
const OVERLOAD_RISK: u8 = 60;
/// So many hits are kept of one detector, so that none can push the others out.
const MAX_HITS_EACH: u32 = 8;
/// So many hits are kept. The others are counted.
const MAX_HITS: usize = 256;

/// Looks through texts, one after the other, and gathers what the detectors say.
#[derive(Debug)]
#[must_use = "a scan tells what it found when it is finished"]
pub struct Scan<'a> {
    inner: &'a Inner,
    memory: Memory,
    texts: usize,
    bytes: u64,
    hits: Vec<Hit>,
    dropped: u64,
    /// How often each detector hit in each kind of place. Behind the detectors' indexes come those
    /// of the overload and of the new MCP server.
    counts: BTreeMap<(usize, &'static str), u32>,
}

/// What the detectors said about all texts of a scan. No part of a text is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detected {
    /// The labels of all detectors that hit.
    pub labels: BTreeSet<String>,
    /// The sum of the risks of all detectors that hit, each counted once, and at most 100.
    pub risk: u8,
    /// Where detectors hit: at most 256, and at most 8 of each detector.
    pub hits: Vec<Hit>,
    /// How many hits there were beyond those.
    pub dropped: u64,
    /// How many bytes of text were looked at.
    pub bytes: u64,
    counts: Vec<(Arc<str>, &'static str, u32)>,
}

/// One hit of one detector.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit {
    /// The detector's id.
    pub detector: Arc<str>,
    /// The detector's version.
    pub version: u32,
    /// The label it gives.
    pub label: Arc<str>,
    /// Where the text stands.
    pub place: Place,
    /// Which text it is, counted from zero in the order in which they came.
    pub text_index: usize,
    /// Which bytes of the text. They begin and end at characters.
    pub span: Range<usize>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            memory: Memory::default(),
            texts: 0,
            bytes: 0,
            hits: Vec::new(),
            dropped: 0,
            counts: BTreeMap::new(),
        }
    }

    /// Looks through a whole text, as it is after decoding. A text in pieces must be put together
    /// first: what lies across two texts is not found.
    pub fn text(&mut self, place: Place, text: &str) -> &mut Self {
        let Self {
            inner,
            memory,
            texts,
            hits,
            dropped,
            counts,
            ..
        } = self;
        let done = inner.engine.run(memory, place.set(), text, |found| {
            let count = counts.entry((found.detector, place.name())).or_default();
            *count = count.saturating_add(1);
            if hits.len() >= MAX_HITS || *count > MAX_HITS_EACH {
                *dropped += 1;
                return;
            }
            let detector = &inner.engine.detectors[found.detector];
            hits.push(Hit {
                detector: detector.id.clone(),
                version: detector.version,
                label: detector.label.clone(),
                place: place.clone(),
                text_index: *texts,
                span: found.span,
            });
        });
        if !done {
            self.count(0, place.name());
        }
        self.texts += 1;
        self.bytes += text.len() as u64;
        self
    }

    /// Looks whether an MCP server is among those known. `host` may have a port.
    pub fn mcp_server(&mut self, host: &str) -> &mut Self {
        let is_new = self
            .inner
            .known
            .as_ref()
            .is_some_and(|known| !known.has(host));
        if is_new {
            self.count(1, Place::McpServer.name());
        }
        self
    }

    /// Ends the scan and tells what it found.
    pub fn finish(self) -> Detected {
        let detectors = &self.inner.engine.detectors;
        let mut detected = Detected {
            hits: self.hits,
            dropped: self.dropped,
            bytes: self.bytes,
            ..Detected::default()
        };
        let mut last = None;
        for ((index, place), count) in self.counts {
            let (id, label, risk) = match detectors.get(index) {
                Some(detector) => (&*detector.id, &*detector.label, detector.risk),
                None if index == detectors.len() => (OVERLOAD, OVERLOAD, OVERLOAD_RISK),
                None => (NEW_MCP_SERVER, NEW_MCP_SERVER, NEW_MCP_SERVER_RISK),
            };
            if last != Some(index) {
                last = Some(index);
                detected.labels.insert(label.to_owned());
                detected.risk = detected.risk.saturating_add(risk).min(100);
            }
            detected.counts.push((id.into(), place, count));
        }
        detected
    }

    /// Counts what is no detector's.
    fn count(&mut self, behind: usize, place: &'static str) {
        let index = self.inner.engine.detectors.len() + behind;
        let count = self.counts.entry((index, place)).or_default();
        *count = count.saturating_add(1);
    }
}

impl Detected {
    /// What was found, as it goes into a record: rule `detect.ID` and place `ROOT:PLACE`, such as
    /// `request.body:tool_use`.
    pub fn findings(&self, root: &str) -> Vec<Finding> {
        self.counts
            .iter()
            .map(|(id, place, count)| {
                Finding::new(
                    format!("detect.{id}"),
                    format!("{root}:{place}"),
                    Operator::Flag,
                    *count,
                )
            })
            .collect()
    }

    /// Whether no detector hit.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}
