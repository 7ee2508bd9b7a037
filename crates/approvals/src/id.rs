//! Names of approvals, grants and events.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// No randomness could be had, or a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The text is not the prefix and 32 hexadecimal digits in lower case.
    #[error("not an id")]
    NotAnId,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// 128 random bits, so that nobody can name one that was not shown to them.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What every such id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id.
            ///
            /// # Errors
            ///
            /// When the system gives no random bytes.
            pub fn generate() -> Result<Self, IdError> {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(|_| IdError::NoRandomness)?;
                Ok(Self(format!("{}{:032x}", $prefix, u128::from_be_bytes(bytes))))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                let digits = text.strip_prefix($prefix).ok_or(IdError::NotAnId)?;
                let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                if digits.len() == 32 && digits.bytes().all(hex) {
                    Ok(Self(text))
                } else {
                    Err(IdError::NotAnId)
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// Names an approval.
    ApprovalId = "apr_";
    /// Names a grant.
    GrantId = "gra_";
    /// Names an event. Channels send it along, so that a receiver can tell a retry from news.
    EventId = "evt_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_prefix_and_32_digits() {
        let id = ApprovalId::generate().unwrap();
        assert_eq!(id.as_str().len(), 36);
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_ne!(ApprovalId::generate().unwrap(), id);
        for text in [
            "",
            "apr_",
            "apr_0123456789abcdef0123456789abcde",
            "apr_0123456789abcdef0123456789abcdef0",
            "apr_0123456789ABCDEF0123456789abcdef",
            "gra_0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(text.parse::<ApprovalId>(), Err(IdError::NotAnId), "{text}");
        }
    }
}
