//! What can be wrong with what comes over the wire.

/// Bytes that are not what the protocol allows at this place.
///
/// No variant carries any of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message is longer than allowed.
    #[error("a message of {bytes} bytes is longer than the {limit} that are allowed")]
    TooLong {
        /// The length it claims, with its length field.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A length or a count does not fit what is there.
    #[error("a length or count in a message does not fit the message")]
    Length,
    /// A message of this type does not belong here.
    #[error("unexpected message of type {0:#04x}")]
    Unexpected(u8),
    /// A text is not UTF-8, or is not ended.
    #[error("a text in a message is not UTF-8 or has no end")]
    Text,
    /// A text to be written has a zero byte, which ends texts on this wire.
    #[error("a text holds a zero byte")]
    Zero,
    /// A number stands for nothing that is known.
    #[error("a code in a message stands for nothing that is known")]
    Code,
    /// What a connection begins with is no beginning of this protocol.
    #[error("not a PostgreSQL client")]
    Opening,
    /// The version of the protocol is not one that is spoken.
    #[error("protocol version {major}.{minor} is not spoken here")]
    Version {
        /// The version before the point.
        major: u16,
        /// The one behind it.
        minor: u16,
    },
}
