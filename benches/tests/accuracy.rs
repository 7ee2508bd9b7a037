//! The goals of accuracy, on a small corpus of a fixed seed. `cargo run --release --bin score` has
//! the large one.
