//! Where the engine's output goes.

use tollbook_exchange::Operator;

use crate::{engine::Engine, profile::Profile, scratch::Scratch};

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
        self.counts.close(self.engine, self.profile);
        self.out.extend_from_slice(bytes);
    }

    fn redact(&mut self, rule: usize, bytes: &[u8]) {
        self.profile
            .replace(&self.engine.rules[rule], rule, bytes, self.out);
        self.counts.open(self.engine, self.profile, rule, bytes);
    }

    fn swallow(&mut self, rule: usize, bytes: &[u8]) {
        self.counts.swallow(bytes);
        if self.profile.operator(rule) == Operator::Flag {
            self.out.extend_from_slice(bytes);
        }
    }

    fn close(&mut self) {
        self.counts.close(self.engine, self.profile);
    }
}

/// How often each rule matched.
#[derive(Default)]
pub(crate) struct Counts {
    counts: Vec<(usize, u32)>,
    /// The match that goes on, where a digest of it is to be left: it comes in pieces.
    open: Option<Open>,
}

struct Open {
    rule: usize,
    value: Scratch,
}

/// Of a longer match no digest is left. The longest there are, private keys, end before.
const LONGEST: usize = 64 << 10;

impl Counts {
    pub(crate) fn add(&mut self, rule: usize) {
        match self.counts.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.counts.push((rule, 1)),
        }
    }

    /// A match begins with these bytes.
    pub(crate) fn open(&mut self, engine: &Engine, profile: &Profile, rule: usize, bytes: &[u8]) {
        self.add(rule);
        self.close(engine, profile);
        if profile.digests(&engine.rules[rule]) {
            let mut value = Scratch::default();
            value.bytes.extend_from_slice(bytes);
            self.open = Some(Open { rule, value });
        }
    }

    /// The match goes on with these bytes.
    pub(crate) fn swallow(&mut self, bytes: &[u8]) {
        let Some(open) = &mut self.open else { return };
        if open.value.bytes.len() + bytes.len() > LONGEST {
            self.open = None;
        } else {
            open.value.grow(bytes);
        }
    }

    /// The match has ended, if there is one.
    pub(crate) fn close(&mut self, engine: &Engine, profile: &Profile) {
        if let Some(Open { rule, value }) = self.open.take() {
            profile.note(&engine.rules[rule], rule, &value.bytes);
        }
    }

    /// The counts so far; counting begins anew, and what is open stays so.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            counts: std::mem::take(&mut self.counts),
            open: None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts.iter().copied()
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.counts).finish()
    }
}
