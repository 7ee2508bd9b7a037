//! Where the engine's output goes.

use tollbook_exchange::Operator;

use crate::{engine::Engine, profile::Profile};

/// Takes what the engine decides, in the order of the text.
pub(crate) trait Sink {
    /// These bytes pass.
    fn pass(&mut self, bytes: &[u8]);
    /// A match of the rule with this index begins with these bytes.
    fn redact(&mut self, rule: usize, bytes: &[u8]);
    /// The match of the rule goes on with these bytes.
    fn swallow(&mut self, rule: usize, bytes: &[u8]);
    /// The match has ended.
    fn close(&mut self);
}

/// Where a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
    pub rule: usize,
}

/// Notes where rules matched and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    at: usize,
    pub spans: Vec<Span>,
}

impl Sink for Spans {
    fn pass(&mut self, bytes: &[u8]) {
        self.at += bytes.len();
    }

    fn redact(&mut self, rule: usize, bytes: &[u8]) {
        self.spans.push(Span {
            start: self.at,
            end: self.at + bytes.len(),
            rule,
        });
        self.at += bytes.len();
    }

    fn swallow(&mut self, _rule: usize, bytes: &[u8]) {
        self.at += bytes.len();
        if let Some(last) = self.spans.last_mut() {
            last.end = self.at;
        }
    }

    fn close(&mut self) {}
}

/// Writes the masked text.
pub(crate) struct Writer<'a> {
    pub engine: &'a Engine,
    pub profile: &'a Profile,
    pub out: &'a mut Vec<u8>,
    pub counts: &'a mut Counts,
}

impl Sink for Writer<'_> {
    fn pass(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn redact(&mut self, rule: usize, bytes: &[u8]) {
        self.profile
            .write(&self.engine.rules[rule], rule, bytes, self.out);
        self.counts.add(rule);
    }

    fn swallow(&mut self, rule: usize, bytes: &[u8]) {
        if self.profile.operator(rule) == Operator::Flag {
            self.out.extend_from_slice(bytes);
        }
    }

    fn close(&mut self) {}
}

/// How often each rule matched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Vec<(usize, u32)>);

impl Counts {
    pub(crate) fn add(&mut self, rule: usize) {
        match self.0.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.0.push((rule, 1)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.0.iter().copied()
    }
}
