//! The innermost service: what was judged goes out, and the answer comes back.

mod body;
mod builder;
mod connector;
mod headers;
mod service;

pub use body::{BodyError, ResponseBody};
pub(crate) use builder::Base;
pub use builder::ForwardBuilder;
pub use service::Forward;
