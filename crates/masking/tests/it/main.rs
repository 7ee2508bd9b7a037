//! The engine as its users see it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bodies;
mod corpus;
mod digests;
mod encoded;
mod events;
mod import;
mod json;
mod laws;
#[cfg(feature = "tower")]
mod layer;
mod linear;
mod operators;
mod rows;
mod rules;
mod vectors;
