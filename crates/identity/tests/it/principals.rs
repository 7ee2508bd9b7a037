//! What a principal looks like when a token was good.

use serde_json::{Value, json};
use tollbook_exchange::{Groups, Principal, PrincipalKind};
use tollbook_identity::{Authenticate, Credentials, Issuer, IssuerBuilder, OidcAuthenticator};

use crate::forge::{AUDIENCE, ISSUER, NOW, Signer, VirtualClock, claims_but, key_set};

async fn authenticate(
    issuer: impl FnOnce(IssuerBuilder) -> IssuerBuilder,
    claims: Value,
) -> Result<Principal, &'static str> {
    let signer = Signer::ed();
    let builder = Issuer::builder("ci", ISSUER)
        .audience(AUDIENCE)
        .jwks_json(key_set(&[signer.jwk("k1")]));
    OidcAuthenticator::builder()
        .issuer(issuer(builder).build().unwrap())
        .clock(VirtualClock::default())
        .build()
        .unwrap()
        .authenticate(&Credentials::new(signer.token("k1", &claims_but(claims))))
        .await
        .map_err(|rejection| rejection.reason())
}

async fn groups(claims: Value) -> Groups {
    authenticate(|issuer| issuer.groups_claim("groups"), claims)
        .await
        .unwrap()
        .groups
}

#[tokio::test]
async fn a_ci_job_becomes_a_principal_with_the_claims_that_are_kept() {
    let principal = authenticate(
        |issuer| issuer.kind(PrincipalKind::Ci),
        json!({
            "jti": "one",
            "repository": "acme/payments",
            "repository_id": "123456",
            "ref": "refs/heads/main",
            "run_attempt": 2,
            "ref_protected": true,
            "environment": {"nested": "objects are not kept"},
            "actor": ["nor", "are", "lists"],
            "email": "someone@example.com",
            "groups": ["not asked for"],
        }),
    )
    .await
    .unwrap();
    assert_eq!(
        serde_json::to_value(&principal).unwrap(),
        json!({
            "kind": "ci",
            "issuer": "ci",
            "subject": "repo:acme/payments:ref:refs/heads/main",
            "groups": [],
            "claims": {
                "jti_hash": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
                "ref": "refs/heads/main",
                "ref_protected": true,
                "repository": "acme/payments",
                "repository_id": "123456",
                "run_attempt": 2,
            },
            "access": {"assertion": "7692c3ad3540bb80", "expires": NOW + 300},
        })
    );
}

#[tokio::test]
async fn an_issuer_may_name_its_own_claims() {
    let principal = authenticate(
        |issuer| issuer.claims(["team"]),
        json!({"team": "payments", "repository": "acme/payments"}),
    )
    .await
    .unwrap();
    assert_eq!(principal.claims.len(), 1);
    assert_eq!(principal.claims["team"], "payments");
}

#[tokio::test]
async fn callers_are_services_unless_the_operator_says_otherwise() {
    let principal = authenticate(|issuer| issuer, json!({})).await.unwrap();
    assert_eq!(principal.kind, PrincipalKind::Service);
}

#[tokio::test]
async fn groups_are_a_list_or_one_name_or_none() {
    let known = |names: &[&str]| names.iter().copied().collect::<Groups>();
    assert_eq!(
        groups(json!({"groups": ["b", "a", "a"]})).await,
        known(&["a", "b"])
    );
    assert_eq!(groups(json!({"groups": "a"})).await, known(&["a"]));
    assert_eq!(groups(json!({"groups": []})).await, known(&[]));
    assert_eq!(groups(json!({})).await, known(&[]));
}

#[tokio::test]
async fn groups_that_the_issuer_left_out_are_unknown_and_not_none() {
    for claims in [
        json!({"_claim_names": {"groups": "src1"}}),
        json!({"hasgroups": true}),
        json!({"hasgroups": "true"}),
        json!({"groups": ["a"], "hasgroups": true}),
    ] {
        assert_eq!(groups(claims.clone()).await, Groups::Unknown, "{claims}");
    }
    assert!(groups(json!({"hasgroups": false})).await.is_known());

    let cut = |length: usize| {
        let names: Vec<String> = (0..length).map(|index| format!("g{index}")).collect();
        authenticate(
            |issuer| issuer.groups_claim("groups").groups_cut_at(100),
            json!({"groups": names}),
        )
    };
    assert!(cut(99).await.unwrap().groups.is_known());
    assert_eq!(cut(100).await.unwrap().groups, Groups::Unknown);
}

#[tokio::test]
async fn authorized_parties_are_checked_when_they_are_named() {
    let judge = |claims| authenticate(|issuer| issuer.authorized_parties(["runner"]), claims);
    assert!(judge(json!({"azp": "runner"})).await.is_ok());
    assert!(
        judge(json!({"azp": "runner", "aud": [AUDIENCE, "b"]}))
            .await
            .is_ok()
    );
    assert_eq!(judge(json!({"azp": AUDIENCE})).await, Err("wrong_party"));
    assert_eq!(judge(json!({})).await, Err("wrong_party"));
}

#[tokio::test]
async fn the_longest_lifetime_is_the_operators_choice() {
    let day = json!({"exp": NOW + 86_400});
    assert_eq!(
        authenticate(|issuer| issuer, day.clone()).await,
        Err("lifetime_too_long")
    );
    let lenient =
        |issuer: IssuerBuilder| issuer.max_lifetime(std::time::Duration::from_secs(86_400));
    assert!(authenticate(lenient, day).await.is_ok());
}
