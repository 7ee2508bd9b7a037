//! The digest of a secret is the same wherever and however it is written.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use tollbook_exchange::{Digest, Finding, Redact};
use tollbook_masking::{MaskKey, Masker, view::BodyMasker};

fn key() -> MaskKey {
    MaskKey::new([11; 32])
}

fn masker() -> Masker {
    Masker::builtin().digesting(key())
}

fn of(found: &[Finding]) -> BTreeSet<Digest> {
    let all = found.iter().flat_map(|finding| &finding.digests);
    all.copied().collect()
}

/// What a body of this type leaves that comes in pieces of this size.
fn left_by(body: &[u8], content_type: &str, size: usize) -> BTreeSet<Digest> {
    let mut view = BodyMasker::new(&masker(), Some(content_type), "request.body");
    for piece in body.chunks(size) {
        view.push(piece).unwrap();
    }
    view.finish().unwrap();
    of(&view.found())
}

fn anthropic() -> String {
    let body = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7".repeat(4);
    ["sk-ant-", "api03-", &body[..93], "AA"].concat()
}

fn github() -> String {
    ["ghp_", "c4N4ryD5f6G7h8J9k0L1m2N3p4Q5r6S7t8U9"].concat()
}

fn token() -> String {
    let part = |text: &str| {
        let coded = BASE64.encode(text);
        coded.trim_end_matches('=').to_owned()
    };
    let head = part(r#"{"alg":"RS256","typ":"JWT"}"#);
    let claims = part(&format!(r#"{{"sub":"ana","n":"{}"}}"#, "x1Y2z3".repeat(40)));
    let signature = "aZ4_kQ9-pL2mX7wR".repeat(16);
    format!("{head}.{claims}.{signature}")
}

fn private_key() -> String {
    let line = "MIIEpAIBAAKCAQEA1c7mYk2Jb0sQ9tVx4Zr8Lw6Hn3Pd5Gf1Kq7Uo2Ty0Ei9Am4\n";
    let begin = ["-----BEGIN RSA PRIVATE", " KEY-----\n"].concat();
    let end = ["-----END RSA PRIVATE", " KEY-----"].concat();
    format!("{begin}{}{end}", line.repeat(24))
}

#[test]
fn one_digest_for_every_way_to_write_it_and_every_cut() {
    for secret in [anthropic(), github(), token(), private_key()] {
        let asked = masker().digests_of(&key(), format!("{secret}\n").as_bytes());
        let is_asked = |left: &BTreeSet<Digest>, how: &str| {
            let beginning = &secret[..12];
            assert_eq!(left.len(), 1, "{how}, {beginning}: {left:?}");
            assert!(left.is_subset(&asked), "{how}, {beginning}");
        };
        let quoted = serde_json::to_string(&secret).unwrap();
        let escaped: String = secret
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect();
        let delta = |text: &str| {
            let text = serde_json::to_string(text).unwrap();
            format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
                 \"delta\":{{\"type\":\"text_delta\",\"text\":{text}}}}}\n\n"
            )
        };
        let (front, back) = secret.split_at(secret.len() / 2);
        let stream = [delta("see "), delta(front), delta(back), delta("\nand on")].concat();
        for (body, content_type) in [
            (format!("the key is\n{secret}\nand no other"), "text/plain"),
            (format!("{{\"a\":{quoted}}}"), "application/json"),
            (format!("{{\"a\":[\"{escaped}\"]}}"), "application/json"),
            (
                format!("{{\"a\":{quoted}}}\n{{\"b\":{quoted}}}\n"),
                "application/x-ndjson",
            ),
            (stream, "text/event-stream"),
        ] {
            for size in [1, 7, 64, 333, body.len()] {
                let left = left_by(body.as_bytes(), content_type, size);
                is_asked(&left, &format!("{content_type} in pieces of {size}"));
            }
        }
        let whole = masker().json(format!("{{\"a\":{quoted}}}").as_bytes(), "here");
        is_asked(&of(&whole.found), "a document");
        is_asked(
            &of(&masker().redact("request.header:x", &secret).1),
            "a header",
        );
    }
}

#[test]
fn what_is_encoded_has_the_digest_of_what_it_stands_for() {
    for secret in [anthropic(), github()] {
        let asked = masker().digests_of(&key(), secret.as_bytes());
        for before in ["", "a", "ab", "abc", "key=", "{\"key\":\""] {
            for behind in ["", "\n", "\"}", " and more behind it"] {
                let plain = format!("{before}{secret}{behind}");
                let hex: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
                for (form, coded) in [("base64", BASE64.encode(&plain)), ("hex", hex)] {
                    let text = format!("data: {coded} .");
                    for size in [1, 50, text.len()] {
                        let left = left_by(text.as_bytes(), "text/plain", size);
                        // What is masked is told; where it is not, there is nothing to tell of.
                        let scan = masker().mask(text.as_bytes());
                        if scan.matches.is_empty() {
                            assert!(["a", "ab", "abc"].contains(&before), "{form} {before:?}");
                            continue;
                        }
                        assert!(
                            left.is_subset(&asked) && !left.is_empty(),
                            "{form} {before:?} {behind:?} {size}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn only_secrets_leave_one_and_only_where_it_is_asked_for() {
    let text = format!("card 4111 1111 1111 1111, ada@example.org, {}", github());
    let found = masker().mask(text.as_bytes()).findings("here");
    assert!(found.len() > 1, "{found:?}");
    for finding in &found {
        assert_eq!(
            finding.digests.is_empty(),
            finding.rule != "github-pat",
            "{finding:?}"
        );
    }
    let found = Masker::builtin().mask(text.as_bytes()).findings("here");
    assert!(of(&found).is_empty());
    // Another key, another digest; and none of what is masked already.
    let other = Masker::builtin().digesting(MaskKey::new([12; 32]));
    let other = of(&other.mask(text.as_bytes()).findings("here"));
    assert!(other.is_disjoint(&of(&masker().mask(text.as_bytes()).findings("here"))));
    let again = masker().mask(masker().mask(text.as_bytes()).masked.as_inner());
    assert!(of(&again.findings("here")).is_empty());
}

#[test]
fn a_line_of_a_file_with_the_secret_in_it_will_do() {
    let secret = github();
    let asked = masker().digests_of(&key(), format!("export TOKEN={secret}\n").as_bytes());
    assert!(left_by(secret.as_bytes(), "text/plain", 9).is_subset(&asked));
    assert!(!format!("{asked:?}").contains("c4N4"));
}

#[test]
fn more_than_are_kept_are_told_to_be_more() {
    let many: String = (0..600)
        .map(|n| format!("ghp_{n:036}\n").replace('0', "k"))
        .collect();
    let found = masker().mask(many.as_bytes()).findings("here");
    let kept = of(&found).len();
    assert!(kept <= 512, "{kept}");
    assert_eq!(found.iter().any(|finding| finding.digests_cut), kept == 512);
}
