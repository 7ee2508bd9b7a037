//! How fast the masking engine is, in a package of its own, so that measuring it builds nothing but it.
//!
//! - `cargo bench --bench masking`: texts, deltas, documents and rows of all sorts, beside `memcpy`,
//!   `memchr` and regular expressions. A name, such as `cargo bench --bench masking -- traffic`, measures
//!   the rows that have it in theirs.
//! - `cargo bench --bench command`: `tollbook mask` on a file of 1 GiB, beside the library in this
//!   process on the same bytes.

mod clock;

pub use clock::Cpu;
