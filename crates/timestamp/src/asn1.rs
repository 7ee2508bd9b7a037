//! Walking through DER, which `der` reads strictly.

use der::{AnyRef, Decode, Reader, SliceReader, Tag, TagNumber};

use crate::Error;

/// The elements of a constructed value, one after the other.
pub(crate) struct Walk<'a>(SliceReader<'a>);

/// One element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    /// What it holds.
    pub(crate) value: &'a [u8],
    /// It, with tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Walk<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        SliceReader::new(bytes).map(Self).map_err(form)
    }

    /// The elements of the one value that these bytes are.
    pub(crate) fn into_one(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut walk = Self::new(bytes)?;
        let inner = walk.inside(Tag::Sequence)?;
        walk.end()?;
        Ok(inner)
    }

    /// The next element, if there is one.
    pub(crate) fn any(&mut self) -> Result<Option<Element<'a>>, Error> {
        if self.0.is_finished() {
            return Ok(None);
        }
        let whole = self.0.tlv_bytes().map_err(form)?;
        let any = AnyRef::from_der(whole).map_err(form)?;
        Ok(Some(Element {
            tag: der::Tagged::tag(&any),
            value: any.value(),
            whole,
        }))
    }

    /// The next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: Tag) -> Result<Element<'a>, Error> {
        self.any()?
            .filter(|element| element.tag == tag)
            .ok_or(Error::Form)
    }

    /// The elements of the next one.
    pub(crate) fn inside(&mut self, tag: Tag) -> Result<Self, Error> {
        Self::new(self.take(tag)?.value)
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.0.is_finished() {
            Ok(())
        } else {
            Err(Error::Form)
        }
    }
}

/// The tag of a value with a number of its own, which holds others.
pub(crate) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

fn form(_: der::Error) -> Error {
    Error::Form
}
