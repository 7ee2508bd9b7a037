//! Everybody who may be let in, whatever they show.

mod builder;
mod confirmation;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::OnceCell;
use tollbook_exchange::Principal;

pub use self::builder::GateBuilder;
pub(crate) use self::confirmation::confirm;
use crate::{
    Admitted, Authenticate, Clock, Credentials, GatewayToken, OidcAuthenticator, PeerCertificate,
    Reason, Rejection, Revocation, Revocations, Rule, Rules, StoreError, StoreFuture, TokenId,
    TokenRecord, TokenStore, federation::joined,
};

/// Authenticates callers by gateway tokens and by the tokens of configured issuers.
///
/// What begins with `gws_` is looked up among the gateway tokens; anything else must be a token of
/// an issuer. A bare issuer's token gives the groups of every rule that speaks for it; a gateway
/// token those of the one rule it was exchanged under. Both end before their time when they, their
/// issuer, rule or caller are revoked, and a gateway token when its issuer or rule leaves the
/// configuration, its rule changes, or the issuer withdraws the key that signed for it.
///
/// A cheap handle. Revocations kept in the store are read when the first caller comes; while that
/// fails nobody is let in.
#[derive(Clone)]
pub struct GateAuthenticator(Arc<Inner>);

struct Inner {
    oidc: OidcAuthenticator,
    rules: Rules,
    store: Arc<dyn TokenStore>,
    revocations: Revocations,
    /// Whether the kept revocations are in force.
    restored: OnceCell<()>,
    clock: Arc<dyn Clock>,
}

/// A caller, and when the issuer's token behind it was made.
struct Known {
    principal: Principal,
    issued: i64,
}

/// A store that takes longer does not answer.
const STORE_TIME: Duration = Duration::from_secs(5);

impl GateAuthenticator {
    /// Starts a gate for the issuers that `oidc` knows, without rules, its tokens in memory.
    pub fn builder(oidc: OidcAuthenticator) -> GateBuilder {
        GateBuilder::new(oidc)
    }

    /// Ends credentials before their time: in force when this returns, for what is held or streams
    /// as well. Answers with the gateway tokens that were ended.
    ///
    /// # Errors
    ///
    /// When the store did not keep it. It is in force all the same, until the process ends.
    pub async fn revoke(&self, revocation: Revocation) -> Result<Vec<TokenId>, StoreError> {
        let fitted = self.0.revocations.apply([&revocation]);
        let ended = self.ask(self.0.store.revoke(revocation)).await?;
        fitted.map(|()| ended)
    }

    /// Brings revocations into force that another process made in the same store.
    ///
    /// # Errors
    ///
    /// When the store does not say.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let kept = self.ask(self.0.store.revocations(self.now())).await?;
        self.0.revocations.apply(&kept)
    }

    /// Forgets what has ended. Call it now and then; a store grows without.
    ///
    /// # Errors
    ///
    /// When the store cannot.
    pub async fn purge(&self) -> Result<u64, StoreError> {
        self.ask(self.0.store.purge(self.now())).await
    }

    /// At most `limit` gateway tokens, those issued last first.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub async fn tokens(&self, limit: usize) -> Result<Vec<TokenRecord>, StoreError> {
        self.ask(self.0.store.list(limit)).await
    }

    /// The revocations in force, to hand to the gate that takes over from this one.
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// The federation rules.
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// The issuers.
    pub fn oidc(&self) -> &OidcAuthenticator {
        &self.0.oidc
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.0.clock.wall().as_micros().div_euclid(1_000_000)
    }

    pub(crate) fn store(&self) -> &dyn TokenStore {
        &*self.0.store
    }

    /// What the store answers, if it does so in time.
    pub(crate) async fn ask<T>(&self, answer: StoreFuture<'_, T>) -> Result<T, StoreError> {
        match tokio::time::timeout(STORE_TIME, answer).await {
            Ok(answer) => answer,
            Err(late) => Err(StoreError::unavailable(late)),
        }
    }

    /// Brings the kept revocations into force, once.
    pub(crate) async fn restore(&self) -> Result<(), StoreError> {
        self.0.restored.get_or_try_init(|| self.refresh()).await?;
        Ok(())
    }

    async fn known(&self, credentials: &Credentials) -> Result<Known, Reason> {
        self.restore().await.map_err(unavailable)?;
        let (token, certificate) = (credentials.expose(), credentials.certificate());
        let mut known = if token.starts_with(GatewayToken::PREFIX) {
            self.by_gateway_token(token, certificate).await?
        } else {
            self.by_assertion(token, certificate).await?
        };
        if let Some(certificate) = certificate {
            let access = known.principal.access.get_or_insert_default();
            access.certificate = Some(certificate.to_string());
        }
        if self.0.revocations.voids(&known.principal, known.issued) {
            return Err(Reason::Revoked);
        }
        Ok(known)
    }

    async fn by_gateway_token(
        &self,
        token: &str,
        certificate: Option<PeerCertificate>,
    ) -> Result<Known, Reason> {
        let hash = GatewayToken::hash_of(token).ok_or(Reason::MalformedCredential)?;
        let record = self
            .ask(self.0.store.find(hash))
            .await
            .map_err(unavailable)?
            // A lookup may compare as it likes; what counts does not tell by its time how much of
            // a hash was right.
            .filter(|record| record.hash.matches(&hash))
            .ok_or(Reason::UnknownToken)?;
        if record.has_expired(self.now()) {
            return Err(Reason::Expired);
        }
        if record.revoked.is_some() {
            return Err(Reason::Revoked);
        }
        let rule = self.0.rules.rule(&record.rule);
        let unchanged =
            |rule: &Rule| rule.digest() == record.rule_digest && rule.issuer() == record.issuer();
        if !rule.is_some_and(unchanged) || self.0.oidc.issuer(record.issuer()).is_none() {
            return Err(Reason::RuleChanged);
        }
        for key in &record.signed_by {
            if !self.0.oidc.still_publishes(key).await {
                return Err(Reason::KeyRemoved);
            }
        }
        match (record.certificate, certificate) {
            (Some(_), None) => return Err(Reason::CertificateMissing),
            (Some(bound), Some(shown)) if !bound.matches(&shown) => {
                return Err(Reason::CertificateMismatch);
            }
            _ => {}
        }
        let mut principal = record.principal;
        // Whatever the record says of its bearer: this is what is held to.
        principal.access.get_or_insert_default().expires = Some(record.expires);
        Ok(Known {
            principal,
            issued: record.assertion_issued,
        })
    }

    async fn by_assertion(
        &self,
        token: &str,
        certificate: Option<PeerCertificate>,
    ) -> Result<Known, Reason> {
        let verified = self.0.oidc.verify(token).await?;
        confirm(&verified.claims, certificate)?;
        let rules: Vec<_> = (self.0.rules.speaking_for(&verified, certificate)).collect();
        let mut principal = verified.principal.clone();
        principal.groups = joined(principal.groups, rules.iter().copied());
        let access = principal.access.get_or_insert_default();
        access.rules = rules.iter().map(|rule| rule.id().to_owned()).collect();
        Ok(Known {
            principal,
            issued: verified.issued,
        })
    }
}

impl Authenticate for GateAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Rejection> {
        Ok(self.known(credentials).await?.principal)
    }

    async fn admit(&self, credentials: &Credentials) -> Result<Admitted, Rejection> {
        let Known { principal, issued } = self.known(credentials).await?;
        Ok(Admitted {
            // It looks again when it is first polled, so that nothing falls in between.
            revoked: self.0.revocations.watch(&principal, issued),
            principal,
        })
    }
}

impl fmt::Debug for GateAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateAuthenticator")
            .field("oidc", &self.0.oidc)
            .field("rules", &self.0.rules)
            .field("revocations", &self.0.revocations)
            .finish_non_exhaustive()
    }
}

pub(crate) fn unavailable(error: StoreError) -> Reason {
    tracing::warn!(%error, "gateway tokens cannot be looked up or kept");
    Reason::StoreUnavailable
}
