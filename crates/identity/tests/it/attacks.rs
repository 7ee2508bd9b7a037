//! One table of tokens that must not pass, each with the reason that the record must show.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tollbook_identity::{Authenticate, Credentials, Issuer, OidcAuthenticator};

use crate::forge::{
    AUDIENCE, ISSUER, NOW, Signer, VirtualClock, claims, claims_but, encode, key_set,
};

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

#[tokio::test]
async fn the_form_of_a_token() {
    let world = World::new();
    let good = world.es.token("k1", &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else {
        panic!("a token has three parts")
    };
    // 64 bytes leave two spare bits in the last character.
    let spare = {
        let mut text = signature.to_owned();
        let last = text.pop().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let index = alphabet.find(last).unwrap();
        text.push(alphabet.as_bytes()[index ^ 1] as char);
        text
    };
    let seal = |header: &str, claims: &str| world.es.seal(header, claims);
    let of = |header: &str, claims: &str| world.es.token_of(header, claims);
    let json_head = r#"{"alg":"ES256","kid":"k1"}"#;
    let json_body = claims().to_string();
    let padding = "x".repeat(3 * 1024);
    let too_long = "x".repeat(5 * 1024);
    hold(
        &world,
        &[
            ("empty", String::new(), "missing_credential"),
            ("provider key", "sk-ant-api03-abc".into(), "static_api_key"),
            (
                "provider token",
                "sk-ant-oat01-abc".into(),
                "static_api_key",
            ),
            ("no dots", "password".into(), "token_not_three_parts"),
            (
                "two parts",
                format!("{head}.{body}"),
                "token_not_three_parts",
            ),
            ("four parts", format!("{good}.x"), "token_not_three_parts"),
            (
                "five parts (encrypted)",
                format!("{good}.x.y"),
                "token_not_three_parts",
            ),
            (
                "17 KiB",
                format!("{good}{}", "A".repeat(17 * 1024)),
                "token_too_large",
            ),
            (
                "padding",
                format!("{head}.{body}.{signature}=="),
                "token_bad_base64",
            ),
            (
                "header padding",
                format!("{head}=.{body}.{signature}"),
                "token_bad_base64",
            ),
            ("space before", format!(" {good}"), "token_bad_base64"),
            ("space after", format!("{good} "), "token_bad_base64"),
            ("line feed", format!("{good}\n"), "token_bad_base64"),
            (
                "inner space",
                format!("{head}.{body}. {signature}"),
                "token_bad_base64",
            ),
            (
                "plus",
                format!("{head}.{body}.{}+", &signature[1..]),
                "token_bad_base64",
            ),
            (
                "slash",
                format!("{head}.{body}.{}/", &signature[1..]),
                "token_bad_base64",
            ),
            (
                "spare bits",
                format!("{head}.{body}.{spare}"),
                "token_bad_base64",
            ),
            ("not ASCII", format!("{head}.{body}.ä"), "token_bad_base64"),
            ("nul", format!("{head}.{body}.\0"), "token_bad_base64"),
            (
                "empty header",
                format!(".{body}.{signature}"),
                "header_not_json",
            ),
            ("empty claims", seal(head, ""), "claims_not_json"),
            (
                "empty signature",
                format!("{head}.{body}."),
                "bad_signature",
            ),
            (
                "short signature",
                format!("{head}.{body}.AAAA"),
                "bad_signature",
            ),
            (
                "zero signature",
                format!("{head}.{body}.{}", encode([0; 64])),
                "bad_signature",
            ),
            (
                "cut signature",
                format!("{head}.{body}.{}", encode([7; 63])),
                "bad_signature",
            ),
            (
                "changed claims",
                format!(
                    "{head}.{}.{signature}",
                    encode(claims_but(json!({"sub": "repo:acme/other"})).to_string())
                ),
                "bad_signature",
            ),
            (
                "changed header",
                format!("{}.{body}.{signature}", encode(json_head)),
                "bad_signature",
            ),
            ("header is text", of("ES256", &json_body), "header_not_json"),
            ("header is a list", of("[]", &json_body), "header_not_json"),
            (
                "header and more",
                of(&format!("{json_head} 1"), &json_body),
                "header_not_json",
            ),
            (
                "header with a mark",
                of(&format!("\u{feff}{json_head}"), &json_body),
                "header_not_json",
            ),
            (
                "header too large",
                of(
                    &format!(r#"{{"alg":"ES256","kid":"k1","x":"{too_long}"}}"#),
                    &json_body,
                ),
                "header_too_large",
            ),
            (
                "large header",
                of(
                    &format!(r#"{{"alg":"ES256","kid":"k1","x":"{padding}"}}"#),
                    &json_body,
                ),
                "passed",
            ),
            (
                "alg twice",
                of(r#"{"alg":"ES256","alg":"none","kid":"k1"}"#, &json_body),
                "header_duplicate_member",
            ),
            (
                "alg twice, escaped",
                of(
                    r#"{"alg":"none","\u0061lg":"ES256","kid":"k1"}"#,
                    &json_body,
                ),
                "header_duplicate_member",
            ),
            (
                "kid twice",
                of(r#"{"alg":"ES256","kid":"k1","kid":"ed"}"#, &json_body),
                "header_duplicate_member",
            ),
            ("claims are a list", of(json_head, "[]"), "claims_not_json"),
            (
                "claims are text",
                of(json_head, "\"iss\""),
                "claims_not_json",
            ),
            (
                "claims are not UTF-8",
                seal(&encode(json_head), &encode(b"{\"iss\":\"\xff\"}")),
                "claims_not_json",
            ),
            (
                "claims nest too deep",
                of(json_head, &format!("{{\"a\":{}", "[".repeat(5000))),
                "claims_not_json",
            ),
            (
                "sub twice",
                of(json_head, r#"{"sub":"a","sub":"b"}"#),
                "claims_duplicate_member",
            ),
            (
                "inner member twice",
                of(json_head, r#"{"x":{"a":1,"a":2}}"#),
                "claims_duplicate_member",
            ),
            (
                "exp twice",
                of(json_head, &json_body.replacen('{', r#"{"exp":1,"#, 1)),
                "claims_duplicate_member",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_header_of_a_token() {
    let world = World::new();
    let body = encode(claims().to_string());
    let unsigned = |alg: &str| {
        format!(
            "{}.{body}.",
            encode(json!({"alg": alg, "kid": "k1"}).to_string())
        )
    };
    let hmac_token = |secret: &[u8], kid: &str| {
        let message = format!(
            "{}.{body}",
            encode(json!({"alg": "HS256", "kid": kid}).to_string())
        );
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            message.as_bytes(),
        );
        format!("{message}.{}", encode(tag))
    };
    let public = world.rsa.jwk("rsa").to_string();
    let jwk = world.stranger.jwk("k1");
    let stranger = |member: &str, value: Value| {
        let mut header = json!({"alg": "ES256", "kid": "k1"});
        header[member] = value;
        world.stranger.token_with(&header, &claims())
    };
    let at = |member: &str, value: Value| header(&world, member, value);
    hold(
        &world,
        &[
            ("none", unsigned("none"), "alg_not_allowed"),
            ("None", unsigned("None"), "alg_not_allowed"),
            ("NONE", unsigned("NONE"), "alg_not_allowed"),
            ("nOnE", unsigned("nOnE"), "alg_not_allowed"),
            ("empty alg", unsigned(""), "alg_not_allowed"),
            ("lower case", at("alg", json!("es256")), "alg_not_allowed"),
            ("alg is a number", at("alg", json!(256)), "alg_not_allowed"),
            (
                "alg is a list",
                at("alg", json!(["ES256"])),
                "alg_not_allowed",
            ),
            ("alg is null", at("alg", json!(null)), "alg_not_allowed"),
            (
                "no alg",
                world.es.token_with(&json!({"kid": "k1"}), &claims()),
                "alg_not_allowed",
            ),
            (
                "HMAC over the public key",
                hmac_token(public.as_bytes(), "rsa"),
                "alg_not_allowed",
            ),
            (
                "HMAC over a published secret",
                hmac_token(b"secret", "symmetric"),
                "alg_not_allowed",
            ),
            (
                "HMAC over nothing",
                hmac_token(b"", "k1"),
                "alg_not_allowed",
            ),
            (
                "ES384 not allowed here",
                world.es384.token("p384", &claims()),
                "alg_not_allowed",
            ),
            (
                "RS384 not allowed here",
                at("alg", json!("RS384")),
                "alg_not_allowed",
            ),
            (
                "embedded key",
                stranger("jwk", jwk.clone()),
                "header_embedded_key",
            ),
            (
                "address of a key set",
                stranger("jku", json!("https://evil.example/jwks")),
                "header_embedded_key",
            ),
            (
                "address of a certificate",
                stranger("x5u", json!("https://evil.example/c")),
                "header_embedded_key",
            ),
            (
                "embedded key that is null",
                at("jwk", json!(null)),
                "header_embedded_key",
            ),
            (
                "embedded certificate is not read",
                stranger("x5c", json!(["AA"])),
                "bad_signature",
            ),
            ("crit", at("crit", json!(["exp"])), "header_crit"),
            ("empty crit", at("crit", json!([])), "header_crit"),
            (
                "crit b64",
                world.es.token_with(
                    &json!({"alg": "ES256", "kid": "k1", "b64": false, "crit": ["b64"]}),
                    &claims(),
                ),
                "header_crit",
            ),
            ("b64 false", at("b64", json!(false)), "header_b64"),
            ("b64 true", at("b64", json!(true)), "header_b64"),
            ("enc", at("enc", json!("A128GCM")), "header_encrypted"),
            ("zip", at("zip", json!("DEF")), "header_encrypted"),
            ("logout token", at("typ", json!("logout+jwt")), "header_typ"),
            (
                "proof of possession",
                at("typ", json!("dpop+jwt")),
                "header_typ",
            ),
            ("typ is a number", at("typ", json!(1)), "header_typ"),
            ("empty kid", at("kid", json!("")), "kid_invalid"),
            ("kid is a number", at("kid", json!(1)), "kid_invalid"),
            ("kid is null", at("kid", json!(null)), "kid_invalid"),
            ("long kid", at("kid", json!("k".repeat(257))), "kid_invalid"),
            (
                "kid of 256 bytes",
                at("kid", json!("k".repeat(256))),
                "unknown_kid",
            ),
        ],
    )
    .await;
}

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

#[tokio::test]
async fn the_times_of_a_token() {
    let world = World::new();
    let at = |changes: Value| claim(&world, changes);
    let of = |claims: &str| world.es.token_of(r#"{"alg":"ES256","kid":"k1"}"#, claims);
    let with = |member: &str, literal: &str| {
        let text = claims_but(json!({ member: "@" })).to_string();
        of(&text.replace("\"@\"", literal))
    };
    hold(
        &world,
        &[
            ("no exp", at(json!({"exp": null})), "claim_missing"),
            ("no iat", at(json!({"iat": null})), "claim_missing"),
            (
                "exp as text",
                at(json!({"exp": (NOW + 300).to_string()})),
                "claim_type",
            ),
            ("nbf as text", at(json!({"nbf": "0"})), "claim_type"),
            (
                "iat as text",
                at(json!({"iat": NOW.to_string()})),
                "claim_type",
            ),
            ("exp as float", with("exp", "1800000300.5"), "claim_type"),
            (
                "exp as whole float",
                with("exp", "1800000300.0"),
                "claim_type",
            ),
            ("exp as exponent", with("exp", "18e8"), "claim_type"),
            ("exp null", with("exp", "null"), "claim_type"),
            ("nbf null", with("nbf", "null"), "claim_type"),
            ("exp true", with("exp", "true"), "claim_type"),
            ("exp list", with("exp", "[1800000300]"), "claim_type"),
            ("exp negative", with("exp", "-1"), "claim_type"),
            ("iat negative", with("iat", "-1"), "claim_type"),
            (
                "exp of 64 bits",
                with("exp", "9223372036854775807"),
                "claim_type",
            ),
            (
                "exp unsigned",
                with("exp", "18446744073709551615"),
                "claim_type",
            ),
            (
                "exp beyond numbers",
                with("exp", "1e400"),
                "claims_not_json",
            ),
            (
                "exp in milliseconds",
                at(json!({"exp": (NOW + 300) * 1000})),
                "claim_type",
            ),
            (
                "exp far away",
                at(json!({"exp": NOW + 3601})),
                "lifetime_too_long",
            ),
            ("an hour", at(json!({"exp": NOW + 3600})), "passed"),
            (
                "exp before iat",
                at(json!({"exp": NOW - 1})),
                "lifetime_invalid",
            ),
            ("exp is iat", at(json!({"exp": NOW})), "lifetime_invalid"),
            (
                "exp 29 s ago",
                at(json!({"iat": NOW - 300, "exp": NOW - 29})),
                "passed",
            ),
            (
                "exp 30 s ago",
                at(json!({"iat": NOW - 300, "exp": NOW - 30})),
                "expired",
            ),
            (
                "exp 31 s ago",
                at(json!({"iat": NOW - 300, "exp": NOW - 31})),
                "expired",
            ),
            ("exp long ago", at(json!({"iat": 0, "exp": 300})), "expired"),
            ("nbf in 30 s", at(json!({"nbf": NOW + 30})), "passed"),
            ("nbf in 31 s", at(json!({"nbf": NOW + 31})), "not_yet_valid"),
            ("iat in 30 s", at(json!({"iat": NOW + 30})), "passed"),
            (
                "iat in 31 s",
                at(json!({"iat": NOW + 31})),
                "issued_in_future",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_ends_when_the_clock_says_so() {
    let world = World::new();
    let token = world.es.token("k1", &claims());
    world.clock.advance(300 + 29);
    assert_eq!(world.judge(&token).await, "passed");
    world.clock.advance(1);
    assert_eq!(world.judge(&token).await, "expired");
}

#[tokio::test]
async fn whom_a_token_is_for_and_from() {
    let world = World::new();
    let at = |changes: Value| claim(&world, changes);
    hold(
        &world,
        &[
            ("no audience", at(json!({"aud": null})), "claim_missing"),
            (
                "another audience",
                at(json!({"aud": "https://api.anthropic.com"})),
                "wrong_audience",
            ),
            (
                "longer audience",
                at(json!({"aud": "tollbook2"})),
                "wrong_audience",
            ),
            (
                "audience in capitals",
                at(json!({"aud": "Tollbook"})),
                "wrong_audience",
            ),
            (
                "audiences in one text",
                at(json!({"aud": "other tollbook"})),
                "wrong_audience",
            ),
            ("empty audience", at(json!({"aud": ""})), "wrong_audience"),
            (
                "no audience in the list",
                at(json!({"aud": []})),
                "wrong_audience",
            ),
            (
                "others in the list",
                at(json!({"aud": ["a", "b"]})),
                "wrong_audience",
            ),
            ("audience is a number", at(json!({"aud": 1})), "claim_type"),
            (
                "audience is an object",
                at(json!({"aud": {"tollbook": true}})),
                "claim_type",
            ),
            (
                "a number among audiences",
                at(json!({"aud": [AUDIENCE, 1]})),
                "claim_type",
            ),
            (
                "two audiences, no party",
                at(json!({"aud": [AUDIENCE, "b"]})),
                "wrong_party",
            ),
            (
                "two audiences, their party",
                at(json!({"aud": [AUDIENCE, "b"], "azp": "b"})),
                "wrong_party",
            ),
            (
                "party is a list",
                at(json!({"aud": [AUDIENCE, "b"], "azp": [AUDIENCE]})),
                "claim_type",
            ),
            ("no subject", at(json!({"sub": null})), "claim_missing"),
            ("subject is a number", at(json!({"sub": 1})), "claim_type"),
            ("empty subject", at(json!({"sub": ""})), "subject_invalid"),
            (
                "long subject",
                at(json!({"sub": "s".repeat(513)})),
                "subject_invalid",
            ),
            (
                "subject of 512 bytes",
                at(json!({"sub": "s".repeat(512)})),
                "passed",
            ),
            (
                "subject with a line feed",
                at(json!({"sub": "repo:a\nrepo:b"})),
                "subject_invalid",
            ),
            (
                "subject with an escape",
                at(json!({"sub": "\u{1b}[2J"})),
                "subject_invalid",
            ),
            (
                "subject with a nul",
                at(json!({"sub": "a\0"})),
                "subject_invalid",
            ),
            (
                "groups are a number",
                at(json!({"groups": 1})),
                "groups_invalid",
            ),
            (
                "a number among groups",
                at(json!({"groups": ["a", 1]})),
                "groups_invalid",
            ),
            (
                "an empty group",
                at(json!({"groups": [""]})),
                "groups_invalid",
            ),
            (
                "a group with a line feed",
                at(json!({"groups": ["a\nb"]})),
                "groups_invalid",
            ),
            (
                "a long claim",
                at(json!({"ref": "r".repeat(1025)})),
                "claim_too_large",
            ),
            (
                "a long claim nobody keeps",
                at(json!({"unknown": "r".repeat(1025)})),
                "passed",
            ),
        ],
    )
    .await;
}
