//! What opens the upstream.

mod command;
mod federation;
mod identity_token;
mod program;
mod provide;
mod renewed;
mod secret;

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use crate::error::{BuildError, Fault};

pub use command::CommandCredential;
pub use federation::{Federation, FederationBuilder};
pub use identity_token::IdentityToken;
pub use program::Program;
pub use provide::{CredentialError, CredentialFuture, ProvideCredential};

/// The upstream's credential: a secret, and the header it goes into.
///
/// Its `Debug` names the header only. The secret is wiped when its last copy in this type is
/// dropped; copies in the buffers of connections are not.
#[derive(Clone)]
pub struct Credential {
    header: HeaderName,
    value: HeaderValue,
    secret: Bytes,
    kind: Kind,
}

/// What a credential has to do with the header `anthropic-beta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An API key of the Claude API, beside which the word for bearer tokens has no place.
    ApiKey,
    /// A bearer token of the Claude API, which the API takes beside that word only.
    OAuth,
    /// Anything else.
    Other,
}

/// Headers whose value the forwarder or the HTTP library decides.
const RESERVED: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::ACCEPT_ENCODING,
    header::EXPECT,
    header::UPGRADE,
];

impl Credential {
    /// `secret` behind `prefix` in `header`: `("x-api-key", "", …)`, `("authorization", "Bearer ", …)`.
    ///
    /// # Errors
    ///
    /// When the header's name is none or is one that the gate sets itself, and when the secret is
    /// empty or holds what no header may hold. The error does not quote it.
    pub fn new(header: &str, prefix: &str, secret: &str) -> Result<Self, BuildError> {
        let header: HeaderName = header.parse().map_err(|_| Fault::CredentialHeader)?;
        if RESERVED.contains(&header) {
            return Err(Fault::ReservedHeader.into());
        }
        if secret.trim().is_empty() {
            return Err(Fault::EmptyCredential.into());
        }
        // Receivers trim values, and an echo of what was trimmed would not be found.
        if secret.trim() != secret {
            return Err(Fault::CredentialValue.into());
        }
        let start = prefix.len();
        let bytes = Zeroizing::new([prefix, secret].concat().into_bytes());
        let bytes = Bytes::from_owner(bytes);
        let mut value =
            HeaderValue::from_maybe_shared(bytes.clone()).map_err(|_| Fault::CredentialValue)?;
        // Keeps it out of logs, and out of the table by which HTTP/2 compresses headers.
        value.set_sensitive(true);
        let kind = match header.as_str() {
            "x-api-key" => Kind::ApiKey,
            _ => Kind::Other,
        };
        Ok(Self {
            header,
            value,
            secret: bytes.slice(start..),
            kind,
        })
    }

    /// A bearer token that the Claude API's token exchange gave, which goes into `authorization`
    /// and makes the forwarder add `oauth-2025-04-20` to the caller's `anthropic-beta`.
    ///
    /// # Errors
    ///
    /// As those of [`new`](Self::new).
    pub fn oauth(token: &str) -> Result<Self, BuildError> {
        Self::new(header::AUTHORIZATION.as_str(), "Bearer ", token).map(|credential| Self {
            kind: Kind::OAuth,
            ..credential
        })
    }

    /// The secret itself, without what stands before it in the header: for upstreams that do not speak
    /// HTTP. Keep it out of everything that is written or shown.
    pub fn expose(&self) -> &[u8] {
        &self.secret
    }

    pub(crate) const fn header(&self) -> &HeaderName {
        &self.header
    }

    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.value
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether this is a copy of `other`, and not another that may hold the same secret.
    pub(crate) fn is_copy_of(&self, other: &Self) -> bool {
        std::ptr::eq(self.secret.as_ptr(), other.secret.as_ptr())
    }

    /// Whether `bytes` hold the secret.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        bytes
            .windows(self.secret.len())
            .any(|window| window == self.secret)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_not_printed() {
        let credential = Credential::new("authorization", "Bearer ", "sk-canary").unwrap();
        assert!(!format!("{credential:?}").contains("canary"));
        assert!(!format!("{:?}", credential.value()).contains("canary"));
        let error = Credential::new("x-api-key", "", "sk-canary\n").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn a_credential_that_says_nothing_or_cannot_be_sent_is_refused() {
        for (header, secret) in [
            ("x-api-key", ""),
            ("x-api-key", " "),
            ("x-api-key", "a\r\nb: c"),
            ("x-api-key", "a "),
            ("x api key", "a"),
            ("", "a"),
            ("Host", "a"),
            ("content-length", "1"),
        ] {
            assert!(
                Credential::new(header, "", secret).is_err(),
                "{header:?} {secret:?}"
            );
        }
    }

    #[test]
    fn the_secret_is_found_without_its_prefix() {
        let credential = Credential::new("authorization", "Bearer ", "sk-canary").unwrap();
        assert!(credential.is_in(b"you sent sk-canary, thank you"));
        assert!(!credential.is_in(b"Bearer sk-canar"));
    }
}
