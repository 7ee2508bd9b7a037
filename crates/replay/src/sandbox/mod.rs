//! An upstream that gives recorded answers.

mod answer;
mod report;
mod server;
mod shelf;

use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf, Bytes};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts, uri::Authority,
};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tokio::sync::Semaphore;
use tollbook_exchange::ExchangeId;
use tollbook_masking::Masker;
use tollbook_recording::Reader;
use tollbook_wire_messages::{BodyKind, Endpoint, error};

pub use self::{
    answer::{AnswerBody, BrokenOff},
    report::{Event, How, NeverAsked, Report},
};
use self::{
    report::Tally,
    shelf::{Asked, Chosen, Shelf},
};
use crate::{
    Error, Pace, RecordedExchange,
    meaning::{Meaning, Print},
    recorded::path,
};

/// A larger request is refused. The API itself takes 32 MB, and 256 MB in a batch.
const MAX_BODY: usize = 256 << 20;

/// How many bodies are read at once. The others wait.
const AT_ONCE: usize = 16;

/// What a token is exchanged for. It opens nothing.
const TOKEN: &str = "sandbox-token-of-a-replay";

/// What a request gets for which nothing is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// The API's error for what is not there: 404.
    #[default]
    NotFound,
    /// The closest answer of the same operation that has not been given yet.
    Next,
}

/// An upstream that answers the same client with what is recorded.
///
/// A request is looked for by what it means, after it was masked as the recorded ones were: first
/// one that means the same, then one in which the same was said under another setting. Of several,
/// the first that was not given yet. Nothing it is asked is kept.
///
/// - `HEAD` probes and exchanges of tokens are answered without the book, and so is the counting of
///   tokens if no such count is recorded, by a guess of four bytes a token.
/// - Any credential is taken, and none is looked at. Whoever reaches it can read the record.
/// - A path may begin with the name of the connection, as it does at the gateway.
/// - An answer that broke off when it was recorded breaks off again.
pub struct Sandbox {
    book: Arc<Reader>,
    masker: Masker,
    pace: Pace,
    fallback: Fallback,
    same_setting: bool,
    any_name: bool,
    watch: Box<dyn Fn(&Event) + Send + Sync>,
    connections: BTreeSet<String>,
    state: Mutex<State>,
    requests: AtomicU64,
    /// For each body that is read and looked for at this moment.
    reading: Semaphore,
}

struct State {
    shelf: Shelf,
    tally: Tally,
}

impl Sandbox {
    /// A sandbox with the answers of these exchanges, in the order in which they are to be given.
    ///
    /// `masker` masks as the record of them was masked. Reads them all, so from async code call it on
    /// a thread for blocking work.
    ///
    /// # Errors
    ///
    /// When the book cannot be read.
    pub fn load(
        book: Arc<Reader>,
        exchanges: impl IntoIterator<Item = ExchangeId>,
        masker: Masker,
    ) -> Result<Self, Error> {
        let (mut shelf, mut connections) = (Shelf::default(), BTreeSet::new());
        for id in exchanges {
            let Some(record) = book.exchange(&id.to_string())? else {
                continue;
            };
            let recorded = RecordedExchange::from_json(record);
            connections.extend(recorded.text("/connection").map(str::to_owned));
            shelf.put(&recorded, &masker);
        }
        Ok(Self {
            book,
            masker,
            pace: Pace::at_once(),
            fallback: Fallback::default(),
            same_setting: false,
            any_name: false,
            watch: Box::new(|_| {}),
            connections,
            state: Mutex::new(State {
                shelf,
                tally: Tally::default(),
            }),
            requests: AtomicU64::new(0),
            reading: Semaphore::new(AT_ONCE),
        })
    }

    /// How fast answers come; at once unless told.
    #[must_use]
    pub const fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// What a request gets for which nothing is recorded.
    #[must_use]
    pub const fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// Gives an answer only where the setting is the same too: system prompt, tools, model.
    #[must_use]
    pub const fn same_setting(mut self) -> Self {
        self.same_setting = true;
        self
    }

    /// Answers under any name, and pages of any site. Otherwise it answers under addresses and as
    /// `localhost` alone, and no page of another site: a page in a browser can have a name of its own
    /// point to this machine, and read the record that way.
    #[must_use]
    pub const fn any_name(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// Is told each thing that happens, when it does.
    #[must_use]
    pub fn watch(mut self, watch: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.watch = Box::new(watch);
        self
    }

    /// How many answers there are to give.
    pub fn answers(&self) -> usize {
        self.with(|state| state.shelf.len())
    }

    /// What became of all that was asked so far, and of what was recorded.
    pub fn report(&self) -> Report {
        self.with(|state| state.tally.report(&state.shelf))
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<AnswerBody>
    where
        B: Body,
        B::Data: Buf,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let request_id = format!("req_replay_{number}");
        let (head, body) = request.into_parts();
        if !self.any_name && !is_local(&head) {
            let message =
                "a replay answers under its address or as localhost, and under no other name";
            return refusal(421, message, &request_id);
        }
        if !self.any_name && is_foreign(&head) {
            let message = "a replay does not answer pages of other sites";
            return refusal(421, message, &request_id);
        }
        let target = head.uri.path_and_query().map_or("/", |all| all.as_str());
        let target = self.below_connection(target);
        if (&head.method, path(target)) == (&Method::POST, "/v1/oauth/token")
            || (&head.method, target) == (&Method::POST, "/oauth/token")
        {
            // Nobody is identified here, so what is shown need not be read.
            return self.made_up("oauth.token", &token());
        }
        let operation = Endpoint::of(head.method.as_str(), path(target));
        if operation == Some(Endpoint::Probe) {
            return answer::whole(StatusCode::OK, None, Bytes::new());
        }
        let coded = head.headers.get(header::CONTENT_ENCODING);
        let refuse = |status, message: &str| refusal(status, message, &request_id);
        if coded.is_some_and(|coding| coding != "identity") {
            return refuse(
                415,
                "a replay reads bodies that come without a content-encoding",
            );
        }
        // Each holds a whole body. None is ever closed.
        let Ok(_permit) = self.reading.acquire().await else {
            return refuse(503, "the replay has ended");
        };
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return refuse(413, "the request is larger than what a replay reads");
            }
            Err(_) => return refuse(400, "the request broke off"),
        };
        let Some(endpoint) = operation else {
            self.unmatched(&head.method, path(target), None, Vec::new());
            return refuse(404, "a replay has no such operation");
        };
        let length = body.len();
        let meaning = match endpoint.body() {
            BodyKind::Json if !body.is_empty() => {
                let masker = self.masker.clone();
                // Masking a large body takes long, and others are answered meanwhile.
                let read =
                    tokio::task::spawn_blocking(move || Meaning::of_asked(&body, &masker)).await;
                match read {
                    Ok(meaning) => meaning,
                    Err(_) => return refuse(500, "the request could not be read"),
                }
            }
            _ => None,
        };
        let print = meaning.as_ref().map(Meaning::print);
        match self.choose(endpoint, target, print) {
            Chosen::Found { id, how } => {
                self.give(endpoint, &id, how, meaning.as_ref(), &request_id)
                    .await
            }
            Chosen::Nothing { nearest } => {
                if endpoint == Endpoint::MessagesCountTokens {
                    let count = json!({ "input_tokens": length.div_ceil(4) });
                    return self.made_up(endpoint.action(), &count);
                }
                let differs = match &nearest {
                    Some(nearest) => self.differs(nearest, meaning.as_ref()).await,
                    None => Vec::new(),
                };
                let message = no_match(endpoint, nearest.as_deref(), &differs);
                self.unmatched(&head.method, path(target), nearest, differs);
                refuse(404, &message)
            }
        }
    }

    /// Chooses the exchange whose answer is given, and notes that it was.
    fn choose(&self, endpoint: Endpoint, target: &str, print: Option<Print>) -> Chosen {
        // As the recorded ones are.
        let target = self.shown(target);
        let asked = Asked {
            endpoint,
            target: &target,
            print,
        };
        self.with(|state| state.shelf.take(&asked, self.fallback, self.same_setting))
    }

    /// The answer of a recorded exchange.
    async fn give(
        &self,
        endpoint: Endpoint,
        id: &str,
        how: How,
        meaning: Option<&Meaning>,
        request_id: &str,
    ) -> Response<AnswerBody> {
        let Some(recorded) = self.recorded(id).await else {
            let message = "the recorded answer can no longer be read from the book";
            return refusal(500, message, request_id);
        };
        let differs = match how {
            How::Alike | How::Next => meaning
                .zip(Meaning::of_recorded(recorded.body(), &self.masker))
                .map(|(asked, then)| asked.differs(&then))
                .unwrap_or_default(),
            How::Exact | How::Again => Vec::new(),
        };
        let given = answer::recorded(&recorded, self.pace);
        self.note(Event::Served {
            exchange: id.to_owned(),
            action: endpoint.action().to_owned(),
            how,
            status: given.status().as_u16(),
            differs,
        });
        given
    }

    /// The exchange as it is in the book, if that can still be read.
    async fn recorded(&self, id: &str) -> Option<RecordedExchange> {
        let (book, id) = (Arc::clone(&self.book), id.to_owned());
        let read = tokio::task::spawn_blocking(move || book.exchange(&id));
        let record = read.await.ok()?.ok()??;
        Some(RecordedExchange::from_json(record))
    }

    async fn differs(&self, id: &str, asked: Option<&Meaning>) -> Vec<String> {
        let recorded = self.recorded(id).await;
        let then = recorded.and_then(|one| Meaning::of_recorded(one.body(), &self.masker));
        asked
            .zip(then)
            .map(|(asked, then)| asked.differs(&then))
            .unwrap_or_default()
    }

    fn made_up(&self, action: &str, body: &serde_json::Value) -> Response<AnswerBody> {
        self.note(Event::MadeUp {
            action: action.to_owned(),
        });
        let json = Some(HeaderValue::from_static("application/json"));
        answer::whole(StatusCode::OK, json, body.to_string().into())
    }

    fn unmatched(
        &self,
        method: &Method,
        path: &str,
        nearest: Option<String>,
        differs: Vec<String>,
    ) {
        self.note(Event::Unmatched {
            method: self.shown(method.as_str()),
            path: self.shown(path),
            nearest,
            differs,
        });
    }

    /// A part of a head, masked: whoever asks can put anything into a path, a key too.
    fn shown(&self, text: &str) -> String {
        let masked = self.masker.mask(text.as_bytes()).masked;
        String::from_utf8_lossy(masked.as_inner()).into_owned()
    }

    fn note(&self, event: Event) {
        self.with(|state| state.tally.count(&event));
        (self.watch)(&event);
    }

    /// The target below the connection's name, where it begins with one.
    fn below_connection<'a>(&self, target: &'a str) -> &'a str {
        let below = |name: &String| {
            let rest = target.strip_prefix('/')?.strip_prefix(name.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        };
        self.connections.iter().find_map(below).unwrap_or(target)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Counts and marks: each of them is right by itself.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("answers", &self.answers())
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}

/// Whether a request goes to an address or to `localhost`, or names nobody.
fn is_local(head: &Parts) -> bool {
    let header = head.headers.get(header::HOST);
    let header = header.map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = head.uri.authority().map(Authority::as_str).or(header) else {
        return true;
    };
    let Ok(host) = host.parse::<Authority>() else {
        return false;
    };
    names_this(&host)
}

/// Whether a page in a browser asks that comes from elsewhere than this machine.
fn is_foreign(head: &Parts) -> bool {
    let site = head.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site == "cross-site") {
        return true;
    }
    head.headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().ok().and_then(|it| it.parse::<Uri>().ok());
        let authority = origin.as_ref().and_then(Uri::authority);
        !authority.is_some_and(is_this_machine)
    })
}

/// Whether an origin has an address of this machine's own: a page from any other address is as
/// foreign as one with a name.
fn is_this_machine(origin: &Authority) -> bool {
    let name = origin.host().trim_matches(['[', ']']);
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn names_this(host: &Authority) -> bool {
    let name = host.host().trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

/// What the official SDKs take for an exchanged token.
fn token() -> serde_json::Value {
    json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600 })
}

/// The API's error, which no client tries again.
fn refusal(status: u16, message: &str, request_id: &str) -> Response<AnswerBody> {
    let body = error::body(status, message, request_id);
    let json = Some(HeaderValue::from_static("application/json"));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut refused = answer::whole(status, json, body.into());
    let headers = refused.headers_mut();
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("request-id", id);
    }
    refused
}

fn no_match(endpoint: Endpoint, nearest: Option<&str>, differs: &[String]) -> String {
    let action = endpoint.action();
    match nearest {
        None => format!("the replay has no recorded answer to any {action}"),
        Some(nearest) => format!(
            "the replay has no recorded answer to this {action}; the nearest is exchange {nearest}, \
             which differs at {}",
            if differs.is_empty() {
                "a place that cannot be told".to_owned()
            } else {
                differs.join(", ")
            }
        ),
    }
}
