//! The engine as its users see it.

mod corpus;
mod vectors;
