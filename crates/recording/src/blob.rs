//! How a piece of a record is stored: compressed, encrypted, and bound to its place.

use std::cell::RefCell;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use sha2::{Digest, Sha256};
use tollbook_ledger::Hash;
use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};

use crate::{Error, ErrorKind, keys::Key};

/// Compresses and encrypts a piece for one place, which `place` names.
///
/// | bytes | field |
/// |---|---|
/// | 1 | form: 1 as it was, 2 compressed |
/// | 16 | random |
/// | 32 | commitment to the key |
/// | … | AES-256-GCM of the piece, and its tag |
///
/// The HMAC-SHA-512 of the random bytes under the scope's key gives the key that the piece alone is
/// encrypted with, and the commitment: so no key meets a nonce twice, whatever crashes, and no
/// ciphertext opens under two keys, which GCM by itself does not promise. The place is associated
/// data: a ciphertext that is put in the place of another one does not open.
pub(crate) fn seal(key: &Key, place: &[&[u8]], piece: &[u8]) -> Result<Vec<u8>, Error> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random).map_err(|_| ErrorKind::Random)?;
    let (with, commitment) = derive(key, &random)?;

    let compressed = compress(piece)?;
    let (form, length) = match &compressed {
        Some(compressed) => (COMPRESSED, LENGTH + compressed.len()),
        None => (AS_IT_WAS, piece.len()),
    };
    let mut blob = Vec::with_capacity(HEAD + length + TAG);
    blob.push(form);
    blob.extend(random);
    blob.extend(commitment);
    match &compressed {
        Some(compressed) => {
            blob.extend(u32::try_from(piece.len()).map_err(wrong)?.to_be_bytes());
            blob.extend(compressed);
        }
        None => blob.extend(piece),
    }
    let tag = with
        .seal_in_place_separate_tag(nonce(), associated(form, place), &mut blob[HEAD..])
        .map_err(wrong)?;
    blob.extend(tag.as_ref());
    Ok(blob)
}

/// Opens what [`seal`] closed with this key for this place.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] for anything else.
pub(crate) fn open(key: &Key, place: &[&[u8]], blob: &[u8]) -> Result<Vec<u8>, Error> {
    let (head, rest) = blob.split_at_checked(HEAD).ok_or(ErrorKind::Corrupt)?;
    let (random, commitment) = head[1..].split_at(RANDOM);
    let form = head[0];
    let (with, expected) = derive(key, random)?;
    if commitment != expected {
        return Err(ErrorKind::Corrupt.into());
    }
    let mut piece = rest.to_vec();
    let length = with
        .open_in_place(nonce(), associated(form, place), &mut piece)
        .map_err(wrong)?
        .len();
    piece.truncate(length);
    match form {
        AS_IT_WAS => Ok(piece),
        COMPRESSED => {
            let (length, frame) = piece.split_first_chunk().ok_or(ErrorKind::Corrupt)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(wrong)?;
            let piece = decompress(frame, length)?;
            match piece.len() == length {
                true => Ok(piece),
                false => Err(ErrorKind::Corrupt.into()),
            }
        }
        _ => Err(ErrorKind::Corrupt.into()),
    }
}

/// The digest that stands in a leaf for a stored piece: the SHA-256 of what is stored `beside` it,
/// each with its length, and of its bytes. Or what [`stub`] left of it.
pub(crate) fn digest(beside: &[&[u8]], blob: &[u8]) -> Hash {
    if let Some((&DROPPED, left)) = blob.split_first()
        && let Ok(left) = left.try_into()
    {
        return Hash(left);
    }
    let mut hasher = Sha256::new();
    for part in beside {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(blob);
    Hash(hasher.finalize().into())
}

/// What stays of a stored piece that is dropped when its key was destroyed: so much that the log can
/// be checked as before.
pub(crate) fn stub(beside: &[&[u8]], blob: &[u8]) -> Vec<u8> {
    [&[DROPPED], &digest(beside, blob).0[..]].concat()
}

/// Whether this is what [`stub`] leaves.
pub(crate) fn is_stub(blob: &[u8]) -> bool {
    blob.first() == Some(&DROPPED) && blob.len() == 1 + 32
}

fn derive(key: &Key, random: &[u8]) -> Result<(LessSafeKey, [u8; COMMITMENT]), Error> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, key.bytes()));
    context.update(DERIVE);
    context.update(random);
    let mut derived = Zeroizing::new([0; 32 + COMMITMENT]);
    derived.copy_from_slice(context.sign().as_ref());
    let (with, commitment) = derived.split_at(32);
    let with = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, with).map_err(wrong)?);
    Ok((with, commitment.try_into().map_err(wrong)?))
}

/// Each key is used once, so its nonce need not tell anything apart.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Form and place, each part with its length before it.
fn associated(form: u8, place: &[&[u8]]) -> Aad<Vec<u8>> {
    let mut bytes = vec![form];
    for part in place {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    Aad::from(bytes)
}

/// The piece in the form of zstd, if that is shorter.
fn compress(piece: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    if piece.len() < SHORT {
        return Ok(None);
    }
    let compressed = COMPRESSOR.with_borrow_mut(|compressor| {
        match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(Compressor::new(LEVEL)?),
        }
        .compress(piece)
    });
    let compressed = compressed.map_err(wrong)?;
    Ok((LENGTH + compressed.len() < piece.len()).then_some(compressed))
}

/// What a frame of zstd holds, which is no more than this.
fn decompress(frame: &[u8], length: usize) -> Result<Vec<u8>, Error> {
    let piece = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(Decompressor::new()?),
        }
        .decompress(frame, length)
    });
    piece.map_err(wrong)
}

fn wrong(_: impl std::fmt::Debug) -> Error {
    ErrorKind::Corrupt.into()
}

thread_local! {
    // Their tables take longer to make than most pieces to compress.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

const LEVEL: i32 = 1;
/// What is shorter is not worth the attempt.
const SHORT: usize = 64;
const LENGTH: usize = 4;

const DROPPED: u8 = 0;
const AS_IT_WAS: u8 = 1;
const COMPRESSED: u8 = 2;

const RANDOM: usize = 16;
const COMMITMENT: usize = 32;
const HEAD: usize = 1 + RANDOM + COMMITMENT;
const TAG: usize = 16;
const DERIVE: &[u8] = b"tollbook-blob-v1\0";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PLACE: &[&[u8]] = &[b"here", &[1]];

    fn pieces() -> [Vec<u8>; 4] {
        [
            Vec::new(),
            b"short".to_vec(),
            b"again and again, ".repeat(1000),
            (0..5000_u32)
                .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
                .collect(),
        ]
    }

    #[test]
    fn a_piece_opens_with_its_key_in_its_place_alone() {
        let (key, other) = (Key::random().unwrap(), Key::random().unwrap());
        for piece in pieces() {
            let blob = seal(&key, PLACE, &piece).unwrap();
            assert_eq!(open(&key, PLACE, &blob).unwrap(), piece);
            assert!(blob.len() <= piece.len() + HEAD + TAG);
            assert!(open(&other, PLACE, &blob).is_err());
            for place in [&[&b"there"[..], &[1]][..], &[b"here"], &[b"here\x01"], &[]] {
                assert!(open(&key, place, &blob).is_err());
            }
            for at in (0..blob.len()).step_by(1 + blob.len() / 500) {
                let mut changed = blob.clone();
                changed[at] ^= 1;
                assert!(open(&key, PLACE, &changed).is_err(), "byte {at}");
                assert!(open(&key, PLACE, &blob[..at]).is_err(), "cut at {at}");
            }
        }
        assert!(seal(&key, PLACE, &pieces()[2]).unwrap().len() < 300);
    }

    /// What a key encrypts with is never the same twice, for whatever piece.
    #[test]
    fn no_piece_is_encrypted_as_one_before() {
        let key = Key::random().unwrap();
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            let blob = seal(&key, PLACE, b"the same").unwrap();
            assert!(seen.insert(blob[1..HEAD].to_vec()));
            assert!(seen.insert(blob[HEAD..].to_vec()));
        }
    }

    #[test]
    fn a_stub_has_the_digest_of_what_was_dropped() {
        let key = Key::random().unwrap();
        let blob = seal(&key, PLACE, b"piece").unwrap();
        let left = stub(&[b"beside"], &blob);
        assert!(is_stub(&left) && !is_stub(&blob));
        assert_eq!(digest(&[], &left), digest(&[b"beside"], &blob));
        assert_ne!(digest(&[], &blob), digest(&[b"beside"], &blob));
        assert_eq!(stub(&[], &left), left);
        assert!(open(&key, PLACE, &left).is_err());
    }
}
