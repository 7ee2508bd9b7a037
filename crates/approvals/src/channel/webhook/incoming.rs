//! Decisions that come by webhook.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde::Deserialize;
use tollbook_exchange::Timestamp;

use super::{ID, SIGNATURE, TIMESTAMP, TOLERANCE_SECONDS, WebhookSecret, sign};
use crate::{
    ApprovalId, Choice,
    channel::{ChannelError, Rejected, client::BODY_LIMIT, error::Fault, seen::Seen},
};

/// Checks what comes by webhook from one system, which says for its own users what they decided.
///
/// The body of a decision is
///
/// ```json
/// {"type": "approval.decide", "data": {
///     "approval": "apr_…", "hash": "0a1b2c3d", "decision": "approve",
///     "user": "u-17", "reason": "looks fine"}}
/// ```
///
/// `hash` is that of what the user was shown. Whoever holds the secret speaks for every user of that
/// system and for nobody else: the user is known as the account `webhook/NAME/USER`, which decides
/// nothing unless somebody has linked it to a person.
///
/// What came before is remembered in memory for as long as its signature is good; after a restart of
/// the gateway it could come once more, and then finds that the person has said so already.
pub struct Incoming {
    name: String,
    secrets: Vec<WebhookSecret>,
    seen: Seen,
}

/// A decision by a linked account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookDecision {
    /// The approval.
    pub approval: ApprovalId,
    /// The hash of what the user was shown.
    pub hash: String,
    /// What the user said.
    pub choice: Choice,
    /// The account to look up: `webhook/NAME/USER`.
    pub account: String,
    /// Why, in the user's words.
    pub reason: Option<String>,
}

/// How many messages of ten minutes are remembered.
const REMEMBERED: usize = 16 << 10;
/// How many signatures of one message are looked at.
const SIGNATURES: usize = 16;
const LONGEST_ID: usize = 256;
const LONGEST_TEXT: usize = 1024;

impl Incoming {
    /// What the system called `name` sends, signed with any of `secrets`.
    ///
    /// # Errors
    ///
    /// When there is no secret, or the name is empty or holds a slash.
    pub fn new(
        name: &str,
        secrets: impl IntoIterator<Item = WebhookSecret>,
    ) -> Result<Self, ChannelError> {
        let secrets: Vec<WebhookSecret> = secrets.into_iter().collect();
        if secrets.is_empty() {
            return Err(Fault::NoSecret.into());
        }
        if name.is_empty() || name.contains('/') {
            return Err(Fault::Name.into());
        }
        Ok(Self {
            name: name.to_owned(),
            secrets,
            seen: Seen::new(REMEMBERED),
        })
    }

    /// Whether the message is authentic, new, and signed within five minutes of `now`. Afterwards it
    /// is not new any more.
    ///
    /// # Errors
    ///
    /// When it is not. Nobody who could not sign is told which.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Rejected> {
        if body.len() > BODY_LIMIT {
            return Err(Rejected::TooLarge);
        }
        let id = only(headers, ID)?;
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(Rejected::Headers);
        }
        let at = whole_seconds(only(headers, TIMESTAMP)?)?;
        if at.abs_diff(sign::seconds(now)) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(Rejected::Stale);
        }
        let content = sign::content(id, at, body);
        let signatures = only(headers, SIGNATURE)?.split(' ').take(SIGNATURES);
        let tags: Vec<Vec<u8>> = signatures
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .collect();
        let known = |tag: &Vec<u8>| {
            let secrets = self.secrets.iter();
            // Without a way out, so that time does not tell which secret it was.
            secrets.fold(false, |known, secret| {
                secret.verifies(&content, tag) | known
            })
        };
        if !tags.iter().any(known) {
            return Err(Rejected::Signature);
        }
        // Signed in the future as far as allowed, it is good for twice the tolerance.
        let good = TOLERANCE_SECONDS.unsigned_abs() * 2 + 1;
        let until = now.after_micros(good * 1_000_000);
        self.seen.first(&[id.as_bytes()], now, until)
    }

    /// The decision in a message that [`verify`](Self::verify) takes.
    ///
    /// # Errors
    ///
    /// As those of `verify`, and [`Rejected::NotADecision`].
    pub fn decision(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<WebhookDecision, Rejected> {
        self.verify(headers, body, now)?;
        let Message::Decide(data) =
            serde_json::from_slice(body).map_err(|_| Rejected::NotADecision)?;
        let short = |text: &str| !text.is_empty() && text.len() <= LONGEST_TEXT;
        if !short(&data.user) || !data.reason.as_deref().is_none_or(short) {
            return Err(Rejected::NotADecision);
        }
        Ok(WebhookDecision {
            approval: data.approval,
            hash: data.hash,
            choice: data.decision,
            account: format!("webhook/{}/{}", self.name, data.user),
            reason: data.reason,
        })
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "data", deny_unknown_fields)]
enum Message {
    #[serde(rename = "approval.decide")]
    Decide(Decide),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    approval: ApprovalId,
    hash: String,
    decision: Choice,
    user: String,
    #[serde(default)]
    reason: Option<String>,
}

/// The one value of a header.
pub(in crate::channel) fn only<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<&'a str, Rejected> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Rejected::Headers),
        _ => Err(Rejected::Headers),
    }
}

/// Digits and nothing else: one time has one spelling.
pub(in crate::channel) fn whole_seconds(text: &str) -> Result<i64, Rejected> {
    if text.is_empty() || text.len() > 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Rejected::Headers);
    }
    text.parse().map_err(|_| Rejected::Headers)
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=";
    const SECOND: i64 = 1_614_265_330;

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(text).unwrap()
    }

    fn incoming() -> Incoming {
        Incoming::new("ops", [secret(OTHER), secret(SECRET)]).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000 + 999_999)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const ID_: (&str, &str) = (ID, "msg_p5jXN8AQM9LWM0D4loKWxJek");
    const AT: (&str, &str) = (TIMESTAMP, "1614265330");
    const GOOD: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signatures() {
        use Rejected::{Headers, Signature};
        let unpadded = GOOD.trim_end_matches('=');
        let many = format!("{}{GOOD}", "v1,AA== ".repeat(16));
        let few = format!("{}{GOOD}", "v1,AA== ".repeat(15));
        for (pairs, expected) in [
            (&[ID_, AT, (SIGNATURE, GOOD)][..], Ok(())),
            (
                &[
                    ID_,
                    AT,
                    (
                        SIGNATURE,
                        "v2,x v1,AA== nonsense v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                    ),
                ],
                Ok(()),
            ),
            (&[ID_, AT, (SIGNATURE, &few)], Ok(())),
            (&[ID_, AT, (SIGNATURE, &many)], Err(Signature)),
            (&[ID_, AT, (SIGNATURE, "")], Err(Signature)),
            (&[ID_, AT, (SIGNATURE, "v1,")], Err(Signature)),
            (&[ID_, AT, (SIGNATURE, unpadded)], Err(Signature)),
            (&[ID_, AT, (SIGNATURE, &GOOD[3..])], Err(Signature)),
            (
                &[ID_, AT, (SIGNATURE, &GOOD.replace("v1,", "v1a,"))],
                Err(Signature),
            ),
            (
                &[ID_, AT, (SIGNATURE, &GOOD.replace("g0hM", "h0hM"))],
                Err(Signature),
            ),
            (&[(ID, "msg_other"), AT, (SIGNATURE, GOOD)], Err(Signature)),
            (
                &[ID_, (TIMESTAMP, "1614265331"), (SIGNATURE, GOOD)],
                Err(Signature),
            ),
            // The same number in other words is not the same content.
            (
                &[ID_, (TIMESTAMP, "+1614265330"), (SIGNATURE, GOOD)],
                Err(Headers),
            ),
            (
                &[ID_, (TIMESTAMP, "1614265330.0"), (SIGNATURE, GOOD)],
                Err(Headers),
            ),
            (
                &[ID_, (TIMESTAMP, "99999999999999999999"), (SIGNATURE, GOOD)],
                Err(Headers),
            ),
            (&[ID_, (TIMESTAMP, ""), (SIGNATURE, GOOD)], Err(Headers)),
            (&[(ID, ""), AT, (SIGNATURE, GOOD)], Err(Headers)),
            (&[AT, (SIGNATURE, GOOD)], Err(Headers)),
            (&[ID_, (SIGNATURE, GOOD)], Err(Headers)),
            (&[ID_, AT], Err(Headers)),
            (&[ID_, ID_, AT, (SIGNATURE, GOOD)], Err(Headers)),
            (&[ID_, AT, AT, (SIGNATURE, GOOD)], Err(Headers)),
            (
                &[ID_, AT, (SIGNATURE, GOOD), (SIGNATURE, GOOD)],
                Err(Headers),
            ),
        ] {
            let found = incoming().verify(&headers(pairs), BODY, at(SECOND));
            assert_eq!(found, expected, "{pairs:?}");
        }
        let good = headers(&[ID_, AT, (SIGNATURE, GOOD)]);
        assert_eq!(
            incoming().verify(&good, br#"{"test": 2432232315}"#, at(SECOND)),
            Err(Signature)
        );
        let huge = vec![b' '; BODY_LIMIT + 1];
        assert_eq!(
            incoming().verify(&good, &huge, at(SECOND)),
            Err(Rejected::TooLarge)
        );
        let stranger = Incoming::new("ops", [secret(OTHER)]).unwrap();
        assert_eq!(stranger.verify(&good, BODY, at(SECOND)), Err(Signature));
    }

    #[test]
    fn five_minutes_either_way_and_once() {
        let good = headers(&[ID_, AT, (SIGNATURE, GOOD)]);
        for (now, expected) in [
            (SECOND - 301, Err(Rejected::Stale)),
            (SECOND - 300, Ok(())),
            (SECOND + 300, Ok(())),
            (SECOND + 301, Err(Rejected::Stale)),
            (0, Err(Rejected::Stale)),
        ] {
            assert_eq!(incoming().verify(&good, BODY, at(now)), expected, "{now}");
        }
        let incoming = incoming();
        // Taken as early as may be, it stays taken for as long as it is good.
        assert_eq!(incoming.verify(&good, BODY, at(SECOND - 300)), Ok(()));
        for now in [SECOND - 300, SECOND, SECOND + 300] {
            assert_eq!(
                incoming.verify(&good, BODY, at(now)),
                Err(Rejected::Repeated)
            );
        }
        // A wrong one does not take the place of a right one.
        let incoming = super::tests::incoming();
        let forged = headers(&[ID_, AT, (SIGNATURE, "v1,AAAA")]);
        assert_eq!(
            incoming.verify(&forged, BODY, at(SECOND)),
            Err(Rejected::Signature)
        );
        assert_eq!(incoming.verify(&good, BODY, at(SECOND)), Ok(()));
    }

    #[test]
    fn a_decision_is_of_a_linked_account_and_about_what_was_shown() {
        let incoming = incoming();
        let mut number = 0;
        let mut decide = |body: &str| {
            number += 1;
            let mut map = HeaderMap::new();
            for (name, value) in
                secret(SECRET).sign(&format!("msg_{number}"), at(SECOND), body.as_bytes())
            {
                map.insert(name, value.parse().unwrap());
            }
            incoming.decision(&map, body.as_bytes(), at(SECOND))
        };
        let id = "apr_0123456789abcdef0123456789abcdef";
        let decision = decide(&format!(
            r#"{{"type":"approval.decide","data":{{"approval":"{id}","hash":"0a1b2c3d","decision":"approve","user":"u/../okta/ann"}}}}"#
        ))
        .unwrap();
        assert_eq!(decision.approval.as_str(), id);
        assert_eq!(decision.hash, "0a1b2c3d");
        assert_eq!(decision.choice, Choice::Approve);
        assert_eq!(decision.account, "webhook/ops/u/../okta/ann");
        for data in [
            r#"{"approval":"apr_1","hash":"0","decision":"approve","user":"u"}"#.to_owned(),
            format!(r#"{{"approval":"{id}","hash":"0","decision":"maybe","user":"u"}}"#),
            format!(r#"{{"approval":"{id}","hash":"0","decision":"approve","user":""}}"#),
            format!(r#"{{"approval":"{id}","hash":"0","decision":"approve"}}"#),
            format!(r#"{{"approval":"{id}","decision":"approve","user":"u"}}"#),
            format!(
                r#"{{"approval":"{id}","hash":"0","decision":"approve","user":"u","account":"okta/ann"}}"#
            ),
            format!(
                r#"{{"approval":"{id}","hash":"0","decision":"deny","decision":"approve","user":"u"}}"#
            ),
            format!(
                r#"{{"approval":"{id}","hash":"0","decision":"deny","user":"{}"}}"#,
                "u".repeat(1025)
            ),
            "null".to_owned(),
        ] {
            let body = format!(r#"{{"type":"approval.decide","data":{data}}}"#);
            assert_eq!(decide(&body), Err(Rejected::NotADecision), "{body}");
        }
        assert_eq!(decide("{}"), Err(Rejected::NotADecision));
        assert_eq!(
            decide(r#"{"type":"other","data":{}}"#),
            Err(Rejected::NotADecision)
        );
        for name in ["", "a/b"] {
            assert!(Incoming::new(name, [secret(SECRET)]).is_err());
        }
        assert!(Incoming::new("ops", []).is_err());
    }
}
