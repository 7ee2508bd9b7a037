//! The journal: entries, tree and signed head, changed in one transaction or not at all.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::Value;
use tollbook_exchange::{ExchangeId, ResponseShape, SessionId};
use tollbook_ledger::{
    Checkpoint, ContentDigest, Frontier, Header, Leaf, SigningKey, VerifierKey, leaf_hash,
};

use crate::{
    Config, Error, ErrorKind,
    database::{self, signed, unsigned},
    envelope,
    folder::Folder,
    queue::{Entry, Job, Part},
};

/// The journal as its one writer sees it.
pub(crate) struct Journal {
    connection: Connection,
    tree: Frontier,
    key: SigningKey,
}

impl Journal {
    /// Opens the journal of a folder, and begins one in a folder that has none.
    pub(crate) fn open(folder: &Folder, config: &Config) -> Result<Self, Error> {
        let connection = database::open(&folder.journal()?, config.limit)?;
        let head: Option<(i64, Vec<u8>, String)> = connection
            .query_row("SELECT size, frontier, note FROM head", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let last: Option<i64> =
            connection.query_row("SELECT max(seq) FROM entry", [], |row| row.get(0))?;
        let new = head.is_none() && last.is_none();
        let mut journal = Self {
            connection,
            tree: Frontier::new(),
            key: folder.key(&config.origin, new)?,
        };
        if new {
            // Even an empty book has a signed head.
            journal.append(&[])?;
        } else {
            let (size, frontier, note) = head.ok_or(ErrorKind::Corrupt)?;
            journal.tree = Frontier::from_bytes(&frontier).map_err(corrupt)?;
            journal.check(size, last, &note)?;
        }
        Ok(journal)
    }

    /// Writes jobs and the head over them. Durable when this returns.
    ///
    /// After an error the journal must not be used again: what a failed sync left on the disk is
    /// unknown, and the next one would not tell.
    pub(crate) fn append(&mut self, jobs: &[Job]) -> Result<(), Error> {
        let mut tree = self.tree.clone();
        let write = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for job in jobs {
            for entry in &job.entries {
                append_entry(&write, &mut tree, entry)?;
            }
            for part in &job.parts {
                append_part(&write, part)?;
            }
        }
        let note = Checkpoint::of(self.key.name(), &tree)
            .sign(&self.key)
            .map_err(corrupt)?;
        write
            .prepare_cached(
                "INSERT INTO head (one, size, frontier, note) VALUES (1, ?1, ?2, ?3)
                 ON CONFLICT (one) DO UPDATE SET size = ?1, frontier = ?2, note = ?3",
            )?
            .execute(params![signed(tree.size())?, tree.to_bytes(), note])?;
        write.commit()?;
        self.tree = tree;
        Ok(())
    }

    /// Closes the exchanges that an earlier recorder left open: nobody knows how they ended.
    pub(crate) fn sweep(&mut self) -> Result<u64, Error> {
        let mut swept = 0;
        loop {
            let open: Vec<(ExchangeId, SessionId, Vec<u8>)> = self
                .connection
                .prepare(
                    "SELECT id, session, envelope FROM exchange JOIN entry ON seq = intent
                     WHERE closed IS NULL ORDER BY intent LIMIT 256",
                )?
                .query_map([], |row| {
                    let (id, session) = (row.get(0)?, row.get(1)?);
                    Ok((
                        ExchangeId::from_bytes(id),
                        SessionId::from_bytes(session),
                        row.get(2)?,
                    ))
                })?
                .collect::<Result<_, _>>()?;
            if open.is_empty() {
                return Ok(swept);
            }
            let mut job = Job::default();
            for (id, session, asked) in &open {
                job.entries.push(self.abandoned(*id, *session, asked)?);
            }
            swept += open.len() as u64;
            self.append(&[job])?;
        }
    }

    /// The number of entries.
    pub(crate) const fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn verifier_key(&self) -> VerifierKey {
        self.key.verifier_key()
    }

    fn abandoned(&self, id: ExchangeId, session: SessionId, asked: &[u8]) -> Result<Entry, Error> {
        let asked: Value = serde_json::from_slice(asked).map_err(corrupt)?;
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|_| ErrorKind::Random)?;
        let mut digest = ContentDigest::new(&salt);
        let mut shape = ResponseShape::Body;
        let mut parts = self.connection.prepare_cached(
            "SELECT kind, at, data FROM part WHERE exchange = ?1 AND kind <> 0
             ORDER BY kind, ordinal",
        )?;
        let mut parts = parts.query([id.as_bytes()])?;
        while let Some(part) = parts.next()? {
            shape = shape_of(part.get(0)?);
            let data = part.get_ref(2)?.as_blob().map_err(corrupt)?;
            digest.part(unsigned(part.get(1)?)?, data);
        }
        envelope::abandoned(&asked, session, salt, shape, &digest)
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

/// How the parts of a body are numbered by kind.
pub(crate) const REQUEST: i64 = 0;

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

fn append_entry(write: &Transaction<'_>, tree: &mut Frontier, entry: &Entry) -> Result<(), Error> {
    let sequence = tree.size();
    let header = Header {
        kind: entry.kind,
        sequence,
        time: entry.time,
        exchange: *entry.exchange.as_bytes(),
        session: *entry.session.as_bytes(),
    };
    let leaf = Leaf::seal(header, &entry.salt, &entry.envelope).to_bytes();
    tree.append(leaf_hash(&leaf));
    write
        .prepare_cached("INSERT INTO entry (seq, salt, envelope, leaf) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![signed(sequence)?, entry.salt, entry.envelope, leaf])?;
    entry.row.write(write, sequence)
}

fn append_part(write: &Transaction<'_>, part: &Part) -> Result<(), Error> {
    write
        .prepare_cached(
            "INSERT INTO part (exchange, kind, ordinal, at, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            part.exchange.as_bytes(),
            part.kind,
            signed(part.ordinal)?,
            signed(part.at)?,
            part.data.as_ref(),
        ])?;
    Ok(())
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(ErrorKind::Corrupt, error)
}
