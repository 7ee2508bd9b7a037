//! The text, masked.

use tollbook_masking::{MaskStream, Masker, view::BodyMasker};

use super::{Format, Sink, flush, unmaskable, write};
use crate::exit::Failure;

/// Writes the masked text to standard output.
pub(super) enum Writing {
    Text { stream: MaskStream, out: Vec<u8> },
    Structured(Box<BodyMasker>),
}

impl Writing {
    pub(super) fn new(masker: &Masker, format: Format) -> Self {
        match format {
            Format::Text => Self::Text {
                stream: masker.stream(),
                out: Vec::new(),
            },
            _ => Self::Structured(Box::new(structured(masker, format))),
        }
    }
}

/// A masker for what has a structure. A document is held until it has ended.
pub(super) fn structured(masker: &Masker, format: Format) -> BodyMasker {
    const LIMIT: usize = 256 << 20;
    BodyMasker::new(masker, Some(format.content_type()), "text").limit(LIMIT)
}

impl Sink for Writing {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Text { stream, out } => {
                stream.push(bytes, out);
                let written = write(out);
                out.clear();
                written
            }
            Self::Structured(body) => {
                let pieces = body.push(bytes).map_err(unmaskable)?;
                pieces.iter().try_for_each(|piece| write(piece.as_inner()))
            }
        }
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        let found = match self {
            Self::Text { stream, out } => {
                stream.finish(out);
                write(out)?;
                out.clear();
                !stream.matches().is_empty()
            }
            Self::Structured(body) => {
                let pieces = body.finish().map_err(unmaskable)?;
                pieces
                    .iter()
                    .try_for_each(|piece| write(piece.as_inner()))?;
                !body.found().is_empty()
            }
        };
        flush()?;
        Ok(found)
    }
}
