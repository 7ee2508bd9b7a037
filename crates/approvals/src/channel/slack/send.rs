//! Posting messages.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tollbook_exchange::Timestamp;
use zeroize::Zeroizing;

use super::{SlackDecision, SlackReply, interaction::Buttons, message};
use crate::{
    Clock, Event, Notify, Subject, SystemClock,
    channel::{
        ChannelError, Rejected,
        address::Reach,
        client::Client,
        error::Fault,
        outbox::{Deliver, Failure, Outbox},
    },
};

/// A channel that posts to Slack.
///
/// People are told when somebody asks, when it is decided or ends, and of every grant. A message that
/// asks shows who, what, why, the rule, the time that is left and the hash of what is shown, and has
/// two buttons where there is a signing secret. All of it is text without formatting; see
/// [`inert`](crate::channel::inert).
///
/// A press is checked by [`decision`](Self::decision), which says which *account* pressed; who that is
/// is found by [`People::linked`](crate::People::linked) and never by name or e-mail. Each press is
/// taken once. Presses are remembered in memory: after a restart of the gateway an old one finds that
/// the person has said so already.
pub struct Slack {
    outbox: Outbox,
    client: Client,
    buttons: Option<Arc<Buttons>>,
}

impl Slack {
    /// Posts by an incoming webhook. Its address is a secret.
    pub fn webhook(url: &str) -> SlackBuilder {
        SlackBuilder::new(url, None)
    }

    /// Posts as the app with this bot token (`xoxb-…`, with the scope `chat:write`) into the channel
    /// of this id.
    pub fn bot(token: &str, channel: &str) -> SlackBuilder {
        let bot = Bot {
            token: Zeroizing::new(token.to_owned()),
            channel: channel.to_owned(),
        };
        SlackBuilder::new("https://slack.com/api/chat.postMessage", Some(bot))
    }

    /// The decision in what Slack sent to the gateway's address for interactions.
    ///
    /// The caller answers Slack within three seconds, with status 200 and no body, and decides
    /// afterwards; [`reply`](Self::reply) tells the user what came of it.
    ///
    /// # Errors
    ///
    /// When the signature is missing, wrong or older than five minutes, and when what is signed is
    /// not the first press of one of this channel's buttons. Without a signing secret, always.
    pub fn decision(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<SlackDecision, Rejected> {
        let buttons = self.buttons.as_ref().ok_or(Rejected::Signature)?;
        buttons.decision(headers, body, now)
    }

    /// Tells the user who pressed a button, and nobody else, `text`.
    ///
    /// # Errors
    ///
    /// When Slack does not take it. It is not tried again.
    pub async fn reply(&self, to: &SlackReply, text: &str) -> Result<(), ChannelError> {
        let body = json!({
            "response_type": "ephemeral",
            "replace_original": false,
            "mrkdwn": false,
            "text": message::line(text, 1_000),
        });
        let posted = self
            .client
            .post_to(
                to.0.clone(),
                json_headers(),
                body.to_string().into_bytes(),
                false,
            )
            .await;
        match posted {
            Ok(answer) if answer.status.is_success() => Ok(()),
            _ => Err(Fault::Undelivered.into()),
        }
    }

    /// Takes no more events and delivers what is waiting, for at most `patience`. Whether nothing is
    /// left.
    pub async fn close(&self, patience: Duration) -> bool {
        self.outbox.close(patience).await
    }
}

impl Notify for Slack {
    fn notify(&self, event: Arc<Event>) {
        // Cheaper than a place in the queue.
        if message::is_told(&event) {
            self.outbox.push(event);
        }
    }
}

/// Sets up a [`Slack`].
#[must_use]
pub struct SlackBuilder {
    url: Zeroizing<String>,
    bot: Option<Bot>,
    signing_secret: Option<Zeroizing<String>>,
    reach: Reach,
    reply: String,
    ca_pem: Option<Vec<u8>>,
    capacity: usize,
    clock: Arc<dyn Clock>,
}

impl SlackBuilder {
    fn new(url: &str, bot: Option<Bot>) -> Self {
        Self {
            url: Zeroizing::new(url.to_owned()),
            bot,
            signing_secret: None,
            reach: Reach::default(),
            reply: "https://hooks.slack.com/".to_owned(),
            ca_pem: None,
            capacity: 256,
            clock: Arc::new(SystemClock),
        }
    }

    /// The app's signing secret, without which messages have no buttons.
    pub fn signing_secret(mut self, secret: &str) -> Self {
        self.signing_secret = Some(Zeroizing::new(secret.to_owned()));
        self
    }

    /// Another place for Slack itself, on this machine or not: a stand-in, for tests. Bots post to
    /// `base` and `/api/chat.postMessage`, and replies go to addresses that begin with `base`.
    pub fn api(mut self, base: &str) -> Self {
        let base = base.trim_end_matches('/');
        if self.bot.is_some() {
            self.url = Zeroizing::new(format!("{base}/api/chat.postMessage"));
        }
        self.reply = format!("{base}/");
        self.reach.loopback = true;
        self
    }

    /// Certificate authorities to trust besides those of the operating system, as PEM.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// How many events may wait for delivery, and as many again for another try. 256 unless told.
    pub const fn capacity(mut self, events: usize) -> Self {
        self.capacity = events;
        self
    }

    /// Where the time that is left is counted from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The channel, delivering on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address is none that may be sent to, a token or secret is empty or cannot be sent,
    /// the authorities cannot be used, or there is no runtime.
    pub fn build(self) -> Result<Slack, ChannelError> {
        let client = Client::new(&self.url, self.reach, self.ca_pem.as_deref())?;
        let buttons = match &self.signing_secret {
            Some(secret) if secret.trim().is_empty() => return Err(Fault::Token.into()),
            Some(secret) => Some(Arc::new(Buttons::new(secret.trim(), &self.reply))),
            None => None,
        };
        let bot = match self.bot {
            Some(bot) if bot.channel.trim().is_empty() => return Err(Fault::Token.into()),
            Some(bot) => Some((bearer(&bot.token)?, bot.channel)),
            None => None,
        };
        let sender = Sender {
            client: client.clone(),
            bot,
            buttons: buttons.clone(),
            clock: self.clock,
        };
        Ok(Slack {
            outbox: Outbox::start(sender, self.capacity)?,
            client,
            buttons,
        })
    }
}

struct Bot {
    token: Zeroizing<String>,
    channel: String,
}

struct Sender {
    client: Client,
    bot: Option<(HeaderValue, String)>,
    buttons: Option<Arc<Buttons>>,
    clock: Arc<dyn Clock>,
}

impl Deliver for Sender {
    const NAME: &'static str = "slack";

    async fn deliver(&self, event: &Event) -> Result<(), Failure> {
        let button = match (&self.buttons, &event.subject) {
            (Some(buttons), Subject::Approval(approval)) if message::is_question(event.kind) => {
                let value = buttons.value(approval);
                Some(value.map_err(|error| Failure::again("no nonce").with_source(error))?)
            }
            _ => None,
        };
        let Some(mut body) = message::message(event, self.clock.now(), button.as_deref()) else {
            return Ok(());
        };
        let mut headers = json_headers();
        if let Some((bearer, channel)) = &self.bot {
            headers.insert(header::AUTHORIZATION, bearer.clone());
            body["channel"] = json!(channel);
        }
        let body = body.to_string().into_bytes();
        let answer = self.client.post(headers, body, self.bot.is_some()).await?;
        match answer.status {
            StatusCode::OK if self.bot.is_none() => Ok(()),
            StatusCode::OK => accepted(&answer.body),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::again("Slack did not take it")
                    .with_status(status.as_u16())
                    .after(answer.retry_after))
            }
            // A revoked address, a channel that is gone: it would not go better.
            status => Err(Failure::last("Slack refused it").with_status(status.as_u16())),
        }
    }
}

/// The Web API says 200 to everything, and what it means in the body.
fn accepted(body: &[u8]) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Said {
        ok: bool,
        #[serde(default)]
        error: String,
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(Said { ok: true, .. }) => Ok(()),
        Ok(Said { error, .. }) => Err(match &*error {
            "ratelimited"
            | "rate_limited"
            | "internal_error"
            | "fatal_error"
            | "request_timeout"
            | "service_unavailable" => Failure::again("Slack did not take it"),
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired"
            | "account_inactive" => Failure::last("Slack does not know the bot"),
            "channel_not_found" | "not_in_channel" | "is_archived" => {
                Failure::last("Slack does not let the bot into the channel")
            }
            _ => Failure::last("Slack refused it"),
        }),
        Err(_) => Err(Failure::again("Slack's answer cannot be read")),
    }
}

fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, json);
    headers
}

fn bearer(token: &str) -> Result<HeaderValue, Fault> {
    let token = token.trim();
    if token.is_empty() {
        return Err(Fault::Token);
    }
    let value = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&value).map_err(|_| Fault::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slack")
            .field("client", &self.client)
            .field("buttons", &self.buttons.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SlackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackBuilder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_api_says_no_with_status_200() {
        let again = |body: &str| format!("{:?}", accepted(body.as_bytes())).contains("again: true");
        assert!(accepted(br#"{"ok":true,"ts":"1.2"}"#).is_ok());
        for body in ["", "<html>", r#"{"ok":false,"error":"ratelimited"}"#] {
            assert!(again(body), "{body}");
        }
        for body in [
            r#"{"ok":false}"#,
            r#"{"ok":false,"error":"invalid_auth"}"#,
            r#"{"ok":false,"error":"channel_not_found"}"#,
            r#"{"ok":false,"error":"canary"}"#,
        ] {
            assert!(accepted(body.as_bytes()).is_err() && !again(body), "{body}");
            assert!(!format!("{:?}", accepted(body.as_bytes())).contains("canary"));
        }
    }

    #[tokio::test]
    async fn secrets_are_not_printed_and_mistakes_are_told_at_once() {
        let built = Slack::webhook("https://hooks.slack.com/services/canary")
            .signing_secret("canary")
            .build()
            .unwrap();
        assert!(!format!("{built:?}").contains("canary"));
        for builder in [
            Slack::webhook("http://hooks.slack.com/services/canary"),
            Slack::webhook("https://169.254.169.254/canary"),
            Slack::bot("", "C1"),
            Slack::bot("canary\nx", "C1"),
            Slack::bot("canary", " "),
            Slack::webhook("https://hooks.slack.com/canary").signing_secret(" "),
        ] {
            let error = builder.build().unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("canary"),
                "{error:?}"
            );
        }
    }
}
