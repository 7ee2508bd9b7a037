//! Messages in Slack, and what is pressed there.

mod interaction;
mod message;
mod send;

pub use interaction::{SlackDecision, SlackReply};
pub use send::{Slack, SlackBuilder};
