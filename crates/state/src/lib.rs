//! What the gate remembers beside the book: gateway tokens, revocations, approvals, grants and
//! budgets, in one SQLite file.
//!
//! The book tells what happened; it is written once and never changed. What is here stands for now
//! and changes: whether a token is revoked, whether an approval was used. Losing a change would give
//! something away twice, so every change is durable before it is answered, and after a change that
//! failed nothing is answered at all.
//!
//! [`State`] is opened once by the gateway, and read-only by commands. Its parts are the stores that
//! the engines ask for: [`SqliteTokens`] and [`SqliteApprovals`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tollbook_identity::TokenStore;
//! use tollbook_state::State;
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let state = State::open(folder)?;
//! assert!(state.tokens().list(10).await?.is_empty());
//! let approval_key = state.key("approvals")?;
//! state.put("budgets", b"a snapshot".to_vec()).await?;
//!
//! // Another process reads along, and cannot write.
//! let reader = State::open_read_only(folder)?;
//! assert_eq!(reader.get("budgets").await?.as_deref(), Some(&b"a snapshot"[..]));
//! assert!(reader.put("budgets", Vec::new()).await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # On disk
//!
//! | file | what it is |
//! |---|---|
//! | `state.db` | everything that changes. No secret is in it: tokens are hashes, digests are keyed |
//! | `state.db-wal`, `state.db-shm` | SQLite's own; a copy of a running gate's state needs the first |
//! | `state.lock` | held by the one process that writes |
//! | `state.key` | the secret that all keys of [`State::key`] are derived from |
//!
//! All are readable by their owner only. A database without the key it was made with is refused.

mod approvals;
mod budgets;
mod database;
mod error;
mod folder;
mod grants;
mod state;
mod tokens;
mod worker;

pub use approvals::SqliteApprovals;
pub use error::{Error, ErrorKind};
pub use state::{State, key_of};
pub use tokens::SqliteTokens;
