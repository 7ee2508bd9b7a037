//! One table of tokens that must not pass, each with the reason that the record must show.

mod claims;
mod form;
mod key;
mod options;

use serde_json::{Value, json};
use tollbook_identity::{Authenticate, Credentials, Issuer, OidcAuthenticator};

use crate::forge::{AUDIENCE, ISSUER, Signer, VirtualClock, claims, claims_but, encode, key_set};

/// An issuer with keys of every kind, good and bad, and two neighbours.
struct World {
    es: Signer,
    es384: Signer,
    rsa: Signer,
    ed: Signer,
    /// The neighbour's key, published under the same id as ours.
    neighbour: Signer,
    /// Nobody's key.
    stranger: Signer,
    authenticator: OidcAuthenticator,
    clock: VirtualClock,
}

const NEIGHBOUR: &str = "https://neighbour.example";
const UNNAMED: &str = "https://unnamed.example";

impl World {
    fn new() -> Self {
        let (es, es384, rsa, ed) = (
            Signer::es256(),
            Signer::es384(),
            Signer::rsa(),
            Signer::ed(),
        );
        let (neighbour, stranger) = (Signer::es256(), Signer::es256());
        let with = |mut jwk: Value, name: &str, value: Value| {
            jwk[name] = value;
            jwk
        };
        let mut short = vec![0xff; 128];
        short[0] = 0x80;
        let ours = [
            es.jwk("k1"),
            es384.jwk("p384"),
            rsa.jwk("rsa"),
            ed.jwk("ed"),
            with(rsa.jwk("pss-only"), "alg", json!("PS256")),
            with(rsa.jwk("short"), "n", json!(encode(&short))),
            with(rsa.jwk("exponent-one"), "e", json!("AQ")),
            with(es.jwk("enc"), "use", json!("enc")),
            with(es.jwk("sign-only"), "key_ops", json!(["sign"])),
            with(es.jwk("ops-twice"), "key_ops", json!(["verify", "verify"])),
            with(es.jwk("svid"), "use", json!("jwt-svid")),
            with(es.jwk("private"), "d", json!(encode([1; 32]))),
            with(es.jwk("wrong-alg"), "alg", json!("RS256")),
            with(es.jwk("other-curve"), "crv", json!("secp256k1")),
            with(es.jwk("off-curve"), "x", json!(encode([1; 32]))),
            json!({"kty": "oct", "kid": "symmetric", "k": encode("secret")}),
            es.jwk("twice"),
            stranger.jwk("twice"),
        ];
        let mut unnamed = es.jwk("");
        unnamed.as_object_mut().unwrap().remove("kid");
        let clock = VirtualClock::default();
        let issuer = |name, identifier, keys: &[Value]| {
            Issuer::builder(name, identifier)
                .audience(AUDIENCE)
                .groups_claim("groups")
                .algorithms(["RS256", "ES256", "EdDSA", "PS256"])
                .jwks_json(key_set(keys))
                .build()
                .unwrap()
        };
        let authenticator = OidcAuthenticator::builder()
            .issuer(issuer("ci", ISSUER, &ours))
            .issuer(issuer(
                "neighbour",
                NEIGHBOUR,
                &[neighbour.jwk("k1"), neighbour.jwk("theirs")],
            ))
            .issuer(issuer("unnamed", UNNAMED, &[unnamed]))
            .clock(clock.clone())
            .build()
            .unwrap();
        Self {
            es,
            es384,
            rsa,
            ed,
            neighbour,
            stranger,
            authenticator,
            clock,
        }
    }

    async fn judge(&self, token: &str) -> &'static str {
        match self
            .authenticator
            .authenticate(&Credentials::new(token))
            .await
        {
            Ok(_) => "passed",
            Err(rejection) => rejection.reason(),
        }
    }
}

type Case = (&'static str, String, &'static str);

async fn hold(world: &World, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (name, token, expected) in cases {
        let judged = world.judge(token).await;
        if judged != *expected {
            wrong.push(format!("{name}: {judged}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the key `k1` signs with this header member changed.
fn header(world: &World, member: &str, value: Value) -> String {
    let mut header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"});
    header[member] = value;
    world.es.token_with(&header, &claims())
}

/// What the key `k1` signs with these claims changed.
fn claim(world: &World, changes: Value) -> String {
    world.es.token("k1", &claims_but(changes))
}

#[tokio::test]
async fn good_tokens_pass_so_the_attacks_below_fail_for_their_own_reason() {
    let world = World::new();
    let World {
        es,
        rsa,
        ed,
        neighbour,
        ..
    } = &world;
    let pss = json!({"alg": "PS256", "kid": "pss-only"});
    let no_kid = json!({"alg": "ES256"});
    hold(
        &world,
        &[
            ("ES256", es.token("k1", &claims()), "passed"),
            ("RS256", rsa.token("rsa", &claims()), "passed"),
            ("EdDSA", ed.token("ed", &claims()), "passed"),
            ("PS256", rsa.pss_token(&pss, &claims()), "passed"),
            (
                "the neighbour's own",
                neighbour.token("k1", &claims_but(json!({"iss": NEIGHBOUR}))),
                "passed",
            ),
            (
                "no kid, one key",
                es.token_with(&no_kid, &claims_but(json!({"iss": UNNAMED}))),
                "passed",
            ),
            (
                "no typ",
                es.token_with(&json!({"alg": "ES256", "kid": "k1"}), &claims()),
                "passed",
            ),
            (
                "typ at+jwt",
                header(&world, "typ", json!("application/at+JWT")),
                "passed",
            ),
            (
                "x5t is ignored",
                header(&world, "x5t", json!("AA")),
                "passed",
            ),
            (
                "one audience in a list",
                claim(&world, json!({"aud": [AUDIENCE]})),
                "passed",
            ),
            (
                "our party among audiences",
                claim(&world, json!({"aud": ["x", AUDIENCE], "azp": AUDIENCE})),
                "passed",
            ),
        ],
    )
    .await;
}
