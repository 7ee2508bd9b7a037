//! The gateway keeps the search index fresh, so that whoever searches first need not wait.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tollbook_budget::Prices;
use tollbook_recording::Reader;
use tollbook_search::{Error, Index};

/// How often it is looked whether there is something new.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long nothing is tried after something went wrong.
const AFTER_ERROR: Duration = Duration::from_secs(60);
/// As many entries as are taken in before the next pause: the gateway's end waits for no more.
const BATCH: u64 = 1_000;

/// Takes the book into its index, for as long as the gateway runs. What goes wrong is told in the log
/// and stops nothing: whoever searches takes in what is missing.
pub(crate) async fn follow(folder: PathBuf, prices: Prices) {
    let (mut seen, mut pause) = (0, INTERVAL);
    let mut failed = false;
    loop {
        tokio::time::sleep(pause).await;
        let (folder, prices) = (folder.clone(), prices.clone());
        let begun = Instant::now();
        let taken = tokio::task::spawn_blocking(move || take(&folder, prices, seen)).await;
        match taken {
            Ok(Ok(Taken { size, behind })) => {
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
                    tracing::warn!(%error, "the search index is not kept fresh");
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

/// How far the index has come.
struct Taken {
    size: u64,
    behind: u64,
}

/// Takes in some of what came after `seen`. Book and index are opened each time: others may make the
/// index anew, and then it is another file.
fn take(folder: &Path, prices: Prices, seen: u64) -> Result<Taken, Error> {
    let book = Reader::open(folder)?;
    let size = book.size()?;
    if size == seen {
        return Ok(Taken { size, behind: 0 });
    }
    let index = Index::open(folder, prices)?;
    if !index.is_kept() {
        // It would be made for nobody.
        return Ok(Taken { size, behind: 0 });
    }
    index.catch_up_by(&book, BATCH)?;
    let behind = index.behind(&book)?.min(size);
    Ok(Taken { size, behind })
}
