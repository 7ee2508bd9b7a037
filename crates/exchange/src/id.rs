//! Identifiers. Both are UUIDs in their canonical text form.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names one exchange. A UUID version 7 (RFC 9562 §5.7), so ids sort by the time they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExchangeId(Uuid);

impl ExchangeId {
    /// A fresh id from the system's clock and randomness.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id with these sixteen bytes, as [`as_bytes`](Self::as_bytes) gave them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes of the id, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// Names the session an exchange belongs to: one agent session, one CI job, one connection.
///
/// The id is derived from the principal and the label the caller gave, so that one caller can
/// never write into another's session by repeating its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// The session with these sixteen bytes. Version and variant bits are set to those of a
    /// UUID version 8 (RFC 9562 §5.8), the form for ids derived in an application's own way.
    pub const fn derived(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The session that holds just this exchange.
    pub const fn alone(exchange: ExchangeId) -> Self {
        Self(exchange.0)
    }

    /// The session with exactly these sixteen bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes of the id, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// The text is not the canonical form of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError(());

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    }
}

impl std::error::Error for ParseIdError {}

macro_rules! text_form {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $id {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| ParseIdError(()))
            }
        }
    };
}

text_form!(ExchangeId);
text_form!(SessionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let first = ExchangeId::generate();
        let second = ExchangeId::generate();
        assert!(first < second);
    }

    #[test]
    fn text_form_round_trips() {
        let id = ExchangeId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("not-an-id".parse::<ExchangeId>().is_err());
    }
}
