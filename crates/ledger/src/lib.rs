//! Merkle log, signed checkpoints, proofs and offline verification in the C2SP formats.
//!
//! The book is an RFC 6962 Merkle tree over small binary [`Leaf`]s. A leaf commits to its entry
//! with a salt, so the tree says nothing about what was recorded, and an entry can be erased
//! without breaking a proof. The tree's head is a [`Checkpoint`] in a signed [`Note`], the formats
//! that transparency logs share: verifiers that were written elsewhere read them
//! (<https://c2sp.org/signed-note>, <https://c2sp.org/tlog-checkpoint>).
//!
//! The threat is somebody who can write to the disk. Whoever changes, removes, reorders or adds an
//! entry changes the root, and without the signing key there is no checkpoint for it. Whoever
//! holds both the disk *and* the key can rewrite everything that no outsider has seen a checkpoint
//! of: keep checkpoints elsewhere. Witnesses do that for a living: an [`AddCheckpoint`] asks one, and
//! what it answers stands in the note, where a [`Quorum`] finds it.
//!
//! What an entry brings to the disk may be encrypted. Then its leaf has a [`Seal`]: the id of the key
//! and a digest over the stored bytes, by which those check the log who have no key, and everybody
//! when the key was destroyed.
//!
//! The leaves of one session form a [`Chain`], with their number, so that a session is seen to be
//! without gaps by itself. The book's own entries (starts, stops, heartbeats) do as well: a
//! [`Pulse`] tells when nobody wrote, and why.
//!
//! [`Tile`]s and [`LogProof`]s (<https://c2sp.org/tlog-tiles>, <https://c2sp.org/tlog-proof>) carry
//! a log, or one record of it, to somebody else; [`evidence`] is a folder of both.
//!
//! Nothing here does I/O. [`Verifier`] takes the entries one by one and needs no key but the
//! public one:
//!
//! ```
//! use tollbook_ledger::{
//!     Chain, Checkpoint, Entry, Frontier, Header, Kind, Leaf, Seal, SigningKey, Verdict, Verifier,
//!     leaf_hash,
//! };
//!
//! let key = SigningKey::from_seed("log.example/gw1", &[7; 32])?;
//! let header = Header {
//!     kind: Kind::Intent,
//!     period: 0,
//!     sequence: 0,
//!     time: 0,
//!     exchange: [1; 16],
//!     session: [2; 16],
//!     link: Chain::new().next(Kind::Intent),
//!     seal: Seal::PLAIN,
//! };
//! let leaf = Leaf::seal(header, &[3; 32], b"{}").to_bytes();
//!
//! let mut frontier = Frontier::new();
//! frontier.append(leaf_hash(&leaf));
//! let note = Checkpoint::of(key.name(), &frontier).sign(&key)?;
//!
//! let mut verifier = Verifier::new(key.verifier_key());
//! verifier.entry(&Entry { leaf: &leaf, salt: &[3; 32], envelope: b"{}" });
//! verifier.checkpoint(&note);
//! assert_eq!(verifier.finish().verdict, Verdict::Verified);
//!
//! let mut verifier = Verifier::new(key.verifier_key());
//! verifier.entry(&Entry { leaf: &leaf, salt: &[3; 32], envelope: b"{ }" });
//! verifier.checkpoint(&note);
//! let report = verifier.finish();
//! assert_eq!(report.verdict, Verdict::Tampered);
//! assert_eq!(report.faults[0].index, Some(0));
//! # Ok::<(), tollbook_ledger::Error>(())
//! ```

mod chain;
mod checkpoint;
mod cosignature;
mod digest;
mod error;
pub mod evidence;
mod hash;
mod key;
mod leaf;
mod note;
mod past;
mod proof;
mod pulse;
mod seal;
mod tile;
mod tiled;
mod tlog_proof;
mod tree;
mod verify;
mod witness;

pub use chain::{BOOK, Broken, Chain, Chains, Link};
pub use checkpoint::Checkpoint;
pub use cosignature::{Cosigned, Quorum, WitnessKey, WitnessSigner, Witnessed};
pub use digest::ContentDigest;
pub use error::Error;
pub use hash::{Hash, leaf_hash};
pub use key::{SigningKey, VerifierKey};
pub use leaf::{Header, Kind, LEAF_BYTES, Leaf, commitment, salted};
pub use note::{Note, SignatureLine};
pub use past::{History, Kept, Past};
pub use proof::{Growth, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
pub use pulse::{Pulse, Silence, Why};
pub use seal::{Seal, SealedDigest};
pub use tile::{Level, TILE_WIDTH, Tile, Tiler};
pub use tiled::TiledTree;
pub use tlog_proof::LogProof;
pub use tree::Frontier;
pub use verify::{
    Completeness, Entry, Fault, Integrity, MAX_FAULTS, Report, Verdict, Verifier, What,
};
pub use witness::{AddCheckpoint, Refused, known_size};
