//! A token that is shown again: what is not looked at twice, and what always is.

use serde_json::{Value, json};
use tollbook_identity::{Issuer, OidcAuthenticator, Reason};

use crate::{
    forge::{AUDIENCE, ISSUER, NOW, Signer, VirtualClock, claims_but},
    server::{Answer, Server},
};

struct World {
    clock: VirtualClock,
    server: Server,
    gate: OidcAuthenticator,
}

impl World {
    fn new(keys: &[Value]) -> Self {
        let (clock, server) = (VirtualClock::default(), Server::new(keys));
        let issuer = |name, identifier, keys: &str| {
            Issuer::builder(name, identifier)
                .audience(AUDIENCE)
                .max_lifetime(std::time::Duration::from_secs(86_400))
                .jwks_url(keys)
                .build()
                .unwrap()
        };
        let gate = OidcAuthenticator::builder()
            .issuer(issuer("ci", ISSUER, "https://ci.example/jwks"))
            .issuer(issuer(
                "neighbour",
                "https://neighbour.example",
                "https://neighbour.example/jwks",
            ))
            .clock(clock.clone())
            .fetch(server.clone())
            .build()
            .unwrap();
        Self {
            clock,
            server,
            gate,
        }
    }

    async fn judge(&self, token: &str) -> Result<(), Reason> {
        self.gate.verify(token).await.map(|_| ())
    }

    async fn settle(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }
}

fn long(signer: &Signer) -> String {
    signer.token("a", &claims_but(json!({"exp": NOW + 40_000, "jti": "one"})))
}

#[tokio::test]
async fn a_token_shown_again_is_the_same_caller() {
    let key = Signer::es256();
    let world = World::new(&[key.jwk("a")]);
    let token = long(&key);
    let first = world.gate.verify(&token).await.unwrap();
    for _ in 0..3 {
        let again = world.gate.verify(&token).await.unwrap();
        assert_eq!(again.principal, first.principal);
        assert_eq!(again.claims, first.claims);
        assert_eq!(again.assertion, first.assertion);
        assert_eq!((again.issued, again.expires), (first.issued, first.expires));
    }
}

#[tokio::test]
async fn a_remembered_token_ends_to_the_second() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    let token = key.token("a", &claims_but(json!({"exp": NOW + 300, "nbf": NOW})));
    assert_eq!(world.judge(&token).await, Ok(()));
    world.clock.advance(329);
    assert_eq!(world.judge(&token).await, Ok(()));
    world.clock.advance(1);
    assert_eq!(world.judge(&token).await, Err(Reason::Expired));
    assert_eq!(world.judge(&token).await, Err(Reason::Expired));
}

#[tokio::test]
async fn a_remembered_token_does_not_outlive_its_key() {
    let (key, other) = (Signer::ed(), Signer::ed());
    for (set, reason) in [
        (vec![], Reason::UnknownKid),
        (vec![other.jwk("b")], Reason::UnknownKid),
        // Another key under the id: the token was not signed by it.
        (vec![other.jwk("a")], Reason::BadSignature),
        // The key, but twice under one id, or not for this any more.
        (vec![key.jwk("a"), other.jwk("a")], Reason::KeyAmbiguous),
        (
            vec![{
                let mut jwk = key.jwk("a");
                jwk["use"] = json!("enc");
                jwk
            }],
            Reason::KeyUnusable,
        ),
    ] {
        let world = World::new(&[key.jwk("a")]);
        let token = long(&key);
        assert_eq!(world.judge(&token).await, Ok(()));
        world.server.publish(&set);
        world.clock.advance(600);
        // Due: this request starts the load and is served by the set at hand.
        assert_eq!(world.judge(&token).await, Ok(()));
        world.settle().await;
        assert_eq!(world.judge(&token).await, Err(reason), "{set:?}");
        assert_eq!(world.judge(&token).await, Err(reason), "{set:?}");

        // The key is back, and so is the token.
        world.server.publish(&[key.jwk("a")]);
        world.clock.advance(600);
        world.judge(&token).await.ok();
        world.settle().await;
        assert_eq!(world.judge(&token).await, Ok(()));
    }
}

#[tokio::test]
async fn a_key_that_now_has_another_algorithm_is_another_key() {
    let key = Signer::rsa();
    let world = World::new(&[key.jwk("a")]);
    let token = long(&key);
    assert_eq!(world.judge(&token).await, Ok(()));
    let mut only = key.jwk("a");
    only["alg"] = json!("PS256");
    world.server.publish(&[only]);
    world.clock.advance(600);
    world.judge(&token).await.ok();
    world.settle().await;
    assert_eq!(world.judge(&token).await, Err(Reason::KeyAlgMismatch));
}

#[tokio::test]
async fn a_remembered_token_does_not_outlive_the_day_of_its_keys() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    let token = key.token("a", &claims_but(json!({"iat": NOW, "exp": NOW + 86_400})));
    // The token is old enough to end after its keys do.
    world.clock.advance(0);
    assert_eq!(world.judge(&token).await, Ok(()));
    world.server.set(Answer::Down);
    world.clock.advance(86_399);
    assert_eq!(world.judge(&token).await, Ok(()));
    world.settle().await;
    world.clock.advance(1);
    assert_eq!(world.judge(&token).await, Err(Reason::KeysUnavailable));
}

#[tokio::test]
async fn what_was_refused_is_judged_anew() {
    let key = Signer::ed();
    let world = World::new(&[]);
    let early = key.token("a", &claims_but(json!({"nbf": NOW + 60})));
    let token = long(&key);
    assert_eq!(world.judge(&token).await, Err(Reason::UnknownKid));
    world.server.publish(&[key.jwk("a")]);
    world.clock.advance(30);
    assert_eq!(world.judge(&token).await, Ok(()));
    assert_eq!(world.judge(&early).await, Ok(()));
    let later = key.token("a", &claims_but(json!({"nbf": NOW + 120})));
    assert_eq!(world.judge(&later).await, Err(Reason::NotYetValid));
    world.clock.advance(60);
    assert_eq!(world.judge(&later).await, Ok(()));
}

/// What is remembered is the whole token: not one byte of it may be another's.
#[tokio::test]
async fn a_token_that_is_nearly_the_same_is_another_token() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    let token = long(&key);
    assert_eq!(world.judge(&token).await, Ok(()));
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(world.judge(&changed).await.is_err(), "byte {index}");
    }
    let (message, _) = token.rsplit_once('.').unwrap();
    assert!(world.judge(&format!("{message}.")).await.is_err());
    assert_eq!(world.judge(&token).await, Ok(()));
}

#[tokio::test]
async fn a_remembered_token_is_its_own_issuers() {
    let (key, other) = (Signer::ed(), Signer::ed());
    let world = World::new(&[key.jwk("a")]);
    let token = long(&key);
    let claims = claims_but(json!({
        "exp": NOW + 40_000, "jti": "one", "iss": "https://neighbour.example",
    }));
    let theirs = key.token("a", &claims);
    let a = world.gate.verify(&token).await.unwrap();
    let b = world.gate.verify(&theirs).await.unwrap();
    let issuers = (&*a.principal.issuer, &*b.principal.issuer);
    assert_eq!(issuers, ("ci", "neighbour"));
    // Both may give out the same id, for tokens that have nothing to do with each other.
    assert_ne!(a.assertion, b.assertion);
    assert_eq!(
        world.judge(&other.token("a", &claims)).await,
        Err(Reason::BadSignature)
    );
}
