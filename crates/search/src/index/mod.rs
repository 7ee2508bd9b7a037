//! The index: a file of its own beside the book, made from the book and made anew whenever it does
//! not fit. Nothing waits for it but those who search.

mod database;
mod fill;
mod find;
mod forget;
mod sessions;
mod texts;

pub use find::{Hit, Page, Snippet};
pub use forget::Forgotten;
pub use sessions::Session;

use std::{
    fmt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tollbook_budget::Prices;
use tollbook_exchange::Timestamp;
use tollbook_recording::{Reader, Retention};

use self::forget::Terms;
use crate::Error;

/// The search index of a book.
///
/// It holds the words of the book's masked texts, and its fields. It says which exchanges to look
/// at; what is told of them comes from the book. Every call blocks: from async code call it on a
/// thread for blocking work.
pub struct Index {
    connection: Mutex<Connection>,
    prices: Prices,
    retention: Retention,
    kept: bool,
}

/// What [`Index::catch_up`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caught {
    /// Exchanges that were taken in.
    pub exchanges: u64,
    /// Whether what was there did not fit the book and was made anew.
    pub rebuilt: bool,
    /// Exchanges whose records are damaged. They are found by what the lists of the book have of them.
    pub damaged: u64,
    /// Whether the file still has what was erased, because somebody reads in it: the next one to take
    /// something in tries again.
    pub left: bool,
}

impl Index {
    /// Opens the index of the book in this folder, or begins one: `search.db`, for its owner alone.
    ///
    /// An index that is damaged, or of another version, is begun anew. In a folder that cannot be
    /// written, such as a copy on a medium for reading, it is a temporary file that is gone with
    /// this.
    ///
    /// `prices` say what answers cost that are taken in from now on.
    ///
    /// # Errors
    ///
    /// When no file can be used, not even a temporary one.
    pub fn open(folder: impl AsRef<Path>, prices: Prices) -> Result<Self, Error> {
        let (connection, kept) = database::open(folder.as_ref())?;
        Ok(Self {
            connection: Mutex::new(connection),
            prices,
            retention: Retention::default(),
            kept,
        })
    }

    /// As [`open`](Self::open), with a new file and nothing in it.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn anew(folder: impl AsRef<Path>, prices: Prices) -> Result<Self, Error> {
        database::remove(folder.as_ref());
        Self::open(folder, prices)
    }

    /// Has the words of texts forgotten when their time in the index is over: those of what is taken in
    /// from now on are not taken in any more then, and [`catch_up`](Self::catch_up) looks once a day for
    /// those that are there. Fields and numbers stay for as long as the book has them.
    #[must_use]
    pub fn retaining(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// Whether it is a file that the next one to search will find.
    pub const fn is_kept(&self) -> bool {
        self.kept
    }

    /// The prices it reckons with.
    pub const fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Takes in what the book has and the index has not, and forgets what was erased from the book:
    /// of that nothing is left in the file. Several processes may do so at once.
    ///
    /// # Errors
    ///
    /// When the book cannot be read or the index not be written. [`ErrorKind::Locked`] when the book's
    /// keys do not open a record: it is not passed over, so that it is found when the keys are there.
    ///
    /// [`ErrorKind::Locked`]: crate::ErrorKind::Locked
    pub fn catch_up(&self, book: &Reader) -> Result<Caught, Error> {
        self.catch_up_by(book, u64::MAX)
    }

    /// As [`catch_up`](Self::catch_up), but takes in no more than so many entries, in steps of a
    /// thousand.
    ///
    /// # Errors
    ///
    /// Those of [`catch_up`](Self::catch_up).
    pub fn catch_up_by(&self, book: &Reader, entries: u64) -> Result<Caught, Error> {
        let terms = Terms::now(&self.retention);
        fill::catch_up(&mut self.lock(), book, (&self.prices, terms), entries)
    }

    /// Forgets what was erased from the book since something was taken in last, and takes nothing in:
    /// it needs no keys. Tells whether nothing of it is left in the file; if something is, because
    /// somebody reads in it, try again.
    ///
    /// What the book still has of an exchange of which something was erased is found again after
    /// [`catch_up`](Self::catch_up).
    ///
    /// # Errors
    ///
    /// When the book cannot be read or the index not be written.
    pub fn forget_erased(&self, book: &Reader) -> Result<bool, Error> {
        fill::forget_erased(&mut self.lock(), book)
    }

    /// How many entries of the book's log were not taken in yet.
    ///
    /// # Errors
    ///
    /// When book or index cannot be read.
    pub fn behind(&self, book: &Reader) -> Result<u64, Error> {
        Ok(book.size()?.saturating_sub(fill::cursor(&self.lock())?))
    }

    /// Forgets one exchange, of which this is the index of the first entry: it is not found any
    /// more. What stood in the file may stand there until the index is made [`anew`](Self::anew),
    /// which whoever erases something from the book does afterwards.
    ///
    /// # Errors
    ///
    /// When the index cannot be written.
    pub fn forget(&self, index: u64) -> Result<(), Error> {
        fill::forget(&mut self.lock(), index)
    }

    /// Forgets the words whose time in the index is over, as [`retaining`](Self::retaining) says. Tells
    /// of what it took out, and whether nothing of it is left in the file; if something is, because
    /// somebody reads in it, try again.
    ///
    /// # Errors
    ///
    /// When the index cannot be written.
    pub fn forget_words(&self) -> Result<(Forgotten, bool), Error> {
        let mut index = self.lock();
        let forgotten = forget::forget(&mut index, Terms::now(&self.retention))?;
        Ok((forgotten, fill::is_clean(&index)?))
    }

    /// What [`forget_words`](Self::forget_words) would take out now.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn would_forget(&self) -> Result<Forgotten, Error> {
        Ok(forget::due(&self.lock(), Terms::now(&self.retention))?.1)
    }

    /// Until when exchanges ended whose words were forgotten, or never taken in, because their time in
    /// the index was over: a text that was said until then may not be found.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn forgotten_until(&self) -> Result<Option<Timestamp>, Error> {
        forget::until(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}
