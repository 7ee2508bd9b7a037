//! Which table's column stands behind a number, from the server's own catalog.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tollbook_wire_postgres::{Backend, Field, query};

use super::{Fault, Wire};

/// Asks a server for what a relation is, on a session of its own: the caller's may be in a transaction
/// that failed.
pub trait Lookup: Send + Sync + 'static {
    /// The relation of this number; none where the server knows none, such as one that a transaction has
    /// just made.
    fn relation(&self, number: u32) -> LookupFuture<'_>;
}

/// What [`Lookup::relation`] returns; boxed, because the upstream is chosen at run time.
pub type LookupFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Relation>, NoAnswer>> + Send + 'a>>;

/// The catalog cannot be asked at the moment.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server's catalog cannot be asked at the moment")]
pub struct NoAnswer;

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relation {
    /// Schema and name, of itself first, then of what it is a part of: a partition's table, a child's parent.
    pub names: Vec<(String, String)>,
    /// Whether it is a view: its columns may be others' under other names.
    pub view: bool,
    /// Its columns by their numbers.
    pub columns: BTreeMap<i16, String>,
}

/// What is known of an upstream's relations. A cheap handle, one for all sessions with it.
///
/// What was learned is forgotten after a minute, and when [`Catalog::forget`] is called, which a relay
/// does when a statement that changes tables went through it.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    lookup: Box<dyn Lookup>,
    known: Mutex<HashMap<u32, (Instant, Arc<Relation>)>>,
}

impl Catalog {
    /// A catalog that is asked in this way.
    pub fn new(lookup: impl Lookup) -> Self {
        Self(Arc::new(Inner {
            lookup: Box::new(lookup),
            known: Mutex::default(),
        }))
    }

    /// The relation of this number.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn relation(&self, number: u32) -> Result<Option<Arc<Relation>>, NoAnswer> {
        let known = self.known(|known| known.get(&number).cloned());
        if let Some((since, relation)) = known
            && since.elapsed() < KEPT
        {
            return Ok(Some(relation));
        }
        let Some(relation) = self.0.lookup.relation(number).await? else {
            return Ok(None);
        };
        let relation = Arc::new(relation);
        self.known(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(number, (Instant::now(), Arc::clone(&relation)));
        });
        Ok(Some(relation))
    }

    /// Forgets everything: tables may have changed.
    pub fn forget(&self) {
        self.known(HashMap::clear);
    }

    fn known<T>(&self, with: impl FnOnce(&mut HashMap<u32, (Instant, Arc<Relation>)>) -> T) -> T {
        with(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

/// Asks the catalog of the server at this wire, whose session has begun and does nothing.
///
/// # Errors
///
/// When the connection breaks, or the catalog cannot be read.
pub async fn ask<S>(wire: &mut Wire<S>, number: u32) -> Result<Option<Relation>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = format!(
        "WITH RECURSIVE up(number, depth) AS ( \
           SELECT {number}::pg_catalog.oid, 0 \
           UNION SELECT i.inhparent, up.depth + 1 FROM pg_catalog.pg_inherits i, up \
             WHERE i.inhrelid = up.number AND up.depth < 16) \
         SELECT 'r', n.nspname, c.relname, c.relkind::pg_catalog.text, up.depth \
           FROM up, pg_catalog.pg_class c, pg_catalog.pg_namespace n \
           WHERE c.oid = up.number AND n.oid = c.relnamespace \
         UNION ALL SELECT 'c', a.attname, a.attnum::pg_catalog.text, NULL, -1 \
           FROM pg_catalog.pg_attribute a WHERE a.attrelid = {number} AND NOT a.attisdropped \
         ORDER BY 5"
    );
    wire.outgoing.put(&query(&text)?);
    wire.outgoing.flush().await?;
    let mut relation = Relation::default();
    while let Some(frame) = wire.incoming.next().await? {
        match Backend::read(&frame)? {
            Backend::DataRow(cells) => {
                let cell = |cell: Option<&[u8]>| {
                    String::from_utf8_lossy(cell.unwrap_or_default()).into_owned()
                };
                let cells: Vec<String> = cells.iter().map(cell).collect();
                match cells.as_slice() {
                    [what, name, number, ..] if what == "c" => {
                        let number = number.parse().unwrap_or_default();
                        relation.columns.insert(number, name.clone());
                    }
                    [_, schema, name, kind, ..] => {
                        relation.view |= matches!(kind.as_str(), "v" | "m");
                        relation.names.push((schema.clone(), name.clone()));
                    }
                    _ => {}
                }
            }
            // The server ends the session, or has another protocol than is known here.
            Backend::Error(fields) if fields.field(Field::CODE) != Some("42P01") => {
                return Err(io::Error::other("the catalog cannot be read").into());
            }
            Backend::Ready(_) => {
                return Ok((!relation.names.is_empty()).then_some(relation));
            }
            _ => {}
        }
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

/// How long a relation is known.
const KEPT: Duration = Duration::from_secs(60);
/// How many relations are known at once.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_relation_is_asked_for_once_until_it_is_forgotten() {
        struct Counting(Arc<AtomicUsize>);
        impl Lookup for Counting {
            fn relation(&self, number: u32) -> LookupFuture<'_> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    match number {
                        1 => Ok(Some(Relation::default())),
                        2 => Ok(None),
                        _ => Err(NoAnswer),
                    }
                })
            }
        }
        let asked = Arc::new(AtomicUsize::new(0));
        let catalog = Catalog::new(Counting(Arc::clone(&asked)));
        for _ in 0..3 {
            assert!(catalog.relation(1).await.unwrap().is_some());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        catalog.forget();
        assert!(catalog.relation(1).await.unwrap().is_some());
        // What a transaction has just made is there for others when it ends.
        assert!(catalog.relation(2).await.unwrap().is_none());
        assert!(catalog.relation(2).await.unwrap().is_none());
        assert!(catalog.relation(3).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 5);
    }
}
