//! Undoing the content coding of a body, so that it can be scanned.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// First bytes of a gzip member (RFC 1952 §2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How much plain text may come of so much coded, beyond the first [`FREE`] bytes: a model's answer
/// repeats itself a hundred times less than this.
const RATIO: u64 = 200;
const FREE: u64 = 8 << 20;

/// Input is decoded in slices of this size, so that what one slice can grow to stays bounded: at
/// deflate's best ratio of about 1:1030, to 4 MiB.
const SLICE: usize = 4 << 10;

/// Undoes the content coding of a body that comes in pieces: none, or gzip (RFC 1952).
///
/// A little that becomes far too much is refused: two hundred times as much is allowed, and 8 MiB in
/// any case.
#[derive(Debug)]
pub struct Decoder(Coding);

#[derive(Debug)]
enum Coding {
    /// None at all.
    Identity,
    /// Not known yet: the head does not say, and some upstreams compress without saying so.
    Unsaid,
    Gzip(Box<Gzip>),
}

/// A gzip stream, and how much of it has come and gone.
#[derive(Debug)]
struct Gzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    coded: u64,
    plain: u64,
}

/// The body is coded in a way that cannot be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is coded in a way that cannot be undone")]
pub struct Undecodable;

impl Decoder {
    /// The decoder for a body whose head names these codings.
    ///
    /// Where the head says nothing, the first byte tells, if the body is `sniffed` at all.
    ///
    /// # Errors
    ///
    /// When the head names a coding other than `gzip` or `identity`, or more than one.
    pub fn new<'a>(
        codings: impl IntoIterator<Item = &'a [u8]>,
        sniffed: bool,
    ) -> Result<Self, Undecodable> {
        let mut codings = codings.into_iter();
        match (codings.next(), codings.next()) {
            (None, _) if sniffed => Ok(Self(Coding::Unsaid)),
            (None, _) => Ok(Self::identity()),
            (Some(one), None) if one.eq_ignore_ascii_case(b"identity") => Ok(Self::identity()),
            (Some(one), None)
                if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") =>
            {
                Ok(Self(Coding::gzip()))
            }
            _ => Err(Undecodable),
        }
    }

    /// The decoder for a body that is not coded.
    pub const fn identity() -> Self {
        Self(Coding::Identity)
    }

    /// Whether the body is known not to be coded.
    pub const fn is_identity(&self) -> bool {
        matches!(self.0, Coding::Identity)
    }

    /// Whether the body is known to be coded.
    pub const fn is_coded(&self) -> bool {
        matches!(self.0, Coding::Gzip(_))
    }

    /// Hands the plain form of `bytes` to `plain`, piece by piece.
    ///
    /// # Errors
    ///
    /// When the bytes are not coded as they should be, or `plain` says so.
    pub fn decode<E: From<Undecodable>>(
        &mut self,
        bytes: &[u8],
        mut plain: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Coding::Unsaid = self.0
            && let Some(first) = bytes.first()
        {
            // One byte is enough: no text begins with it.
            self.0 = if *first == GZIP_MAGIC[0] {
                Coding::gzip()
            } else {
                Coding::Identity
            };
        }
        match &mut self.0 {
            Coding::Identity | Coding::Unsaid => plain(bytes),
            Coding::Gzip(gzip) => bytes.chunks(SLICE).try_for_each(|slice| {
                let decoder = &mut gzip.decoder;
                decoder
                    .write_all(slice)
                    .map_err(|_: io::Error| Undecodable)?;
                decoder.flush().map_err(|_: io::Error| Undecodable)?;
                gzip.coded += slice.len() as u64;
                gzip.take(&mut plain)
            }),
        }
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// When the coded bytes break off.
    pub fn finish<E: From<Undecodable>>(
        &mut self,
        plain: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.0 {
            Coding::Identity | Coding::Unsaid => Ok(()),
            Coding::Gzip(gzip) => {
                gzip.decoder
                    .try_finish()
                    .map_err(|_: io::Error| Undecodable)?;
                gzip.take(plain)
            }
        }
    }
}

impl Coding {
    fn gzip() -> Self {
        let decoder = MultiGzDecoder::new(Vec::new());
        Self::Gzip(Box::new(Gzip {
            decoder,
            coded: 0,
            plain: 0,
        }))
    }
}

impl Gzip {
    /// Hands on what was decoded.
    fn take<E: From<Undecodable>>(
        &mut self,
        plain: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.plain += self.decoder.get_ref().len() as u64;
        if self.plain > FREE.saturating_add(self.coded.saturating_mul(RATIO)) {
            return Err(Undecodable.into());
        }
        plain(self.decoder.get_ref())?;
        self.decoder.get_mut().clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(decoder: &mut Decoder, chunks: &[&[u8]]) -> Result<Vec<u8>, Undecodable> {
        let mut all = Vec::new();
        for chunk in chunks {
            decoder.decode(chunk, |plain| {
                all.extend_from_slice(plain);
                Ok::<_, Undecodable>(())
            })?;
        }
        decoder.finish(|plain| {
            all.extend_from_slice(plain);
            Ok::<_, Undecodable>(())
        })?;
        Ok(all)
    }

    #[test]
    fn gzip_is_undone_whether_or_not_the_head_says_so() {
        let coded = gzipped(b"event: ping\n\n");
        for codings in [&[&b"gzip"[..]][..], &[]] {
            let mut decoder = Decoder::new(codings.iter().copied(), true).unwrap();
            let bytes: Vec<&[u8]> = coded.chunks(1).collect();
            assert_eq!(
                decoded(&mut decoder, &bytes),
                Ok(b"event: ping\n\n".to_vec())
            );
        }
    }

    #[test]
    fn each_piece_is_plain_as_soon_as_it_can_be() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"first").unwrap();
        encoder.flush().unwrap();
        let mut decoder = Decoder(Coding::gzip());
        let mut seen = Vec::new();
        decoder
            .decode(encoder.get_ref(), |plain| {
                seen.extend_from_slice(plain);
                Ok::<_, Undecodable>(())
            })
            .unwrap();
        assert_eq!(seen, b"first");
    }

    #[test]
    fn a_little_that_becomes_far_too_much_is_refused() {
        let bomb = gzipped(&vec![0; 64 << 20]);
        let mut decoder = Decoder(Coding::gzip());
        assert_eq!(decoded(&mut decoder, &[&bomb]), Err(Undecodable));
        // A file is what it is, whatever its first byte.
        let mut decoder = Decoder::new([], false).unwrap();
        assert_eq!(
            decoded(&mut decoder, &[b"\x1fnot gzip"]),
            Ok(b"\x1fnot gzip".to_vec())
        );
    }

    #[test]
    fn other_codings_and_broken_ones_are_refused() {
        for codings in [&[&b"br"[..]][..], &[b"gzip", b"gzip"], &[b"gzip, br"]] {
            let decoder = Decoder::new(codings.iter().copied(), true);
            assert_eq!(decoder.err(), Some(Undecodable));
        }

        let coded = gzipped(b"text");
        let mut decoder = Decoder(Coding::gzip());
        assert_eq!(
            decoded(&mut decoder, &[&coded[..coded.len() - 4]]),
            Err(Undecodable)
        );
        let mut decoder = Decoder(Coding::gzip());
        assert_eq!(
            decoded(&mut decoder, &[b"\x1f\x8bnonsense here"]),
            Err(Undecodable)
        );
    }
}
