//! Key sets that change, fail, hang and come back, by a clock that the test moves.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollbook_identity::{Authenticate, Credentials, Issuer, KeyFault, OidcAuthenticator};

use crate::{
    forge::{AUDIENCE, ISSUER, Signer, VirtualClock, claims, claims_but, encode, key_set},
    server::{Answer, Server, fresh_token},
};

struct World {
    clock: VirtualClock,
    server: Server,
    authenticator: OidcAuthenticator,
}

impl World {
    fn new(keys: &[Value]) -> Self {
        let server = Server::new(keys);
        let clock = VirtualClock::default();
        let issuer = Issuer::builder("ci", ISSUER)
            .audience(AUDIENCE)
            .jwks_url("https://ci.example/jwks")
            .build()
            .unwrap();
        let authenticator = OidcAuthenticator::builder()
            .issuer(issuer)
            .clock(clock.clone())
            .fetch(server.clone())
            .build()
            .unwrap();
        Self {
            clock,
            server,
            authenticator,
        }
    }

    async fn judge(&self, signer: &Signer, kid: &str) -> &'static str {
        let token = fresh_token(signer, kid, &self.clock);
        match self
            .authenticator
            .authenticate(&Credentials::new(token))
            .await
        {
            Ok(_) => "passed",
            Err(rejection) => rejection.reason(),
        }
    }

    /// Lets a load that nobody waits for come to its end.
    async fn settle(&self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn one_load_serves_everybody_who_waits_for_it() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    let (one, two, three) = tokio::join!(
        world.judge(&key, "a"),
        world.judge(&key, "a"),
        world.judge(&key, "a")
    );
    assert_eq!([one, two, three], ["passed"; 3]);
    assert_eq!(world.server.fetches(), 1);
    assert_eq!(world.judge(&key, "a").await, "passed");
    assert_eq!(world.server.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_picked_up_at_once() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let world = World::new(&[old.jwk("a")]);
    assert_eq!(world.judge(&old, "a").await, "passed");
    world.server.publish(&[old.jwk("a"), new.jwk("b")]);
    assert_eq!(world.judge(&new, "b").await, "passed");
    assert_eq!(world.judge(&old, "a").await, "passed");
    assert_eq!(world.server.fetches(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_ids_causes_one_load_in_thirty_seconds() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    assert_eq!(world.judge(&key, "a").await, "passed");
    for round in 0..3 {
        let before = world.server.fetches();
        for index in 0..500 {
            let kid = format!("made-up-{round}-{index}");
            assert_eq!(world.judge(&key, &kid).await, "unknown_kid");
        }
        assert_eq!(world.server.fetches() - before, 1);
        world.clock.advance(29);
        assert_eq!(world.judge(&key, "still-made-up").await, "unknown_kid");
        assert_eq!(world.server.fetches() - before, 1);
        world.clock.advance(1);
    }
    assert_eq!(world.judge(&key, "a").await, "passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_unknown_ids_at_once_are_one_load_too() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    assert_eq!(world.judge(&key, "a").await, "passed");
    let claims = encode(claims().to_string());
    let mut callers = JoinSet::new();
    for index in 0..10_000 {
        let header = encode(format!(r#"{{"alg":"EdDSA","kid":"made-up-{index}"}}"#));
        let token = format!("{header}.{claims}.AAAA");
        let authenticator = world.authenticator.clone();
        callers.spawn(async move {
            let judged = authenticator.authenticate(&Credentials::new(token)).await;
            judged.unwrap_err().reason()
        });
    }
    while let Some(reason) = callers.join_next().await {
        assert_eq!(reason.unwrap(), "unknown_kid");
    }
    assert_eq!(world.server.fetches(), 2);
    assert_eq!(world.judge(&key, "a").await, "passed");
}

#[tokio::test]
async fn callers_that_hang_up_do_not_keep_a_new_key_away() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let world = World::new(&[old.jwk("a")]);
    assert_eq!(world.judge(&old, "a").await, "passed");
    world.server.publish(&[new.jwk("b")]);
    {
        let mut leaving = pin!(world.judge(&old, "made-up"));
        // Polled once: the load is asked for, and the caller is gone.
        let waits = poll_fn(|cx| Poll::Ready(leaving.as_mut().poll(cx).is_pending())).await;
        assert!(waits);
    }
    world.settle().await;
    assert_eq!(world.judge(&new, "b").await, "passed");
    assert_eq!(world.server.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_is_gone_from_the_set_is_gone() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let world = World::new(&[old.jwk("a")]);
    assert_eq!(world.judge(&old, "a").await, "passed");
    world.server.publish(&[new.jwk("b")]);
    // Due, so the first request starts a load and is still served by the set at hand.
    world.clock.advance(600);
    assert_eq!(world.judge(&old, "a").await, "passed");
    world.settle().await;
    assert_eq!(world.judge(&new, "b").await, "passed");
    assert_eq!(world.judge(&old, "a").await, "unknown_kid");
}

#[tokio::test]
async fn keys_are_loaded_again_when_they_are_due_and_not_before() {
    let key = Signer::ed();
    let set = |seconds| Answer::Keys(key_set(&[key.jwk("a")]), Some(Duration::from_secs(seconds)));
    for (max_age, fresh) in [(0, 60), (120, 120), (10_000_000, 86_400)] {
        let world = World::new(&[]);
        world.server.set(set(max_age));
        assert_eq!(world.judge(&key, "a").await, "passed");
        world.clock.advance(fresh - 1);
        assert_eq!(world.judge(&key, "a").await, "passed");
        world.settle().await;
        assert_eq!(world.server.fetches(), 1, "{max_age}");
        world.clock.advance(1);
        world.judge(&key, "a").await;
        world.settle().await;
        assert_eq!(world.server.fetches(), 2, "{max_age}");
    }
}

#[tokio::test]
async fn known_keys_serve_for_a_day_without_their_issuer_and_no_longer() {
    let key = Signer::ed();
    for fault in [
        Answer::Down,
        Answer::Keys("<html>".into(), None),
        Answer::Keys("x".repeat(600 * 1024), None),
        Answer::Keys(key_set(&vec![key.jwk("a"); 101]), None),
    ] {
        let world = World::new(&[key.jwk("a")]);
        assert_eq!(world.judge(&key, "a").await, "passed");
        world.server.set(fault);
        for _ in 0..23 {
            world.clock.advance(3600);
            assert_eq!(world.judge(&key, "a").await, "passed");
            world.settle().await;
        }
        world.clock.advance(3599);
        assert_eq!(world.judge(&key, "a").await, "passed");
        world.clock.advance(1);
        assert_eq!(world.judge(&key, "a").await, "keys_unavailable");

        world.server.publish(&[key.jwk("a")]);
        world.clock.advance(30);
        assert_eq!(world.judge(&key, "a").await, "passed");
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_from_the_start_is_asked_less_and_less() {
    let key = Signer::ed();
    let world = World::new(&[]);
    world.server.set(Answer::Down);
    for _ in 0..120 {
        assert_eq!(world.judge(&key, "a").await, "keys_unavailable");
        world.clock.advance(1);
    }
    // At 0, 1, 3, 7, 15, 31, 61 and 91 seconds.
    assert_eq!(world.server.fetches(), 8);
    assert_eq!(world.authenticator.preload().await, ["ci"]);

    world.server.publish(&[key.jwk("a")]);
    world.clock.advance(30);
    assert!(world.authenticator.preload().await.is_empty());
    assert_eq!(world.judge(&key, "a").await, "passed");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_delays_nobody_whose_key_is_known() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    assert_eq!(world.judge(&key, "a").await, "passed");
    world.server.set(Answer::Hang);
    let began = tokio::time::Instant::now();
    world.clock.advance(600);
    assert_eq!(world.judge(&key, "a").await, "passed");
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Whoever needs the load waits for it, but not for ever.
    assert_eq!(world.judge(&key, "b").await, "unknown_kid");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(world.judge(&key, "a").await, "passed");
}

#[tokio::test]
async fn an_unknown_issuer_never_causes_a_load() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a")]);
    let token = key.token("a", &claims_but(json!({"iss": "https://evil.example"})));
    let rejection = world
        .authenticator
        .authenticate(&Credentials::new(token))
        .await
        .unwrap_err();
    assert_eq!(rejection.reason(), "unknown_issuer");
    assert_eq!(world.server.fetches(), 0);
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let clock = VirtualClock::default();
    let issuer = Issuer::builder("cluster", ISSUER)
        .audience(AUDIENCE)
        .jwks_file(&path)
        .build()
        .unwrap();
    let authenticator = OidcAuthenticator::builder()
        .issuer(issuer)
        .clock(clock.clone())
        .build()
        .unwrap();
    let judge = async |signer: &Signer, kid: &str| {
        let token = fresh_token(signer, kid, &clock);
        match authenticator.authenticate(&Credentials::new(token)).await {
            Ok(_) => "passed",
            Err(rejection) => rejection.reason(),
        }
    };
    assert_eq!(judge(&old, "a").await, "keys_unavailable");

    std::fs::write(&path, key_set(&[old.jwk("a")])).unwrap();
    clock.advance(2);
    assert_eq!(judge(&old, "a").await, "passed");

    std::fs::write(&path, key_set(&[new.jwk("b")])).unwrap();
    clock.advance(2);
    assert_eq!(judge(&old, "a").await, "unknown_kid");
    assert_eq!(judge(&new, "b").await, "passed");

    std::fs::write(&path, "half a wri").unwrap();
    clock.advance(2);
    assert_eq!(judge(&new, "b").await, "passed");
}

#[tokio::test]
async fn the_state_of_the_keys_can_be_asked_for() {
    let key = Signer::ed();
    let world = World::new(&[key.jwk("a"), key.jwk("b")]);
    let status = || world.authenticator.key_status().remove(0);
    let before = status();
    assert_eq!(
        (&*before.name, before.keys, before.fetched_ago),
        ("ci", 0, None)
    );
    assert_eq!((before.stale, before.last_error), (false, None));
    assert_eq!(world.server.fetches(), 0);

    assert_eq!(world.judge(&key, "a").await, "passed");
    world.clock.advance(61);
    assert_eq!(status().keys, 2);
    assert_eq!(status().fetched_ago, Some(Duration::from_secs(61)));
    assert_eq!((status().stale, status().last_error), (false, None));

    world.server.set(Answer::Down);
    for (seconds, stale) in [(3600 - 62, false), (1, true)] {
        world.clock.advance(seconds);
        assert_eq!(world.judge(&key, "a").await, "passed");
        world.settle().await;
        assert_eq!(status().last_error, Some(KeyFault::Unreachable));
        assert_eq!(status().stale, stale, "{seconds}");
    }
    world.clock.advance(86_400);
    assert_eq!((status().keys, status().stale), (0, true));

    world.server.set(Answer::Keys("<html>".into(), None));
    world.judge(&key, "a").await;
    assert_eq!(status().last_error, Some(KeyFault::KeySet));
    world.server.publish(&[key.jwk("a")]);
    world.clock.advance(30);
    assert_eq!(world.judge(&key, "a").await, "passed");
    assert_eq!((status().keys, status().stale), (1, false));
    assert_eq!(status().last_error, None);
}
