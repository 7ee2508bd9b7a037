//! The gateway reads again what it wrote.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tollbook_recording::{Error, Monitor, Reader};

use crate::events::{Event, Events};

/// What was found wrong with the book, once it was. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarm(Arc<OnceLock<String>>);

impl Alarm {
    /// What is wrong first of all, for operators. No recorded bytes.
    pub(crate) fn raised(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Goes after the writer, for as long as the gateway runs or until something is wrong. That is told
/// in the log, by health, and in the book itself; nobody is turned away for it, for what comes is
/// recorded all the same.
pub(crate) async fn watch(folder: PathBuf, alarm: Alarm, events: Events) {
    let mut monitor = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let (taken, folder) = (monitor.take(), folder.clone());
        let looked = tokio::task::spawn_blocking(move || look(taken, &folder)).await;
        let looking = match looked {
            Ok(Ok(looking)) => looking,
            // Such as a disk that cannot be read for a moment: it begins anew.
            Ok(Err(error)) => {
                tracing::warn!(%error, "the book could not be read again");
                continue;
            }
            Err(_) => {
                let what = "the reader of what was written has failed";
                tracing::error!(what, "the book is not watched any more");
                alarm.0.get_or_init(|| what.to_owned());
                return;
            }
        };
        if let Some(fault) = looking.faults().into_iter().next() {
            let what = match fault.index {
                Some(index) => format!("index {index}: {}", fault.what),
                None => fault.what,
            };
            tracing::error!(what, "the book is not what was written");
            alarm.0.get_or_init(|| what.clone());
            let event = Event::new("book.damaged").with("what", what);
            if let Err(error) = events.note(event).await {
                tracing::warn!(%error, "the damage could not be recorded");
            }
            return;
        }
        monitor = Some(looking);
    }
}

/// Reads on, to the end or for a while.
fn look(monitor: Option<Monitor>, folder: &Path) -> Result<Monitor, Error> {
    let mut monitor = match monitor {
        Some(monitor) => monitor,
        None => Monitor::new(Reader::open(folder)?)?,
    };
    for _ in 0..BATCHES {
        if monitor.look(BATCH)? || !monitor.faults().is_empty() {
            break;
        }
    }
    Ok(monitor)
}

const INTERVAL: Duration = Duration::from_secs(5);
/// As many entries as are read in one snapshot, which keeps the write-ahead log from shrinking.
const BATCH: u64 = 2_000;
const BATCHES: usize = 50;
