//! The key that a token names, and the key that signed it.

use serde_json::json;

use super::{NEIGHBOUR, UNNAMED, World, claim, hold};
use crate::forge::{ISSUER, Signer, claims, claims_but};

#[tokio::test]
async fn the_key_of_a_token() {
    let world = World::new();
    let World {
        es,
        rsa,
        neighbour,
        stranger,
        ..
    } = &world;
    let by = |signer: &Signer, kid: &str| signer.token(kid, &claims());
    let from = |identifier: &str| claims_but(json!({"iss": identifier}));
    hold(
        &world,
        &[
            (
                "unknown issuer",
                es.token("k1", &from("https://evil.example")),
                "unknown_issuer",
            ),
            (
                "issuer with a slash",
                es.token("k1", &from("https://ci.example/")),
                "unknown_issuer",
            ),
            (
                "issuer in capitals",
                es.token("k1", &from("https://CI.example")),
                "unknown_issuer",
            ),
            (
                "no issuer, and a SPIFFE id of nobody's",
                claim(
                    &world,
                    json!({"iss": null, "sub": "spiffe://evil.example/a"}),
                ),
                "unknown_issuer",
            ),
            (
                "issuer is null, and a SPIFFE id",
                es.token_of(
                    r#"{"alg":"ES256","kid":"k1"}"#,
                    r#"{"iss":null,"sub":"spiffe://ci.example/a"}"#,
                ),
                "claim_type",
            ),
            ("empty issuer", es.token("k1", &from("")), "unknown_issuer"),
            (
                "no issuer",
                claim(&world, json!({"iss": null})),
                "claim_missing",
            ),
            (
                "issuer is a list",
                claim(&world, json!({"iss": [ISSUER]})),
                "claim_type",
            ),
            ("nobody's key", by(stranger, "k1"), "bad_signature"),
            (
                "the neighbour's key under our id",
                by(neighbour, "k1"),
                "bad_signature",
            ),
            (
                "the neighbour's key by its id",
                by(neighbour, "theirs"),
                "unknown_kid",
            ),
            (
                "our key as the neighbour",
                es.token("k1", &from(NEIGHBOUR)),
                "bad_signature",
            ),
            ("unknown id", by(es, "k2"), "unknown_kid"),
            ("id as a path", by(es, "../../dev/null"), "unknown_kid"),
            ("id as SQL", by(es, "k1' OR '1'='1"), "unknown_kid"),
            (
                "id as an address",
                by(es, "https://evil.example/k1"),
                "unknown_kid",
            ),
            ("id with a nul", by(es, "k1\0"), "unknown_kid"),
            ("id with a space", by(es, "k1 "), "unknown_kid"),
            ("id in capitals", by(es, "K1"), "unknown_kid"),
            (
                "no id, one key for it",
                rsa.token_with(&json!({"alg": "RS256"}), &claims()),
                "passed",
            ),
            (
                "no id, several keys",
                es.token_with(&json!({"alg": "ES256"}), &claims()),
                "key_ambiguous",
            ),
            (
                "no id, no key",
                rsa.token_with(&json!({"alg": "RS256"}), &from(UNNAMED)),
                "unknown_kid",
            ),
            ("two keys under the id", by(es, "twice"), "key_ambiguous"),
            ("second of two keys", by(stranger, "twice"), "key_ambiguous"),
            ("1024-bit modulus", by(rsa, "short"), "key_unusable"),
            ("exponent one", by(rsa, "exponent-one"), "key_unusable"),
            ("key for encryption", by(es, "enc"), "key_unusable"),
            ("key for signing only", by(es, "sign-only"), "key_unusable"),
            (
                "key whose operations name one twice",
                by(es, "ops-twice"),
                "key_unusable",
            ),
            ("key for SPIFFE only", by(es, "svid"), "key_unusable"),
            ("published private key", by(es, "private"), "key_unusable"),
            (
                "key of an impossible algorithm",
                by(es, "wrong-alg"),
                "key_unusable",
            ),
            (
                "key on another curve",
                by(es, "other-curve"),
                "key_unusable",
            ),
            ("symmetric key", by(es, "symmetric"), "key_unusable"),
            ("point off the curve", by(es, "off-curve"), "bad_signature"),
            (
                "EC token with an RSA key",
                by(es, "rsa"),
                "key_alg_mismatch",
            ),
            (
                "RSA token with an EC key",
                by(rsa, "k1"),
                "key_alg_mismatch",
            ),
            (
                "EC token with an Ed25519 key",
                by(es, "ed"),
                "key_alg_mismatch",
            ),
            (
                "ES256 token with a P-384 key",
                by(es, "p384"),
                "key_alg_mismatch",
            ),
            (
                "RS256 with a PS256 key",
                by(rsa, "pss-only"),
                "key_alg_mismatch",
            ),
            (
                "PS256 header on an RS256 signature",
                rsa.token_with(&json!({"alg": "PS256", "kid": "rsa"}), &claims()),
                "bad_signature",
            ),
        ],
    )
    .await;
}
