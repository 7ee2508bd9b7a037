//! The engine as its users see it.

mod corpus;
mod events;
mod json;
mod laws;
#[cfg(feature = "tower")]
mod layer;
mod rules;
mod vectors;
