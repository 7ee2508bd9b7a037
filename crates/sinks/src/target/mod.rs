//! The other sides that sinks send to.

mod address;
mod file;
mod http;
mod nats;
mod otlp;
mod s3;
mod webhook;

pub use address::Trust;
pub use file::{FileTarget, Rotation};
pub use nats::{NatsLogin, NatsTarget};
pub use otlp::{OtlpHeader, OtlpTarget};
pub use s3::{S3Keys, S3Target};
pub use tollbook_approvals::channel::WebhookSecret;
pub use webhook::WebhookTarget;
