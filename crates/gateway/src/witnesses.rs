//! The gateway has others sign what its book is.
//!
//! Each witness sees size and root of the book and signs if the book grew out of what it saw before.
//! Nobody waits for it: traffic goes on while witnesses are down, and health says how far behind they
//! are.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollbook_exchange::Timestamp;
use tollbook_ledger::{Checkpoint, Hash, Quorum, SignatureLine};
use tollbook_recording::{Attestations, Reader};
use tollbook_witness::{Authority, Client, Failure, Leaves};

use crate::events::{Event, Events};

/// Who is asked, and how often.
#[derive(Debug)]
pub(crate) struct Asking {
    clients: Vec<(String, Client)>,
    quorum: Quorum,
    interval: Duration,
}

/// How far the witnesses have come. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witnessing(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    needed: usize,
    /// The size of the newest checkpoint that enough have signed.
    witnessed: u64,
    each: BTreeMap<String, One>,
    stamps: Option<Stamps>,
}

/// How far time stamps have come.
#[derive(Clone, Debug, Default)]
struct Stamps {
    /// The size of the newest checkpoint that has one.
    size: u64,
    /// What it says.
    time: Option<i64>,
    /// Why there is none since then.
    failure: Option<String>,
}

/// How far one witness has come.
#[derive(Clone, Debug, Default)]
struct One {
    /// The size of the newest checkpoint that it signed.
    size: u64,
    /// Why it did not sign the last one.
    failure: Option<String>,
    /// Whether it knows another history.
    alarm: bool,
    /// Whether that stands in the book.
    noted: bool,
}

/// What a round needs of the book.
struct Book {
    reader: Reader,
    kept: Attestations,
}

impl Asking {
    pub(crate) fn new(
        clients: Vec<(String, Client)>,
        quorum: Quorum,
        interval: Option<Duration>,
    ) -> Self {
        Self {
            clients,
            quorum,
            interval: interval.unwrap_or(INTERVAL),
        }
    }

    /// Asks for as long as the gateway runs. Lines of witnesses are kept with the checkpoint that
    /// they sign, below `folder` and beside the anchor.
    pub(crate) async fn ask(
        mut self,
        folder: PathBuf,
        anchor: Option<PathBuf>,
        witnessing: Witnessing,
        events: Events,
    ) {
        witnessing.begin(&self.clients, self.quorum.needed());
        let mut book = None;
        let mut done = 0;
        loop {
            tokio::time::sleep(self.interval).await;
            if book.is_none() {
                let (folder, anchor) = (folder.clone(), anchor.clone());
                book = blocking(move || Book::open(&folder, anchor))
                    .await
                    .map(Arc::new);
            }
            let Some(book) = &book else {
                continue;
            };
            let reading = Arc::clone(book);
            let Some((note, head)) = blocking(move || reading.head()).await else {
                continue;
            };
            if head.size == done {
                continue;
            }
            let lines = self.round(&note, &head, book, &witnessing, &events).await;
            let is_signed = lines.len() == self.clients.len();
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let note = note + &lines;
            let met = self.quorum.judge(&note);
            if met.is_ok_and(|witnessed| witnessed.is_met()) {
                let (kept, size) = (book.kept.clone(), head.size);
                let kept = blocking(move || kept.keep_cosigned(size, &note)).await;
                if kept.is_some() {
                    witnessing.update(|state| state.witnessed = size);
                    if is_signed {
                        done = size;
                    }
                }
            }
        }
    }

    /// Asks each witness once, all at the same time.
    async fn round(
        &mut self,
        note: &str,
        head: &Checkpoint,
        book: &Arc<Book>,
        witnessing: &Witnessing,
        events: &Events,
    ) -> Vec<SignatureLine> {
        let mut asked = JoinSet::new();
        for (place, (name, mut client)) in self.clients.drain(..).enumerate() {
            let (note, head) = (note.to_owned(), head.clone());
            let book: Arc<dyn Leaves> = Arc::<Book>::clone(book);
            asked.spawn(async move {
                let answer = client.ask(&note, &head, &book).await;
                (place, name, client, answer)
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(place, ..)| *place);
        let mut lines = Vec::new();
        for (_, name, client, answer) in answers {
            match answer {
                Ok(line) => {
                    witnessing.signed(&name, head.size);
                    lines.push(line);
                }
                Err(failure) => {
                    let is_news = witnessing.failed(&name, &failure);
                    if is_news && failure.is_alarm() && alarm(&name, &failure, events).await {
                        witnessing.noted(&name);
                    }
                }
            }
            self.clients.push((name, client));
        }
        lines
    }
}

/// Has an authority give times to checkpoints, for as long as the gateway runs. They are kept with
/// the checkpoint that they are about, below `folder`.
pub(crate) async fn stamp(
    authority: Authority,
    every: Duration,
    folder: PathBuf,
    witnessing: Witnessing,
) {
    let mut book = None;
    let mut pause = FIRST.min(every);
    witnessing.update(|state| state.stamps = Some(Stamps::default()));
    loop {
        tokio::time::sleep(pause).await;
        pause = AGAIN.min(every);
        if book.is_none() {
            let folder = folder.clone();
            book = blocking(move || Book::open(&folder, None))
                .await
                .map(Arc::new);
        }
        let Some(book) = &book else {
            continue;
        };
        let reading = Arc::clone(book);
        let Some((note, head)) = blocking(move || reading.head()).await else {
            continue;
        };
        match authority.ask(note.as_bytes()).await {
            Ok((token, stamp)) => {
                let kept = book.kept.clone();
                let kept = blocking(move || kept.keep_stamped(head.size, &note, &token)).await;
                if kept.is_some() {
                    pause = every;
                    witnessing.stamped(head.size, stamp.time);
                }
            }
            Err(failure) => witnessing.unstamped(&failure),
        }
    }
}

impl Witnessing {
    /// What health says of time stamps, where there are any.
    pub(crate) fn stamps(&self) -> Option<Value> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = state.stamps.as_ref()?;
        Some(json!({
            "entries": stamps.size,
            "time": stamps.time.map(|time| Timestamp::from_micros(time).to_string()),
            "state": stamps.failure.as_deref().unwrap_or("ok"),
        }))
    }

    fn stamped(&self, size: u64, time: i64) {
        self.update(|state| {
            state.stamps = Some(Stamps {
                size,
                time: Some(time),
                failure: None,
            });
        });
    }

    fn unstamped(&self, failure: &Failure) {
        let told = told(failure);
        self.update(|state| {
            let stamps = state.stamps.get_or_insert_default();
            if stamps.failure.is_none() {
                tracing::warn!(why = told, "there is no time stamp");
            }
            stamps.failure = Some(told);
        });
    }

    /// What health says of them, where anybody is asked; `entries` is the size of the book.
    pub(crate) fn told(&self, entries: u64) -> Option<Value> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.each.is_empty() {
            return None;
        }
        let behind = |size: u64| match entries.saturating_sub(size) {
            0 => "ok".to_owned(),
            behind => format!("{behind} entries behind"),
        };
        let each = state.each.iter().map(|(name, one)| {
            let told = match &one.failure {
                Some(failure) if one.alarm => format!("ALARM: {failure}"),
                Some(failure) => format!("{}: {failure}", behind(one.size)),
                None => behind(one.size),
            };
            (name.clone(), Value::from(told))
        });
        Some(json!({
            "quorum": format!("{} of {}", state.needed, state.each.len()),
            "witnessed": state.witnessed,
            "state": behind(state.witnessed),
            "each": each.collect::<serde_json::Map<_, _>>(),
        }))
    }

    fn begin(&self, clients: &[(String, Client)], needed: usize) {
        self.update(|state| {
            state.needed = needed;
            let each = clients
                .iter()
                .map(|(name, _)| (name.clone(), One::default()));
            state.each = each.collect();
        });
    }

    fn signed(&self, name: &str, size: u64) {
        self.update(|state| {
            let one = state.each.entry(name.to_owned()).or_default();
            if one.failure.is_some() {
                tracing::info!(witness = name, "the witness signs again");
            }
            *one = One {
                size,
                ..One::default()
            };
        });
    }

    /// Notes why a witness did not sign. Whether it is another reason than before, or an alarm that
    /// does not stand in the book yet.
    fn failed(&self, name: &str, failure: &Failure) -> bool {
        let told = told(failure);
        let mut is_news = false;
        self.update(|state| {
            let one = state.each.entry(name.to_owned()).or_default();
            // How far behind it is changes; that it is does not.
            is_news = one.alarm != failure.is_alarm() || one.failure.is_none();
            is_news |= failure.is_alarm() && !one.noted;
            if is_news && !failure.is_alarm() {
                tracing::warn!(witness = name, why = told, "the witness does not sign");
            }
            one.failure = Some(told);
            one.alarm = failure.is_alarm();
            one.noted &= one.alarm && !is_news;
        });
        is_news
    }

    /// Notes that the alarm of a witness stands in the book.
    fn noted(&self, name: &str) {
        self.update(|state| {
            if let Some(one) = state.each.get_mut(name) {
                one.noted = true;
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Book {
    fn open(
        folder: &std::path::Path,
        anchor: Option<PathBuf>,
    ) -> Result<Self, tollbook_recording::Error> {
        let reader = Reader::open(folder)?;
        let mut kept = reader.attestations();
        if let Some(anchor) = anchor {
            kept = kept.beside(anchor);
        }
        Ok(Self { reader, kept })
    }

    /// The newest checkpoint, as a note and as what it says.
    fn head(&self) -> Result<(String, Checkpoint), tollbook_recording::Error> {
        let note = self.reader.checkpoint()?;
        let head = Checkpoint::open(&note, &self.reader.verifier_key()?)?;
        Ok((note, head))
    }
}

impl Leaves for Book {
    fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, Box<dyn StdError + Send + Sync>> {
        Ok(self.reader.leaf_hashes(range)?)
    }
}

fn told(failure: &Failure) -> String {
    let source = failure.source().map(|source| format!(": {source}"));
    format!("{failure}{}", source.unwrap_or_default())
}

/// The book has two histories: that is told in the log, by health, and in the book itself. Whether it
/// stands there.
async fn alarm(name: &str, failure: &Failure, events: &Events) -> bool {
    let what = failure.to_string();
    tracing::error!(
        witness = name,
        what,
        "a witness knows another history of the book"
    );
    let event = Event::new("book.forked")
        .with("witness", name)
        .with("what", what);
    let noted = events.note(event).await;
    if let Err(error) = &noted {
        tracing::warn!(%error, "the alarm of a witness could not be recorded");
    }
    noted.is_ok()
}

/// Works with files. What fails is tried again in the next round.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, tollbook_recording::Error> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::warn!(%error, "what witnesses need of the book cannot be read or kept");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "what witnesses need of the book cannot be read or kept");
            None
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(10);
/// So that a gateway that has just started has one soon.
const FIRST: Duration = Duration::from_secs(2);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(60);
