//! Masking bodies by what they are.

mod body;
mod events;
mod frame;
mod lines;

pub use self::body::{BodyMasker, ViewError};
