//! Discovery and key sets over real connections, to an issuer that can be made to fail.

use tollbook_identity::{Authenticate, Credentials, Issuer, IssuerBuilder, OidcAuthenticator};
use tollbook_testkit::issuer::{Algorithm, Config, Fault, OidcIssuer, OldKey};

async fn start() -> OidcIssuer {
    OidcIssuer::start(Config::default()).await.unwrap()
}

fn gate(
    issuer: &OidcIssuer,
    with: impl FnOnce(IssuerBuilder) -> IssuerBuilder,
) -> OidcAuthenticator {
    let builder = Issuer::builder("dev", issuer.issuer_url()).audience("tollbook");
    OidcAuthenticator::builder()
        .issuer(with(builder).build().unwrap())
        .build()
        .unwrap()
}

async fn judge(gate: &OidcAuthenticator, token: String) -> &'static str {
    match gate.authenticate(&Credentials::new(token)).await {
        Ok(_) => "passed",
        Err(rejection) => rejection.reason(),
    }
}

#[tokio::test]
async fn a_token_passes_by_discovery_by_address_and_with_either_algorithm() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let issuer = OidcIssuer::start(Config::default().algorithm(algorithm))
            .await
            .unwrap();
        let token = || issuer.token("someone").sign().unwrap();

        let found = gate(&issuer, IssuerBuilder::discover);
        assert_eq!(judge(&found, token()).await, "passed");
        assert_eq!((issuer.discoveries(), issuer.fetches()), (1, 1));

        let told = gate(&issuer, |builder| builder.jwks_url(issuer.jwks_url()));
        assert_eq!(judge(&told, token()).await, "passed");
        assert_eq!((issuer.discoveries(), issuer.fetches()), (1, 2));
    }
}

#[tokio::test]
async fn a_rotation_is_noticed_with_the_first_token_of_the_new_key() {
    let issuer = start().await;
    let gate = gate(&issuer, IssuerBuilder::discover);
    let old = issuer.token("someone").sign().unwrap();
    assert_eq!(judge(&gate, old.clone()).await, "passed");

    issuer.rotate(OldKey::Dropped).unwrap();
    let new = issuer.token("someone").sign().unwrap();
    assert_eq!(judge(&gate, new).await, "passed");
    assert_eq!(judge(&gate, old).await, "unknown_kid");
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_stays_published_stays_good() {
    let issuer = start().await;
    let old = issuer.token("someone").sign().unwrap();
    issuer.rotate(OldKey::Kept).unwrap();
    let new = issuer.token("someone").sign().unwrap();
    let gate = gate(&issuer, IssuerBuilder::discover);
    assert_eq!(judge(&gate, new).await, "passed");
    assert_eq!(judge(&gate, old).await, "passed");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn an_issuer_that_fails_is_not_believed() {
    for fault in [
        Fault::Down,
        Fault::Redirect,
        Fault::WrongIssuer,
        Fault::HugeBody,
    ] {
        let issuer = start().await;
        issuer.fail(Some(fault));
        let gate = gate(&issuer, IssuerBuilder::discover);
        let token = issuer.token("someone").sign().unwrap();
        assert_eq!(judge(&gate, token).await, "keys_unavailable", "{fault:?}");
        assert_eq!(gate.preload().await, ["dev"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_redirect_of_the_key_set_is_not_followed() {
    let issuer = start().await;
    issuer.fail(Some(Fault::Redirect));
    let gate = gate(&issuer, |builder| builder.jwks_url(issuer.jwks_url()));
    let token = issuer.token("someone").sign().unwrap();
    assert_eq!(judge(&gate, token).await, "keys_unavailable");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_is_given_up() {
    let issuer = start().await;
    issuer.fail(Some(Fault::Hang));
    let gate = gate(&issuer, IssuerBuilder::discover);
    let token = issuer.token("someone").sign().unwrap();
    let began = std::time::Instant::now();
    assert_eq!(judge(&gate, token).await, "keys_unavailable");
    assert!((4..10).contains(&began.elapsed().as_secs()));
}

#[tokio::test]
async fn what_the_issuer_claims_is_what_the_principal_has() {
    let issuer = start().await;
    let gate = gate(&issuer, |builder| builder.groups_claim("groups"));
    let token = issuer
        .token("repo:acme/payments")
        .groups(["ci-payments"])
        .claim("repository_id", "123456")
        .sign()
        .unwrap();
    let principal = gate.authenticate(&Credentials::new(token)).await.unwrap();
    assert_eq!(principal.issuer, "dev");
    assert_eq!(principal.subject, "repo:acme/payments");
    assert!(principal.groups.iter().eq(["ci-payments"]));
    assert_eq!(principal.claims["repository_id"], "123456");
}

#[tokio::test]
async fn tokens_of_the_stand_in_can_be_bad_in_every_way_a_test_needs() {
    use std::time::{Duration, SystemTime};

    let issuer = start().await;
    let gate = gate(&issuer, IssuerBuilder::discover);
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for (token, reason) in [
        (issuer.token("a").audience("other"), "wrong_audience"),
        (issuer.token("a").issued(hour_ago), "expired"),
        (
            issuer.token("a").lifetime(Duration::from_secs(7200)),
            "lifetime_too_long",
        ),
        (issuer.token("a").kid("other"), "unknown_kid"),
        (issuer.token(""), "subject_invalid"),
    ] {
        assert_eq!(judge(&gate, token.sign().unwrap()).await, reason);
    }
}
