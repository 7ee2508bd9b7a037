//! The keys that an issuer signs with: how they are had, judged and kept.

mod address;
mod cache;
mod fetch;
mod http;
mod jwk;
mod load;
mod saved;
mod set;
mod status;

pub(crate) use self::{
    address::fetchable,
    cache::{Feed, KeyCache},
    http::HttpFetch,
    jwk::Key,
    load::Loader,
    set::KeySet,
};
pub use self::{
    fetch::{Fetch, FetchError, FetchFuture, Fetched},
    status::{KeyFault, KeyStatus},
};
