//! Stand-ins for what stands around the gate: a Claude upstream, an OIDC issuer, and switches
//! that make them fail; a real PostgreSQL server and a time-stamping authority, each in a folder of its
//! own. Used by tests, by the benches, and by `tollbook quickstart`.

pub mod authority;
pub mod issuer;
pub mod postgres;
pub mod upstream;
