//! Bodies as they are stored.
//!
//! An agent sends its whole conversation with every turn. So the body of a request is cut into
//! pieces at places that come again, each piece is stored once in its scope, and the body is a
//! [`Recipe`] of them. What a request brings that was not there is stored together, as a pack. The
//! answer is stored as it came, in chunks of several parts.
//!
//! All of it is sealed; see [`blob`](crate::blob).

mod cut;
mod recipe;

pub(crate) use cut::cut;
pub(crate) use recipe::{Recipe, Run};

use bytes::Bytes;
use tollbook_exchange::ExchangeId;
use tollbook_ledger::Kind;

use crate::{
    Error, ErrorKind, blob,
    keys::{Key, KeyId},
};

/// The pieces of one pack, before they are sealed or after they were opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pack {
    /// Where each piece ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

/// One part of an answer.
pub(crate) type Part = (u64, Bytes);

impl Pack {
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
        self.ends.push(self.bytes.len());
    }

    /// The number of pieces.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of bytes in them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn get(&self, piece: usize) -> Option<&[u8]> {
        let end = *self.ends.get(piece)?;
        let begin = match piece.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(begin..end)
    }

    pub(crate) fn seal(&self, key: &Key, id: KeyId, addresses: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::with_capacity(self.bytes.len() + 3 * self.ends.len() + 3);
        varint(&mut plain, self.ends.len() as u64);
        let mut begin = 0;
        for end in &self.ends {
            varint(&mut plain, (end - begin) as u64);
            begin = *end;
        }
        plain.extend(&self.bytes);
        blob::seal(key, &[PACK, &id.0, addresses], &plain)
    }

    pub(crate) fn open(key: &Key, id: KeyId, addresses: &[u8], blob: &[u8]) -> Result<Self, Error> {
        let plain = blob::open(key, &[PACK, &id.0, addresses], blob)?;
        let mut rest = plain.as_slice();
        let count = length(&mut rest)?;
        let mut pack = Self::default();
        let mut end = 0_usize;
        for _ in 0..count {
            end = end
                .checked_add(length(&mut rest)?)
                .ok_or(ErrorKind::Corrupt)?;
            pack.ends.push(end);
        }
        if end != rest.len() {
            return Err(ErrorKind::Corrupt.into());
        }
        pack.bytes = rest.to_vec();
        Ok(pack)
    }
}

/// Seals parts of an answer as the chunk of this number.
pub(crate) fn seal_chunk(
    key: &Key,
    exchange: ExchangeId,
    kind: i64,
    ordinal: u64,
    parts: &[Part],
) -> Result<Vec<u8>, Error> {
    let bytes: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut plain = Vec::with_capacity(bytes + 12 * parts.len() + 3);
    varint(&mut plain, parts.len() as u64);
    for (at, bytes) in parts {
        varint(&mut plain, *at);
        varint(&mut plain, bytes.len() as u64);
    }
    parts
        .iter()
        .for_each(|(_, bytes)| plain.extend(bytes.iter()));
    blob::seal(
        key,
        &chunk_place(
            exchange.as_bytes(),
            &kind.to_be_bytes(),
            &ordinal.to_be_bytes(),
        ),
        &plain,
    )
}

/// Opens what [`seal_chunk`] sealed.
pub(crate) fn open_chunk(
    key: &Key,
    exchange: ExchangeId,
    kind: i64,
    ordinal: u64,
    blob: &[u8],
) -> Result<Vec<Part>, Error> {
    let (kind, ordinal) = (kind.to_be_bytes(), ordinal.to_be_bytes());
    let plain = Bytes::from(blob::open(
        key,
        &chunk_place(exchange.as_bytes(), &kind, &ordinal),
        blob,
    )?);
    let mut rest = &plain[..];
    let count = length(&mut rest)?;
    let mut heads = Vec::new();
    for _ in 0..count {
        heads.push((number(&mut rest)?, length(&mut rest)?));
    }
    let mut at_byte = plain.len() - rest.len();
    let mut parts = Vec::with_capacity(heads.len());
    for (at, bytes) in heads {
        let end = at_byte.checked_add(bytes).filter(|end| *end <= plain.len());
        let end = end.ok_or(ErrorKind::Corrupt)?;
        parts.push((at, plain.slice(at_byte..end)));
        at_byte = end;
    }
    match at_byte == plain.len() {
        true => Ok(parts),
        false => Err(ErrorKind::Corrupt.into()),
    }
}

/// What an envelope is bound to.
pub(crate) fn envelope_place<'a>(
    kind: &'a [u8; 1],
    exchange: &'a [u8; 16],
    session: &'a [u8; 16],
) -> [&'a [u8]; 4] {
    [b"envelope", kind, exchange, session]
}

/// An envelope with its salt, and the recipe of the body that was asked with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) salt: [u8; 32],
    pub(crate) recipe: Recipe,
    pub(crate) envelope: Vec<u8>,
}

impl Opened {
    pub(crate) fn seal(
        &self,
        key: &Key,
        kind: Kind,
        exchange: &[u8; 16],
        session: &[u8; 16],
    ) -> Result<Vec<u8>, Error> {
        let recipe = self.recipe.to_bytes();
        let mut plain = Vec::with_capacity(40 + recipe.len() + self.envelope.len());
        plain.extend(self.salt);
        varint(&mut plain, recipe.len() as u64);
        plain.extend(recipe);
        plain.extend(&self.envelope);
        blob::seal(
            key,
            &envelope_place(&[kind.to_byte()], exchange, session),
            &plain,
        )
    }

    pub(crate) fn open(
        key: &Key,
        kind: Kind,
        exchange: &[u8; 16],
        session: &[u8; 16],
        blob: &[u8],
    ) -> Result<Self, Error> {
        let plain = blob::open(
            key,
            &envelope_place(&[kind.to_byte()], exchange, session),
            blob,
        )?;
        let (salt, mut rest) = plain.split_first_chunk().ok_or(ErrorKind::Corrupt)?;
        let recipe = length(&mut rest)?;
        let (recipe, envelope) = rest.split_at_checked(recipe).ok_or(ErrorKind::Corrupt)?;
        Ok(Self {
            salt: *salt,
            recipe: Recipe::from_bytes(recipe)?,
            envelope: envelope.to_vec(),
        })
    }
}

fn chunk_place<'a>(
    exchange: &'a [u8; 16],
    kind: &'a [u8; 8],
    ordinal: &'a [u8; 8],
) -> [&'a [u8]; 4] {
    [b"chunk", exchange, kind, ordinal]
}

/// A number in seven bits a byte, the lowest first, as in Protocol Buffers.
fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(0x80 | (number & 0x7f).to_le_bytes()[0]);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn number(from: &mut &[u8]) -> Result<u64, Error> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(ErrorKind::Corrupt)?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(ErrorKind::Corrupt.into())
}

fn length(from: &mut &[u8]) -> Result<usize, Error> {
    usize::try_from(number(from)?).map_err(|_| ErrorKind::Corrupt.into())
}

/// A pack is closed when it has so many bytes.
pub(crate) const PACK_BYTES: usize = 1 << 20;
const PACK: &[u8] = b"pack";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(n: u64) {
            let mut bytes = Vec::new();
            varint(&mut bytes, n);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(number(&mut rest).unwrap(), n);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn packs_and_chunks_come_back(pieces: Vec<Vec<u8>>, at: Vec<u64>) {
            let key = Key::random().unwrap();
            let id = KeyId::random().unwrap();
            let mut pack = Pack::default();
            pieces.iter().for_each(|piece| pack.push(piece));
            let blob = pack.seal(&key, id, b"address").unwrap();
            let opened = Pack::open(&key, id, b"address", &blob).unwrap();
            prop_assert_eq!(&opened, &pack);
            for (n, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(opened.get(n), Some(piece.as_slice()));
            }
            prop_assert_eq!(opened.get(pieces.len()), None);
            prop_assert!(Pack::open(&key, id, b"other", &blob).is_err());

            let parts: Vec<Part> = at.into_iter().zip(pieces.into_iter().map(Bytes::from)).collect();
            let exchange = ExchangeId::generate();
            let blob = seal_chunk(&key, exchange, 2, 7, &parts).unwrap();
            prop_assert_eq!(open_chunk(&key, exchange, 2, 7, &blob).unwrap(), parts);
            prop_assert!(open_chunk(&key, exchange, 2, 8, &blob).is_err());
            prop_assert!(open_chunk(&key, exchange, 1, 7, &blob).is_err());
            prop_assert!(open_chunk(&key, ExchangeId::generate(), 2, 7, &blob).is_err());
        }
    }
}
