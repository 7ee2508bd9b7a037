//! Opening what is stored sealed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tollbook_exchange::ExchangeId;
use tollbook_ledger::{Hash, Header, SealedDigest};

use crate::{
    Error, ErrorKind, blob,
    body::{Opened, Pack, Part, Recipe, Run, open_chunk},
    database::{signed, unsigned},
    erased::Tombstones,
    keys::{Class, Key, KeyId, Keyring},
    queue::{Brings, pack_digest},
    recording::PACKS,
    scopes::piece_id,
};

/// What was sealed, if it can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content<T> {
    Open(T),
    /// The key was destroyed.
    Erased,
    /// The key is not to be had here, for this reason.
    Closed(ErrorKind),
}

/// Takes the parts of a chunk, with their kind.
type TakeParts<'a> = &'a mut dyn FnMut(i64, &[Part]) -> Result<(), Error>;

/// Opens envelopes and bodies of a book, with the keys that there are.
///
/// It remembers keys and packs, within bounds: do not keep it for longer than one look at the book.
pub(crate) struct Opener<'a> {
    book: &'a Connection,
    /// Or why there is none.
    keyring: Result<&'a Keyring, ErrorKind>,
    keys: HashMap<(KeyId, Class), Content<Key>>,
    /// Keys that a tombstone names: they count as gone, also where they are still there.
    told: HashSet<(KeyId, Class)>,
    packs: HashMap<u64, BTreeMap<u32, Arc<Pack>>>,
    /// Bytes in them.
    bytes: usize,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(book: &'a Connection, keyring: Result<&'a Keyring, ErrorKind>) -> Self {
        Self {
            book,
            keyring,
            keys: HashMap::new(),
            told: HashSet::new(),
            packs: HashMap::new(),
            bytes: 0,
        }
    }

    /// An envelope with its salt: `salt` is that of an entry that is stored as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if the key does not open it.
    pub(crate) fn envelope(
        &mut self,
        header: &Header,
        salt: Option<&[u8]>,
        stored: &[u8],
    ) -> Result<Content<Opened>, Error> {
        if header.seal.is_plain() {
            let salt = salt.and_then(|salt| salt.try_into().ok());
            return Ok(Content::Open(Opened {
                salt: salt.ok_or(ErrorKind::Corrupt)?,
                recipe: Recipe::default(),
                envelope: stored.to_vec(),
            }));
        }
        if blob::is_stub(stored) {
            return Ok(Content::Erased);
        }
        let key = self.key(KeyId(header.seal.key), Class::Metadata);
        key.open(|key| Opened::open(key, header.kind, &header.exchange, &header.session, stored))
    }

    /// The body that an exchange was asked with, one piece after the other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if there is no such piece, or the key does not open it.
    pub(crate) fn request(
        &mut self,
        key: KeyId,
        brings: Brings,
        recipe: &Recipe,
        to: &mut dyn FnMut(&[u8]),
    ) -> Result<Content<()>, Error> {
        let key = match self.key(key, Class::Request) {
            Content::Open(opened) => (key, opened),
            Content::Erased => return Ok(Content::Erased),
            Content::Closed(why) => return Ok(Content::Closed(why)),
        };
        for Run { own, first, count } in recipe.runs() {
            let base = if *own { brings.first } else { 0 };
            let mut piece = base.checked_add(*first).ok_or(ErrorKind::Corrupt)?;
            let end = piece.checked_add(*count).ok_or(ErrorKind::Corrupt)?;
            while piece < end {
                let Some((number, pack)) = self.pack(&key, brings.scope, piece)? else {
                    return Ok(Content::Erased);
                };
                let within = usize::try_from(piece - number).map_err(|_| ErrorKind::Corrupt)?;
                let before = piece;
                for bytes in (within..).map_while(|n| pack.get(n)) {
                    if piece == end {
                        break;
                    }
                    to(bytes);
                    piece += 1;
                }
                if piece == before {
                    return Err(ErrorKind::Corrupt.into());
                }
            }
        }
        Ok(Content::Open(()))
    }

    /// The answer, chunk by chunk, with the kind of its parts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if the key does not open it, and those of `to`.
    pub(crate) fn answer(
        &mut self,
        exchange: ExchangeId,
        (key, class): (KeyId, Class),
        to: TakeParts<'_>,
    ) -> Result<Content<()>, Error> {
        let mut chunks = self.book.prepare_cached(CHUNKS)?;
        let mut chunks = chunks.query([exchange.as_bytes()])?;
        while let Some(chunk) = chunks.next()? {
            let kind: i64 = chunk.get(0)?;
            let ordinal = unsigned(chunk.get(1)?)?;
            let data = blob_of(chunk, 2)?;
            if blob::is_stub(data) {
                return Ok(Content::Erased);
            }
            match self.key(key, class) {
                Content::Open(key) => to(kind, &open_chunk(&key, exchange, kind, ordinal, data)?)?,
                Content::Erased => return Ok(Content::Erased),
                Content::Closed(why) => return Ok(Content::Closed(why)),
            }
        }
        Ok(Content::Open(()))
    }

    /// The digest over the stored answer, for a leaf's seal.
    pub(crate) fn stored_answer(&self, exchange: ExchangeId) -> Result<SealedDigest, Error> {
        stored_answer(self.book, exchange.as_bytes())
    }

    /// The keyed hash of a subject, if there are keys.
    pub(crate) fn subject(&self, issuer: &str, subject: &str) -> Option<[u8; 32]> {
        self.keyring.as_ref().ok()?.subject(issuer, subject).ok()
    }

    /// From here on opens nothing with this key that the tombstones say was destroyed. They are
    /// written first, so for a while the key and what it opens are still there; whoever took that
    /// for what is recorded would keep it, for nothing tells of it a second time.
    pub(crate) fn heed(&mut self, tombstones: &Tombstones, id: KeyId) {
        let told = Class::ALL.into_iter();
        let told = told.filter(|class| tombstones.of(id, *class).is_some());
        self.told.extend(told.map(|class| (id, class)));
    }

    /// The key of a scope for a class.
    pub(crate) fn key(&mut self, id: KeyId, class: Class) -> Content<Key> {
        if self.told.contains(&(id, class)) {
            return Content::Erased;
        }
        if let Some(known) = self.keys.get(&(id, class)) {
            return known.clone();
        }
        let found = match &self.keyring {
            Ok(keyring) => match keyring.key(id, class) {
                Ok(Some(key)) => Content::Open(key),
                Ok(None) => Content::Erased,
                Err(error) => Content::Closed(error.kind().clone()),
            },
            Err(why) => Content::Closed(why.clone()),
        };
        if self.keys.len() >= MAX_KEYS {
            self.keys.clear();
        }
        self.keys.insert((id, class), found.clone());
        found
    }

    /// The pack that has this piece, with the number of its first. `None` if it was dropped.
    fn pack(
        &mut self,
        (id, key): &(KeyId, Key),
        scope: u64,
        piece: u32,
    ) -> Result<Option<(u32, Arc<Pack>)>, Error> {
        let known = self.packs.get(&scope);
        if let Some((number, pack)) = known.and_then(|packs| packs.range(..=piece).next_back())
            && usize::try_from(piece - number).is_ok_and(|within| within < pack.len())
        {
            return Ok(Some((*number, Arc::clone(pack))));
        }
        let first = piece_id(scope, 0)?;
        let mut found = self.book.prepare_cached(
            "SELECT id, addresses, data FROM pack WHERE id BETWEEN ?1 AND ?2
             ORDER BY id DESC LIMIT 1",
        )?;
        let mut found = found.query([first, piece_id(scope, piece)?])?;
        let row = found.next()?.ok_or(ErrorKind::Corrupt)?;
        let number = u32::try_from(row.get::<_, i64>(0)? - first);
        let number = number.map_err(|_| ErrorKind::Corrupt)?;
        let (addresses, data) = (blob_of(row, 1)?, blob_of(row, 2)?);
        if blob::is_stub(data) {
            return Ok(None);
        }
        let pack = Arc::new(Pack::open(key, *id, addresses, data)?);
        if self.bytes > MAX_BYTES {
            self.packs.clear();
            self.bytes = 0;
        }
        self.bytes += pack.bytes();
        let packs = self.packs.entry(scope).or_default();
        packs.insert(number, Arc::clone(&pack));
        Ok(Some((number, pack)))
    }
}

impl<T> Content<T> {
    /// Opens with the key that this is.
    pub(crate) fn open<U>(
        self,
        open: impl FnOnce(&T) -> Result<U, Error>,
    ) -> Result<Content<U>, Error> {
        Ok(match self {
            Self::Open(key) => Content::Open(open(&key)?),
            Self::Erased => Content::Erased,
            Self::Closed(why) => Content::Closed(why),
        })
    }
}

/// The digest over all that an entry brought, as it is stored now; `None` for an entry that is stored
/// as it is. It takes no key.
pub(crate) fn stored(
    book: &Connection,
    header: &Header,
    envelope: &[u8],
) -> Result<Option<Hash>, Error> {
    if header.seal.is_plain() {
        return Ok(None);
    }
    let pieces = match header.kind {
        tollbook_ledger::Kind::Intent => match brings(book, header.sequence)? {
            Some(brings) => stored_request(book, brings)?,
            None => SealedDigest::new(),
        },
        _ => stored_answer(book, &header.exchange)?,
    };
    Ok(Some(pieces.finish(&blob::digest(&[], envelope))))
}

/// What the intent at this index brought.
pub(crate) fn brings(book: &Connection, intent: u64) -> Result<Option<Brings>, Error> {
    let row: Option<(i64, u32, u32)> = book
        .prepare_cached("SELECT scope, first, brought FROM exchange WHERE intent = ?1")?
        .query_row([signed(intent)?], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let brings = row.map(|(scope, first, count)| {
        Ok(Brings {
            scope: unsigned(scope)?,
            first,
            count,
        })
    });
    brings.transpose()
}

/// The key of the answer to the exchange of this outcome, and its class: that of the exchange's scope.
/// The outcome itself may have one of its own.
pub(crate) fn answer_key(book: &Connection, outcome: &Header) -> Result<(KeyId, Class), Error> {
    let found: Option<([u8; 16], String)> = book
        .prepare_cached(
            "SELECT key, protocol FROM exchange JOIN scope ON number = scope WHERE id = ?1",
        )?
        .query_row([outcome.exchange], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let own = || (KeyId(outcome.seal.key), Class::Answer);
    Ok(found.map_or_else(own, |(key, protocol)| {
        (KeyId(key), Class::of_answer(&protocol))
    }))
}

fn stored_request(book: &Connection, brings: Brings) -> Result<SealedDigest, Error> {
    let mut digest = SealedDigest::new();
    let Some(last) = brings.count.checked_sub(1) else {
        return Ok(digest);
    };
    let last = brings.first.checked_add(last).ok_or(ErrorKind::Corrupt)?;
    let base = piece_id(brings.scope, 0)?;
    let ids = params![
        piece_id(brings.scope, brings.first)?,
        piece_id(brings.scope, last)?
    ];
    let mut packs = book.prepare_cached(
        "SELECT id, pieces, addresses, data FROM pack WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let mut packs = packs.query(ids)?;
    while let Some(pack) = packs.next()? {
        let number = unsigned(pack.get::<_, i64>(0)? - base)?;
        let stored = pack_digest(pack.get(1)?, blob_of(pack, 2)?, blob_of(pack, 3)?);
        digest.piece(PACKS, number, &stored);
    }
    Ok(digest)
}

fn stored_answer(book: &Connection, exchange: &[u8; 16]) -> Result<SealedDigest, Error> {
    let mut digest = SealedDigest::new();
    let mut chunks = book.prepare_cached(CHUNKS)?;
    let mut chunks = chunks.query([exchange])?;
    while let Some(chunk) = chunks.next()? {
        let kind = u8::try_from(chunk.get::<_, i64>(0)?).unwrap_or(u8::MAX);
        let ordinal = unsigned(chunk.get(1)?)?;
        digest.piece(kind, ordinal, &blob::digest(&[], blob_of(chunk, 2)?));
    }
    Ok(digest)
}

fn blob_of<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], Error> {
    let blob = row.get_ref(column)?.as_blob();
    blob.map_err(|error| Error::because(ErrorKind::Corrupt, error))
}

const CHUNKS: &str = "SELECT kind, ordinal, data FROM part WHERE exchange = ?1
     ORDER BY kind, ordinal";
const MAX_KEYS: usize = 4096;
/// Bytes of packs that are remembered, so that a history is not opened anew at every turn.
const MAX_BYTES: usize = 64 << 20;
