//! Webhooks: batches as the body of a POST.

use std::fmt;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tollbook_approvals::channel::WebhookSecret;
use tollbook_exchange::Timestamp;

use super::{
    address::{Address, Trust},
    http::Http,
};
use crate::{BoxFuture, Deliver, Delivery, Error, Failure};

/// Posts each batch to one address, signed as Standard Webhooks has it.
///
/// `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) and `webhook-id` are the same
/// whenever the same batch comes again, so that a receiver can tell what it has already. Any status
/// of success takes the batch; 400, 413, 415 and 422 refuse it for good; every other one, and no
/// answer, is tried again.
pub struct WebhookTarget {
    http: Http,
    secrets: Vec<WebhookSecret>,
    now: fn() -> Timestamp,
}

impl WebhookTarget {
    /// A target at `url`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Target`](crate::ErrorKind::Target).
    pub fn new(url: &str, secret: WebhookSecret, trust: &Trust) -> Result<Self, Error> {
        let address = Address::parse(url, ["https", "http"], trust)?;
        Ok(Self {
            http: Http::new(address, trust)?,
            secrets: vec![secret],
            now: Timestamp::now,
        })
    }

    fn headers(&self, delivery: &Delivery) -> Result<HeaderMap, Failure> {
        let unwritable = |_| Failure::again("a header cannot be written");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(delivery.media_type));
        let key = delivery.key();
        let quoted = format!("\"{}\"", key.replace(['"', '\\'], "_"));
        let quoted = HeaderValue::from_str(&quoted).map_err(unwritable)?;
        headers.insert(HeaderName::from_static("idempotency-key"), quoted);
        let records = HeaderValue::from(delivery.records);
        headers.insert(HeaderName::from_static("tollbook-records"), records);
        // The id must not have dots in it, which separate what is signed.
        let id = key.replace('.', "_");
        for secret in &self.secrets {
            for (name, value) in secret.sign(&id, (self.now)(), &delivery.bytes) {
                let value = HeaderValue::from_str(&value).map_err(unwritable)?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Ok(headers)
    }
}

impl Deliver for WebhookTarget {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let headers = self.headers(delivery)?;
            self.http.post(headers, delivery.bytes.clone()).await?;
            Ok(())
        })
    }
}

impl fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookTarget")
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}
