//! Replaying a book that these tests write: as a sandbox, as a playback, and with other rules.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

mod book;
mod playback;
mod resend;
mod sandbox;
