//! An issuer whose tokens count.

mod builder;
mod kept;

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc};

use reqwest::Url;
use tollbook_exchange::PrincipalKind;

pub use self::builder::IssuerBuilder;
use crate::{Algorithm, keys::KeySet};

/// An issuer whose tokens count, and what they may say.
pub struct Issuer {
    name: String,
    pub(crate) identifier: String,
    pub(crate) audience: String,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) authorized_parties: Vec<String>,
    pub(crate) groups_claim: Option<String>,
    pub(crate) groups_cut_at: Option<usize>,
    pub(crate) kind: PrincipalKind,
    pub(crate) claims: BTreeSet<String>,
    /// Seconds.
    pub(crate) leeway: i64,
    /// Seconds.
    pub(crate) max_lifetime: i64,
    pub(crate) source: KeySource,
}

impl Issuer {
    /// Starts the description of an issuer.
    ///
    /// `name` is the operator's word for it, in records and policies. `identifier` is its own, and
    /// the `iss` of its tokens must equal it byte for byte. Unless told otherwise, its keys are
    /// found by discovery, tokens may live for an hour, clocks may differ by thirty seconds, and
    /// callers are of kind [`Service`](PrincipalKind::Service), the one that may approve nothing.
    pub fn builder(name: impl Into<String>, identifier: impl Into<String>) -> IssuerBuilder {
        IssuerBuilder::new(name.into(), identifier.into())
    }

    /// The operator's word for the issuer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The issuer's own name for itself.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

/// Where an issuer's keys come from.
pub(crate) enum KeySource {
    /// The discovery document below this issuer URL names the address of the key set.
    Discovery(Url),
    /// The key set is at this address.
    Address(Url),
    /// The key set is in this file.
    File(PathBuf),
    /// These keys and no others.
    Fixed(Arc<KeySet>),
}
