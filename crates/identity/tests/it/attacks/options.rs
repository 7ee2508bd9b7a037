//! What an issuer's own settings refuse.

use serde_json::{Value, json};
use tollbook_identity::{Issuer, IssuerBuilder, OidcAuthenticator, Preset};

use crate::forge::{AUDIENCE, ISSUER, Signer, VirtualClock, claims, claims_but, key_set};

async fn judge(
    set: impl FnOnce(IssuerBuilder) -> IssuerBuilder,
    header: Value,
    claims: Value,
) -> &'static str {
    let signer = Signer::es256();
    let issuer = Issuer::builder("ci", ISSUER)
        .audience(AUDIENCE)
        .jwks_json(key_set(&[signer.jwk("k1")]));
    let oidc = OidcAuthenticator::builder()
        .issuer(set(issuer).build().unwrap())
        .clock(VirtualClock::default())
        .build()
        .unwrap();
    let verified = oidc.verify(&signer.token_with(&header, &claims)).await;
    verified.map_or_else(|reason| reason.as_str(), |_| "passed")
}

#[tokio::test]
async fn an_issuer_may_ask_for_one_type() {
    for (required, typ, expected) in [
        ("at+jwt", json!("at+jwt"), "passed"),
        ("at+jwt", json!("application/at+jwt"), "passed"),
        ("application/AT+JWT", json!("At+Jwt"), "passed"),
        ("at+jwt", json!("JWT"), "header_typ"),
        ("at+jwt", json!("at+jwt+x"), "header_typ"),
        ("at+jwt", json!(null), "header_typ"),
        ("at+jwt", Value::Bool(true), "header_typ"),
        ("jwt", json!("at+jwt"), "header_typ"),
        ("acme+jwt", json!("acme+jwt"), "passed"),
    ] {
        let set = |issuer: IssuerBuilder| issuer.token_type(required);
        let header = json!({"alg": "ES256", "kid": "k1", "typ": typ});
        let judged = judge(set, header, claims()).await;
        assert_eq!(judged, expected, "{required} {typ}");
    }
    let none = json!({"alg": "ES256", "kid": "k1"});
    let judged = judge(|issuer| issuer.token_type("at+jwt"), none, claims()).await;
    assert_eq!(judged, "header_typ");
}

#[tokio::test]
async fn what_comes_to_have_one_name_is_refused() {
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"});
    for (changes, expected) in [
        (json!({"a": {"b": 1}, "a/b": 2}), "claim_ambiguous"),
        (json!({"a": {"b": 1}, "a/": {"b": 1}}), "claim_ambiguous"),
        (json!({"a": {"b".repeat(600): 1}}), "claim_too_large"),
        (json!({"a": {"b": 1}, "a/c": 2}), "passed"),
    ] {
        let judged = judge(|issuer| issuer, header.clone(), claims_but(changes.clone())).await;
        assert_eq!(judged, expected, "{changes}");
    }
}

#[tokio::test]
async fn roles_are_names() {
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"});
    for (roles, expected) in [
        (json!(["admin"]), "passed"),
        (json!("admin"), "passed"),
        (json!([]), "passed"),
        (json!([1]), "roles_invalid"),
        (json!([""]), "roles_invalid"),
        (json!(["a\nb"]), "roles_invalid"),
        (json!(true), "roles_invalid"),
    ] {
        let set = |issuer: IssuerBuilder| issuer.roles_claim("roles");
        let judged = judge(set, header.clone(), claims_but(json!({"roles": roles}))).await;
        assert_eq!(judged, expected, "{roles}");
    }
}

/// RFC 7519 would let a JWT-SVID be signed with Ed25519; its own standard does not.
#[tokio::test]
async fn a_jwt_svid_is_signed_with_what_its_standard_names() {
    let signer = Signer::ed();
    let issuer = Issuer::builder("mesh", "spiffe://ci.example")
        .audience(AUDIENCE)
        .preset(Preset::Spiffe)
        .jwks_json(key_set(&[signer.jwk("k1")]));
    let oidc = OidcAuthenticator::builder()
        .issuer(issuer.build().unwrap())
        .clock(VirtualClock::default())
        .build()
        .unwrap();
    let claims = claims_but(json!({"iss": null, "sub": "spiffe://ci.example/a"}));
    let judged = oidc.verify(&signer.token("k1", &claims)).await;
    assert_eq!(
        judged.err().map(tollbook_identity::Reason::as_str),
        Some("alg_not_allowed")
    );
}
