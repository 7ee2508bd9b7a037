//! What is masked on one connection, and for whom.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Instant};

use http::Extensions;
use tollbook_exchange::{Exchange, Principal};
use tollbook_inspect::{ChooseMasker, RecordMaskers};
use tollbook_masking::{
    MaskKey, Masker,
    layer::{ChooseWire, Wire},
    vault::{Session, Vault, VaultLimits},
};
use tollbook_relay::ChooseMasks;

/// What is masked on one connection: in the record always, on the wire where it is asked for. Who
/// the caller is may make a difference.
#[derive(Clone)]
pub struct ConnectionMasks(Arc<Inner>);

struct Inner {
    connection: String,
    everyone: Masks,
    groups: Vec<(BTreeSet<String>, Masks)>,
    vault: Option<Vault>,
}

/// The maskers for one kind of caller.
#[derive(Clone, Debug)]
pub(crate) struct Masks {
    pub record: RecordMaskers,
    /// Of requests on the wire.
    pub wire: Option<Masker>,
    /// Of answers on the wire.
    pub wire_answers: Option<Masker>,
    /// Whether tokens in answers are turned back.
    pub restore: bool,
}

impl ConnectionMasks {
    /// The record is masked, the wire is not.
    pub fn record(connection: impl Into<String>, masker: Masker) -> Self {
        let everyone = Masks {
            record: RecordMaskers::new(masker),
            wire: None,
            wire_answers: None,
            restore: false,
        };
        Self::new(connection.into(), everyone, Vec::new())
    }

    pub(crate) fn new(
        connection: String,
        everyone: Masks,
        groups: Vec<(BTreeSet<String>, Masks)>,
    ) -> Self {
        Self(Arc::new(Inner {
            connection,
            everyone,
            groups,
            vault: None,
        }))
    }

    /// The same with this key for hashes, surrogates and tokens. Without a key nothing is
    /// replaced by a token.
    pub(crate) fn keyed(&self, key: &MaskKey) -> Self {
        let Inner {
            connection,
            everyone,
            groups,
            ..
        } = &*self.0;
        let of_connection = key.derive(&[b"connection", connection.as_bytes()]);
        let groups = groups
            .iter()
            .map(|(names, masks)| (names.clone(), masks.keyed(key)));
        Self(Arc::new(Inner {
            connection: connection.clone(),
            everyone: everyone.keyed(key),
            groups: groups.collect(),
            vault: Some(Vault::new(&of_connection, VaultLimits::default())),
        }))
    }

    /// The same, where the record has digests of the secrets that are masked in it, made with this
    /// key.
    pub(crate) fn digesting(&self, key: &MaskKey) -> Self {
        let groups = self.0.groups.iter();
        let groups = groups.map(|(names, masks)| (names.clone(), masks.digesting(key)));
        Self(Arc::new(Inner {
            connection: self.0.connection.clone(),
            everyone: self.0.everyone.digesting(key),
            groups: groups.collect(),
            vault: self.0.vault.clone(),
        }))
    }

    /// What masks the heads of requests, which are recorded before anybody knows who asks.
    pub(crate) fn head(&self) -> &Masker {
        &self.0.everyone.record.requests
    }

    /// Whether anybody's bytes are masked on the wire.
    pub(crate) fn masks_wire(&self) -> bool {
        let mut all = self.0.groups.iter().map(|(_, masks)| masks);
        let masks = |masks: &Masks| masks.wire.is_some() || masks.wire_answers.is_some();
        masks(&self.0.everyone) || all.any(masks)
    }

    /// Forgets the sessions of callers that have not come in a while.
    pub(crate) fn sweep(&self) {
        if let Some(vault) = &self.0.vault {
            vault.sweep(Instant::now());
        }
    }

    fn masks(&self, principal: Option<&Principal>) -> &Masks {
        let Some(principal) = principal else {
            return &self.0.everyone;
        };
        let mut groups = self.0.groups.iter();
        let theirs = groups.find(|(names, _)| {
            let mut own = principal.groups.iter();
            own.any(|group| names.contains(group))
        });
        theirs.map_or(&self.0.everyone, |(_, masks)| masks)
    }

    /// The vault's session of whoever sent this.
    fn session(&self, extensions: &Extensions) -> Option<Session> {
        let principal = extensions.get::<Principal>()?;
        let session = extensions
            .get::<Exchange>()
            .and_then(|exchange| exchange.draft(|draft| draft.session))
            .map(|session| session.to_string())
            .unwrap_or_default();
        let who = principal.stable_id.as_ref().unwrap_or(&principal.subject);
        let scope = [&*principal.issuer, who, &session];
        Some(self.0.vault.as_ref()?.session(&scope, Instant::now()))
    }
}

impl ChooseMasker for ConnectionMasks {
    fn choose(&self, principal: Option<&Principal>) -> RecordMaskers {
        self.masks(principal).record.clone()
    }
}

/// Statements are not rewritten, so the wire is what comes back.
impl ChooseMasks for ConnectionMasks {
    fn choose(&self, principal: Option<&Principal>) -> tollbook_relay::Masks {
        let Masks {
            record,
            wire_answers,
            ..
        } = self.masks(principal);
        tollbook_relay::Masks {
            requests: record.requests.clone(),
            answers: record.answers.clone(),
            wire: wire_answers.clone(),
        }
    }
}

impl ChooseWire for ConnectionMasks {
    fn choose(&self, extensions: &Extensions) -> Wire {
        let masks = self.masks(extensions.get::<Principal>());
        let mut wire = Wire::default();
        if masks.wire.is_none() && masks.wire_answers.is_none() {
            return wire;
        }
        let session = self.session(extensions);
        if let Some(masker) = &masks.wire {
            let same = masker.is_like(&masks.record.requests);
            let masker = match &session {
                Some(session) if !same => masker.session(session),
                _ => masker.clone(),
            };
            wire = wire.requests(masker, same);
        }
        if let Some(masker) = &masks.wire_answers {
            wire = wire.responses(masker.clone());
        }
        match session {
            Some(session) if masks.restore => wire.restore(session),
            _ => wire,
        }
    }
}

impl Masks {
    fn digesting(&self, key: &MaskKey) -> Self {
        let RecordMaskers {
            requests, answers, ..
        } = &self.record;
        Self {
            record: RecordMaskers::new(requests.digesting(key.clone()))
                .answers(answers.digesting(key.clone())),
            ..self.clone()
        }
    }

    fn keyed(&self, key: &MaskKey) -> Self {
        let keyed = |masker: &Masker| {
            let needs = [
                tollbook_masking::Operator::Hash,
                tollbook_masking::Operator::Surrogate,
            ];
            // One without a key can be known to do the same as another.
            if needs.into_iter().any(|operator| masker.uses(operator)) {
                masker.keyed(key.clone())
            } else {
                masker.clone()
            }
        };
        Self {
            record: RecordMaskers::new(keyed(&self.record.requests))
                .answers(keyed(&self.record.answers)),
            wire: self.wire.as_ref().map(keyed),
            wire_answers: self.wire_answers.as_ref().map(keyed),
            restore: self.restore,
        }
    }
}

impl fmt::Debug for ConnectionMasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionMasks")
            .field("wire", &self.masks_wire())
            .finish_non_exhaustive()
    }
}
