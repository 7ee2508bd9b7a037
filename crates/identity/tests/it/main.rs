//! The whole authenticator from the outside: forged tokens, key sets that change or fail, and real
//! connections.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene has failed"
)]

mod attacks;
mod forge;
mod gate;
mod key_cache;
mod network;
mod presets;
mod principals;
mod recent_tokens;
mod saved_keys;
mod server;
