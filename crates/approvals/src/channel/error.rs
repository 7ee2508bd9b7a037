//! Why a channel cannot be set up, and why what came back is not taken.

/// A channel cannot be set up or used as it is given.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ChannelError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "the address is not an absolute https address, or an http one on this machine that is allowed"
    )]
    Address,
    #[error("the address holds a user name, a password or a fragment")]
    AddressParts,
    #[error("the address is on this machine, in a private network, or one that nobody may send to")]
    Forbidden,
    #[error("a webhook's secret is `whsec_` and 24 to 64 bytes in base64")]
    Secret,
    #[error("there is no secret")]
    NoSecret,
    #[error("the name of the channel is empty or holds a slash")]
    Name,
    #[error("the token or signing secret is empty or holds what no header may hold")]
    Token,
    #[error("the CA certificates cannot be used")]
    Authorities(#[source] reqwest::Error),
    #[error("the client cannot be made")]
    Client(#[source] reqwest::Error),
    #[error("there is no tokio runtime to deliver on")]
    NoRuntime,
    #[error("the message could not be delivered")]
    Undelivered,
}

/// Why something that came back from a channel is not taken.
///
/// Whoever sent it is told no more than that; the word is for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// A header of the signature is missing, comes twice or cannot be read.
    #[error("the headers of the signature cannot be read")]
    Headers,
    /// It was signed more than five minutes ago, or will be.
    #[error("the signature is too old or of the future")]
    Stale,
    /// The signature is none of ours.
    #[error("the signature is wrong")]
    Signature,
    /// It came before.
    #[error("it came before")]
    Repeated,
    /// So much came in the last minutes that nobody can say whether it came before.
    #[error("too much came in the last minutes")]
    Full,
    /// It is signed, and it is not a decision.
    #[error("it is not a decision")]
    NotADecision,
    /// It is larger than any decision.
    #[error("it is too large")]
    TooLarge,
}

impl Rejected {
    /// A stable word for the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "signature_headers",
            Self::Stale => "signature_stale",
            Self::Signature => "signature_wrong",
            Self::Repeated => "repeated",
            Self::Full => "too_many",
            Self::NotADecision => "not_a_decision",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether the sender is who it should be, so that it may be told that it was heard.
    pub const fn is_authentic(self) -> bool {
        matches!(self, Self::Repeated | Self::Full | Self::NotADecision)
    }
}
