//! Reading a message from its beginning to its end. Numbers are little-endian.

use bytes::{BufMut, BytesMut};

use crate::Error;

/// What of a message has not been read.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may follow.
    pub(crate) const fn end(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Length)
        }
    }

    /// All that follows.
    pub(crate) const fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.0;
        self.0 = &[];
        rest
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Error::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Error::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// What a zero byte ends.
    pub(crate) fn ended(&mut self) -> Result<&'a [u8], Error> {
        let end = memchr::memchr(0, self.0).ok_or(Error::Text)?;
        let taken = self.take(end)?;
        self.byte()?;
        Ok(taken)
    }

    /// A text that a zero byte ends.
    pub(crate) fn text(&mut self) -> Result<&'a str, Error> {
        utf8(self.ended()?)
    }

    /// A number of one to nine bytes ("length-encoded integer").
    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        Ok(match self.byte()? {
            byte @ 0..NULL => byte.into(),
            0xfc => self.u16()?.into(),
            0xfd => {
                let [a, b, c] = self.array()?;
                u32::from_le_bytes([a, b, c, 0]).into()
            }
            0xfe => self.u64()?,
            NULL | 0xff => return Err(Error::Code),
        })
    }

    /// Bytes with their length before them ("length-encoded string").
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Error> {
        let length = usize::try_from(self.number()?).map_err(|_| Error::Length)?;
        self.take(length)
    }

    /// The same, or none for NULL, as the cells of a text row are.
    pub(crate) fn cell(&mut self) -> Result<Option<&'a [u8]>, Error> {
        if self.0.first() == Some(&NULL) {
            self.byte()?;
            return Ok(None);
        }
        self.counted().map(Some)
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Text)
}

pub(crate) fn put_number(out: &mut BytesMut, number: u64) {
    let bytes = number.to_le_bytes();
    match number {
        0..251 => out.put_u8(bytes[0]),
        251..=0xffff => {
            out.put_u8(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.put_u8(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.put_u8(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(crate) fn put_counted(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(9 + bytes.len());
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes and the zero byte that ends them.
pub(crate) fn put_ended(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Error> {
    if memchr::memchr(0, bytes).is_some() {
        return Err(Error::Zero);
    }
    out.extend_from_slice(bytes);
    out.put_u8(0);
    Ok(())
}

/// What stands for NULL where a length is expected.
pub(crate) const NULL: u8 = 0xfb;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_as_long_as_it_must_be() {
        for (number, length) in [
            (0, 1),
            (250, 1),
            (251, 3),
            (0xffff, 3),
            (0x1_0000, 4),
            (0xff_ffff, 4),
            (0x100_0000, 9),
            (u64::MAX, 9),
        ] {
            let mut out = BytesMut::new();
            put_number(&mut out, number);
            assert_eq!(out.len(), length, "{number}");
            assert_eq!(Cursor::new(&out).number(), Ok(number));
            for cut in 0..length {
                assert_eq!(Cursor::new(&out[..cut]).number(), Err(Error::Length));
            }
        }
        assert_eq!(Cursor::new(&[NULL]).number(), Err(Error::Code));
        assert_eq!(Cursor::new(&[0xff]).number(), Err(Error::Code));
    }

    #[test]
    fn a_length_that_nothing_could_have_is_refused() {
        let most = [[0xfe].as_slice(), &[0xff; 8]].concat();
        assert_eq!(Cursor::new(&most).counted(), Err(Error::Length));
    }
}
