//! Sending events.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{WebhookSecret, message, sign};
use crate::{
    Clock, Event, EventKind, Notify, SystemClock,
    channel::{
        ChannelError,
        address::Reach,
        client::Client,
        outbox::{Deliver, Failure, Outbox},
    },
};

/// A channel that posts each event to one address.
///
/// The body is JSON: `type` (`approval.asked`, `grant.granted`, …), `timestamp`, and in `data` the
/// event's name and what people may see of the approval. It is signed as Standard Webhooks has it.
/// The header `webhook-id` is the event's name and the same on each try, so that a receiver can tell
/// a retry from news; events may arrive in another order than they happened in.
///
/// Every answer but 2xx and 410 (the receiver wants no more of it) is tried again, as is no answer:
/// eight times in about half an hour. What is then undelivered, and what finds 256 others waiting,
/// is lost.
#[derive(Debug)]
pub struct Webhook {
    outbox: Outbox,
    only: Option<Vec<EventKind>>,
}

impl Webhook {
    /// Sets up a channel to `url`, whose messages are signed with `secret`.
    pub fn builder(url: &str, secret: WebhookSecret) -> WebhookBuilder {
        WebhookBuilder {
            url: url.to_owned(),
            secrets: vec![secret],
            only: None,
            reach: Reach::default(),
            ca_pem: None,
            capacity: 256,
            clock: Arc::new(SystemClock),
        }
    }

    /// Takes no more events and delivers what is waiting, for at most `patience`. Whether nothing is
    /// left.
    pub async fn close(&self, patience: Duration) -> bool {
        self.outbox.close(patience).await
    }
}

impl Notify for Webhook {
    fn notify(&self, event: Arc<Event>) {
        let wanted = |only: &Vec<EventKind>| only.contains(&event.kind);
        if self.only.as_ref().is_none_or(wanted) {
            self.outbox.push(event);
        }
    }
}

/// Sets up a [`Webhook`].
#[must_use]
pub struct WebhookBuilder {
    url: String,
    secrets: Vec<WebhookSecret>,
    only: Option<Vec<EventKind>>,
    reach: Reach,
    ca_pem: Option<Vec<u8>>,
    capacity: usize,
    clock: Arc<dyn Clock>,
}

impl WebhookBuilder {
    /// Signs with this secret too, while the receiver changes from one to the other.
    pub fn also_signed_with(mut self, secret: WebhookSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sends only events of these kinds. Every kind unless told.
    pub fn only(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.only = Some(kinds.into_iter().collect());
        self
    }

    /// Allows addresses of this machine, also without TLS.
    pub const fn allow_loopback(mut self) -> Self {
        self.reach.loopback = true;
        self
    }

    /// Allows addresses in private networks. Local links and the metadata services of clouds are
    /// never allowed.
    pub const fn allow_private(mut self) -> Self {
        self.reach.private = true;
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

    /// Where the time of signatures comes from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The channel, delivering on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address is none that may be sent to, the authorities cannot be used, or there is no
    /// runtime.
    pub fn build(self) -> Result<Webhook, ChannelError> {
        let sender = Sender {
            client: Client::new(&self.url, self.reach, self.ca_pem.as_deref())?,
            secrets: self.secrets,
            clock: self.clock,
        };
        Ok(Webhook {
            outbox: Outbox::start(sender, self.capacity)?,
            only: self.only,
        })
    }
}

struct Sender {
    client: Client,
    secrets: Vec<WebhookSecret>,
    clock: Arc<dyn Clock>,
}

impl Deliver for Sender {
    const NAME: &'static str = "webhook";

    async fn deliver(&self, event: &Event) -> Result<(), Failure> {
        let body = message::body(event);
        let now = sign::seconds(self.clock.now());
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in sign::signed(&self.secrets, event.id.as_str(), now, &body) {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| Failure::last("a header cannot be written"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let answer = self.client.post(headers, body, false).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => {
                Err(Failure::last("the receiver wants no more of it").with_status(410))
            }
            status => Err(Failure::again("the receiver did not take it")
                .with_status(status.as_u16())
                .after(answer.retry_after)),
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WebhookBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a secret.
        f.debug_struct("WebhookBuilder").finish_non_exhaustive()
    }
}
