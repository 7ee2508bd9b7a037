//! The formats, held against programs that others wrote.

#![allow(
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

mod elsewhere;
