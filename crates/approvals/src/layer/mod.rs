//! The tower layer that holds a request until people have approved it.

mod body;
mod clearance;
mod late;
mod service;
mod settings;

pub use body::HeldBody;
pub use service::Approve;
pub use settings::ApprovalLayer;
