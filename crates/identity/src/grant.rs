//! An issuer's token for one of the gate's own.

mod answer;
mod issued;
mod refused;
mod request;

use std::{collections::BTreeSet, fmt, sync::Arc};

use tollbook_exchange::Principal;

pub use self::{
    answer::{ExchangeAnswer, ExchangeRecord},
    issued::Issued,
    refused::ExchangeRefused,
    request::{NotAnOrganizationId, OrganizationId, TokenRequest},
};
use crate::{
    AssertionHash, GateAuthenticator, GatewayToken, PeerCertificate, Reason, Rule, StoreError,
    TokenRecord, Verified,
    federation::joined,
    gate::{confirm, unavailable},
};

/// Hands out gateway tokens for issuers' tokens.
///
/// It speaks Anthropic's own token-exchange call, so that stock clients federate with nothing but
/// environment variables, and the form of RFC 8693 and RFC 7523 for all others. Which rule is used
/// is the caller's wish or, when it has none, the one rule that speaks for it.
///
/// A gateway token lives as long as its rule says, or twice the time that the issuer's token has
/// left if that is shorter, though never less than a minute. An issuer's token that has reached its
/// end by the gate's clock is exchanged no more, even where it would still be let in, so that
/// nothing outlives it by more than the time it had left, or a minute.
///
/// An issuer's token is not used up: clients exchange the same one again when they are refused, and
/// several processes share one file. But it is exchanged at most twenty times.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use tollbook_identity::{GateAuthenticator, Issuer, OidcAuthenticator, Rule, Rules, TokenExchange};
///
/// let github = Issuer::builder("ci", "https://token.actions.githubusercontent.com")
///     .audience("tollbook");
/// let oidc = OidcAuthenticator::builder().issuer(github.build()?).build()?;
/// let rule = Rule::builder("payments-ci", "ci")
///     .claim("repository_id", "123456")
///     .claim("ref", "refs/heads/main")
///     .groups(["ci-payments"]);
/// let rules = Rules::new([rule], &oidc)?;
/// let gate = GateAuthenticator::builder(oidc).rules(rules).build();
///
/// let body = br#"{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
///                 "assertion": "not a token", "federation_rule_id": "payments-ci"}"#;
/// let answer = TokenExchange::new(gate)
///     .respond(Some("application/json"), body, None)
///     .await;
/// assert_eq!(answer.status, 401);
/// assert_eq!(answer.record.reason, Some("token_not_three_parts"));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct TokenExchange {
    gate: GateAuthenticator,
    organizations: Option<Arc<BTreeSet<OrganizationId>>>,
    targets: Option<Arc<BTreeSet<String>>>,
    random: Arc<Fill>,
}

/// Fills the bytes of a new token with random bits, and says whether it could.
type Fill = dyn Fn(&mut [u8; 32]) -> bool + Send + Sync;

/// How often one issuer's token may be exchanged.
const MOST_EXCHANGES: u32 = 20;
/// How often it is exchanged by a client that behaves.
const USUAL_EXCHANGES: u32 = 5;
/// No token is exchanged later than this many seconds after its end; its count is kept so long.
const COUNT_KEPT: i64 = 120;
/// The least life of a gateway token, in seconds.
const LEAST_LIFE: i64 = 60;

/// Who is to have a token, as the presented tokens prove it.
struct Bearer {
    /// Of the token of the one who acts.
    verified: Verified,
    /// Of the token of the one for whom, where there are two.
    behind: Option<Verified>,
}

impl TokenExchange {
    /// Exchanges tokens under the rules of `gate`, which will know the tokens that are handed out.
    pub fn new(gate: GateAuthenticator) -> Self {
        Self {
            gate,
            organizations: None,
            targets: None,
            random: Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).is_ok()),
        }
    }

    /// Serves these organisations only. Without this, any organisation may be named, or none.
    #[must_use]
    pub fn organizations(mut self, ids: impl IntoIterator<Item = OrganizationId>) -> Self {
        self.organizations = Some(Arc::new(ids.into_iter().collect()));
        self
    }

    /// Knows itself by these names: a request for another `audience` or `resource`
    /// (RFC 8693 §2.1) is refused. Without this, neither is looked at.
    #[must_use]
    pub fn targets<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.targets = Some(Arc::new(names.into_iter().map(Into::into).collect()));
        self
    }

    /// Takes random bits from `fill`, which says whether it had some, instead of from the system.
    #[must_use]
    pub fn random(mut self, fill: impl Fn(&mut [u8; 32]) -> bool + Send + Sync + 'static) -> Self {
        self.random = Arc::new(fill);
        self
    }

    /// A gateway token for what `request` shows over a connection with `certificate`.
    ///
    /// # Errors
    ///
    /// When there is none to be had. What a caller may learn of it, [`ExchangeRefused`] knows.
    pub async fn exchange(
        &self,
        request: &TokenRequest,
        certificate: Option<PeerCertificate>,
    ) -> Result<Issued, ExchangeRefused> {
        self.is_served(request)?;
        self.gate.restore().await.map_err(closed)?;
        let bearer = self.bearer(request, certificate).await?;
        let mut principal = bearer.principal();
        let rule = match self.rule(request, &bearer.verified, certificate) {
            Ok(rule) => rule,
            Err(reason) => return Err(ExchangeRefused::assertion(reason).of(principal)),
        };
        principal.groups = joined(principal.groups, [rule]);
        let access = principal.access.get_or_insert_default();
        access.rules = vec![rule.id().to_owned()];
        access.certificate = certificate.map(|certificate| certificate.to_string());
        let kept = self.hand_out(rule, &bearer, principal.clone(), certificate);
        kept.await
            .map_err(|refused| refused.of(principal).under(rule.id()))
    }

    /// Whether the request is for us at all.
    fn is_served(&self, request: &TokenRequest) -> Result<(), ExchangeRefused> {
        if let Some(targets) = &self.targets
            && !request.targets.iter().all(|name| targets.contains(name))
        {
            return Err(ExchangeRefused::target());
        }
        let Some(allowed) = &self.organizations else {
            return Ok(());
        };
        // The form has no such parameter of its own; only Anthropic's call must name one.
        let is_allowed = match &request.organization {
            Some(id) => allowed.contains(id),
            None => request.is_form,
        };
        if is_allowed {
            Ok(())
        } else {
            Err(ExchangeRefused::assertion(Reason::OrganizationNotAllowed))
        }
    }

    /// Who is to have the token.
    ///
    /// With two tokens, the subject's says for whom and the actor's who acts (RFC 8693 §1.1): the
    /// actor is who will be at the gate, so rules and groups are the actor's, and the subject gives
    /// it nothing but stands behind it.
    async fn bearer(
        &self,
        request: &TokenRequest,
        certificate: Option<PeerCertificate>,
    ) -> Result<Bearer, ExchangeRefused> {
        let verify = async |token: &str| {
            let verified = self.gate.oidc().verify(token).await?;
            confirm(&verified.claims, certificate)?;
            Ok::<_, Reason>(verified)
        };
        let subject = (verify(&request.subject).await).map_err(ExchangeRefused::assertion)?;
        let Some(actor) = &request.actor else {
            return Ok(Bearer {
                verified: subject,
                behind: None,
            });
        };
        let bearer = Bearer {
            verified: verify(actor).await.map_err(|reason| {
                ExchangeRefused::assertion(reason).of(subject.principal.clone())
            })?,
            behind: Some(subject),
        };
        if bearer.may_act() {
            Ok(bearer)
        } else {
            let principal = bearer.principal();
            Err(ExchangeRefused::assertion(Reason::ActorNotAllowed).of(principal))
        }
    }

    /// The rule that the request asks for, or the only one that speaks for the bearer.
    fn rule(
        &self,
        request: &TokenRequest,
        verified: &Verified,
        certificate: Option<PeerCertificate>,
    ) -> Result<&Rule, Reason> {
        let rules = self.gate.rules();
        let rule = if let Some(id) = &request.rule {
            let rule = rules.rule(id).ok_or(Reason::UnknownRule)?;
            if !rule.speaks_for(verified, certificate) {
                return Err(if certificate.is_none() && rule.requires_certificate() {
                    Reason::CertificateMissing
                } else {
                    Reason::RuleMismatch
                });
            }
            rule
        } else {
            let mut speaking = rules.speaking_for(verified, certificate);
            let rule = speaking.next().ok_or(Reason::NoRule)?;
            if speaking.next().is_some() {
                return Err(Reason::RuleAmbiguous);
            }
            rule
        };
        if !rule.serves(request.service_account.as_deref()) {
            return Err(Reason::ServiceAccountMismatch);
        }
        Ok(rule)
    }

    /// Counts the exchange, makes a token and keeps its record.
    async fn hand_out(
        &self,
        rule: &Rule,
        bearer: &Bearer,
        mut principal: Principal,
        certificate: Option<PeerCertificate>,
    ) -> Result<Issued, ExchangeRefused> {
        let refused = ExchangeRefused::assertion;
        let issued = bearer.all().map(|verified| verified.issued).min();
        let assertion_issued = issued.unwrap_or(i64::MIN);
        if (self.gate.revocations()).voids(&principal, assertion_issued) {
            return Err(refused(Reason::Revoked));
        }
        let now = self.gate.now();
        let life = bearer
            .all()
            .map(|verified| life(rule.lifetime(), verified.expires, now))
            .try_fold(i64::MAX, |least, life| Some(least.min(life?)))
            .ok_or_else(|| refused(Reason::Expired))?;
        let mut exchanges = 0;
        for verified in bearer.all() {
            exchanges = exchanges.max(self.count(verified).await?);
        }

        let mut bytes = [0; 32];
        if !(self.random)(&mut bytes) {
            tracing::error!("the system has no random bits");
            return Err(ExchangeRefused::closed());
        }
        let token = GatewayToken::from_random(bytes);
        let hash = token.hash();
        let mut record = TokenRecord {
            hash,
            rule: rule.id().to_owned(),
            rule_digest: rule.digest().to_owned(),
            principal: principal.clone(),
            issued: now,
            expires: now.saturating_add(life),
            assertion: AssertionHash(bearer.verified.assertion),
            assertion_issued,
            signed_by: (bearer.all())
                .map(|verified| verified.signed_by.clone())
                .collect(),
            certificate: certificate
                .filter(|_| rule.requires_certificate() || bearer.all().any(Verified::is_bound)),
            revoked: None,
        };
        let access = principal.access.get_or_insert_default();
        access.token = Some(record.id().to_string());
        access.expires = Some(record.expires);
        record.principal = principal;
        let issued = Issued::new(token, &record, exchanges);
        self.insert(record).await.map_err(closed)?;
        Ok(issued)
    }

    async fn count(&self, verified: &Verified) -> Result<u32, ExchangeRefused> {
        let until = verified.expires.saturating_add(COUNT_KEPT);
        let assertion = AssertionHash(verified.assertion);
        let store = self.gate.store();
        let count = || store.count_exchange(assertion, until, MOST_EXCHANGES);
        let exchanges = match self.gate.ask(count()).await {
            Err(StoreError::Full) => {
                // What has ended may be in the way.
                self.gate.purge().await.map_err(closed)?;
                self.gate.ask(count()).await
            }
            counted => counted,
        }
        .map_err(closed)?;
        if exchanges > USUAL_EXCHANGES {
            tracing::warn!(
                issuer = verified.principal.issuer,
                subject = verified.principal.subject,
                exchanges,
                "an issuer's token is exchanged again and again"
            );
        }
        if exchanges > MOST_EXCHANGES {
            return Err(ExchangeRefused::assertion(Reason::AssertionOverused));
        }
        Ok(exchanges)
    }

    async fn insert(&self, record: TokenRecord) -> Result<(), StoreError> {
        let store = self.gate.store();
        match self.gate.ask(store.insert(record.clone())).await {
            Err(StoreError::Full) => {
                self.gate.purge().await?;
                self.gate.ask(store.insert(record)).await
            }
            kept => kept,
        }
    }
}

impl Bearer {
    /// The tokens that were shown.
    fn all(&self) -> impl Iterator<Item = &Verified> {
        [&self.verified].into_iter().chain(&self.behind)
    }

    /// Who acts, with the one behind noted.
    fn principal(&self) -> Principal {
        let mut principal = self.verified.principal.clone();
        let behind = self.behind.as_ref();
        principal.on_behalf_of = behind
            .map(|verified| verified.principal.identity())
            .filter(|identity| *identity != principal.identity());
        principal
    }

    /// Whether the subject's token lets the actor act, as far as it says who may (RFC 8693 §4.4).
    fn may_act(&self) -> bool {
        let Some(behind) = &self.behind else {
            return true;
        };
        let claim = |name| behind.claims.get(name);
        let says =
            (behind.claims.keys()).any(|name| name == "may_act" || name.starts_with("may_act/"));
        let named = |claimed: Option<&serde_json::Value>, actual: Option<&serde_json::Value>| {
            claimed.is_some_and(|value| value.is_string()) && claimed == actual
        };
        let actor = &self.verified.claims;
        !says
            || (named(claim("may_act/sub"), actor.get("sub"))
                && (claim("may_act/iss").is_none()
                    || named(claim("may_act/iss"), actor.get("iss"))))
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("gate", &self.gate)
            .field("organizations", &self.organizations)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

/// How long a gateway token lives, in seconds, if there is anything left of the issuer's.
fn life(lifetime: i64, expires: i64, now: i64) -> Option<i64> {
    let rest = expires.saturating_sub(now);
    (rest > 0).then(|| lifetime.min(rest.saturating_mul(2).max(LEAST_LIFE)))
}

fn closed(error: StoreError) -> ExchangeRefused {
    unavailable(error);
    ExchangeRefused::closed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_bounded_by_the_rule_by_the_rest_and_from_below() {
        for (lifetime, rest, expected) in [
            (600, 300, Some(600)),
            (600, 299, Some(598)),
            (600, 301, Some(600)),
            (600, 31, Some(62)),
            (600, 30, Some(60)),
            (600, 29, Some(60)),
            (600, 1, Some(60)),
            (600, 0, None),
            (600, -1, None),
            (60, 1, Some(60)),
            (60, 3600, Some(60)),
            (86_400, 86_400, Some(86_400)),
            (86_400, i64::MAX, Some(86_400)),
        ] {
            let now = 1_800_000_000_i64;
            let expires = now.saturating_add(rest);
            assert_eq!(life(lifetime, expires, now), expected, "{lifetime} {rest}");
        }
    }
}
