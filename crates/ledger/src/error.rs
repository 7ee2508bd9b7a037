//! What can be wrong with something this crate is given to read.

/// The text, bytes or proof is not what it should be.
///
/// No variant carries any of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key's name is empty or holds a space, a control character or a plus sign.
    #[error("key name is empty or holds a space, a control character or a plus sign")]
    Name,
    /// The text is not a key in the form of a signed-note key.
    #[error("malformed note key")]
    Key,
    /// The text is not a signed note.
    #[error("malformed signed note")]
    Note,
    /// The note bears a signature of the key that does not belong to its text.
    #[error("the note's signature is false")]
    Signature,
    /// The note bears no signature of the key.
    #[error("the note is not signed by this key")]
    Unsigned,
    /// The note's text is not a checkpoint.
    #[error("malformed checkpoint")]
    Checkpoint,
    /// The checkpoint is one of another log.
    #[error("the checkpoint is one of another log")]
    Origin,
    /// The bytes are not a leaf of a version this build reads.
    #[error("malformed or unknown leaf")]
    Leaf,
    /// The bytes are not a frontier.
    #[error("malformed frontier")]
    Frontier,
    /// The bytes are not the tile that they should be.
    #[error("malformed tile")]
    Tile,
    /// The text is not a proof of a log.
    #[error("malformed tlog-proof")]
    LogProof,
    /// The text is not the manifest of evidence of a version this build reads.
    #[error("malformed or unknown manifest")]
    Manifest,
    /// The text is not a request to a witness.
    #[error("malformed request to a witness")]
    Witness,
    /// A witness is there twice, or more are needed than there are, or none.
    #[error("a witness is there twice, or more are needed than there are, or none")]
    Quorum,
    /// The proof does not show what it should.
    #[error("the proof does not hold")]
    Proof,
}
