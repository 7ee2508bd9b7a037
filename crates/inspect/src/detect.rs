//! Looking for risks in the texts that the one parse hands out.

use std::collections::BTreeSet;

use tollbook_detection::{Detected, Detectors, Place, Scan};
use tollbook_exchange::Action;

/// The label of a request or a tool call in which masking found something.
const SECRETS: &str = "secrets";

/// A look through the texts of one request or one tool call, if there are detectors at all.
pub(crate) struct Look<'a>(Option<Scan<'a>>);

impl<'a> Look<'a> {
    pub(crate) fn new(detectors: Option<&'a Detectors>) -> Self {
        Self(detectors.map(Detectors::scan))
    }

    pub(crate) fn text(&mut self, place: Place, text: &str) {
        let Some(scan) = &mut self.0 else {
            return;
        };
        if place == Place::McpServer {
            scan.mcp_server(text);
        }
        scan.text(place, text);
    }

    pub(crate) fn finish(self) -> Option<Detected> {
        self.0.map(Scan::finish)
    }
}

/// The action with the facts that come of looking: `labels`, and with detectors `risk`.
pub(crate) fn with_facts(action: Action, secrets: bool, detected: Option<&Detected>) -> Action {
    let mut labels = detected.map_or_else(BTreeSet::new, |detected| detected.labels.clone());
    if secrets {
        labels.insert(SECRETS.to_owned());
    }
    let action = action.with("labels", labels);
    match detected {
        Some(detected) => action.with("risk", i64::from(detected.risk)),
        None => action,
    }
}
