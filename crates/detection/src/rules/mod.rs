//! Detectors as data: from TOML to the checked form that the engine runs.

mod check;
mod error;
mod source;
mod vectors;

pub use self::error::{BuildError, RuleError};
pub(crate) use self::{source::read, vectors::check_all};

/// The detectors that come with this crate.
pub(crate) const BUILTIN: &str = include_str!("../../rules/builtin.toml");
