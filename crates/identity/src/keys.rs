//! The keys that an issuer signs with: how they are had, judged and kept.

mod address;
mod cache;
mod fetch;
mod http;
mod jwk;
mod load;
mod set;

pub use self::fetch::{Fetch, FetchError, FetchFuture, Fetched};
pub(crate) use self::{
    address::fetchable, cache::KeyCache, http::HttpFetch, jwk::Key, load::Loader, set::KeySet,
};
