//! Asking a witness.

use std::{error::Error as StdError, fmt, ops::Range, sync::Arc, time::Duration};

use reqwest::{Response, StatusCode, Url, redirect::Policy};
use tollbook_ledger::{
    AddCheckpoint, Checkpoint, Frontier, Growth, Hash, Note, SignatureLine, WitnessKey, known_size,
};

use crate::Failure;

/// The leaves of a log.
pub trait Leaves: Send + Sync + 'static {
    /// The hashes of the leaves with these indexes, all of them. Blocks.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, Box<dyn StdError + Send + Sync>>;
}

/// Asks one witness for cosignatures on the checkpoints of one log.
///
/// It remembers how far the witness has seen the log, so that the next proof needs the leaves since
/// then and no others. What it remembered wrongly, the witness tells.
pub struct Client {
    key: WitnessKey,
    address: Url,
    http: reqwest::Client,
    /// The edge of the tree that the witness has seen.
    seen: Frontier,
}

impl Client {
    /// Sets up a client of the witness with this key. `url` is its submission prefix, to which
    /// `/add-checkpoint` belongs.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] for an address that is none of HTTP, or when the system's
    /// certificate authorities cannot be had.
    pub fn new(key: WitnessKey, url: &str) -> Result<Self, Failure> {
        let address = format!("{}/add-checkpoint", url.trim_end_matches('/'));
        let address = Url::parse(&address).map_err(unreachable)?;
        Ok(Self {
            key,
            http: http(&address)?,
            address,
            seen: Frontier::new(),
        })
    }

    /// The key of the witness.
    pub const fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// Asks for a cosignature on a checkpoint: a note and what it says. `book` has its leaves.
    ///
    /// Takes at most three answers: a witness that knows another size tells it, and is given the
    /// proof from there.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn ask(
        &mut self,
        note: &str,
        head: &Checkpoint,
        book: &Arc<dyn Leaves>,
    ) -> Result<SignatureLine, Failure> {
        let asked = self.try_ask(note, head, book).await;
        if matches!(&asked, Err(failure) if failure.is_alarm() || matches!(failure, Failure::Damaged))
        {
            // What it remembers may be another history than the one that comes next.
            self.seen = Frontier::new();
        }
        asked
    }

    async fn try_ask(
        &mut self,
        note: &str,
        head: &Checkpoint,
        book: &Arc<dyn Leaves>,
    ) -> Result<SignatureLine, Failure> {
        for _ in 0..TRIES {
            if self.seen.size() > head.size {
                self.seen = Frontier::new();
            }
            let old = self.seen.size();
            let (proof, grown) = self.proof(head, book).await?;
            let request = AddCheckpoint {
                old,
                proof,
                note: note.to_owned(),
            };
            let answer = self.post(request.to_string()).await?;
            let status = answer.status();
            let body = body(answer).await?;
            match status {
                StatusCode::OK => {
                    let line = self.line(note, &body)?;
                    self.seen = grown;
                    return Ok(line);
                }
                StatusCode::CONFLICT => {
                    let known = known_size(&body).filter(|known| *known != old);
                    // Without a size it knows another root of the size that was given.
                    let known = known.ok_or(Failure::Forked { known: old })?;
                    if known > head.size {
                        return Err(Failure::Behind {
                            known,
                            size: head.size,
                        });
                    }
                    self.seen = self.edge(known, book).await?;
                }
                StatusCode::UNPROCESSABLE_ENTITY => return Err(Failure::Forked { known: old }),
                status => return Err(Failure::Refused(status.as_u16())),
            }
        }
        // It knows another size each time: somebody else shows it the log at this moment.
        Err(Failure::Refused(StatusCode::CONFLICT.as_u16()))
    }

    /// The proof from what the witness has seen to the head, and the edge there.
    async fn proof(
        &self,
        head: &Checkpoint,
        book: &Arc<dyn Leaves>,
    ) -> Result<(Vec<Hash>, Frontier), Failure> {
        let (book, size, root) = (Arc::clone(book), head.size, head.root);
        let (seen, mut growth) = (self.seen.size(), Growth::new(&self.seen, size));
        blocking(move || {
            each(&*book, seen..size, |leaf| growth.append(leaf))?;
            let (proof, grown) = growth.finish().map_err(|_| Failure::Damaged)?;
            if grown.root() != root {
                return Err(Failure::Damaged);
            }
            Ok((proof, grown))
        })
        .await
    }

    /// The edge of the tree over the first `size` leaves.
    async fn edge(&self, size: u64, book: &Arc<dyn Leaves>) -> Result<Frontier, Failure> {
        let book = Arc::clone(book);
        let mut edge = self.seen.clone();
        if edge.size() > size {
            edge = Frontier::new();
        }
        blocking(move || {
            each(&*book, edge.size()..size, |leaf| edge.append(leaf))?;
            Ok(edge)
        })
        .await
    }

    async fn post(&self, body: String) -> Result<Response, Failure> {
        let request = self.http.post(self.address.clone()).body(body);
        let answer = request.send().await;
        answer.map_err(|error| unreachable(error.without_url()))
    }

    /// The cosignature in an answer.
    fn line(&self, note: &str, body: &str) -> Result<SignatureLine, Failure> {
        let lines = SignatureLine::read_all(body).map_err(|_| Failure::Unsigned)?;
        let (note, _) = Note::split(note).map_err(|_| Failure::Damaged)?;
        let valid = |line: &SignatureLine| self.key.opens(note.text(), line).is_ok();
        lines.into_iter().find(valid).ok_or(Failure::Unsigned)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("key", &self.key)
            .field("host", &self.address.host_str())
            .finish_non_exhaustive()
    }
}

/// Reads leaves a batch at a time.
fn each(book: &dyn Leaves, range: Range<u64>, mut take: impl FnMut(Hash)) -> Result<(), Failure> {
    let mut from = range.start;
    while from < range.end {
        let to = range.end.min(from + BATCH);
        let leaves = book.leaves(from..to).map_err(Failure::Book)?;
        if leaves.len() as u64 != to - from {
            return Err(Failure::Damaged);
        }
        leaves.into_iter().for_each(&mut take);
        from = to;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|error| Err(Failure::Book(error.into())))
}

async fn body(answer: Response) -> Result<String, Failure> {
    let body = bytes(answer, MAX_ANSWER).await?;
    String::from_utf8(body).map_err(|_| unreachable("the answer is no text"))
}

/// A client for this address: without redirects, proxies of the environment or more time than ten
/// seconds.
pub(crate) fn http(address: &Url) -> Result<reqwest::Client, Failure> {
    if !matches!(address.scheme(), "http" | "https") {
        return Err(unreachable("an address begins with http:// or https://"));
    }
    let mut http = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_LIMIT)
        .timeout(LIMIT)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("tollbook/", env!("CARGO_PKG_VERSION")));
    if address.scheme() == "http" {
        // Needs no roots, so that it works where the system has none.
        http = http.tls_certs_only([]);
    }
    http.build()
        .map_err(|error| unreachable(error.without_url()))
}

/// The body of an answer, up to a limit.
pub(crate) async fn bytes(mut answer: Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let lost = |error: reqwest::Error| unreachable(error.without_url());
    while let Some(chunk) = answer.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > most {
            return Err(unreachable("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn unreachable(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Failure {
    Failure::Unreachable(error.into())
}

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(10);
const TRIES: usize = 3;
/// As many leaves as are read at once.
const BATCH: u64 = 10_000;
/// A line for each of many keys.
const MAX_ANSWER: usize = 64 << 10;

#[cfg(test)]
mod tests;
