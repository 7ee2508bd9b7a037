//! What the gate costs, measured beside what it is compared with.
//!
//! - `cargo bench --bench stack`: added latency and throughput of the whole stack, against a
//!   direct call and against a bare reverse proxy.
//! - `cargo bench --bench masking`: the masking engine, against `memcpy` and `memchr`.
//! - `cargo bench --bench tokens`: what it takes to know a caller, the first time and afterwards.
