//! The gateway keeps the search index fresh, so that whoever searches first need not wait.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tollbook_budget::Prices;
use tollbook_recording::{KeySource, Reader, Retention};
use tollbook_search::{Error, ErrorKind, Index};

/// How often it is looked whether there is something new.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long nothing is tried after something went wrong.
const AFTER_ERROR: Duration = Duration::from_secs(60);
/// How often it is tried to take something out of an index that nobody follows.
const TRIES: u32 = 10;
/// As many entries as are taken in before the next pause: the gateway's end waits for no more.
const BATCH: u64 = 1_000;

/// Takes the book into its index, for as long as the gateway runs. What goes wrong is told in the log
/// and stops nothing: whoever searches takes in what is missing.
pub(crate) async fn follow(
    folder: PathBuf,
    keys: KeySource,
    prices: Prices,
    retention: Arc<Retention>,
) {
    let (mut seen, mut pause) = (0, INTERVAL);
    let mut failed = false;
    // It stays open, for the top key may be in another program that is not to be asked at each look.
    let mut book: Option<Arc<Reader>> = None;
    loop {
        tokio::time::sleep(pause).await;
        let (folder, prices) = (folder.clone(), prices.clone());
        let (retention, keys) = (Arc::clone(&retention), keys.clone());
        let opened = book.take();
        let begun = Instant::now();
        let taken = tokio::task::spawn_blocking(move || {
            let book = match opened {
                Some(book) => book,
                None => Arc::new(Reader::open_with(&folder, &keys)?),
            };
            let taken = take(&folder, &book, (prices, &retention), seen)?;
            Ok((book, taken))
        });
        let taken: Result<Result<_, Error>, _> = taken.await;
        match taken {
            Ok(Ok((
                opened,
                Taken {
                    size,
                    behind,
                    damaged,
                },
            ))) => {
                book = Some(opened);
                if damaged > 0 {
                    tracing::warn!(
                        damaged,
                        "records are damaged and found by their fields alone"
                    );
                }
                if failed {
                    tracing::info!("the search index is kept fresh again");
                }
                failed = false;
                seen = size - behind;
                // No more than half of a core: what passes the gate comes first.
                pause = if behind > 0 {
                    begun.elapsed()
                } else {
                    INTERVAL
                };
            }
            Ok(Err(error)) => {
                if !failed {
                    let source = error.source().map(ToString::to_string);
                    tracing::warn!(%error, source, "the search index is not kept fresh");
                }
                (failed, pause) = (true, AFTER_ERROR);
            }
            Err(_) => {
                tracing::error!("what keeps the search index fresh has failed");
                return;
            }
        }
    }
}

/// Takes out of the index, if there is one, what was erased from the book, and the words whose time in
/// it is over: for a gateway that does not follow the book, so that nothing which was destroyed waits
/// there for somebody to search.
pub(crate) async fn forget(folder: PathBuf, prices: Prices, retention: Arc<Retention>) {
    for _ in 0..TRIES {
        let (folder, prices) = (folder.clone(), prices.clone());
        let retention = Arc::clone(&retention);
        let forgotten = tokio::task::spawn_blocking(move || {
            if !folder.join("search.db").exists() {
                return Ok(true);
            }
            let index = Index::open(&folder, prices)?.retaining((*retention).clone());
            // Neither takes keys.
            Ok::<_, Error>(
                index.is_kept()
                    && index.forget_erased(&Reader::open(&folder)?)?
                    && index.forget_words()?.1,
            )
        });
        match forgotten.await {
            Ok(Ok(true)) => return,
            Ok(Ok(false)) => tracing::warn!("the search index still has what was erased"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the search index still has what was erased");
            }
            Err(_) => {
                tracing::error!("what takes the erased out of the search index has failed");
                return;
            }
        }
        tokio::time::sleep(AFTER_ERROR).await;
    }
}

/// How far the index has come.
struct Taken {
    size: u64,
    behind: u64,
    damaged: u64,
}

/// Takes in some of what came after `seen`. The index is opened each time: others may make it anew,
/// and then it is another file.
fn take(
    folder: &Path,
    book: &Reader,
    (prices, retention): (Prices, &Retention),
    seen: u64,
) -> Result<Taken, Error> {
    let size = book.size()?;
    if size == seen {
        let (behind, damaged) = (0, 0);
        return Ok(Taken {
            size,
            behind,
            damaged,
        });
    }
    let index = Index::open(folder, prices)?.retaining(retention.clone());
    if !index.is_kept() {
        // A temporary one would be made for nobody, and the file may have what was erased.
        return Err(ErrorKind::Index.into());
    }
    let caught = index.catch_up_by(book, BATCH)?;
    if caught.left {
        // What was erased is still in the file, which somebody reads.
        return Err(ErrorKind::Index.into());
    }
    let behind = index.behind(book)?.min(size);
    Ok(Taken {
        size,
        behind,
        damaged: caught.damaged,
    })
}
