//! The form of a token, and its header.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{World, header, hold};
use crate::forge::{claims, claims_but, encode};

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
            ("typ is null", at("typ", json!(null)), "header_typ"),
            ("empty typ", at("typ", json!("")), "header_typ"),
            ("typ of a JWT-SVID", at("typ", json!("JOSE")), "header_typ"),
            ("typ with a space", at("typ", json!("JWT ")), "header_typ"),
            (
                "typ with application/ twice",
                at("typ", json!("application/application/jwt")),
                "header_typ",
            ),
            (
                "security event",
                at("typ", json!("secevent+jwt")),
                "header_typ",
            ),
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
