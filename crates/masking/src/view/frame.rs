//! Events as bytes.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr2;
use tollbook_sse::Frame;

use crate::{Masker, json::Found};

/// Whether a line of the event that is no data holds a match.
pub(super) fn has_matches(frame: &Frame, masker: &Masker) -> bool {
    let mut lines = Lines {
        bytes: frame.as_bytes(),
    };
    lines.any(|(line, _)| {
        !is_data(line)
            && !masker
                .engine
                .spans(&masker.profile.on, line, false)
                .is_empty()
    })
}

/// The event with other data and its other lines masked.
pub(super) fn rebuild(frame: &Frame, data: &[u8], masker: &Masker, found: &mut Found) -> Bytes {
    // A line feed in JSON is white space, but in an event it would end the line.
    let data = match memchr2(b'\n', b'\r', data) {
        None => Cow::Borrowed(data),
        Some(_) => data
            .iter()
            .map(|byte| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    *byte
                }
            })
            .collect(),
    };
    let mut out = Vec::with_capacity(frame.as_bytes().len() + 16);
    let mut written = false;
    for (line, end) in (Lines {
        bytes: frame.as_bytes(),
    }) {
        if !is_data(line) {
            let scan = masker.mask(line);
            for found_here in masker.engine.spans(&masker.profile.on, line, false) {
                found.add(found_here.rule, "*", 1);
            }
            out.extend_from_slice(scan.masked.as_inner());
        } else if written {
            continue;
        } else {
            if line.starts_with(BOM) {
                out.extend_from_slice(BOM);
            }
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&data);
            written = true;
        }
        out.extend_from_slice(end);
    }
    out.into()
}

const BOM: &[u8] = b"\xef\xbb\xbf";

fn is_data(line: &[u8]) -> bool {
    let line = line.strip_prefix(BOM).unwrap_or(line);
    line == b"data" || line.starts_with(b"data:")
}

/// The lines of an event, each with its ending.
struct Lines<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let length = memchr2(b'\n', b'\r', self.bytes).unwrap_or(self.bytes.len());
        let (line, rest) = self.bytes.split_at(length);
        let ending = if rest.starts_with(b"\r\n") {
            2
        } else {
            rest.len().min(1)
        };
        let (end, rest) = rest.split_at(ending);
        self.bytes = rest;
        Some((line, end))
    }
}
