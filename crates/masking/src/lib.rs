//! Finds secrets in text, JSON and event streams and masks them, the same for every chunking.
//!
//! PLACEHOLDER

mod engine;
mod json;
#[cfg(feature = "tower")]
pub mod layer;
mod masker;
mod rules;
mod stream;
pub mod view;

use tollbook_exchange::Masked;

#[cfg(feature = "tower")]
pub use self::layer::MaskLayer;
pub use self::{
    masker::{JsonScan, Masker, MaskerBuilder, Match, RuleInfo, Scan},
    rules::{BuildError, RuleError},
    stream::MaskStream,
};

/// The one place in which this crate, and so the whole house, says that something is masked.
#[expect(clippy::disallowed_methods, reason = "this is the masking engine")]
pub(crate) const fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}
