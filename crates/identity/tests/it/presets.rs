//! Each provider's tokens, in the shapes that they publish, and the principals that they become.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tollbook_exchange::{Groups, Principal, PrincipalKind};
use tollbook_identity::{Issuer, IssuerBuilder, OidcAuthenticator, Preset, Verified};
use tollbook_testkit::issuer::{Config, OidcIssuer, Shape};

use crate::forge::{AUDIENCE, NOW, Signer, VirtualClock, key_set};

/// What the provider would publish is signed by a key of ours.
async fn verify(
    shape: Shape,
    issuer: impl FnOnce(IssuerBuilder) -> IssuerBuilder,
    claims: Map<String, Value>,
) -> Result<Verified, &'static str> {
    let signer = Signer::es256();
    let mut key = signer.jwk("k1");
    if shape == Shape::Spiffe {
        key["use"] = json!("jwt-svid");
    }
    let builder = Issuer::builder("provider", shape.issuer())
        .audience(AUDIENCE)
        .preset(Preset::from_name(shape.preset()).unwrap())
        .algorithms(["ES256"])
        .jwks_json(key_set(&[key]));
    OidcAuthenticator::builder()
        .issuer(issuer(builder).build().unwrap())
        .clock(VirtualClock::default())
        .build()
        .unwrap()
        .verify(&signer.token("k1", &Value::Object(claims)))
        .await
        .map_err(tollbook_identity::Reason::as_str)
}

/// The claims of a token in this shape but for these changes; a null takes a claim away.
fn token(shape: Shape, changes: Value) -> Map<String, Value> {
    let mut claims = shape.claims();
    claims.extend(Map::from_iter([
        ("aud".to_owned(), json!(AUDIENCE)),
        ("iat".to_owned(), json!(NOW)),
        ("exp".to_owned(), json!(NOW + 300)),
    ]));
    if shape.names_issuer() {
        claims.insert("iss".to_owned(), json!(shape.issuer()));
    }
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims
}

async fn principal(shape: Shape, changes: Value) -> Result<Principal, &'static str> {
    let verified = verify(shape, |issuer| issuer, token(shape, changes)).await?;
    Ok(verified.principal)
}

/// The whole table: what each provider's token becomes, key for key, as records have it.
#[tokio::test]
async fn every_shape_becomes_the_principal_in_the_table() {
    let table: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("../../testdata/principals.json")).unwrap();
    let mut judged = BTreeMap::new();
    for shape in Shape::ALL {
        let principal = principal(shape, json!({})).await;
        let principal = principal.unwrap_or_else(|reason| panic!("{shape:?}: {reason}"));
        judged.insert(
            format!("{shape:?}"),
            serde_json::to_value(&principal).unwrap(),
        );
    }
    if let Ok(path) = std::env::var("TEST_WRITE_TABLE") {
        std::fs::write(path, serde_json::to_string_pretty(&judged).unwrap() + "\n").unwrap();
        return;
    }
    for (shape, principal) in &judged {
        assert_eq!(Some(principal), table.get(shape), "{shape}");
    }
    assert_eq!(judged.len(), table.len());
}

#[tokio::test]
async fn both_forms_of_a_github_subject_are_one_caller() {
    let names = principal(Shape::GithubActions, json!({})).await.unwrap();
    let ids = principal(Shape::GithubActionsIds, json!({})).await.unwrap();
    assert_ne!(names.subject, ids.subject);
    assert_eq!(names.identity(), ids.identity());
    assert_eq!(names.identity(), "provider/74");
}

/// Tokens that say two things, or that somebody should not have.
#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let org = "c9035eb6-6eb2-4c85-8a81-d9ed6a1d1d1e";
    let project = "3a2f5b1c-7d4e-4f6a-9b8c-0d1e2f3a4b5c";
    for (shape, changes, reason) in [
        (
            Shape::GithubActionsIds,
            json!({"repository_id": "75"}),
            "claims_contradict",
        ),
        (
            Shape::GithubActionsIds,
            json!({"repository_owner_id": "66"}),
            "claims_contradict",
        ),
        (
            Shape::GithubActions,
            json!({"sub": "repo:acme@65/payments:ref:refs/heads/main"}),
            "subject_invalid",
        ),
        (
            Shape::GithubActions,
            json!({"sub": "repo:acme@65/payments@074:ref:refs/heads/main"}),
            "claims_contradict",
        ),
        (
            Shape::GithubActions,
            json!({"repository_id": ["74"]}),
            "claim_type",
        ),
        (
            Shape::GithubActions,
            json!({"environment": "a\u{1b}[2Jb"}),
            "claim_type",
        ),
        (
            Shape::GithubActions,
            json!({"environment": "e".repeat(600)}),
            "claim_too_large",
        ),
        (
            Shape::Gitlab,
            json!({"project_path": "acme/other"}),
            "claims_contradict",
        ),
        (Shape::Gitlab, json!({"project_id": null}), "claim_missing"),
        (
            Shape::CircleCi,
            json!({"oidc.circleci.com/ssh-rerun": true}),
            "ssh_rerun",
        ),
        (
            Shape::CircleCi,
            json!({"oidc.circleci.com/ssh-rerun": "true"}),
            "ssh_rerun",
        ),
        (
            Shape::CircleCi,
            json!({"oidc.circleci.com/ssh-rerun": 1}),
            "ssh_rerun",
        ),
        (
            Shape::CircleCi,
            json!({"oidc.circleci.com/project-id": "other"}),
            "claims_contradict",
        ),
        (
            Shape::CircleCi,
            json!({"sub": format!("org/other/project/{project}/user/u")}),
            "claims_contradict",
        ),
        (
            Shape::CircleCi,
            json!({"sub": format!("org/{org}/project/{project}")}),
            "subject_invalid",
        ),
        (
            Shape::CircleCi,
            json!({"sub": format!("org/{org}/project/{project}/user/")}),
            "subject_invalid",
        ),
        (
            Shape::Buildkite,
            json!({"organization_slug": "evil"}),
            "claims_contradict",
        ),
        (
            Shape::Buildkite,
            json!({"organization_slug": null}),
            "claim_missing",
        ),
        (
            Shape::Buildkite,
            json!({"pipeline_slug": "pay"}),
            "claims_contradict",
        ),
        (
            Shape::EntraUser,
            json!({"tid": "another-tenant"}),
            "claims_contradict",
        ),
        (Shape::EntraUser, json!({"tid": null}), "claim_missing"),
        (
            Shape::EntraUser,
            json!({"roles": [{"name": "admin"}]}),
            "roles_invalid",
        ),
        (
            Shape::Aws,
            json!({"sub": "arn:aws:iam::210987654321:role/DataProcessingRole"}),
            "claims_contradict",
        ),
        (
            Shape::Aws,
            json!({"https://sts.amazonaws.com/": null}),
            "claim_missing",
        ),
        (
            Shape::Aws,
            json!({"https://sts.amazonaws.com/aws_account": "1"}),
            "claim_ambiguous",
        ),
        (
            Shape::Kubernetes,
            json!({"sub": "system:serviceaccount:kube-system:agent"}),
            "claims_contradict",
        ),
        (
            Shape::Kubernetes,
            json!({"sub": "system:serviceaccount:payments:root"}),
            "claims_contradict",
        ),
        (
            Shape::Kubernetes,
            json!({"sub": "system:node:node-1"}),
            "subject_invalid",
        ),
        (
            Shape::Kubernetes,
            json!({"aud": [AUDIENCE, "https://kubernetes.default.svc"]}),
            "wrong_party",
        ),
        (
            Shape::Spiffe,
            json!({"sub": "spiffe://dev.acme.example/ns/payments/sa/agent"}),
            "unknown_issuer",
        ),
        (
            Shape::Spiffe,
            json!({"sub": "spiffe://prod.acme.example"}),
            "claim_missing",
        ),
        (
            Shape::Spiffe,
            json!({"sub": "spiffe://prod.acme.example/a/../b"}),
            "claim_missing",
        ),
        (Shape::Spiffe, json!({"sub": null}), "claim_missing"),
        (Shape::Spiffe, json!({"aud": null}), "claim_missing"),
        (
            Shape::Spiffe,
            json!({"iss": "https://spire.example"}),
            "unknown_issuer",
        ),
        (
            Shape::Spiffe,
            json!({"iss": "spiffe://prod.acme.example", "sub": "spiffe://dev.acme.example/a"}),
            "claims_contradict",
        ),
    ] {
        let judged = principal(shape, changes.clone()).await;
        assert_eq!(judged.err(), Some(reason), "{shape:?} {changes}");
    }
}

#[tokio::test]
async fn only_what_says_that_a_person_stands_behind_it_is_a_persons() {
    let human = |issuer: IssuerBuilder| issuer.kind(PrincipalKind::Human);
    let told = |issuer: IssuerBuilder| issuer;
    let address = "someone@acme.example";
    for (shape, changes, operator, kind) in [
        (Shape::EntraUser, json!({}), false, PrincipalKind::Human),
        (
            Shape::EntraUser,
            json!({"scp": null}),
            false,
            PrincipalKind::Service,
        ),
        (
            Shape::EntraUser,
            json!({"scp": null}),
            true,
            PrincipalKind::Human,
        ),
        (
            Shape::EntraUser,
            json!({"scp": null, "idtyp": "user"}),
            false,
            PrincipalKind::Human,
        ),
        (
            Shape::EntraUser,
            json!({"idtyp": "app"}),
            true,
            PrincipalKind::Service,
        ),
        (Shape::EntraApp, json!({}), true, PrincipalKind::Service),
        (Shape::EntraManaged, json!({}), true, PrincipalKind::Service),
        (Shape::OktaUser, json!({}), false, PrincipalKind::Human),
        (Shape::OktaApp, json!({}), true, PrincipalKind::Service),
        (
            Shape::OktaUser,
            json!({"uid": null, "cid": null}),
            false,
            PrincipalKind::Service,
        ),
        (
            Shape::OktaUser,
            json!({"uid": null, "cid": null}),
            true,
            PrincipalKind::Human,
        ),
        (Shape::Google, json!({}), true, PrincipalKind::Service),
        (
            Shape::Google,
            json!({"email": address}),
            true,
            PrincipalKind::Human,
        ),
        (
            Shape::Google,
            json!({"email": address}),
            false,
            PrincipalKind::Service,
        ),
        (Shape::GithubActions, json!({}), false, PrincipalKind::Ci),
    ] {
        let claims = token(shape, changes.clone());
        let verified = if operator {
            verify(shape, human, claims).await
        } else {
            verify(shape, told, claims).await
        };
        assert_eq!(
            verified.unwrap().principal.kind,
            kind,
            "{shape:?} {changes} {operator}"
        );
    }
}

#[tokio::test]
async fn groups_that_a_provider_left_out_are_unknown() {
    let groups = async |shape, changes| principal(shape, changes).await.unwrap().groups;
    assert_eq!(
        groups(Shape::EntraOverage, json!({})).await,
        Groups::Unknown
    );
    assert_eq!(
        groups(Shape::EntraUser, json!({"hasgroups": true})).await,
        Groups::Unknown
    );
    let names = |length: usize| -> Vec<String> { (0..length).map(|g| g.to_string()).collect() };
    for (length, known) in [(99, true), (100, false), (101, true)] {
        let groups = groups(Shape::OktaUser, json!({"groups": names(length)})).await;
        assert_eq!(groups.is_known(), known, "{length}");
    }
    // The operator knows better where the list is cut.
    let claims = token(Shape::OktaUser, json!({"groups": names(50)}));
    let cut = verify(Shape::OktaUser, |issuer| issuer.groups_cut_at(50), claims).await;
    assert_eq!(cut.unwrap().principal.groups, Groups::Unknown);
}

#[tokio::test]
async fn the_party_is_looked_for_where_the_provider_puts_it() {
    let app = "11112222-bbbb-3333-cccc-4444dddd5555";
    for (shape, party) in [
        (Shape::EntraUser, app),
        (Shape::EntraManaged, app),
        (Shape::OktaUser, "nmdP1fcyvdVO11AL7ECm"),
    ] {
        let judge = async |party: &str| {
            let claims = token(shape, json!({}));
            let verified = verify(shape, |issuer| issuer.authorized_parties([party]), claims);
            verified.await.err()
        };
        assert_eq!(judge(party).await, None, "{shape:?}");
        assert_eq!(judge("another").await, Some("wrong_party"), "{shape:?}");
    }
}

#[tokio::test]
async fn people_have_a_time_at_which_they_signed_in_and_jobs_have_none() {
    let now = i64::try_from(NOW).unwrap();
    for (shape, changes, signed_in) in [
        (
            Shape::EntraUser,
            json!({"auth_time": NOW - 60}),
            Some(now - 60),
        ),
        // No sign-in is later than the token about it.
        (
            Shape::EntraUser,
            json!({"auth_time": NOW + 9999}),
            Some(now),
        ),
        (Shape::EntraUser, json!({"auth_time": null}), Some(now)),
        (Shape::EntraApp, json!({}), None),
        (Shape::GithubActions, json!({}), None),
    ] {
        let principal = principal(shape, changes.clone()).await.unwrap();
        let access = principal.access.unwrap();
        assert_eq!(access.signed_in, signed_in, "{shape:?} {changes}");
        assert_eq!(access.sign_in_told, changes["auth_time"].is_u64());
        assert!(access.expires.is_some_and(|it| it > now), "{shape:?}");
    }
    let odd = principal(Shape::EntraUser, json!({"auth_time": "yesterday"})).await;
    assert_eq!(odd.err(), Some("claim_type"));
}

#[tokio::test]
async fn rules_see_all_claims_by_their_flat_names_and_logs_see_none() {
    let verified = verify(
        Shape::Kubernetes,
        |issuer| issuer,
        token(Shape::Kubernetes, json!({"secret": "canary"})),
    )
    .await
    .unwrap();
    assert_eq!(verified.claims["kubernetes.io/namespace"], "payments");
    assert_eq!(verified.claims["secret"], "canary");
    assert!(!verified.principal.claims.contains_key("secret"));
    assert!(!format!("{verified:?}").contains("canary"));
    assert_eq!(verified.issued, i64::try_from(NOW).unwrap());
    assert_eq!(verified.expires, i64::try_from(NOW + 300).unwrap());
}

#[tokio::test]
async fn an_assertion_is_one_token_whatever_its_signature_says() {
    let signer = Signer::es256();
    let issuer = Issuer::builder("ci", "https://ci.example")
        .audience(AUDIENCE)
        .jwks_json(key_set(&[signer.jwk("k1")]));
    let oidc = OidcAuthenticator::builder()
        .issuer(issuer.build().unwrap())
        .clock(VirtualClock::default())
        .build()
        .unwrap();
    let assertion = async |changes: Value| {
        let claims = crate::forge::claims_but(changes);
        let verified = oidc.verify(&signer.token("k1", &claims)).await.unwrap();
        (
            verified.assertion,
            verified.principal.access.unwrap().assertion,
        )
    };
    let same = |one: &([u8; 32], _), other: &([u8; 32], _)| (one.0 == other.0, one.1 == other.1);
    let none = assertion(json!({})).await;
    let one = assertion(json!({"jti": "one"})).await;
    // The beginning of the SHA-256 of the id.
    assert_eq!(one.1.as_deref(), Some("7692c3ad3540bb80"));
    for (token, other, alike) in [
        // ECDSA signatures differ every time; what was signed does not.
        (&none, json!({}), true),
        (&none, json!({"a": 1}), false),
        // One id is one token, whatever else it says.
        (&one, json!({"jti": "one", "a": 1}), true),
        (&one, json!({"jti": "two"}), false),
        (&one, json!({}), false),
        // An id that is none names nothing.
        (
            &assertion(json!({"jti": ""})).await,
            json!({"jti": "", "a": 1}),
            false,
        ),
        (
            &assertion(json!({"jti": 1})).await,
            json!({"jti": 1, "a": 1}),
            false,
        ),
    ] {
        let judged = same(token, &assertion(other.clone()).await);
        assert_eq!(judged, (alike, alike), "{other}");
    }
}

#[tokio::test]
async fn keys_for_svids_are_for_svids_only() {
    let signer = Signer::es256();
    let mut key = signer.jwk("k1");
    for (purpose, spiffe, others) in [
        (json!("jwt-svid"), true, false),
        (json!("sig"), true, true),
        (json!("x509-svid"), false, false),
        (json!("enc"), false, false),
    ] {
        key["use"] = purpose.clone();
        for (preset, good) in [(Preset::Spiffe, spiffe), (Preset::Generic, others)] {
            let issuer = Issuer::builder("x", "spiffe://prod.example")
                .audience(AUDIENCE)
                .preset(preset)
                .jwks_json(key_set(std::slice::from_ref(&key)))
                .build();
            assert_eq!(issuer.is_ok(), good, "{preset:?} {purpose}");
        }
    }
}

#[tokio::test]
async fn a_subject_chooses_the_issuer_only_where_the_preset_says_so() {
    let signer = Signer::es256();
    let issuer = Issuer::builder("x", "spiffe://prod.acme.example")
        .audience(AUDIENCE)
        .jwks_json(key_set(&[signer.jwk("k1")]))
        .build()
        .unwrap();
    let oidc = OidcAuthenticator::builder()
        .issuer(issuer)
        .clock(VirtualClock::default())
        .build()
        .unwrap();
    let claims = Value::Object(token(Shape::Spiffe, json!({})));
    let judged = oidc.verify(&signer.token("k1", &claims)).await;
    assert_eq!(
        judged.err().map(|reason| reason.as_str()),
        Some("claim_missing")
    );
}

/// Over a real connection, with the bundle in a file.
#[tokio::test]
async fn the_stand_in_issuer_mints_every_shape() {
    let provider = OidcIssuer::start(Config::default()).await.unwrap();
    for shape in Shape::ALL {
        let builder = Issuer::builder("provider", provider.issuer_url())
            .preset(Preset::from_name(shape.preset()).unwrap())
            .audience(AUDIENCE)
            .algorithms(["ES256"]);
        let issuer = match shape {
            Shape::Spiffe => Issuer::builder("provider", shape.issuer())
                .preset(Preset::Spiffe)
                .audience(AUDIENCE)
                .jwks_json(provider.bundle_json()),
            _ => builder,
        };
        let oidc = OidcAuthenticator::builder()
            .issuer(issuer.build().unwrap())
            .build()
            .unwrap();
        let token = provider.shaped(shape).sign().unwrap();
        let verified = oidc.verify(&token).await;
        assert!(verified.is_ok(), "{shape:?} {verified:?}");
    }
}
