//! Evidence: some records of a log in a folder, with all that shows that they are its records.
//!
//! Whoever has the folder and the log's public key can check it offline and alone: no server, no
//! database, no secret. This module has the formats; `tollbook-recording` writes such folders and
//! `tollbook-verify` checks them.
//!
//! | file | what it is |
//! |---|---|
//! | `MANIFEST` | what the folder says that it holds: a [`Manifest`], version 3 |
//! | `vkey` | the log's public key in the form of signed-note, and a line feed |
//! | `checkpoint` | the signed head of the log, as <https://c2sp.org/tlog-checkpoint> has it |
//! | `tile/<L>/<N>` | the hash tiles of the whole tree, as <https://c2sp.org/tlog-tiles> has them |
//! | `tile/entries/<N>` | the leaves of the whole log, unless they were left out |
//! | `attested/<size>.checkpoint` | an earlier checkpoint, or this one, with the lines of its witnesses |
//! | `attested/<size>.stamped`, `.tsr` | one that has a time stamp, and the stamp, as RFC 3161 has it |
//! | `records/<index>.json` | a record's envelope, byte for byte as the log commits to it |
//! | `records/<index>.tlog-proof` | its proof, as <https://c2sp.org/tlog-proof> has it; its extra data is an [`Opening`] |
//! | `records/<index>.body` | the recorded body, if there is one and contents were not left out |
//! | `records/<index>.parts` | how the body was recorded: a [`Part`] on each line |
//!
//! There is nothing else in the folder: a file more is a fault. With `checkpoint` and `tile` it is
//! a static log that the tools of others read too.
//!
//! # What it shows
//!
//! *Integrity*: each record is, byte for byte, what the log's key signed. *Completeness*: no record
//! is missing that the selection asks for. The second needs the leaves of the whole log. A leaf
//! tells kind, time, the random ids of exchange and session and its place in that session, so
//! whoever has them all sees by himself which records a selection takes, that no session has a gap,
//! and when the recorder was not running. They tell nothing of what was recorded, but they do
//! tell how often the gate was used, and when: so they can be left out, and then completeness
//! cannot be shown.
//!
//! Somebody who holds the log's key can write another log under the same name. That is what older
//! checkpoints are for: one that an auditor kept must be a beginning of this log.

mod attested;
mod indexes;
mod manifest;
mod selection;
mod time;

pub use attested::{ATTESTED, Attested};
pub use indexes::Indexes;
pub use manifest::Manifest;
pub use selection::{Selection, Selector};
pub use time::{time_from_text, time_to_text};

use std::{fmt, str::FromStr};

use crate::{Error, LEAF_BYTES, Leaf};

/// The name of the manifest's file.
pub const MANIFEST: &str = "MANIFEST";
/// The name of the file with the log's public key.
pub const VKEY: &str = "vkey";
/// The name of the file with the signed head.
pub const CHECKPOINT: &str = "checkpoint";
/// The folder of the records.
pub const RECORDS: &str = "records";

/// What opens a leaf's commitment: the extra data of a record's proof.
///
/// A byte that is the version, 3, then the leaf and the salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The leaf.
    pub leaf: [u8; LEAF_BYTES],
    /// The salt of its commitment.
    pub salt: [u8; 32],
}

/// One part of a recorded body: when it came, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Microseconds from the start of the exchange.
    pub at: u64,
    /// The number of bytes.
    pub bytes: u64,
}

/// The name of a record's file below the folder.
pub fn record_file(index: u64, extension: &str) -> String {
    format!("{RECORDS}/{index}.{extension}")
}

impl Opening {
    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::LogProof`] for another length or version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let Some((&[VERSION], rest)) = bytes.split_first_chunk() else {
            return Err(Error::LogProof);
        };
        let (leaf, salt) = rest.split_first_chunk().ok_or(Error::LogProof)?;
        Ok(Self {
            leaf: *leaf,
            salt: salt.try_into().map_err(|_| Error::LogProof)?,
        })
    }

    /// The leaf, taken apart.
    ///
    /// # Errors
    ///
    /// Those of [`Leaf::from_bytes`].
    pub fn leaf(&self) -> Result<Leaf, Error> {
        Leaf::from_bytes(&self.leaf)
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION], &self.leaf[..], &self.salt].concat()
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("leaf", &self.leaf())
            .finish_non_exhaustive()
    }
}

/// Two numbers, as a line of a `.parts` file has them.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.bytes)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let (at, bytes) = line.split_once(' ').ok_or(Error::Manifest)?;
        let number = |text: &str| text.parse().map_err(|_| Error::Manifest);
        let part = Self {
            at: number(at)?,
            bytes: number(bytes)?,
        };
        // Only one text stands for a part.
        if part.to_string() == line {
            Ok(part)
        } else {
            Err(Error::Manifest)
        }
    }
}

/// An id in the text form of a UUID.
pub fn id_to_text(id: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in id.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

/// Reads what [`id_to_text`] wrote.
pub fn id_from_text(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.split('-').collect();
    let id = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    (id_to_text(&id) == text).then_some(id)
}

const VERSION: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Header, Kind};

    #[test]
    fn an_opening_is_version_leaf_and_salt() {
        let header = Header {
            kind: Kind::Intent,
            period: 0,
            sequence: 3,
            time: 4,
            exchange: [5; 16],
            session: [6; 16],
            link: Chain::new().next(Kind::Intent),
            seal: crate::Seal::PLAIN,
        };
        let opening = Opening {
            leaf: Leaf::seal(header, &[7; 32], b"{}").to_bytes(),
            salt: [7; 32],
        };
        let bytes = opening.to_bytes();
        assert_eq!(bytes.len(), 1 + LEAF_BYTES + 32);
        assert_eq!(Opening::from_bytes(&bytes), Ok(opening));
        assert_eq!(opening.leaf().unwrap().header, header);
        for cut in 0..bytes.len() {
            assert_eq!(Opening::from_bytes(&bytes[..cut]), Err(Error::LogProof));
        }
        let other = [&[2], &bytes[1..]].concat();
        assert_eq!(Opening::from_bytes(&other), Err(Error::LogProof));
    }

    #[test]
    fn one_text_stands_for_a_part_or_an_id() {
        assert_eq!("12 0".parse(), Ok(Part { at: 12, bytes: 0 }));
        for line in ["12", "12 ", "12  0", "+12 0", "12 00", "12 0 ", "-1 0"] {
            assert_eq!(line.parse::<Part>(), Err(Error::Manifest), "{line}");
        }
        let id = [0x0f; 16];
        let text = id_to_text(&id);
        assert_eq!(text, "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f");
        assert_eq!(id_from_text(&text), Some(id));
        for wrong in [&text[1..], &text.replace('-', ""), &text.to_uppercase()] {
            assert_eq!(id_from_text(wrong), None, "{wrong}");
        }
    }
}
