//! Channels by which people learn of approvals and decide about them.
//!
//! A channel is a [`Notify`](crate::Notify): it takes each event at once, into a bounded queue, and
//! a task of its own delivers it, again and again for half an hour if it has to. No decision waits
//! for a channel or depends on one.
//!
//! - [`Webhook`] posts events to an address of the operator's, signed as [Standard Webhooks] has it.
//!   [`Incoming`] checks the same signatures on decisions that come back.
//! - [`Slack`] posts messages with two buttons and checks what Slack sends when one is pressed.
//!
//! What comes back is checked here and decided by the engine: a channel tells which linked account
//! said what about what it was shown, and nothing more. It never decides with rights of its own.
//!
//! # What it answers
//!
//! A forged or repeated message must not become a decision: signatures are checked in constant time
//! over the bytes as they came, are good for five minutes, and are taken once. An approver must see
//! what is there: [`inert`] shows characters that reorder, hide or act instead of letting them. An
//! address must not lead into the gateway's own network: names are judged after they were resolved,
//! and the address that was judged is the one that is connected to.
//!
//! ```
//! use tollbook_approvals::{
//!     Choice,
//!     channel::{Incoming, WebhookSecret, inert_line},
//! };
//! use tollbook_exchange::Timestamp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let body = br#"{"type":"approval.decide","data":{"approval":"apr_0123456789abcdef0123456789abcdef",
//!     "hash":"0a1b2c3d","decision":"deny","user":"u-17","reason":"not on a Friday"}}"#;
//! let now = Timestamp::now();
//! let mut headers = http::HeaderMap::new();
//! for (name, value) in secret.sign("msg_1", now, body) {
//!     headers.insert(name, value.parse()?);
//! }
//!
//! let incoming = Incoming::new("chatops", [secret])?;
//! let decision = incoming.decision(&headers, body, now)?;
//! assert_eq!(decision.choice, Choice::Deny);
//! assert_eq!(decision.account, "webhook/chatops/u-17");
//! assert!(incoming.decision(&headers, body, now).is_err(), "it came before");
//!
//! assert_eq!(inert_line("user\u{202e}nimda", 64), "user\\u{202e}nimda");
//! # Ok(())
//! # }
//! ```
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

mod address;
mod client;
mod error;
mod inert;
mod outbox;
#[cfg(test)]
mod sample;
mod seen;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

pub use error::{ChannelError, Rejected};
pub use inert::{inert, inert_line};
pub use slack::{Slack, SlackBuilder, SlackDecision, SlackReply};
pub use webhook::{Incoming, Webhook, WebhookBuilder, WebhookDecision, WebhookSecret};
