//! A body of JSON documents, one in each line.

use memchr::memchr;
use tollbook_exchange::Coverage;

use tollbook_exchange::Gap;

use crate::{
    Masker,
    view::body::{Notes, emit, line},
};

#[derive(Debug)]
pub(super) struct Lines {
    masker: Masker,
    pub(super) limit: usize,
    /// The line that has not ended.
    held: Vec<u8>,
    /// Whether that line is too long, so that its rest is dropped.
    too_long: bool,
}

impl Lines {
    pub(super) fn new(masker: &Masker, limit: usize) -> Self {
        Self {
            masker: masker.clone(),
            limit,
            held: Vec::new(),
            too_long: false,
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], notes: &mut Notes<'_>) {
        let mut ended = Vec::new();
        while !bytes.is_empty() {
            let feed = memchr(b'\n', bytes);
            let (part, rest) = bytes.split_at(feed.unwrap_or(bytes.len()));
            self.take(part, notes.coverage);
            bytes = rest;
            if feed.is_some() {
                self.end(&mut ended, notes);
                ended.push(b'\n');
                notes.coverage.inspect(1);
                bytes = &bytes[1..];
            }
        }
        emit(ended, notes.out);
    }

    pub(super) fn finish(&mut self, notes: &mut Notes<'_>) {
        let mut ended = Vec::new();
        self.end(&mut ended, notes);
        emit(ended, notes.out);
    }

    /// The bytes of the line that has not ended.
    pub(super) const fn held(&self) -> usize {
        self.held.len()
    }

    /// The line that has not ended, which is forgotten here.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        self.too_long = false;
        std::mem::take(&mut self.held)
    }

    fn take(&mut self, part: &[u8], coverage: &mut Coverage) {
        if self.too_long || self.held.len() + part.len() > self.limit {
            coverage.skip(Gap::TooLong, (self.held.len() + part.len()) as u64);
            self.held = Vec::new();
            self.too_long = true;
        } else {
            self.held.extend_from_slice(part);
        }
    }

    fn end(&mut self, ended: &mut Vec<u8>, notes: &mut Notes<'_>) {
        if !self.held.is_empty() {
            ended.extend(line(&self.masker, &self.held, notes.found, notes.coverage));
            self.held.clear();
        }
        self.too_long = false;
    }
}
