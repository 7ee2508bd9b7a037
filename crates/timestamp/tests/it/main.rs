//! Time stamps of an authority that `openssl ts` is.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;
use tempfile::TempDir;
use tollbook_testkit::authority as testkit;
use tollbook_timestamp::{Answer, Error, Query, Roots};

/// An authority in a folder that goes with it.
struct Authority {
    it: testkit::Authority,
    folder: TempDir,
}

impl Authority {
    fn new(key: &str, digest: &str, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let it = testkit::Authority::with(folder.path(), key, digest, more).unwrap();
        Self { it, folder }
    }

    fn usual() -> Self {
        Self::new(P256, "sha256", "")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn answer(&self, query: &Query) -> Vec<u8> {
        self.it.answer(&query.to_bytes()).unwrap()
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(&fs::read(self.path().join("root.pem")).unwrap()).unwrap()
    }
}

const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";

#[test]
fn stamps_of_every_kind_of_key_are_checked() {
    for (key, digest, more) in [
        (RSA, "sha256", ""),
        (RSA, "sha512", "clock_precision_digits = 3"),
        (P256, "sha256", "ess_cert_id_alg = sha1"),
        (P256, "sha384", "ess_cert_id_alg = sha512"),
        (P384, "sha384", ""),
    ] {
        let authority = Authority::new(key, digest, more);
        let query = Query::new(b"a checkpoint", 17);
        let bytes = authority.answer(&query);
        let answer = Answer::read(&bytes).unwrap();
        let stamp = answer.check_query(&query, b"a checkpoint", &authority.roots());
        let stamp = stamp.unwrap_or_else(|error| panic!("{key:?} {digest}: {error}"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_micros()).unwrap();
        assert!((now - stamp.time).abs() < 60_000_000, "{stamp:?}");
        assert_eq!(answer.check(b"a checkpoint", None), Ok(stamp));
        // And they say the same.
        fs::write(authority.path().join("data"), "a checkpoint").unwrap();
        let line = "ts -verify -data data -in answer -CAfile root.pem";
        testkit::openssl(authority.path(), line).unwrap();
    }
}

#[test]
fn what_is_another_request_or_another_authority_is_told() {
    let authority = Authority::usual();
    let query = Query::new(b"data", 17);
    let bytes = authority.answer(&query);
    let answer = Answer::read(&bytes).unwrap();
    let roots = authority.roots();
    assert!(answer.check_query(&query, b"data", &roots).is_ok());
    assert_eq!(answer.check(b"date", Some(&roots)), Err(Error::Imprint));
    let other = Query::new(b"data", 18);
    assert_eq!(
        answer.check_query(&other, b"data", &roots),
        Err(Error::Nonce)
    );
    let stranger = Authority::usual();
    assert_eq!(
        answer.check(b"data", Some(&stranger.roots())),
        Err(Error::Untrusted)
    );
    assert!(answer.check(b"data", None).is_ok());

    // The root of the first, and a token of the other.
    let forged = Answer::read(&stranger.answer(&query)).unwrap();
    assert_eq!(
        forged.check_query(&query, b"data", &roots),
        Err(Error::Untrusted)
    );
    assert!(matches!(Roots::from_pem(b"nothing"), Err(Error::Roots)));

    // A hash that the authority does not know.
    let mut odd = query.to_bytes();
    odd[21] = 9;
    fs::write(authority.path().join("query"), odd).unwrap();
    let line = "ts -reply -config config -queryfile query -out refused";
    // It may say so by its exit code too.
    drop(testkit::openssl(authority.path(), line));
    if let Ok(refused) = fs::read(authority.path().join("refused")) {
        assert_eq!(Answer::read(&refused).unwrap_err(), Error::Refused);
    }
}

/// `openssl ts` asks for the right purpose of the stamper itself, so it is that of who vouches for it.
#[test]
fn an_authority_for_other_purposes_vouches_for_no_stamps() {
    for (purpose, is_trusted) in [("middle", true), ("elsewhere", false), ("server", false)] {
        let authority = Authority::usual();
        authority.it.key("middle", P384).unwrap();
        authority.it.sign("root", "middle", purpose).unwrap();
        authority.it.sign("middle", "stamper", "stamper").unwrap();
        fs::rename(
            authority.path().join("root.pem"),
            authority.path().join("trusted.pem"),
        )
        .unwrap();
        fs::copy(
            authority.path().join("middle.pem"),
            authority.path().join("root.pem"),
        )
        .unwrap();
        let query = Query::new(b"data", 17);
        let answer = Answer::read(&authority.answer(&query)).unwrap();
        let trusted = fs::read(authority.path().join("trusted.pem")).unwrap();
        let trusted = Roots::from_pem(&trusted).unwrap();
        let checked = answer.check_query(&query, b"data", &trusted);
        assert_eq!(checked.is_ok(), is_trusted, "{purpose}: {checked:?}");
        assert!(is_trusted || checked == Err(Error::Untrusted));
    }
}

#[test]
fn no_byte_can_be_another() {
    let authority = Authority::usual();
    let query = Query::new(b"data", 17);
    let bytes = authority.answer(&query);
    let roots = authority.roots();
    let said = Answer::read(&bytes)
        .unwrap()
        .check(b"data", Some(&roots))
        .unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        let read = Answer::read(&changed);
        // What is not signed, such as the version of the message, may be another; what is said may not.
        if let Ok(found) = read.and_then(|answer| answer.check(b"data", Some(&roots))) {
            assert_eq!(found, said, "byte {place}");
        }
        assert!(Answer::read(&bytes[..place]).is_err());
    }
    assert!(Answer::read(&[&bytes[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Answer::read(&bytes));
        drop(Answer::read(&[&[0x30, 0x80][..], &bytes].concat()));
    }
}
