//! Streams of NATS JetStream.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, HeaderMap,
    connection::State,
    jetstream::{self, Context, context::PublishErrorKind},
};
use zeroize::Zeroizing;

use super::address::{Address, Trust};
use crate::{BoxFuture, Deliver, Delivery, Error, ErrorKind, Failure, Shape};

/// Publishes each record to a subject that a stream listens to, and waits until the stream says that
/// it has it.
///
/// `Nats-Msg-Id` is the sink's name, eight digits of the book's first hash, the log's origin and the
/// record's index: within the stream's window for duplicates a record that comes again is taken once. How safe a record is that the stream has is
/// the server's affair: without `sync_interval: always` or replicas it writes to disk later.
pub struct NatsTarget {
    address: Address,
    trust: Trust,
    subject: String,
    login: NatsLogin,
    context: Mutex<Option<Context>>,
}

/// How to log in. Its `Debug` prints no secret.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum NatsLogin {
    /// Without.
    #[default]
    None,
    /// With a token.
    Token(Zeroizing<String>),
    /// With a name and a password.
    User(String, Zeroizing<String>),
}

/// How often a client looks for a server again. Not for ever: one that was given up must not send what
/// it still has when the server is back.
const RECONNECTS: usize = 4;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a stream may take to say that it has a record.
const ACK_LIMIT: Duration = Duration::from_secs(20);

impl NatsTarget {
    /// A subject of a server at `url`, `tls://…` or `nats://…`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Target`].
    pub fn new(url: &str, subject: &str, login: NatsLogin, trust: &Trust) -> Result<Self, Error> {
        let token = |token: &str| {
            !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || "*>".contains(c))
        };
        if !subject.split('.').all(token) {
            let why = "the subject is tokens with dots between them, without spaces and wildcards";
            return Err(ErrorKind::Target(why).into());
        }
        // So that a file that is not there is told at once.
        trust.pem()?;
        Ok(Self {
            address: Address::parse(url, ["tls", "nats"], trust)?,
            trust: trust.clone(),
            subject: subject.to_owned(),
            login,
            context: Mutex::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Option<Context>> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Context, Failure> {
        let mut options = ConnectOptions::new()
            .name("tollbook")
            .connection_timeout(CONNECT_LIMIT)
            .max_reconnects(RECONNECTS)
            .require_tls(!self.address.is_plain("tls"));
        if self.address.is_plain("tls") && !self.trust.plain {
            // Those that a server of this machine names may be on others, where nothing goes in the
            // clear.
            options = options.ignore_discovered_servers();
        }
        if let Some(file) = &self.trust.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        options = match &self.login {
            NatsLogin::None => options,
            NatsLogin::Token(token) => options.token(token.to_string()),
            NatsLogin::User(name, word) => {
                options.user_and_password(name.clone(), word.to_string())
            }
        };
        let client: Client = options
            .connect(self.address.url().as_str())
            .await
            // Its error may quote the address.
            .map_err(|_| Failure::again("no connection to the server"))?;
        Ok(jetstream::ContextBuilder::new()
            .timeout(ACK_LIMIT)
            .ack_timeout(ACK_LIMIT)
            .build(client))
    }
}

impl Deliver for NatsTarget {
    fn kind(&self) -> &'static str {
        "nats"
    }

    fn shape(&self) -> Shape {
        Shape::Record
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let kept = self.kept().take().filter(is_connected);
            let context = match kept {
                Some(context) => context,
                None => self.connect().await?,
            };
            let published = publish(&context, &self.subject, delivery).await;
            // A client without a server keeps what it was given, to send it when it has one again;
            // by then it may be erased. It is let go, and with it what it has.
            if is_connected(&context) {
                *self.kept() = Some(context);
            }
            published
        })
    }
}

async fn publish(context: &Context, subject: &str, delivery: &Delivery) -> Result<(), Failure> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id(delivery));
    headers.insert("Content-Type", delivery.media_type);
    let published = context
        .publish_with_headers(subject.to_owned(), headers, delivery.bytes.clone())
        .await
        .map_err(|error| judged(error.kind()))?;
    let taken = published.await.map_err(|error| judged(error.kind()))?;
    tracing::trace!(duplicate = taken.duplicate, "the stream has the record");
    Ok(())
}

fn is_connected(context: &Context) -> bool {
    context.client().connection_state() == State::Connected
}

/// The stream's duplicates are those of all who publish to it: another sink's record, or that of
/// another book of the same name, is none.
fn id(delivery: &Delivery) -> String {
    format!("{}/{}/{}", delivery.sink, delivery.book, delivery.key())
}

fn judged(kind: PublishErrorKind) -> Failure {
    match kind {
        PublishErrorKind::MaxPayloadExceeded => {
            Failure::refused("the record is larger than the server takes").of_the_record()
        }
        PublishErrorKind::StreamNotFound => Failure::again("no stream listens to the subject"),
        PublishErrorKind::TimedOut => Failure::again("the stream did not say that it has it"),
        _ => Failure::again("the stream did not take it"),
    }
}

impl fmt::Debug for NatsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsTarget")
            .field("address", &self.address)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NatsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(..)",
            Self::User(..) => "User(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sinks may publish to one stream, and a book that is begun anew goes by the same name.
    #[test]
    fn only_the_same_record_of_the_same_sink_and_book_is_a_duplicate() {
        let delivery = |sink: &str, book: &str, index| Delivery {
            sink: sink.to_owned(),
            book: book.to_owned(),
            origin: "audit.example/gw1".to_owned(),
            first: index,
            last: index,
            records: 1,
            ended: tollbook_exchange::Timestamp::from_micros(0),
            bytes: bytes::Bytes::new(),
            media_type: "application/json",
            format: "jsonl",
        };
        let known = id(&delivery("a", "0badcafe", 7));
        assert_eq!(known, "a/0badcafe/audit.example/gw1/7");
        assert_eq!(known, id(&delivery("a", "0badcafe", 7)));
        for other in [
            delivery("b", "0badcafe", 7),
            delivery("a", "00c0ffee", 7),
            delivery("a", "0badcafe", 8),
        ] {
            assert_ne!(known, id(&other));
        }
    }

    #[test]
    fn a_subject_is_one_that_can_be_published_to() {
        let target = |subject: &str| {
            let login = NatsLogin::Token("canary".to_owned().into());
            NatsTarget::new("nats://127.0.0.1", subject, login, &Trust::default())
        };
        for subject in ["tollbook", "tollbook.exchanges.claude"] {
            assert!(!format!("{:?}", target(subject).unwrap()).contains("canary"));
        }
        for subject in ["", ".", "a..b", "a.*", "a.>", "a b"] {
            assert!(target(subject).is_err(), "{subject}");
        }
        let there = NatsTarget::new("nats://10.0.0.1", "a", NatsLogin::None, &Trust::default());
        assert!(there.is_err());
    }
}
