//! Replay of recorded exchanges: the same again, without the cost, the waiting or the deeds.
//!
//! Whoever has to find out what an agent did wants to see it happen; whoever changes a client, a
//! model, a policy or a masking rule wants to know what that changes. The book has all it takes:
//! requests, answers, and when each event of them came.
//!
//! - [`Playback`] tells exchanges again in their own time, and [`Asciicast`] keeps that for others.
//! - [`Sandbox`] is an upstream that gives the same client the recorded answers, offline.
//! - [`Resend`] sends the recorded requests to another upstream or model and compares the answers.
//! - [`findings`] is what other masking rules would find in what was recorded.
//!
//! # What a replay is not
//!
//! The book holds what was asked and answered **after masking**. A replayed answer has
//! `[REDACTED:rule]` where a secret was: a tool call with such a place in it does not do what it did.
//! A request that is sent again has them too, and so asks something else. What was never recorded
//! (bodies beyond the limit of the scan, answers that broke off) cannot be replayed whole.
//!
//! # How a request is found
//!
//! By what it means, after it was masked as the recorded ones were. What clients vary on their own
//! does not count:
//!
//! | left out | where all must be the same | where the setting may differ |
//! |---|---|---|
//! | `max_tokens`, a `metadata` with nothing but a `user_id`, Claude Code's attribution block | yes | yes |
//! | `cache_control` of the request, of tools, system and content blocks | yes | yes |
//! | the keyed hash in `[REDACTED:rule#…]` | yes | yes |
//! | all but the messages: system prompt, tools, model, settings | | yes |
//! | blocks that begin with `<system-reminder>`, thoughts, ids of tool calls | | yes |
//! | UUIDs, dates and times of day within texts | | yes |
//!
//! Whether a stream is asked for always counts: who asks for one cannot read a document.
//!
//! # The threat
//!
//! What is replayed was written by others: models, tools, people. It is handed out as data, and who
//! shows it on a terminal has to make it inert first. A sandbox hands the record to anybody who can
//! reach it, so it belongs on the loopback interface. Nothing of what it is asked is kept, and what
//! it tells about a difference is where it is and never what stands there.
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{Request, StatusCode};
//! use tollbook_masking::Masker;
//! use tollbook_recording::{Config, Reader, Recorder};
//! use tollbook_replay::Sandbox;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # drop(Recorder::open(Config::new(folder.path(), "audit.example/gw1"))?);
//! let book = Arc::new(Reader::open(folder.path())?);
//! let sandbox = Sandbox::load(book, Vec::new(), Masker::builtin())?;
//!
//! let asked = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
//! let request = Request::post("/v1/messages").body(String::from(asked))?;
//! let answer = sandbox.answer(request).await;
//! // Nothing of the kind is recorded, and nothing is made up.
//! assert_eq!(answer.status(), StatusCode::NOT_FOUND);
//! assert_eq!(sandbox.report().unmatched, 1);
//! # Ok(())
//! # }
//! ```

mod error;
mod meaning;
mod pace;
mod play;
mod recorded;
mod resend;
mod sandbox;
mod whatif;

pub use error::{Error, ErrorKind};
pub use pace::Pace;
pub use play::{Asciicast, BlockKind, Playback, Scene, What};
pub use recorded::RecordedExchange;
pub use resend::{Comparison, Pair, Resend, Timing};
pub use sandbox::{AnswerBody, BrokenOff, Event, Fallback, How, NeverAsked, Report, Sandbox};
pub use whatif::findings;
