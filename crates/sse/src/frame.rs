//! One event, as it stood on the wire.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use memchr::{memchr, memchr2};

/// One server-sent event with its terminating blank line, exactly as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A frame from bytes that end in a blank line. Nothing is checked: a frame is only a view.
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes of the frame.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes of the frame.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The value of the last `event` field, if it is UTF-8.
    pub fn event(&self) -> Option<&str> {
        self.fields()
            .filter(|(name, _)| *name == b"event")
            .last()
            .and_then(|(_, value)| std::str::from_utf8(&self.0[value]).ok())
    }

    /// The values of the `data` fields, joined by line feeds.
    pub fn data(&self) -> Cow<'_, [u8]> {
        let mut data = self
            .fields()
            .filter(|(name, _)| *name == b"data")
            .map(|(_, value)| value);
        let Some(first) = data.next() else {
            return Cow::Borrowed(b"");
        };
        let mut joined = Cow::Borrowed(&self.0[first]);
        for value in data {
            let joined = joined.to_mut();
            joined.push(b'\n');
            joined.extend_from_slice(&self.0[value]);
        }
        joined
    }

    /// Where the value of the `data` field lies, when the frame has exactly one.
    pub fn data_range(&self) -> Option<Range<usize>> {
        let mut data = self
            .fields()
            .filter(|(name, _)| *name == b"data")
            .map(|(_, value)| value);
        let only = data.next()?;
        data.next().is_none().then_some(only)
    }

    /// Each field's name and where its value lies. Comments are left out.
    fn fields(&self) -> impl Iterator<Item = (&[u8], Range<usize>)> {
        let bytes: &[u8] = &self.0;
        let mut at = if bytes.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        std::iter::from_fn(move || {
            while at < bytes.len() {
                let line = at;
                let end = memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |n| at + n);
                at = end + 1;
                match memchr(b':', &bytes[line..end]) {
                    Some(0) => {}
                    Some(colon) => {
                        let value = line + colon + 1;
                        let space = usize::from(bytes[value..end].first() == Some(&b' '));
                        return Some((&bytes[line..line + colon], value + space..end));
                    }
                    None if line == end => {}
                    None => return Some((&bytes[line..end], end..end)),
                }
            }
            None
        })
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The data may hold anything a model or a caller wrote.
        f.debug_struct("Frame")
            .field("bytes", &self.0.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::from_bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn fields_follow_the_specification() {
        let frame = frame("\u{feff}: comment\nevent:first\nevent: second\r\ndata\ndata:  a\n\n");
        assert_eq!(frame.event(), Some("second"));
        assert_eq!(frame.data().as_ref(), b"\n a");
        assert_eq!(frame.data_range(), None);
    }

    #[test]
    fn the_only_data_field_can_be_found() {
        let frame = frame("event: x\ndata: {\"a\":1}\n\n");
        let range = frame
            .data_range()
            .map(|range| frame.as_bytes().slice(range));
        assert_eq!(range.as_deref(), Some(&b"{\"a\":1}"[..]));
    }
}
