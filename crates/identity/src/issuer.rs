//! An issuer whose tokens count.

mod builder;
mod kept;
mod preset;
mod shared;

use std::{fmt, path::PathBuf, sync::Arc};

use reqwest::Url;
use tollbook_exchange::PrincipalKind;

use self::kept::Kept;
pub(crate) use self::preset::{Token, trust_domain};
pub use self::{builder::IssuerBuilder, preset::Preset};
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
    pub(crate) roles_claim: Option<String>,
    /// What the operator says; else the preset knows.
    pub(crate) kind: Option<PrincipalKind>,
    pub(crate) preset: Preset,
    pub(crate) kept: Kept,
    /// In small letters and without `application/`.
    pub(crate) token_type: Option<String>,
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
    /// the `iss` of its tokens must equal it byte for byte; it may be empty where a
    /// [`preset`](IssuerBuilder::preset) knows it. Unless told otherwise, its keys are found by
    /// discovery, tokens may live for an hour, clocks may differ by thirty seconds, and callers are
    /// of kind [`Service`](PrincipalKind::Service), the one that may approve nothing.
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

    /// The audience that its tokens must name.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// What is known about its tokens.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// How far its clock may be from ours, in seconds.
    pub fn leeway(&self) -> i64 {
        self.leeway
    }

    /// Whether the issuer signs for customers who have nothing to do with each other, so that a
    /// token of it proves nothing before one of its [`owner_claims`](Self::owner_claims) is looked
    /// at. Judged by its identifier, whatever the preset.
    pub fn is_shared(&self) -> bool {
        !self.owner_claims().is_empty()
    }

    /// The claims of which a rule for this issuer must pin at least one; none for an issuer that
    /// is not shared.
    pub fn owner_claims(&self) -> &'static [&'static str] {
        shared::owner_claims(&self.identifier)
    }

    /// Whether a token of this type (`typ`, in small letters) is a credential here.
    pub(crate) fn takes_type(&self, typ: Option<&str>) -> bool {
        match (&self.token_type, typ) {
            (Some(required), typ) => typ == Some(required),
            (None, None) => true,
            (None, Some(typ)) => self.preset.profile().types.contains(&typ),
        }
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
