//! The journal: entries, tree and signed head, changed in one transaction or not at all.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};
use serde_json::Value;
use tollbook_exchange::{ExchangeId, ResponseShape, SessionId, Timestamp};
use tollbook_ledger::{
    BOOK, Checkpoint, ContentDigest, Frontier, Header, Kind, Leaf, SigningKey, VerifierKey,
    leaf_hash,
};

use crate::{
    Config, Error, ErrorKind,
    anchor::{Anchor, Head, SharedHead},
    body::Recipe,
    database::{self, signed, unsigned},
    envelope::{self, Sealing},
    erasure::{self, empty},
    folder::Folder,
    keys::{KeyId, Keyring},
    opener::{Content, Opener, answer_key},
    queue::{Chunk, Entry, Job, StoredPack},
    scopes::{NewScope, Scopes, piece_id},
    sessions::Sessions,
    space::Space,
};

/// The journal as its one writer sees it.
pub(crate) struct Journal {
    connection: Connection,
    tree: Frontier,
    sessions: Sessions,
    key: SigningKey,
    /// The signed head; empty in a book that was not begun.
    note: String,
    /// What the anchor holds by now, and the book does not know yet.
    anchored: Option<SharedHead>,
    /// By how much the clock is ahead, as the book has it, and as it is to have it.
    doubt: [i64; 2],
    /// Keys that are destroyed while exchanges may be under way that hold them.
    gone: HashSet<KeyId>,
    period: u16,
    idle: Duration,
    opened: Instant,
    /// Whether a write that could not begin is tried again.
    waits: Option<Box<dyn Fn() -> bool + Send>>,
}

impl Journal {
    /// Opens the journal of a folder, and begins one in a folder that has none.
    ///
    /// A journal that is not the one that was anchored is refused before anything is written.
    pub(crate) fn open(
        folder: &Folder,
        config: &Config,
        anchor: Option<&Anchor>,
    ) -> Result<Self, Error> {
        let connection = database::open(&folder.journal()?, config.limit)?;
        let head: Option<(i64, Vec<u8>, String)> = connection
            .query_row("SELECT size, frontier, note FROM head", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let last: Option<i64> =
            connection.query_row("SELECT max(seq) FROM entry", [], |row| row.get(0))?;
        let new = head.is_none() && last.is_none();
        let doubt: Option<i64> = connection
            .query_row("SELECT ahead FROM clock", [], |row| row.get(0))
            .optional()?;
        let mut journal = Self {
            doubt: [doubt.unwrap_or_default(); 2],
            sessions: Sessions::load(&connection)?,
            connection,
            tree: Frontier::new(),
            note: String::new(),
            key: folder.key(&config.origin, new)?,
            anchored: None,
            gone: HashSet::new(),
            period: config.period(),
            idle: config.idle,
            opened: Instant::now(),
            waits: None,
        };
        if !new {
            let (size, frontier, note) = head.ok_or(ErrorKind::Corrupt)?;
            journal.tree = Frontier::from_bytes(&frontier).map_err(corrupt)?;
            journal.check(size, last, &note)?;
            journal.note = note;
        }
        if let Some(anchor) = anchor {
            journal.anchored = journal.compare(anchor.held())?.map(SharedHead::new);
        }
        Ok(journal)
    }

    /// Tries again to write where another holds the journal's lock for long, while this is true.
    pub(crate) fn wait_while(&mut self, waits: impl Fn() -> bool + Send + 'static) {
        self.waits = Some(Box::new(waits));
    }

    /// Writes that a recorder begins. Without it a new book has no signed head.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        let own = self.sessions.chain(&BOOK);
        let before = match own {
            Some(chain) => self.kind(chain.last)?,
            None => None,
        };
        self.write(vec![envelope::start(self.period, before, None)?])
    }

    /// Writes that a book begins in the place of one that could not be continued.
    pub(crate) fn begin_epoch(&mut self, epoch: &Value) -> Result<(), Error> {
        self.write(vec![envelope::start(self.period, None, Some(epoch))?])
    }

    /// The end of the log, for the anchor.
    pub(crate) fn head(&self) -> Head {
        Head {
            size: self.tree.size(),
            frontier: self.tree.to_bytes(),
            note: self.note.clone(),
        }
    }

    /// Notes what the anchor holds, with what is written next.
    pub(crate) fn note_anchored(&mut self, head: SharedHead) {
        self.anchored = Some(head);
    }

    /// By how many milliseconds the clock was ahead, where that was so much that it is doubted.
    pub(crate) const fn doubt(&self) -> i64 {
        self.doubt[1]
    }

    /// Notes that, with what is written next: zero where the clock is not doubted.
    pub(crate) const fn note_doubt(&mut self, ahead: i64) {
        self.doubt[1] = ahead;
    }

    /// Writes a heartbeat, and closes the sessions that have been idle.
    pub(crate) fn beat(&mut self) -> Result<(), Error> {
        let uptime = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let open = self.sessions.open();
        self.write(vec![envelope::heartbeat(self.period, open, uptime)?])?;
        let idle = i64::try_from(self.idle.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::now().as_micros().saturating_sub(idle);
        let idle = self.sessions.idle(since);
        for some in idle.chunks(MAX_CLOSED) {
            let closed = some
                .iter()
                .map(|(session, chain)| envelope::close(*session, chain));
            self.write(closed.collect::<Result<_, _>>()?)?;
        }
        Ok(())
    }

    /// Writes that the room on the disk is another.
    pub(crate) fn state(&mut self, space: Space, free: u64, refused: u64) -> Result<(), Error> {
        let entry = envelope::state(self.period, space.as_str(), free, refused)?;
        self.write(vec![entry])
    }

    /// Writes what else the recorder has to tell of itself.
    pub(crate) fn tell(&mut self, told: Vec<Value>) -> Result<(), Error> {
        let entries = told.into_iter();
        let entries = entries.map(|told| envelope::condition(self.period, told));
        self.write(entries.collect::<Result<_, _>>()?)
    }

    /// Writes that the recorder ends in good order.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.write(vec![envelope::stop(self.sessions.open())?])
    }

    fn write(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        self.append(&[Job {
            entries,
            ..Job::default()
        }])
    }

    /// Writes jobs and the head over them. Durable when this returns.
    ///
    /// After an error the journal must not be used again: what a failed sync left on the disk is
    /// unknown, and the next one would not tell.
    pub(crate) fn append(&mut self, jobs: &[Job]) -> Result<(), Error> {
        let mut tree = self.tree.clone();
        let write = loop {
            let begun = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate);
            match begun {
                Ok(write) => break write,
                // A checkpoint holds the lock for as long as the disk hangs. Nothing is written yet,
                // so that to try again is no harm; the deadline refuses those who wait meanwhile.
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && self.waits.as_ref().is_some_and(|waits| waits()) => {}
                Err(error) => return Err(error.into()),
            }
        };
        for job in jobs {
            if let Some(scope) = &job.scope {
                append_scope(&write, scope)?;
            }
            self.gone.extend(&job.gone);
            for entry in &job.entries {
                append_entry(&write, &mut tree, &mut self.sessions, entry)?;
                if entry.kind == Kind::Intent && self.gone.contains(&KeyId(entry.seal.key)) {
                    empty(&write, tree.size() - 1)?;
                }
            }
            if let Some(doomed) = &job.doomed {
                doomed.drop_in(&write)?;
            }
            for pack in &job.packs {
                append_pack(&write, pack)?;
            }
            for chunk in &job.chunks {
                append_chunk(&write, chunk)?;
            }
        }
        self.sessions.keep(&write)?;
        let note = Checkpoint::of(self.key.name(), &tree)
            .sign(&self.key)
            .map_err(corrupt)?;
        write
            .prepare_cached(
                "INSERT INTO head (one, size, frontier, note) VALUES (1, ?1, ?2, ?3)
                 ON CONFLICT (one) DO UPDATE SET size = ?1, frontier = ?2, note = ?3",
            )?
            .execute(params![signed(tree.size())?, tree.to_bytes(), note])?;
        if let Some(anchored) = self.anchored.take() {
            write
                .prepare_cached(
                    "INSERT INTO anchored (one, size, frontier) VALUES (1, ?1, ?2)
                     ON CONFLICT (one) DO UPDATE SET size = ?1, frontier = ?2",
                )?
                .execute(params![signed(anchored.size)?, anchored.frontier])?;
        }
        let [known, doubt] = self.doubt;
        if known != doubt {
            write
                .prepare_cached(
                    "INSERT INTO clock (one, ahead) VALUES (1, ?1)
                     ON CONFLICT (one) DO UPDATE SET ahead = ?1",
                )?
                .execute([doubt])?;
        }
        write.commit()?;
        self.doubt = [doubt; 2];
        self.note = note;
        self.tree = tree;
        Ok(())
    }

    /// Does what tombstones say that an earlier recorder could not do to its end, and what a copy of
    /// the keys that was put back undid.
    pub(crate) fn settle(&mut self, journal: &Path, keys: &Keyring) -> Result<(), Error> {
        let book = database::read(journal)?;
        let settled = erasure::settle(&book, keys, journal, |doomed| {
            self.append(&[Job {
                doomed: Some(doomed),
                ..Job::default()
            }])
        })?;
        let tombstones = settled.tombstones.len();
        if !settled.is_cut {
            // No reason not to record. The next erasure, retention or start does it again.
            tracing::warn!(
                tombstones,
                "somebody reads the book, so that what was erased is still in a write-ahead log"
            );
        } else if tombstones > 0 {
            tracing::warn!(tombstones, "destroyed what tombstones say");
        }
        Ok(())
    }

    /// Closes the exchanges that an earlier recorder left open: nobody knows how they ended.
    pub(crate) fn sweep(&mut self, scopes: &Scopes) -> Result<u64, Error> {
        let mut swept = 0;
        loop {
            let open: Vec<(Vec<u8>, Vec<u8>)> = self
                .connection
                .prepare(
                    "SELECT leaf, envelope FROM exchange JOIN entry ON seq = intent
                     WHERE closed IS NULL ORDER BY intent LIMIT 256",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            if open.is_empty() {
                return Ok(swept);
            }
            let mut jobs = Vec::with_capacity(open.len());
            for (leaf, asked) in &open {
                let leaf = Leaf::from_bytes(leaf)?;
                jobs.push(self.abandoned(&leaf.header, asked, scopes)?);
            }
            swept += open.len() as u64;
            self.append(&jobs)?;
        }
    }

    /// The number of entries.
    pub(crate) const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// When the last entry was written, if there is one.
    pub(crate) fn last_time(&self) -> Result<Option<i64>, Error> {
        let leaf: Option<Vec<u8>> = self
            .connection
            .query_row(
                "SELECT leaf FROM entry ORDER BY seq DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let leaf = leaf.map(|leaf| Leaf::from_bytes(&leaf)).transpose()?;
        Ok(leaf.map(|leaf| leaf.header.time))
    }

    pub(crate) fn verifier_key(&self) -> VerifierKey {
        self.key.verifier_key()
    }

    /// The kind of the entry at this index.
    fn kind(&self, index: u64) -> Result<Option<Kind>, Error> {
        let leaf: Option<Vec<u8>> = self
            .connection
            .query_row(
                "SELECT leaf FROM entry WHERE seq = ?1",
                [signed(index)?],
                |row| row.get(0),
            )
            .optional()?;
        let leaf = leaf.map(|leaf| Leaf::from_bytes(&leaf)).transpose()?;
        Ok(leaf.map(|leaf| leaf.header.kind))
    }

    /// Closes the exchange with this intent, as far as it can be opened: keys may be destroyed, or
    /// sealed to somebody who is not here.
    fn abandoned(&self, intent: &Header, asked: &[u8], scopes: &Scopes) -> Result<Job, Error> {
        let (id, key) = (
            ExchangeId::from_bytes(intent.exchange),
            KeyId(intent.seal.key),
        );
        let session = SessionId::from_bytes(intent.session);
        let mut opener = Opener::new(&self.connection, Ok(&scopes.keyring));
        let asked: Value = match opener.envelope(intent, None, asked)? {
            Content::Open(asked) => serde_json::from_slice(&asked.envelope).map_err(corrupt)?,
            _ => Value::Null,
        };
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|_| ErrorKind::Random)?;
        let mut digest = ContentDigest::new(&salt);
        let mut shape = ResponseShape::Body;
        let answered = answer_key(&self.connection, intent)?;
        let body = opener.answer(id, answered, &mut |kind, parts| {
            shape = shape_of(kind);
            parts.iter().for_each(|(at, data)| digest.part(*at, data));
            Ok(())
        })?;
        let is_open = matches!(body, Content::Open(()));
        // What nobody here can open is closed under keys of its own.
        let scope = match (scopes.keys(key), is_open) {
            (Some(keys), true) => (keys, None),
            _ => {
                let apart = scopes.apart(session)?;
                let row = apart.row(&mut apart.pieces());
                (apart.keys.clone(), row)
            }
        };
        let sealing = Sealing {
            keys: &scope.0,
            salt,
            recipe: Recipe::default(),
        };
        let body = is_open.then_some(&digest);
        let mut entry = envelope::abandoned(id, &asked, session, sealing, shape, body)?;
        entry.brought(&opener.stored_answer(id)?);
        Ok(Job {
            scope: scope.1,
            entries: vec![entry],
            ..Job::default()
        })
    }

    /// Refuses a journal that is not the one that was anchored. Gives the head that was.
    fn compare(&self, held: Option<&str>) -> Result<Option<Head>, Error> {
        let known: Option<(i64, Vec<u8>)> = self
            .connection
            .query_row("SELECT size, frontier FROM anchored", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some(held) = held else {
            // A book that begins to be anchored is as it is.
            return match known {
                Some(_) => Err(ErrorKind::AnchorLost.into()),
                None => Ok(None),
            };
        };
        let anchor = Checkpoint::open(held, &self.key.verifier_key())
            .map_err(|error| Error::because(ErrorKind::AnchorForeign, error))?;
        let (book, size) = (self.tree.size(), anchor.size);
        if book < size {
            return Err(ErrorKind::Behind { book, anchor: size }.into());
        }
        let fits = |from: Frontier| -> Result<Option<Head>, Error> {
            let tree = self.grow(from, size)?;
            let same = tree.size() == size && tree.root() == anchor.root;
            let head = Head {
                size,
                frontier: tree.to_bytes(),
                note: held.to_owned(),
            };
            // The tree that the book signed must be the one that grows out of the anchored one.
            let grown = same && self.grow(tree, book)?.root() == self.tree.root();
            Ok(grown.then_some(head))
        };
        if let Some((_, known)) = known
            && let Ok(known) = Frontier::from_bytes(&known)
            && known.size() <= size
            && let Some(head) = fits(known)?
        {
            return Ok(Some(head));
        }
        match fits(Frontier::new())? {
            Some(head) => Ok(Some(head)),
            None => Err(ErrorKind::Forked { anchor: size }.into()),
        }
    }

    /// The tree with the leaves that follow up to `size`.
    fn grow(&self, mut tree: Frontier, size: u64) -> Result<Frontier, Error> {
        let mut leaves = self
            .connection
            .prepare_cached("SELECT leaf FROM entry WHERE seq >= ?1 AND seq < ?2 ORDER BY seq")?;
        let mut leaves = leaves.query([signed(tree.size())?, signed(size)?])?;
        while let Some(leaf) = leaves.next()? {
            tree.append(leaf_hash(leaf.get_ref(0)?.as_blob().map_err(corrupt)?));
        }
        Ok(tree)
    }

    /// Refuses a journal whose head does not fit its key, its tree or its last entry.
    fn check(&self, size: i64, last: Option<i64>, note: &str) -> Result<(), Error> {
        let signed = Checkpoint::open(note, &self.key.verifier_key())
            .map_err(|error| Error::because(ErrorKind::Key, error))?;
        let fits = signed == Checkpoint::of(self.key.name(), &self.tree)
            && unsigned(size)? == self.tree.size()
            && last == size.checked_sub(1).filter(|last| *last >= 0);
        if fits {
            Ok(())
        } else {
            Err(ErrorKind::Corrupt.into())
        }
    }
}

/// As many sessions as are closed in one transaction.
const MAX_CLOSED: usize = 256;

/// The kind of the parts of a response.
pub(crate) const fn response_kind(shape: ResponseShape) -> i64 {
    match shape {
        ResponseShape::Events => 2,
        _ => 1,
    }
}

/// The shape of a response whose parts are of this kind.
pub(crate) const fn shape_of(kind: i64) -> ResponseShape {
    match kind {
        2 => ResponseShape::Events,
        _ => ResponseShape::Body,
    }
}

fn append_entry(
    write: &Transaction<'_>,
    tree: &mut Frontier,
    sessions: &mut Sessions,
    entry: &Entry,
) -> Result<(), Error> {
    let sequence = tree.size();
    let (exchange, session) = (*entry.exchange.as_bytes(), *entry.session.as_bytes());
    let header = Header {
        kind: entry.kind,
        period: entry.period,
        sequence,
        time: entry.time,
        exchange,
        session,
        link: sessions.link(write, entry.kind, &exchange, &session)?,
        seal: entry.seal,
    };
    let leaf = Leaf::of(header, &entry.salted).to_bytes();
    let hash = leaf_hash(&leaf);
    tree.append(hash);
    sessions.push(&header, hash);
    write
        .prepare_cached("INSERT INTO entry (seq, leaf, salt, envelope) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![signed(sequence)?, leaf, entry.salt, entry.envelope])?;
    match &entry.row {
        Some(row) => row.write(write, sequence, entry.brings),
        None => Ok(()),
    }
}

fn append_scope(write: &Transaction<'_>, scope: &NewScope) -> Result<(), Error> {
    write
        .prepare_cached(
            "INSERT INTO scope (number, key, session, holder, alone) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            signed(scope.number)?,
            scope.key.0,
            scope.session.as_bytes(),
            scope.holder,
            scope.alone,
        ])?;
    Ok(())
}

fn append_pack(write: &Transaction<'_>, pack: &StoredPack) -> Result<(), Error> {
    write
        .prepare_cached("INSERT INTO pack (id, pieces, addresses, data) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            piece_id(pack.scope, pack.number)?,
            pack.pieces,
            pack.addresses,
            pack.data,
        ])?;
    Ok(())
}

fn append_chunk(write: &Transaction<'_>, chunk: &Chunk) -> Result<(), Error> {
    write
        .prepare_cached("INSERT INTO part (exchange, kind, ordinal, data) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            chunk.exchange.as_bytes(),
            chunk.kind,
            signed(chunk.ordinal)?,
            chunk.data,
        ])?;
    Ok(())
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(ErrorKind::Corrupt, error)
}
