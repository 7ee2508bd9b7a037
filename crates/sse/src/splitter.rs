//! Cutting a stream of bytes at blank lines.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::Frame;

/// Cuts a stream of bytes into [`Frame`]s. See the [crate documentation](crate).
pub struct Splitter {
    buffer: BytesMut,
    /// Bytes at the front of the buffer that hold no complete blank line.
    seen: usize,
    /// Whether the byte before `seen` ends a line.
    at_line_start: bool,
    limit: usize,
}

/// An event is longer than the splitter was told to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong {
    limit: usize,
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server-sent event longer than {} bytes", self.limit)
    }
}

impl std::error::Error for FrameTooLong {}

impl Splitter {
    /// A splitter that holds at most `limit` bytes of an event that has not ended.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            seen: 0,
            at_line_start: true,
            limit,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The number of bytes that came and are in no frame yet.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next complete frame, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// When an unfinished event is longer than the limit. The stream cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLong> {
        while let Some(found) = memchr2(b'\n', b'\r', &self.buffer[self.seen..]) {
            let mut end = self.seen + found;
            let blank = found == 0 && self.at_line_start;
            if self.buffer[end] == b'\r' {
                match self.buffer.get(end + 1) {
                    Some(b'\n') => end += 1,
                    Some(_) => {}
                    // The line feed of this line ending may still be under way.
                    None => break,
                }
            }
            self.seen = end + 1;
            self.at_line_start = true;
            if blank {
                let frame = self.buffer.split_to(self.seen).freeze();
                self.seen = 0;
                return Ok(Some(Frame::from_bytes(frame)));
            }
        }
        if self.buffer.len() > self.limit {
            return Err(FrameTooLong { limit: self.limit });
        }
        let tail = usize::from(self.buffer.last() == Some(&b'\r'));
        if self.buffer.len() - tail > self.seen {
            self.seen = self.buffer.len() - tail;
            self.at_line_start = false;
        }
        Ok(None)
    }

    /// Ends the stream: whatever did not end in a blank line.
    pub fn finish(&mut self) -> Bytes {
        self.seen = 0;
        self.at_line_start = true;
        self.buffer.copy_to_bytes(self.buffer.len())
    }
}

impl fmt::Debug for Splitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Splitter")
            .field("held", &self.buffer.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut splitter = Splitter::new(1 << 20);
        let mut frames = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(frame) = splitter.next_frame().unwrap() {
                frames.push(frame.into_bytes().to_vec());
            }
        }
        (frames, splitter.finish().to_vec())
    }

    #[test]
    fn every_line_ending_ends_a_line() {
        let (frames, rest) = split(&[b"a\n\nb\r\n\r\nc\r\rd\n\r\nrest"]);
        assert_eq!(frames, [&b"a\n\n"[..], b"b\r\n\r\n", b"c\r\r", b"d\n\r\n"]);
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut splitter = Splitter::new(8);
        splitter.push(b"data: 123456789");
        assert_eq!(splitter.next_frame(), Err(FrameTooLong { limit: 8 }));
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_the_bytes_came(
            text in proptest::collection::vec(prop::sample::select(b"ab:\n\r ".to_vec()), 0..64),
            cuts in proptest::collection::vec(0usize..64, 0..8),
        ) {
            let whole = split(&[&text]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(0);
            cuts.push(text.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(&split(&chunks), &whole);

            let mut joined: Vec<u8> = whole.0.concat();
            joined.extend(&whole.1);
            prop_assert_eq!(joined, text);
        }
    }
}
