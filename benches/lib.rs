//! What the gate costs, measured beside what it is compared with, and how much of what must not be
//! seen the masking engine finds.
//!
//! - `cargo bench --bench stack`: added latency and throughput of the whole stack, against a
//!   direct call and against a bare reverse proxy.
//! - `cargo bench --bench masking`: the masking engine, in a package beside this one.
//! - `cargo bench --bench tokens`: what it takes to know a caller, the first time and afterwards.
//! - `cargo run --release --bin score`: recall, precision, leaks and false positives of the masking
//!   engine, on texts made up from a seed and on those of others; `-- --elsewhere 20` on whole documents.

pub mod corpus;
pub mod scoring;
