//! The keys that what is recorded is sealed under, and their end.
//!
//! ```text
//! top key        a file, or a program that keeps it elsewhere
//!  └ tenant key  wraps the scopes' keys; another one after each rotation
//!     └ scope    what one principal does in one session: a key each for metadata, request, answer, rows
//! ```
//!
//! All keys are random and wrapped, never derived from one another: what is derived cannot be
//! destroyed alone. They lie in `keys.db` beside the journal, in a database of their own, because
//! what must be forgotten must not be in the backups of what must be kept. A copy of it that is put
//! back after an erasure has keys in it that were destroyed: [`Keyring::erased`] tells how old it
//! is, and the book's tombstones which ones they are.
//!
//! A fresh key is durable before anybody has it. So there is never an entry in the journal whose key
//! a power cut took.

mod command;
mod key;
mod pool;
mod recipient;
mod source;
mod store;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

pub use command::KeyCommand;
pub use recipient::{Recipient, RecipientError};
pub use source::KeySource;

pub(crate) use key::{CLASSES, Class, Key, KeyId, ScopeKeys};
pub(crate) use source::BOOK_KEY;
pub(crate) use store::FILES;

use crate::{Config, Error, ErrorKind, folder::Folder};
use key::{DESTROYED, Wrapped};
use pool::Pool;
use recipient::Identity;
use store::{Ring, Scope, Store};

/// The keys of a book, as its recorder or a reader has them.
pub(crate) struct Keyring {
    inner: Arc<Inner>,
    /// Where fresh keys come from; readers make none.
    pool: Option<Pool>,
}

struct Inner {
    folder: PathBuf,
    store: Mutex<Store>,
    ring: RwLock<Option<OpenRing>>,
    recipient: Option<Recipient>,
    identity: Option<Identity>,
}

/// The ring, unwrapped.
#[derive(Clone)]
struct OpenRing {
    id: [u8; 16],
    tenant: Key,
    lookup: Key,
}

impl Keyring {
    /// Opens the keys in a folder for its recorder, and makes them if the book is `new`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeysMissing`] for an older book without keys: nothing takes their place. Those
    /// of the top key, when it is another one or not to be had.
    pub(crate) fn open(folder: &Path, source: &KeySource, new: bool) -> Result<Self, Error> {
        let store = match (Store::exists(folder), new) {
            (true, _) => Store::open(folder)?,
            (false, true) => {
                source.create(folder)?;
                let ring = OpenRing::random()?;
                Store::create(folder, source.word(), &ring.wrap(folder, source)?)?
            }
            (false, false) => return Err(ErrorKind::KeysMissing.into()),
        };
        let wrapped = store.ring()?;
        let ring = OpenRing::unwrap(folder, source, &wrapped)?;
        source.settle(folder, &wrapped.id, &wrapped.tenant)?;
        let inner = Arc::new(Inner::new(folder, store, Some(ring), source)?);
        let pool = Pool::new({
            let inner = Arc::clone(&inner);
            move |count| inner.make(count)
        })?;
        Ok(Self {
            inner,
            pool: Some(pool),
        })
    }

    /// Opens the keys in a folder to read what is sealed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn read(folder: &Path, source: &KeySource) -> Result<Self, Error> {
        if !Store::exists(folder) {
            return Err(ErrorKind::KeysMissing.into());
        }
        let store = Store::read(folder)?;
        let ring = match OpenRing::unwrap(folder, source, &store.ring()?) {
            Ok(ring) => Some(ring),
            // Whoever has the identity alone reads what was sealed to it.
            Err(_) if source.identity().is_some() => None,
            Err(error) => return Err(error),
        };
        let inner = Arc::new(Inner::new(folder, store, ring, source)?);
        Ok(Self { inner, pool: None })
    }

    /// Keys that nobody has yet, durable. Blocks in the rare case that none is ready.
    ///
    /// # Errors
    ///
    /// When none can be made: then nothing may be recorded that would need them.
    pub(crate) fn fresh(&self) -> Result<ScopeKeys, Error> {
        self.pool.as_ref().ok_or(ErrorKind::Keys)?.take()
    }

    /// Why no fresh keys can be made any more, if that is so.
    pub(crate) fn broken(&self) -> Option<Arc<str>> {
        self.pool.as_ref().and_then(Pool::broken)
    }

    /// As [`fresh`](Self::fresh), for async code.
    pub(crate) async fn fresh_async(&self) -> Result<ScopeKeys, Error> {
        self.pool
            .as_ref()
            .ok_or(ErrorKind::Keys)?
            .take_async()
            .await
    }

    /// The key of a scope for a class; `None` if it was destroyed.
    ///
    /// # Errors
    ///
    /// When it is not to be had: [`ErrorKind::KeysMissing`] if the keys are older than the book,
    /// [`ErrorKind::KeySealed`] if it takes an identity, and others.
    pub(crate) fn key(&self, id: KeyId, class: Class) -> Result<Option<Key>, Error> {
        let scope = self.inner.store().scope(id)?;
        let scope = scope.ok_or(ErrorKind::KeysMissing)?;
        let wrapped = &scope.wrapped[usize::from(class.number())];
        if *wrapped == DESTROYED {
            return Ok(None);
        }
        let wrapping = self.inner.wrapping(&scope)?;
        let key = wrapping.unwrap(&[&id.0, &[class.number()]], wrapped);
        key.map(Some).ok_or_else(|| {
            Error::because(
                ErrorKind::Keys,
                "a key is not what was wrapped in its place",
            )
        })
    }

    /// Destroys keys of a scope, of which nothing is noted.
    #[cfg(test)]
    pub(crate) fn destroy(&self, id: KeyId, classes: &[Class]) -> Result<(), Error> {
        self.destroy_all(&[(id, classes.to_vec())])?;
        self.forget_log().map(|cut| assert!(cut))
    }

    /// Destroys keys. Durable when this returns. What they were may still be in the write-ahead log:
    /// then it is [to be cut](Self::forget_log).
    ///
    /// # Errors
    ///
    /// When they could not be destroyed: try again.
    pub(crate) fn destroy_all(&self, doomed: &[(KeyId, Vec<Class>)]) -> Result<(), Error> {
        self.inner.store().destroy(doomed)
    }

    /// Cuts the write-ahead log of the keys. Whether that could be: it cannot while somebody reads.
    pub(crate) fn forget_log(&self) -> Result<bool, Error> {
        self.inner.store().forget_log()
    }

    /// Notes that all that the tombstones up to this entry of the log name is destroyed, and in no
    /// file any more.
    pub(crate) fn set_erased(&self, through: u64) -> Result<(), Error> {
        self.inner.store().set_erased(through)
    }

    /// The index of the first entry of the log of which it is not known here whether what it says
    /// was destroyed is. A copy of the keys that was put back knows of fewer.
    pub(crate) fn erased(&self) -> Result<u64, Error> {
        self.inner.store().erased()
    }

    /// The keyed hash by which the scopes of a subject are found. It tells nothing to those who have
    /// not the keys of the book.
    ///
    /// # Errors
    ///
    /// When there is no top key: an identity does not help here.
    pub(crate) fn subject(&self, issuer: &str, subject: &str) -> Result<[u8; 32], Error> {
        let length = u64::try_from(issuer.len())
            .unwrap_or(u64::MAX)
            .to_be_bytes();
        let parts = [
            b"subject\0",
            &length[..],
            issuer.as_bytes(),
            subject.as_bytes(),
        ];
        let ring = self.inner.ring.read();
        let ring = ring.unwrap_or_else(PoisonError::into_inner);
        let lookup = &ring.as_ref().ok_or(ErrorKind::TopKey)?.lookup;
        Ok(lookup.mac(&parts))
    }

    /// Puts a new tenant key in the place of the one that is, under a new top key where `to` is one
    /// that can be made here, and wraps all keys anew. Copies of `keys.db` from before are of no use
    /// without the top key that they were wrapped under. Returns how many scopes were wrapped anew;
    /// those that are sealed to a recipient stay as they are.
    ///
    /// # Errors
    ///
    /// When the top key is not to be had or the keys cannot be written: then all is as before. Also
    /// when somebody reads the keys, so that their write-ahead log cannot be cut: then they are
    /// wrapped anew, and copies of that log have them as they were.
    pub(crate) fn rotate(&self, to: &KeySource) -> Result<u64, Error> {
        let mut held = self
            .inner
            .ring
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = held.as_ref().ok_or(ErrorKind::TopKey)?.clone();
        let new = OpenRing {
            lookup: old.lookup.clone(),
            ..OpenRing::random()?
        };
        let folder = &self.inner.folder;
        to.create_next(folder)?;
        let ring = Ring {
            tenant: to.wrap_next(folder, &new.id, &new.tenant)?,
            ..new.wrap_inner()?
        };
        let mut store = self.inner.store();
        let count = store.rotate(to.word(), &ring, |scope| {
            if !scope.sealed.is_empty() {
                return Ok(());
            }
            for class in Class::ALL {
                let number = class.number();
                let wrapped = &mut scope.wrapped[usize::from(number)];
                if *wrapped != DESTROYED {
                    let place: [&[u8]; 2] = [&scope.id.0, &[number]];
                    let key = old.tenant.unwrap(&place, wrapped).ok_or(ErrorKind::Keys)?;
                    *wrapped = new.tenant.wrap(&place, &key)?;
                }
            }
            Ok(())
        })?;
        // First of all: it is what the keys are wrapped under now, whatever comes next.
        *held = Some(new);
        to.settle_next(folder)?;
        match store.forget_log()? {
            true => Ok(count),
            false => Err(Error::because(
                ErrorKind::Keys,
                "the keys are wrapped anew; somebody reads them, so that what was wrapped before is \
                 still in their write-ahead log: rotate again",
            )),
        }
    }
}

/// Wraps the keys of a book anew, under a fresh tenant key and, where the top key is in a file, a
/// fresh one of those. `was` is where the top key was until now, if it moves to where `config` has it.
/// Returns how many scopes were wrapped anew. Blocks.
///
/// # Errors
///
/// When a recorder has the book open, or its keys cannot be opened or written: then all is as before.
pub fn rotate_keys(config: &Config, was: Option<&KeySource>) -> Result<u64, Error> {
    let folder = Folder::claim(&config.folder)?;
    let from = was.unwrap_or(&config.keys);
    Keyring::open(folder.path(), from, false)?.rotate(&config.keys)
}

impl Drop for Keyring {
    fn drop(&mut self) {
        if let Some(pool) = &mut self.pool {
            let unused = pool.close();
            // What stays takes room, and nothing else: whether a key was used only the journal knows, and
            // it may be older than the keys.
            if let Err(error) = self.inner.store().remove_unused(&unused) {
                tracing::warn!(%error, "keys that nobody used are left over");
            }
        }
    }
}

impl Inner {
    fn new(
        folder: &Path,
        store: Store,
        ring: Option<OpenRing>,
        source: &KeySource,
    ) -> Result<Self, Error> {
        Ok(Self {
            folder: folder.to_owned(),
            store: Mutex::new(store),
            ring: RwLock::new(ring),
            recipient: source.recipient().cloned(),
            identity: source.identity().map(Identity::read).transpose()?,
        })
    }

    /// Makes scopes' keys, durable.
    fn make(&self, count: usize) -> Result<Vec<ScopeKeys>, Error> {
        // Held until they are in the store, so that a rotation misses none.
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let ring = ring.as_ref().ok_or(ErrorKind::TopKey)?;
        let mut made = Vec::with_capacity(count);
        let mut scopes = Vec::with_capacity(count);
        for _ in 0..count {
            let keys = ScopeKeys::random()?;
            let id = keys.id();
            let (wrapping, sealed) = match &self.recipient {
                None => (ring.tenant.clone(), Vec::new()),
                Some(recipient) => {
                    let wrapping = Key::random()?;
                    let sealed = recipient.seal(&id.0, &wrapping)?;
                    (wrapping, sealed)
                }
            };
            let wrap = |class: Class| -> Result<Wrapped, Error> {
                wrapping.wrap(&[&id.0, &[class.number()]], keys.key(class))
            };
            scopes.push(Scope {
                id,
                sealed,
                wrapped: [
                    wrap(Class::Metadata)?,
                    wrap(Class::Request)?,
                    wrap(Class::Answer)?,
                    wrap(Class::Rows)?,
                ],
            });
            made.push(keys);
        }
        self.store().add(&scopes)?;
        Ok(made)
    }

    /// The key that the keys of a scope are wrapped under.
    fn wrapping(&self, scope: &Scope) -> Result<Key, Error> {
        if scope.sealed.is_empty() {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            return Ok(ring.as_ref().ok_or(ErrorKind::TopKey)?.tenant.clone());
        }
        let identity = self.identity.as_ref().ok_or(ErrorKind::KeySealed)?;
        identity.open(&scope.id.0, &scope.sealed).ok_or_else(|| {
            Error::because(ErrorKind::KeySealed, "it was sealed to another recipient")
        })
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenRing {
    fn random() -> Result<Self, Error> {
        Ok(Self {
            id: KeyId::random()?.0,
            tenant: Key::random()?,
            lookup: Key::random()?,
        })
    }

    fn wrap(&self, folder: &Path, source: &KeySource) -> Result<Ring, Error> {
        Ok(Ring {
            tenant: source.wrap(folder, &self.id, &self.tenant)?,
            ..self.wrap_inner()?
        })
    }

    /// The ring but for the tenant key.
    fn wrap_inner(&self) -> Result<Ring, Error> {
        Ok(Ring {
            id: self.id,
            tenant: Vec::new(),
            lookup: self
                .tenant
                .wrap(&[LOOKUP, &self.id], &self.lookup)?
                .to_vec(),
        })
    }

    fn unwrap(folder: &Path, source: &KeySource, ring: &Ring) -> Result<Self, Error> {
        let tenant = source.unwrap(folder, &ring.id, &ring.tenant)?;
        let lookup = tenant.unwrap(&[LOOKUP, &ring.id], &ring.lookup);
        Ok(Self {
            id: ring.id,
            lookup: lookup.ok_or(ErrorKind::TopKeyWrong)?,
            tenant,
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("folder", &self.inner.folder)
            .finish_non_exhaustive()
    }
}

const LOOKUP: &[u8] = b"lookup";

#[cfg(test)]
mod tests;
