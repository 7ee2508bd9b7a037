//! What can be wrong with what comes over the wire.

/// Bytes that are not what the protocol allows at this place.
///
/// No variant carries any of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message is longer than allowed.
    #[error("a message of {bytes} bytes or more is longer than the {limit} that are allowed")]
    TooLong {
        /// The length it is known to have, without the heads of its packets.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A length or a count does not fit what is there.
    #[error("a length or count in a message does not fit the message")]
    Length,
    /// A packet is not the one that follows.
    #[error("packet {got} where {expected} follows")]
    Sequence {
        /// The number it has.
        got: u8,
        /// The one that follows.
        expected: u8,
    },
    /// A message of this type does not belong here.
    #[error("unexpected message of type {0:#04x}")]
    Unexpected(u8),
    /// A text is not UTF-8, or is not ended.
    #[error("a text in a message is not UTF-8 or has no end")]
    Text,
    /// A text to be written has a zero byte, which ends texts at this place.
    #[error("a text holds a zero byte")]
    Zero,
    /// A number stands for nothing that is known.
    #[error("a code in a message stands for nothing that is known")]
    Code,
    /// The other side speaks a protocol from before MySQL 4.1, or does not know of plugins for
    /// authentication.
    #[error("a version of the protocol is not spoken here, or a capability is missing")]
    Version,
}
