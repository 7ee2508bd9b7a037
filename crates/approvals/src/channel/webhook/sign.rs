//! Signatures as Standard Webhooks has them.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use tollbook_exchange::Timestamp;
use zeroize::Zeroizing;

use crate::channel::error::{ChannelError, Fault};

pub(super) const ID: &str = "webhook-id";
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";
/// How far the time of a signature may be from now.
pub(super) const TOLERANCE_SECONDS: i64 = 5 * 60;

/// The secret that two ends of a webhook share: `whsec_` and 24 to 64 bytes in base64.
///
/// Its `Debug` prints nothing, and it is wiped when it is dropped.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    /// The secret in its usual form.
    ///
    /// # Errors
    ///
    /// When the text has another form. The error does not quote it.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(Fault::Secret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| Fault::Secret)?);
        if !(24..=64).contains(&bytes.len()) {
            return Err(Fault::Secret.into());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The three headers for `body`: id, time in whole seconds, and signature.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
        signed(std::slice::from_ref(self), id, seconds(at), body)
    }

    /// One signature, `v1,` and base64.
    fn signature(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &content(id, seconds, body));
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// Whether `tag` is that of the content, found out in constant time.
    pub(super) fn verifies(&self, content: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, content, tag).is_ok()
    }
}

/// The three headers, signed with each secret, so that the other side can change its own at leisure.
pub(super) fn signed(
    secrets: &[WebhookSecret],
    id: &str,
    seconds: i64,
    body: &[u8],
) -> [(&'static str, String); 3] {
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| secret.signature(id, seconds, body))
        .collect();
    [
        (ID, id.to_owned()),
        (TIMESTAMP, seconds.to_string()),
        (SIGNATURE, signatures.join(" ")),
    ]
}

/// What is signed: `id.timestamp.body`.
pub(super) fn content(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    [
        id.as_bytes(),
        b".",
        seconds.to_string().as_bytes(),
        b".",
        body,
    ]
    .concat()
}

pub(super) const fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the reference libraries of Standard Webhooks test themselves with.
    #[test]
    fn the_published_vector() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_micros(1_614_265_330_999_999);
        let body = br#"{"test": 2432232314}"#;
        let headers = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body);
        let expected = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        assert_eq!(
            headers,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }

    #[test]
    fn a_secret_has_one_form_and_prints_nothing() {
        for text in [
            "",
            "whsec_",
            "whsec_canary",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            // 23 and 65 bytes.
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            let error = WebhookSecret::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
        }
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
    }
}
