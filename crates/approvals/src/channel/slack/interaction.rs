//! What Slack sends when a button is pressed.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use http::HeaderMap;
use reqwest::Url;
use serde::Deserialize;
use tollbook_exchange::Timestamp;

use super::message::{APPROVE, DENY};
use crate::{
    Approval, ApprovalId, Choice, IdError,
    channel::{
        Rejected,
        client::BODY_LIMIT,
        seen::Seen,
        webhook::{only, whole_seconds},
    },
};

/// A decision by a linked account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SlackDecision {
    /// The approval.
    pub approval: ApprovalId,
    /// The hash of what the message showed.
    pub hash: String,
    /// Which button was pressed.
    pub choice: Choice,
    /// The account to look up: `slack/TEAM/USER`.
    pub account: String,
    /// The user's own team.
    pub team: String,
    /// The user.
    pub user: String,
    /// When Slack says it was pressed, within five minutes of now.
    pub at: Timestamp,
    /// Where the user can be told what came of it.
    pub reply: Option<SlackReply>,
}

/// Where the user who pressed a button can be told what came of it. Its address is a secret.
#[derive(Clone)]
pub struct SlackReply(pub(super) Url);

impl fmt::Debug for SlackReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlackReply(..)")
    }
}

/// Writes the values of buttons, and checks what comes back with them.
pub(super) struct Buttons {
    signing: hmac::Key,
    values: hmac::Key,
    pressed: Seen,
    /// The address of replies begins with this.
    reply: String,
}

const SIGNATURE: &str = "x-slack-signature";
const TIMESTAMP: &str = "x-slack-request-timestamp";
/// What Slack recommends.
const TOLERANCE_SECONDS: u64 = 5 * 60;
/// How long a pressed button is remembered, and how many of them.
const PRESSED_SECONDS: u64 = 24 * 60 * 60;
const PRESSED: usize = 16 << 10;
const LONGEST_ID: usize = 64;

impl Buttons {
    pub(super) fn new(signing_secret: &str, reply: &str) -> Self {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, signing_secret.as_bytes());
        // A key of its own, so that no signature can be taken for the other.
        let key = hmac::sign(&signing, b"tollbook, values of buttons, 1");
        Self {
            values: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            signing,
            pressed: Seen::new(PRESSED),
            reply: reply.to_owned(),
        }
    }

    /// The value of the buttons of one message: approval, hash of what is shown, a nonce, and what
    /// proves that this gateway, or one with the same secret, wrote it.
    pub(super) fn value(&self, approval: &Approval) -> Result<String, IdError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| IdError::NoRandomness)?;
        let nonce = u128::from_be_bytes(nonce);
        let value = format!("{}.{}.{nonce:032x}", approval.id, approval.hash());
        let proof = self.proof(&value);
        Ok(format!("{value}.{proof}"))
    }

    fn proof(&self, value: &str) -> String {
        hex(&hmac::sign(&self.values, value.as_bytes()).as_ref()[..16])
    }

    /// Which approval and which hash a value is about.
    fn read<'a>(&self, value: &'a str) -> Option<(ApprovalId, &'a str, &'a str)> {
        let (value, proof) = value.rsplit_once('.')?;
        constant_time::verify_slices_are_equal(self.proof(value).as_bytes(), proof.as_bytes())
            .ok()?;
        let mut parts = value.split('.');
        let (approval, hash, nonce) = (parts.next()?, parts.next()?, parts.next()?);
        Some((approval.parse().ok()?, hash, nonce))
    }

    /// Checks Slack's signature over the body as it came:
    /// <https://docs.slack.dev/authentication/verifying-requests-from-slack>.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<i64, Rejected> {
        if body.len() > BODY_LIMIT {
            return Err(Rejected::TooLarge);
        }
        let timestamp = only(headers, TIMESTAMP)?;
        let at = whole_seconds(timestamp)?;
        if at.abs_diff(now.as_micros().div_euclid(1_000_000)) > TOLERANCE_SECONDS {
            return Err(Rejected::Stale);
        }
        let signature = only(headers, SIGNATURE)?;
        let content = [b"v0:", timestamp.as_bytes(), b":", body].concat();
        let expected = hex(hmac::sign(&self.signing, &content).as_ref());
        let given = signature.strip_prefix("v0=").ok_or(Rejected::Signature)?;
        constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes())
            .map_err(|_| Rejected::Signature)?;
        Ok(at)
    }

    /// The decision that a press of a button is.
    pub(super) fn decision(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<SlackDecision, Rejected> {
        let at = self.verify(headers, body, now)?;
        let pressed = pressed(body).ok_or(Rejected::NotADecision)?;
        let (approval, hash, nonce) = self.read(&pressed.value).ok_or(Rejected::NotADecision)?;
        let (team, user) = (&pressed.team, &pressed.user);
        // Once for each person and word: somebody who approved may still deny.
        let word: &[u8] = match pressed.choice {
            Choice::Approve => b"approve",
            Choice::Deny => b"deny",
        };
        let parts: [&[u8]; 4] = [nonce.as_bytes(), team.as_bytes(), user.as_bytes(), word];
        let until = now.after_micros(PRESSED_SECONDS * 1_000_000);
        self.pressed.first(&parts, now, until)?;
        Ok(SlackDecision {
            approval,
            hash: hash.to_owned(),
            choice: pressed.choice,
            account: format!("slack/{team}/{user}"),
            at: Timestamp::from_micros(at.saturating_mul(1_000_000)),
            reply: pressed
                .response_url
                .filter(|url| url.starts_with(&self.reply))
                .and_then(|url| Url::parse(&url).ok())
                .map(SlackReply),
            team: pressed.team,
            user: pressed.user,
        })
    }
}

/// One of our buttons, pressed by a user.
struct Pressed {
    choice: Choice,
    value: String,
    team: String,
    user: String,
    response_url: Option<String>,
}

/// Takes the form and the JSON in it apart. Nothing is believed about the user but the ids: names
/// and e-mail addresses are for users to choose.
fn pressed(body: &[u8]) -> Option<Pressed> {
    let mut fields = form_urlencoded::parse(body);
    let (name, payload) = fields.next()?;
    if name != "payload" || fields.next().is_some() {
        return None;
    }
    let Payload::BlockActions {
        user,
        team,
        actions,
        response_url,
    } = serde_json::from_str(&payload).ok()?;
    let [action] = <[Action; 1]>::try_from(actions).ok()?;
    let choice = match &*action.action_id {
        APPROVE => Choice::Approve,
        DENY => Choice::Deny,
        _ => return None,
    };
    // In channels that two organisations share, the user's team is not the channel's.
    let team = user.team_id.or_else(|| team.map(|team| team.id))?;
    let is_id = |id: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(plain)
    };
    (is_id(&team) && is_id(&user.id)).then_some(Pressed {
        choice,
        value: action.value,
        team,
        user: user.id,
        response_url,
    })
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Payload {
    BlockActions {
        user: User,
        #[serde(default)]
        team: Option<Team>,
        actions: Vec<Action>,
        #[serde(default)]
        response_url: Option<String>,
    },
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ok = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for Buttons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buttons(..)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::channel::sample;

    const SECOND: i64 = 1_531_420_618;

    fn buttons() -> Buttons {
        Buttons::new(
            "8f742231b10e8888abcd99yyyzzz85a5",
            "https://hooks.slack.com/",
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000 + 1)
    }

    fn headers(timestamp: &str, signature: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(TIMESTAMP, timestamp.parse().unwrap());
        map.insert(SIGNATURE, signature.parse().unwrap());
        map
    }

    /// The example of Slack's documentation.
    #[test]
    fn the_published_vector() {
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
            &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
            &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
            %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let good = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let timestamp = SECOND.to_string();
        let verify = |timestamp: &str, signature: &str, body: &[u8], now: i64| {
            buttons().verify(&headers(timestamp, signature), body, at(now))
        };
        assert_eq!(verify(&timestamp, good, body, SECOND), Ok(SECOND));
        assert_eq!(verify(&timestamp, good, body, SECOND + 300), Ok(SECOND));
        assert_eq!(verify(&timestamp, good, body, SECOND - 300), Ok(SECOND));
        for (timestamp, signature, body, now, expected) in [
            (&*timestamp, good, &body[..], SECOND + 301, Rejected::Stale),
            (&timestamp, good, body, SECOND - 301, Rejected::Stale),
            (&timestamp, good, &body[1..], SECOND, Rejected::Signature),
            (&timestamp, &good[3..], body, SECOND, Rejected::Signature),
            (&timestamp, &good[..60], body, SECOND, Rejected::Signature),
            (&timestamp, "v0=", body, SECOND, Rejected::Signature),
            (&timestamp, "", body, SECOND, Rejected::Signature),
            (
                &timestamp,
                &good.replace("v0", "v1"),
                body,
                SECOND,
                Rejected::Signature,
            ),
            (
                &timestamp,
                &good.to_uppercase(),
                body,
                SECOND,
                Rejected::Signature,
            ),
            ("1531420619", good, body, SECOND, Rejected::Signature),
            ("-1531420618", good, body, SECOND, Rejected::Headers),
            ("", good, body, SECOND, Rejected::Headers),
        ] {
            assert_eq!(
                verify(timestamp, signature, body, now),
                Err(expected),
                "{timestamp} {signature} {now}"
            );
        }
        let mut twice = headers(&timestamp, good);
        twice.append(SIGNATURE, good.parse().unwrap());
        assert_eq!(
            buttons().verify(&twice, body, at(SECOND)),
            Err(Rejected::Headers)
        );
        assert_eq!(
            buttons().verify(&HeaderMap::new(), body, at(SECOND)),
            Err(Rejected::Headers)
        );
        let huge = vec![b'a'; BODY_LIMIT + 1];
        assert_eq!(
            verify(&timestamp, good, &huge, SECOND),
            Err(Rejected::TooLarge)
        );
    }

    fn payload(value: &str) -> Value {
        json!({
            "type": "block_actions",
            "user": {"id": "U2CERLKJA", "username": "ann", "name": "okta/ann", "team_id": "T1DC2JH3J"},
            "team": {"id": "T0OTHER", "domain": "x"},
            "api_app_id": "A02",
            "response_url": "https://hooks.slack.com/actions/T1/2/canary",
            "actions": [{"action_id": APPROVE, "block_id": "b", "value": value, "type": "button"}],
        })
    }

    fn press(buttons: &Buttons, payload: &Value) -> Result<SlackDecision, Rejected> {
        let encoded: String =
            form_urlencoded::byte_serialize(payload.to_string().as_bytes()).collect();
        press_body(buttons, &format!("payload={encoded}"))
    }

    fn press_body(buttons: &Buttons, body: &str) -> Result<SlackDecision, Rejected> {
        let content = format!("v0:{SECOND}:{body}");
        let tag = hmac::sign(&buttons.signing, content.as_bytes());
        let signature = format!("v0={}", hex(tag.as_ref()));
        buttons.decision(
            &headers(&SECOND.to_string(), &signature),
            body.as_bytes(),
            at(SECOND),
        )
    }

    #[test]
    fn a_press_is_a_decision_of_the_linked_account_once() {
        let buttons = buttons();
        let value = buttons.value(&sample::approval()).unwrap();
        assert!(value.len() < 2_000, "Slack's limit");
        let decision = press(&buttons, &payload(&value)).unwrap();
        assert_eq!(
            decision.approval.as_str(),
            "apr_0123456789abcdef0123456789abcdef"
        );
        assert_eq!(decision.hash, "0a1b2c3d");
        assert_eq!(decision.choice, Choice::Approve);
        assert_eq!(decision.account, "slack/T1DC2JH3J/U2CERLKJA");
        assert!(decision.reply.is_some());
        assert!(!format!("{decision:?}").contains("canary"));

        assert_eq!(
            press(&buttons, &payload(&value)).unwrap_err(),
            Rejected::Repeated
        );
        // Another person, another word, another message: each is news.
        let mut other = payload(&value);
        other["user"]["id"] = json!("U9");
        assert!(press(&buttons, &other).is_ok());
        let mut deny = payload(&value);
        deny["actions"][0]["action_id"] = json!(DENY);
        assert_eq!(press(&buttons, &deny).unwrap().choice, Choice::Deny);
        let again = buttons.value(&sample::approval()).unwrap();
        assert_ne!(again, value);
        assert!(press(&buttons, &payload(&again)).is_ok());
    }

    #[test]
    fn what_is_signed_and_no_press_of_ours_is_no_decision() {
        let buttons = buttons();
        let value = buttons.value(&sample::approval()).unwrap();
        let with = |pointer: &str, new: Value| {
            let mut payload = payload(&value);
            *payload.pointer_mut(pointer).unwrap() = new;
            payload
        };
        let other_key = Buttons::new("other", "")
            .value(&sample::approval())
            .unwrap();
        for payload in [
            with("/type", json!("view_submission")),
            with("/actions", json!([])),
            with("/actions/0/action_id", json!("other")),
            with("/actions/0/value", json!("")),
            with(
                "/actions/0/value",
                json!("apr_0123456789abcdef0123456789abcdef"),
            ),
            with(
                "/actions/0/value",
                json!(value.replace("0a1b2c3d", "0a1b2c3e")),
            ),
            with("/actions/0/value", json!(value.replace("apr_01", "apr_02"))),
            with("/actions/0/value", json!(format!("{value}0"))),
            with("/actions/0/value", json!(other_key)),
            with("/user/id", json!("")),
            with("/user/id", json!("U1/../U2")),
            with("/user/team_id", json!("T1/U1")),
            with("/user", json!({"name": "ann"})),
            json!({}),
            json!("payload"),
        ] {
            let found = press(&buttons, &payload).unwrap_err();
            assert_eq!(found, Rejected::NotADecision, "{payload}");
        }
        let two = with(
            "/actions",
            json!([payload(&value)["actions"][0], payload(&value)["actions"][0]]),
        );
        assert_eq!(press(&buttons, &two).unwrap_err(), Rejected::NotADecision);
        for body in [
            "",
            "payload=",
            "payload={}&payload={}",
            "other=1",
            "payload=%7B",
        ] {
            assert_eq!(
                press_body(&buttons, body).unwrap_err(),
                Rejected::NotADecision,
                "{body}"
            );
        }
        // None of it has used the button up.
        let decision = press(
            &buttons,
            &with("/response_url", json!("https://evil.example/")),
        )
        .unwrap();
        assert!(decision.reply.is_none());
        let mut alone = payload(&buttons.value(&sample::approval()).unwrap());
        alone["user"].as_object_mut().unwrap().remove("team_id");
        assert_eq!(press(&buttons, &alone).unwrap().team, "T0OTHER");
    }
}
