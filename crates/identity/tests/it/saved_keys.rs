//! Gates that start while an issuer is down, by a clock that the test moves.

use std::{fs, path::Path};

use tollbook_identity::{Authenticate, Credentials, Issuer, OidcAuthenticator};

use crate::{
    forge::{AUDIENCE, ISSUER, Signer, VirtualClock},
    server::{Answer, Server, fresh_token},
};

const HOUR: u64 = 3600;
const KEYS: &str = "https://ci.example/jwks";

/// A gate that has just started.
fn start(folder: &Path, server: &Server, clock: &VirtualClock, keys: &str) -> OidcAuthenticator {
    let issuer = Issuer::builder("ci", ISSUER)
        .audience(AUDIENCE)
        .jwks_url(keys);
    OidcAuthenticator::builder()
        .issuer(issuer.build().unwrap())
        .clock(clock.clone())
        .fetch(server.clone())
        .cache_dir(folder.join("keys"))
        .build()
        .unwrap()
}

async fn judge(gate: &OidcAuthenticator, signer: &Signer, clock: &VirtualClock) -> &'static str {
    let token = fresh_token(signer, "a", clock);
    match gate.authenticate(&Credentials::new(token)).await {
        Ok(_) => "passed",
        Err(rejection) => rejection.reason(),
    }
}

fn file(folder: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(folder.join("keys")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn a_gate_that_starts_in_an_outage_knows_the_keys_for_the_rest_of_their_day() {
    let key = Signer::ed();
    let (clock, server) = (VirtualClock::default(), Server::new(&[key.jwk("a")]));
    let folder = tempfile::tempdir().unwrap();
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    drop(gate);

    server.set(Answer::Down);
    clock.advance(10 * HOUR);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    let status = gate.key_status().remove(0);
    assert_eq!(status.fetched_ago.unwrap().as_secs(), 10 * HOUR);
    assert!(status.stale);

    // Starting again does not make the keys any younger.
    clock.advance(10 * HOUR);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert!(gate.preload().await.is_empty());
    clock.advance(4 * HOUR - 1);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    clock.advance(1);
    assert_eq!(judge(&gate, &key, &clock).await, "keys_unavailable");
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "keys_unavailable");
    assert_eq!(gate.preload().await, ["ci"]);

    // The issuer is back, and so is everybody.
    server.publish(&[key.jwk("a")]);
    clock.advance(30);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    server.set(Answer::Down);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_an_outage_too() {
    let key = Signer::ed();
    let (clock, server) = (VirtualClock::default(), Server::new(&[key.jwk("a")]));
    let folder = tempfile::tempdir().unwrap();
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    server.set(Answer::Hang);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
}

#[tokio::test]
async fn the_network_comes_first_and_what_it_took_back_stays_gone() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let (clock, server) = (VirtualClock::default(), Server::new(&[old.jwk("a")]));
    let folder = tempfile::tempdir().unwrap();
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &old, &clock).await, "passed");

    // Rotated while no gate ran.
    server.publish(&[new.jwk("a")]);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &old, &clock).await, "bad_signature");
    assert_eq!(judge(&gate, &new, &clock).await, "passed");

    server.set(Answer::Down);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &old, &clock).await, "bad_signature");
    assert_eq!(judge(&gate, &new, &clock).await, "passed");

    // An empty set is an answer as well.
    server.publish(&[]);
    clock.advance(60);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &new, &clock).await, "unknown_kid");
    server.set(Answer::Down);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &new, &clock).await, "unknown_kid");
}

#[tokio::test]
async fn a_saved_set_that_cannot_be_trusted_is_not_used() {
    let (key, evil) = (Signer::ed(), Signer::ed());
    let (clock, server) = (VirtualClock::default(), Server::new(&[key.jwk("a")]));
    let folder = tempfile::tempdir().unwrap();
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    server.set(Answer::Down);
    let path = file(folder.path());
    let good = fs::read_to_string(&path).unwrap();
    let restart = async |signer: &Signer, keys: &str| {
        let gate = start(folder.path(), &server, &clock, keys);
        judge(&gate, signer, &clock).await
    };
    assert_eq!(restart(&key, KEYS).await, "passed");

    let moved = restart(&key, "https://ci.example/new-place").await;
    assert_eq!(moved, "keys_unavailable");
    for text in [
        String::new(),
        "{}".to_owned(),
        good.replace("ci.example", "other.example"),
        good.replace("\"fetched\":18", "\"fetched\":19"),
        good.replace("\"fetched\":", "\"fetched\":\"")
            .replace(",\"keys\"", "\",\"keys\""),
        good.replace("{\\\"keys", "{\\\"kyes"),
    ] {
        assert_ne!(text, good);
        fs::write(&path, &text).unwrap();
        assert_eq!(restart(&key, KEYS).await, "keys_unavailable", "{text}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(restart(&key, KEYS).await, "passed");
    assert_eq!(restart(&evil, KEYS).await, "bad_signature");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(restart(&key, KEYS).await, "keys_unavailable");
    }
}

#[tokio::test]
async fn without_a_folder_nothing_is_saved_and_without_room_nobody_is_refused() {
    let key = Signer::ed();
    let (clock, server) = (VirtualClock::default(), Server::new(&[key.jwk("a")]));
    let folder = tempfile::tempdir().unwrap();
    // Where the folder should be is a file: saving fails, and verifying does not.
    fs::write(folder.path().join("keys"), "in the way").unwrap();
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "passed");
    server.set(Answer::Down);
    let gate = start(folder.path(), &server, &clock, KEYS);
    assert_eq!(judge(&gate, &key, &clock).await, "keys_unavailable");
}
