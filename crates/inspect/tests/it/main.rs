//! The layer, called without a socket.

mod answers;
mod requests;
mod support;
