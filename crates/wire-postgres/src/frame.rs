//! Frames: a tag, a length, a body.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Error;

/// One message as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type of the message. The same byte can mean one thing from a client and another from a
    /// server.
    pub tag: u8,
    /// What stands behind the length.
    pub body: Bytes,
}

/// Cuts a stream into frames of a bounded length.
///
/// A length is judged as soon as it is there, by the tag: a message that may hold data of a user may
/// be as long as the limit allows, any other no longer than [`Self::SMALL`]. So nobody has to be
/// given memory for a long message before it is known that it may be long.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    limit: usize,
    /// The types of messages that may be long.
    long: &'static [u8],
}

impl Frame {
    /// A frame to be sent. A body has less than 2³¹ bytes, or it could not be sent: see
    /// [`Self::write`].
    pub fn new(tag: u8, body: impl Into<Bytes>) -> Self {
        Self {
            tag,
            body: body.into(),
        }
    }

    /// The number of bytes it has on the wire.
    pub fn wire_len(&self) -> usize {
        HEAD + self.body.len()
    }

    /// Appends it as it stands on the wire. A body that no length can tell is cut off, which its
    /// reader sees as a broken message; none that was read is so long.
    pub fn write(&self, out: &mut BytesMut) {
        let length = i32::try_from(self.body.len() + LENGTH).unwrap_or(i32::MAX);
        out.reserve(self.wire_len());
        out.put_u8(self.tag);
        out.put_i32(length);
        let body = usize::try_from(length).unwrap_or(LENGTH) - LENGTH;
        out.extend_from_slice(&self.body[..body]);
    }
}

impl Frames {
    /// How long a message may be that holds no data: names, numbers, settings.
    pub const SMALL: usize = 1 << 16;

    /// For what a client sends. `limit` is for a whole message, in bytes.
    pub const fn of_clients(limit: usize) -> Self {
        Self {
            limit,
            long: b"QPBFd",
        }
    }

    /// For what a server sends.
    pub const fn of_servers(limit: usize) -> Self {
        Self {
            limit,
            long: b"DdTVENAtG",
        }
    }

    /// Takes the next frame out of `wire`, if it is there as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] and [`Error::Length`], as soon as the length has come. The connection is
    /// out of step then and can only be closed.
    pub fn next(&self, wire: &mut BytesMut) -> Result<Option<Frame>, Error> {
        let Some([tag, length @ ..]) = wire.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let (tag, length) = (*tag, i32::from_be_bytes(*length));
        let length = usize::try_from(length).map_err(|_| Error::Length)?;
        let body = length.checked_sub(LENGTH).ok_or(Error::Length)?;
        let limit = self.limit_of(tag);
        if length > limit {
            return Err(Error::TooLong {
                bytes: length as u64,
                limit: limit as u64,
            });
        }
        if wire.len() < HEAD + body {
            // What is missing will come: room for it is taken once.
            wire.reserve(HEAD + body - wire.len());
            return Ok(None);
        }
        wire.advance(HEAD);
        Ok(Some(Frame {
            tag,
            body: wire.split_to(body).freeze(),
        }))
    }

    fn limit_of(&self, tag: u8) -> usize {
        if self.long.contains(&tag) {
            self.limit
        } else {
            self.limit.min(Self::SMALL)
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("tag", &char::from(self.tag))
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The bytes of a length, which counts itself.
const LENGTH: usize = 4;
/// A tag and a length.
const HEAD: usize = 1 + LENGTH;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_judged_before_the_body_comes() {
        let frames = Frames::of_clients(1 << 20);
        let next = |bytes: &[u8]| frames.next(&mut BytesMut::from(bytes));
        assert_eq!(next(b"Q"), Ok(None));
        assert_eq!(next(b"Q\0\x0f\xff\xff"), Ok(None));
        let (bytes, limit) = ((1 << 20) + 1, 1 << 20);
        assert_eq!(next(b"Q\0\x10\0\x01"), Err(Error::TooLong { bytes, limit }));
        assert_eq!(next(b"Q\0\0\0\x03"), Err(Error::Length));
        assert_eq!(next(b"Q\xff\xff\xff\xff"), Err(Error::Length));
        // A name is not a megabyte long.
        let (bytes, limit) = (1 << 18, 1 << 16);
        assert_eq!(next(b"D\0\x04\0\0"), Err(Error::TooLong { bytes, limit }));
    }

    #[test]
    fn what_is_cut_anywhere_gives_the_same_frames() {
        let mut wire = BytesMut::new();
        let sent = [
            Frame::new(b'Q', &b"SELECT 1\0"[..]),
            Frame::new(b'S', Bytes::new()),
            Frame::new(b'X', Bytes::new()),
        ];
        for frame in &sent {
            frame.write(&mut wire);
        }
        assert_eq!(wire.len(), sent.iter().map(Frame::wire_len).sum());
        for cut in 0..=wire.len() {
            let frames = Frames::of_clients(100);
            let (mut come, mut got) = (BytesMut::new(), Vec::new());
            for part in [&wire[..cut], &wire[cut..]] {
                come.extend_from_slice(part);
                while let Some(frame) = frames.next(&mut come).unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, sent, "cut at {cut}");
        }
    }

    #[test]
    fn no_debug_output_shows_a_body() {
        let frame = Frame::new(b'p', &b"hunter2\0"[..]);
        assert!(!format!("{frame:?}").contains("hunter"));
    }
}
