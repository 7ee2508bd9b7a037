//! The type that says: this may be kept.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::Finding;

/// A value in which everything that must not be kept has been masked.
///
/// The recorder takes bytes of callers and upstreams in this type only. Rust cannot name the one
/// crate that may build it, so the constructor carries its claim in its name and a workspace lint
/// refuses it outside the masking engine.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// Claims that `value` is masked. For the masking engine, and for values that the gate itself
    /// wrote and that hold nothing a caller sent.
    pub const fn assume_masked(value: T) -> Self {
        Self(value)
    }

    /// The masked value.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// A view of the masked value.
    pub const fn as_inner(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Masked or not, contents of the record do not belong into a log.
        f.write_str("Masked(..)")
    }
}

impl<T: Serialize> Serialize for Masked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Masks short texts that lie outside a body: paths, header values, names.
///
/// The record layer takes one so that it can note the head of a request that no inner layer ever
/// sees. The masking engine implements it.
pub trait Redact: Send + Sync + 'static {
    /// The masked text, and what was found; `place` names the text in the findings.
    fn redact(&self, place: &str, text: &str) -> (Masked<String>, Vec<Finding>);
}
