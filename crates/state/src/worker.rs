//! Threads with a connection each, and the jobs that are handed to them.

use std::{
    io,
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{Error, ErrorKind};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread that owns a connection.
///
/// Whoever hands it a job waits for room in its queue and then for the answer. A job whose caller
/// has gone is done all the same.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    broken: Broken,
}

impl Worker {
    pub(crate) fn start(
        name: &str,
        mut connection: Connection,
        broken: Broken,
    ) -> Result<Self, Error> {
        let (jobs, mut queue) = mpsc::channel::<Job>(WAITING);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut connection);
                }
            })
            .map_err(|error: io::Error| Error::because(ErrorKind::Folder, error))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            broken,
        })
    }

    /// Reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let broken = self.broken.clone();
        self.run(move |connection| {
            broken.check()?;
            // One transaction, so that several statements see one state.
            let transaction = connection.transaction()?;
            read(&transaction)
        })
        .await
    }

    /// Does all of `write` in one transaction, which is durable when this answers `Ok`. On an error
    /// nothing of it is, or nobody knows and the state is broken.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let broken = self.broken.clone();
        self.run(move |connection| {
            broken.check()?;
            let done = transact(connection, write);
            if let Err((error, true)) = &done {
                broken.set(error);
            } else if !connection.is_autocommit() {
                broken.set(&ErrorKind::Database.into());
            }
            done.map_err(|(error, _)| error)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let closed = || Error::from(ErrorKind::Closed);
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Who asked may be gone; the work is done.
            let _gone = answer.send(job(connection));
        });
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())?;
        // No answer means that the thread panicked over a job.
        answered.await.map_err(|_| closed())?
    }
}

impl Drop for Worker {
    /// Waits until the jobs that were handed over are done.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of the state panicked");
        }
    }
}

/// The error, and whether it leaves doubt about what is on disk.
fn transact<T>(
    connection: &mut Connection,
    write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, (Error, bool)> {
    let doubt = |error: Error| {
        let doubt = error.leaves_doubt();
        (error, doubt)
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| doubt(error.into()))?;
    let done = write(&transaction).map_err(doubt)?;
    // Whether a commit that failed is on disk, nobody can tell.
    transaction.commit().map_err(|error| (error.into(), true))?;
    Ok(done)
}

/// Remembers that a write failed. Nothing is answered after that: a token whose revocation was lost
/// would be good again, an approval whose use was lost could be used twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(Arc<OnceLock<()>>);

impl Broken {
    fn check(&self) -> Result<(), Error> {
        match self.0.get() {
            Some(()) => Err(ErrorKind::Broken.into()),
            None => Ok(()),
        }
    }

    fn set(&self, error: &Error) {
        if self.0.set(()).is_ok() {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, source, "a write of the state failed, nothing is answered any more");
        }
    }
}

/// Jobs that may wait before whoever has more waits for room.
const WAITING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (x UNIQUE)")
            .unwrap();
        Worker::start("test", connection, Broken::default()).unwrap()
    }

    async fn insert(worker: &Worker, x: i64) -> Result<(), ErrorKind> {
        let insert = move |to: &Transaction<'_>| {
            to.execute("INSERT INTO t VALUES (?1)", [x])?;
            Ok(())
        };
        worker.write(insert).await.map_err(|error| error.kind())
    }

    async fn count(worker: &Worker) -> Result<i64, ErrorKind> {
        let count =
            |from: &Connection| Ok(from.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?);
        worker.read(count).await.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn a_write_that_is_refused_changes_nothing_and_breaks_nothing() {
        let worker = worker();
        insert(&worker, 1).await.unwrap();
        assert_eq!(insert(&worker, 1).await, Err(ErrorKind::Database));
        let half = |to: &Transaction<'_>| -> Result<(), Error> {
            to.execute("INSERT INTO t VALUES (2)", [])?;
            Err(ErrorKind::Exists.into())
        };
        assert!(worker.write(half).await.is_err());
        assert_eq!(count(&worker).await, Ok(1));
        assert_eq!(insert(&worker, 3).await, Ok(()));
    }

    #[tokio::test]
    async fn after_a_write_that_failed_nothing_is_answered() {
        let worker = worker();
        insert(&worker, 1).await.unwrap();
        // A full disk, which SQLite stands in for.
        let full = |to: &Transaction<'_>| -> Result<(), Error> {
            to.query_row("PRAGMA max_page_count = 1", [], |_| Ok(()))?;
            to.execute("INSERT INTO t VALUES (zeroblob(100000))", [])?;
            Ok(())
        };
        assert!(worker.write(full).await.is_err());
        assert_eq!(insert(&worker, 2).await, Err(ErrorKind::Broken));
        assert_eq!(count(&worker).await, Err(ErrorKind::Broken));
    }

    #[tokio::test]
    async fn a_thread_that_panicked_answers_nobody() {
        let worker = worker();
        let panics = |_: &Connection| -> Result<(), Error> { panic!("a bug") };
        let error = worker.read(panics).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(count(&worker).await, Err(ErrorKind::Closed));
    }
}
