//! Events to an address of the operator's, and decisions from there.

mod incoming;
mod message;
mod send;
mod sign;

pub use incoming::{Incoming, WebhookDecision};
pub(super) use incoming::{only, whole_seconds};
pub use send::{Webhook, WebhookBuilder};
pub use sign::WebhookSecret;

use sign::{ID, SIGNATURE, TIMESTAMP, TOLERANCE_SECONDS};
