//! The gate's "no" in the caller's protocol.

mod body;
mod claude;
mod layer;
mod render;

pub use body::RefusalsBody;
pub use claude::ClaudeRefusals;
pub use layer::{RefusalLayer, Refusals, RefusalsFuture};
pub use render::{RenderRefusal, RequestInfo};
