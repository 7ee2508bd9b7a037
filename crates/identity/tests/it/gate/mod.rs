//! The gate with everything in it: rules, exchanges, gateway tokens, revocations.

mod exchanges;
mod revocations;
mod rules;
mod secrets;
mod sessions;

use std::time::Duration;

use serde_json::{Value, json};
use tollbook_exchange::Principal;
use tollbook_identity::{
    Authenticate, Credentials, ExchangeAnswer, GateAuthenticator, GateBuilder, Issuer,
    OidcAuthenticator, PeerCertificate, Rule, RuleBuilder, Rules, TokenExchange,
};

use crate::forge::{AUDIENCE, ISSUER, Signer, VirtualClock, claims_but, key_set};

const PEOPLE: &str = "https://people.example";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const CERTIFICATE: PeerCertificate = PeerCertificate([7; 32]);

/// An issuer `ci`, an issuer `people`, and a clock for all.
struct Scene {
    signer: Signer,
    clock: VirtualClock,
}

impl Scene {
    fn new() -> Self {
        Self {
            signer: Signer::ed(),
            clock: VirtualClock::default(),
        }
    }

    fn oidc(&self) -> OidcAuthenticator {
        let issuer = |name, identifier| {
            Issuer::builder(name, identifier)
                .audience(AUDIENCE)
                .groups_claim("groups")
                .jwks_json(key_set(&[self.signer.jwk("k1")]))
                .build()
                .unwrap()
        };
        OidcAuthenticator::builder()
            .issuer(issuer("ci", ISSUER))
            .issuer(issuer("people", PEOPLE))
            .clock(self.clock.clone())
            .build()
            .unwrap()
    }

    fn builder(&self, rules: impl IntoIterator<Item = RuleBuilder>) -> GateBuilder {
        let oidc = self.oidc();
        let rules = Rules::new(rules, &oidc).unwrap();
        GateAuthenticator::builder(oidc)
            .rules(rules)
            .clock(self.clock.clone())
    }

    fn gate(&self, rules: impl IntoIterator<Item = RuleBuilder>) -> GateAuthenticator {
        self.builder(rules).build()
    }

    /// A token that passes but for these claims.
    fn jwt(&self, changes: Value) -> String {
        self.signer.token("k1", &claims_but(changes))
    }

    /// A token of a person.
    fn person(&self, subject: &str) -> String {
        self.jwt(json!({"iss": PEOPLE, "sub": subject}))
    }
}

/// A rule that speaks for everything that [`Scene::jwt`] makes.
fn deploy() -> RuleBuilder {
    Rule::builder("deploy", "ci")
        .subject("repo:acme/payments:*")
        .groups(["ci-payments"])
}

fn long(rule: RuleBuilder) -> RuleBuilder {
    rule.lifetime(Duration::from_secs(86_400))
}

fn call(assertion: &str, rule: Option<&str>) -> Value {
    json!({
        "grant_type": JWT_BEARER,
        "assertion": assertion,
        "federation_rule_id": rule,
        "organization_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    })
}

async fn post(
    exchange: &TokenExchange,
    body: &Value,
    certificate: Option<PeerCertificate>,
) -> ExchangeAnswer {
    let json = Some("application/json; charset=utf-8");
    exchange
        .respond(json, body.to_string().as_bytes(), certificate)
        .await
}

async fn post_form(exchange: &TokenExchange, pairs: &[(&str, &str)]) -> ExchangeAnswer {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(pairs);
    let form = Some("application/x-www-form-urlencoded");
    exchange.respond(form, body.finish().as_bytes(), None).await
}

fn json_of(answer: &ExchangeAnswer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// The gateway token for a token, which must be had.
async fn token_for(gate: &GateAuthenticator, assertion: &str) -> String {
    let answer = post(
        &TokenExchange::new(gate.clone()),
        &call(assertion, None),
        None,
    )
    .await;
    assert_eq!(answer.status, 200, "{:?}", answer.record.reason);
    json_of(&answer)["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn show(gate: &GateAuthenticator, token: &str) -> Result<Principal, &'static str> {
    judge(gate, Credentials::new(token)).await
}

async fn judge(
    gate: &GateAuthenticator,
    credentials: Credentials,
) -> Result<Principal, &'static str> {
    gate.authenticate(&credentials)
        .await
        .map_err(|rejection| rejection.reason())
}
