//! Events that wait until it is decided what becomes of their texts.
//!
//! The text of a delta may end where a match may have begun. Then its event waits for those that
//! tell, and whatever comes behind it waits too, so that an event in which nothing changes passes as
//! the bytes that came. In a stream without matches that is all of them.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use tollbook_sse::Frame;

use crate::{
    Masker,
    json::{self, Edit},
    masked,
    view::{body::Notes, frame},
};

/// So many bytes of events wait at most. The texts that are not decided are far shorter, but what
/// stands between their deltas may be anything.
const MAX_WAITING: usize = 256 << 10;

/// Which text a delta belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The number of the content block as it is written.
    pub index: Vec<u8>,
    /// The member that holds the text, such as `partial_json`.
    pub member: Vec<u8>,
}

/// The events that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Event {
    frame: Frame,
    /// What is changed in its data, except for the parts.
    edits: Vec<Edit>,
    parts: Vec<Part>,
    /// It was written here, so nothing in it has to be masked.
    is_own: bool,
}

/// A part of a text.
#[derive(Debug)]
pub(super) struct Part {
    pub key: Key,
    /// Where in the event's data it lies.
    pub at: Range<usize>,
    /// How many of its bytes are not decided.
    pub left: usize,
    /// What becomes of those that are.
    pub goes: Vec<u8>,
    /// Whether that is not what came.
    pub is_changed: bool,
}

impl Waiting {
    /// Adds an event.
    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.frame.as_bytes().len();
        self.events.push_back(event);
    }

    /// The bytes of the events that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether as much waits as may.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes > MAX_WAITING
    }

    /// Notes what becomes of the next bytes of a text: those that `came` are decided, and `goes` is
    /// what they are now. The first `behind` of them lie in no event any more. Gives what finds no
    /// event to go into.
    pub(super) fn decide(
        &mut self,
        key: &Key,
        behind: &mut usize,
        came: &[u8],
        goes: &[u8],
    ) -> Vec<u8> {
        let (before, after) = same(came, goes);
        let (first, changed) = (&goes[..before], &goes[before..goes.len() - after]);
        let mut rest = Vec::new();
        for (bytes, goes, is_changed) in [
            (before, first, false),
            (came.len() - before - after, changed, true),
            (after, &goes[goes.len() - after..], false),
        ] {
            if bytes > 0 {
                rest.extend(self.settle(key, behind, bytes, goes, is_changed));
            }
        }
        rest
    }

    fn settle<'a>(
        &mut self,
        key: &Key,
        behind: &mut usize,
        mut bytes: usize,
        mut goes: &'a [u8],
        is_changed: bool,
    ) -> &'a [u8] {
        let before = bytes.min(*behind);
        *behind -= before;
        bytes -= before;
        let events = self.events.iter_mut();
        let parts = events.flat_map(|event| &mut event.parts);
        let mut parts = parts.filter(|part| part.left > 0 && part.key == *key);
        let mut next = parts.next();
        if let Some(part) = &mut next
            && (is_changed || before > 0)
        {
            // Something else is as good anywhere. It is put where it begins.
            let own = if is_changed { goes.len() } else { before };
            part.goes.extend_from_slice(&goes[..own]);
            part.is_changed = true;
            goes = &goes[own..];
        }
        while let Some(part) = next
            && bytes > 0
        {
            let own = bytes.min(part.left);
            part.left -= own;
            bytes -= own;
            part.is_changed |= is_changed;
            if !is_changed {
                part.goes.extend_from_slice(&goes[..own]);
                goes = &goes[own..];
            }
            next = parts.next();
        }
        goes
    }

    /// Gives up waiting: what is not decided goes into later events. Tells of which texts that is,
    /// and how much of each.
    pub(super) fn let_go(&mut self) -> Vec<(Key, usize)> {
        let mut behind = Vec::new();
        let events = self.events.iter_mut();
        for part in events.flat_map(|event| &mut event.parts) {
            if part.left > 0 {
                behind.push((part.key.clone(), part.left));
                part.left = 0;
                part.is_changed = true;
            }
        }
        behind
    }

    /// Gives the events that wait for nothing any more.
    pub(super) fn release(&mut self, masker: &Masker, notes: &mut Notes<'_>) {
        let is_decided = |event: &Event| event.parts.iter().all(|part| part.left == 0);
        while self.events.front().is_some_and(is_decided)
            && let Some(event) = self.events.pop_front()
        {
            self.bytes -= event.frame.as_bytes().len();
            let bytes = event.write(masker, notes);
            notes.out.push(masked(bytes));
        }
    }
}

/// How much at the beginning and at the end of two texts is the same, in whole characters. What is
/// between is not empty in the first text, if the two are not the same.
fn same(came: &[u8], goes: &[u8]) -> (usize, usize) {
    if came == goes {
        return (came.len(), 0);
    }
    let is_inside = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, 0x80..=0xbf));
    let pairs = came.iter().zip(goes);
    let mut before = pairs.take_while(|(came, goes)| came == goes).count();
    while before > 0 && (is_inside(came.get(before)) || is_inside(goes.get(before))) {
        before -= 1;
    }
    before = before.min(came.len().saturating_sub(1));
    let most = (came.len() - before)
        .saturating_sub(1)
        .min(goes.len().saturating_sub(before));
    let pairs = came.iter().rev().zip(goes.iter().rev()).take(most);
    let mut after = pairs.take_while(|(came, goes)| came == goes).count();
    while after > 0 && is_inside(came.get(came.len() - after)) {
        after -= 1;
    }
    (before, after)
}

impl Event {
    pub(super) const fn new(frame: Frame, edits: Vec<Edit>, parts: Vec<Part>) -> Self {
        Self {
            frame,
            edits,
            parts,
            is_own: false,
        }
    }

    /// An event that is written here.
    pub(super) fn own(bytes: Vec<u8>) -> Self {
        Self {
            frame: Frame::from_bytes(bytes.into()),
            edits: Vec::new(),
            parts: Vec::new(),
            is_own: true,
        }
    }

    fn write(self, masker: &Masker, notes: &mut Notes<'_>) -> Bytes {
        let Self {
            frame,
            mut edits,
            parts,
            is_own,
        } = self;
        for part in parts.iter().filter(|part| part.is_changed) {
            let mut text = Vec::with_capacity(part.goes.len() + 8);
            json::encode(&part.goes, &mut text);
            let range = part.at.clone();
            edits.push(Edit { range, text });
        }
        if is_own || (edits.is_empty() && !frame::has_matches(&frame, masker)) {
            return frame.into_bytes();
        }
        edits.sort_by_key(|edit| edit.range.start);
        let data = json::splice(&frame.data(), &edits);
        frame::rebuild(&frame, &data, masker, notes.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_characters_have_a_beginning_too() {
        for (came, goes) in [
            (&b"\x80a"[..], &b"[X]"[..]),
            (b"\x80\x80", b"\x80\x81"),
            (b"a", b"\xbf"),
            (b"\x80", b""),
        ] {
            let (before, after) = same(came, goes);
            assert!(before + after < came.len(), "{came:?} {goes:?}");
            assert!(before + after <= goes.len(), "{came:?} {goes:?}");
        }
    }

    #[test]
    fn what_is_the_same_is_told_in_whole_characters() {
        for (came, goes, expected) in [
            ("abc", "abc", (3, 0)),
            ("key K9 ok", "key [X] ok", (4, 3)),
            ("abc", "", (0, 0)),
            ("abc", "abcd", (2, 0)),
            ("abc", "xabc", (0, 2)),
            ("aaa", "aa", (2, 0)),
            ("x\u{e9}", "x\u{e8}", (1, 0)),
            ("\u{e9}x", "\u{129}x", (0, 1)),
            ("", "x", (0, 0)),
        ] {
            assert_eq!(
                same(came.as_bytes(), goes.as_bytes()),
                expected,
                "{came} {goes}"
            );
        }
    }
}
