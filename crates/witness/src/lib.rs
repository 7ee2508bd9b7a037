//! Witnesses of logs: asking them, and being one (<https://c2sp.org/tlog-witness>).
//!
//! Who has a log's key and its disk can write the log anew, or go on from an older copy, and sign
//! that. A witness is somebody else, with another key on another machine, who remembers the newest
//! checkpoint of the log and signs the next one only if the log grew out of it. It sees the size and
//! the root of the tree, and nothing of what was recorded.
//!
//! [`Client`] asks one. A witness that refuses because it knows another history raises an alarm: see
//! [`Failure::is_alarm`]. [`Witness`] is one, over files in a folder: what it knows is durable before
//! it answers, and changes only from what it knew. It serves no HTTP by itself. An [`Authority`] is
//! asked for time stamps (RFC 3161), which say when instead of which.
//!
//! ```
//! use tollbook_ledger::{AddCheckpoint, Checkpoint, Frontier, SigningKey};
//! use tollbook_witness::{Witness, witness_key};
//!
//! let folder = std::env::temp_dir().join(format!("witness-{}", std::process::id()));
//! let log = SigningKey::from_seed("log.example/gw1", &[7; 32])?;
//! let key = witness_key(&folder, "witness.example/w1")?;
//! let witness = Witness::open(&folder, key.clone(), vec![log.verifier_key()])?;
//!
//! let note = Checkpoint::of(log.name(), &Frontier::new()).sign(&log)?;
//! let request = AddCheckpoint { old: 0, proof: Vec::new(), note };
//! let answer = witness.add_checkpoint(&request.to_string(), 1_700_000_000);
//! assert_eq!(answer.status, 200);
//! assert!(answer.body.starts_with("\u{2014} witness.example/w1 "));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authority;
mod client;
mod error;
mod files;
mod serve;

pub use authority::Authority;
pub use client::{Client, Leaves};
pub use error::{Error, Failure};
pub use files::witness_key;
pub use serve::{Answer, Fork, Witness};
