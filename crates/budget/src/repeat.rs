//! The loop breaker.

use std::time::Duration;

/// How often an agent may make the same tool call in a row.
///
/// When the conversation that a request carries ends with more identical tool calls than this, the
/// request is refused. After the pause the session may go on by one request; if the agent still makes
/// the same call, the next pause begins. A loop is thus slowed down to one request a pause, and an agent
/// that was polling for good reason comes to its end.
///
/// A session that is not named is that of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RepeatLimit {
    pub(crate) calls: u64,
    pub(crate) pause: Duration,
}

impl RepeatLimit {
    /// At most so many identical tool calls in a row, with a pause of five minutes after that.
    pub const fn new(calls: u64) -> Self {
        Self {
            calls,
            pause: Duration::from_secs(300),
        }
    }

    /// With another pause, from one second to a day.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}
