//! Scopes: what one principal does in one session, with keys of its own.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, params};
use tollbook_exchange::{Draft, ExchangeId, SessionId};

use crate::{
    Error, ErrorKind,
    body::{PACK_BYTES, Pack, Recipe, cut},
    database::{self, signed, unsigned},
    keys::{Class, Key, KeyId, Keyring, ScopeKeys},
    queue::StoredPack,
};

/// The scopes that exchanges are recorded in.
///
/// Those that were used lately are remembered, with the addresses of the pieces that they have.
/// The others are looked up in the book. A scope whose keys are gone, or that this recorder cannot
/// open, does not go on: what comes next has another.
pub(crate) struct Scopes {
    pub(crate) keyring: Keyring,
    /// For what the book knows of scopes that are not remembered.
    book: Mutex<Connection>,
    live: Mutex<Live>,
    /// Keys that exchanges were opened with and had no use for.
    spare: Mutex<Vec<ScopeKeys>>,
    clock: AtomicU64,
}

struct Live {
    scopes: HashMap<Owner, Arc<Scope>>,
    /// The number of the next scope.
    next: u64,
    /// Scopes that began since all pieces were counted.
    begun: usize,
    /// Scopes whose keys are to be destroyed: none of them goes on, also while the book and the keys
    /// do not say so yet.
    doomed: HashSet<KeyId>,
}

/// Session, and the keyed hash of the principal; zeros if nobody knows who asked.
type Owner = (SessionId, [u8; 32]);

/// A scope while exchanges are recorded in it.
pub(crate) struct Scope {
    /// Its number in the book.
    pub(crate) number: u64,
    pub(crate) keys: ScopeKeys,
    session: SessionId,
    holder: [u8; 32],
    /// Whether it is that of one exchange alone.
    alone: bool,
    /// What addresses are made with: pieces that are the same have the same one, here alone.
    address: Key,
    used: AtomicU64,
    pieces: Mutex<Pieces>,
}

/// The pieces that a scope has, or will have when what waits is written.
pub(crate) struct Pieces {
    /// Whether the book knows the scope, or will.
    is_written: bool,
    /// The number of the next piece.
    next: u32,
    known: HashMap<Address, u32>,
    /// In the order in which they came; the oldest are forgotten when there are too many.
    order: VecDeque<Address>,
}

/// The row of a scope that the book does not have yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewScope {
    pub(crate) number: u64,
    pub(crate) key: KeyId,
    pub(crate) session: SessionId,
    pub(crate) holder: [u8; 32],
    pub(crate) alone: bool,
}

/// A body that was cut, before its new pieces have their numbers.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    pub(crate) recipe: Recipe,
    packs: Vec<CutPack>,
}

#[derive(Debug)]
struct CutPack {
    /// Of each piece; none where there is nothing to share.
    addresses: Vec<Address>,
    pieces: u32,
    data: Vec<u8>,
}

type Address = [u8; ADDRESS];

impl Scopes {
    /// Those of the book whose journal this is.
    pub(crate) fn open(journal: &Path, keyring: Keyring) -> Result<Self, Error> {
        let book = database::read(journal)?;
        let next = book.query_row(
            "SELECT coalesce(max(number) + 1, 0) FROM scope",
            [],
            |row| row.get(0),
        )?;
        Ok(Self {
            keyring,
            live: Mutex::new(Live {
                scopes: HashMap::new(),
                next: unsigned(next)?,
                begun: 0,
                doomed: HashSet::new(),
            }),
            book: Mutex::new(book),
            spare: Mutex::default(),
            clock: AtomicU64::new(0),
        })
    }

    /// Keys for an exchange, in case that it begins a scope: so that it can be closed whatever comes.
    pub(crate) async fn reserve(&self) -> Result<ScopeKeys, Error> {
        let spare = lock(&self.spare).pop();
        match spare {
            Some(keys) => Ok(keys),
            None => self.keyring.fresh_async().await,
        }
    }

    /// Takes back keys that nobody used.
    pub(crate) fn give_back(&self, keys: ScopeKeys) {
        lock(&self.spare).push(keys);
    }

    /// The scope of an exchange, which is the one that it began with `reserved` if there was none.
    pub(crate) fn of(
        &self,
        exchange: ExchangeId,
        session: SessionId,
        draft: &Draft,
        reserved: &mut Option<ScopeKeys>,
    ) -> Result<Arc<Scope>, Error> {
        let holder = match &draft.principal {
            Some(principal) => self
                .keyring
                .subject(&principal.issuer, &principal.subject)?,
            None => [0; 32],
        };
        let alone = session == SessionId::alone(exchange);
        let mut live = lock(&self.live);
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some(scope) = live.scopes.get(&(session, holder)) {
            scope.used.store(now, Ordering::Relaxed);
            return Ok(Arc::clone(scope));
        }
        let stored = match alone {
            true => None,
            false => self.stored(session, holder, &live.doomed)?,
        };
        let scope = match stored {
            Some(scope) => scope,
            None => {
                let keys = reserved.take().ok_or(ErrorKind::Keys)?;
                let number = live.next;
                live.next += 1;
                Scope::new(number, keys, session, holder, alone)
            }
        };
        scope.used.store(now, Ordering::Relaxed);
        let scope = Arc::new(scope);
        if !alone {
            live.make_room();
            live.scopes.insert((session, holder), Arc::clone(&scope));
        }
        Ok(scope)
    }

    /// A scope for an entry that is written when nobody can open the scope of its exchange.
    pub(crate) fn apart(&self, session: SessionId) -> Result<Arc<Scope>, Error> {
        let keys = self.keyring.fresh()?;
        let mut live = lock(&self.live);
        let number = live.next;
        live.next += 1;
        Ok(Arc::new(Scope::new(number, keys, session, [0; 32], true)))
    }

    /// Lets no scope go on that has one of these keys: they are to be destroyed. What is under way
    /// in one is recorded to its end, under keys that are gone.
    pub(crate) fn end(&self, doomed: &HashSet<KeyId>) {
        let mut live = lock(&self.live);
        live.doomed.extend(doomed);
        live.scopes
            .retain(|_, scope| !doomed.contains(&scope.keys.id()));
    }

    /// The same for those of them in which nothing is under way or waits to be written. Returns the
    /// others, which go on.
    pub(crate) fn end_idle(&self, doomed: &HashSet<KeyId>) -> HashSet<KeyId> {
        let mut live = lock(&self.live);
        let busy: HashSet<KeyId> = (live.scopes.values())
            .filter(|scope| Arc::strong_count(scope) > 1)
            .map(|scope| scope.keys.id())
            .filter(|id| doomed.contains(id))
            .collect();
        let ended = |id: &KeyId| doomed.contains(id) && !busy.contains(id);
        live.doomed.extend(doomed.difference(&busy));
        live.scopes.retain(|_, scope| !ended(&scope.keys.id()));
        busy
    }

    /// Lets scopes go on after all whose keys stay, and forgets those whose keys are gone.
    pub(crate) fn spare(&self, keys: impl Iterator<Item = KeyId>) {
        let mut live = lock(&self.live);
        keys.for_each(|key| {
            live.doomed.remove(&key);
        });
    }

    /// How many scopes are kept in mind because their keys are to be destroyed.
    #[cfg(test)]
    pub(crate) fn doomed(&self) -> usize {
        lock(&self.live).doomed.len()
    }

    /// What the book has of the newest scope of this owner, if it can go on.
    fn stored(
        &self,
        session: SessionId,
        holder: [u8; 32],
        doomed: &HashSet<KeyId>,
    ) -> Result<Option<Scope>, Error> {
        let book = lock(&self.book);
        let found: Option<(i64, [u8; 16])> = book
            .prepare_cached(
                "SELECT number, key FROM scope WHERE session = ?1 AND holder = ?2 AND alone = 0
                 ORDER BY number DESC LIMIT 1",
            )?
            .query_row(params![session.as_bytes(), holder], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((number, id)) = found else {
            return Ok(None);
        };
        // Its keys may still be there.
        if doomed.contains(&KeyId(id)) {
            return Ok(None);
        }
        let Some(keys) = self.keys(KeyId(id)) else {
            return Ok(None);
        };
        let number = unsigned(number)?;
        let scope = Scope::new(number, keys, session, holder, false);
        lock(&scope.pieces).load(&book, number)?;
        Ok(Some(scope))
    }

    /// The keys of a scope, if all of them are there and can be opened.
    pub(crate) fn keys(&self, id: KeyId) -> Option<ScopeKeys> {
        let key = |class| self.keyring.key(id, class).ok().flatten();
        Some(ScopeKeys::of(
            id,
            [
                key(Class::Metadata)?,
                key(Class::Request)?,
                key(Class::Answer)?,
                key(Class::Rows)?,
            ],
        ))
    }
}

impl Live {
    /// Forgets the scopes that were used least lately and in which nothing is under way, if there
    /// are too many of them or of their pieces.
    fn make_room(&mut self) {
        self.begun += 1;
        if self.scopes.len() < MAX_SCOPES {
            // To count them takes the lock of each, while nobody else can begin a scope.
            if self.begun < COUNTED_EVERY {
                return;
            }
            self.begun = 0;
            let pieces = |scope: &Scope| lock(&scope.pieces).order.len();
            let sum: usize = self.scopes.values().map(|scope| pieces(scope)).sum();
            if sum < MAX_PIECES {
                return;
            }
        }
        let mut idle: Vec<(u64, Owner)> = (self.scopes.iter())
            .filter(|(_, scope)| Arc::strong_count(scope) == 1)
            .map(|(owner, scope)| (scope.used.load(Ordering::Relaxed), *owner))
            .collect();
        idle.sort_unstable_by_key(|(used, _)| *used);
        for (_, owner) in idle.iter().take(idle.len().div_ceil(2)) {
            self.scopes.remove(owner);
        }
    }
}

impl Scope {
    fn new(
        number: u64,
        keys: ScopeKeys,
        session: SessionId,
        holder: [u8; 32],
        alone: bool,
    ) -> Self {
        // Known to those alone who have the key for requests, and gone with it.
        let address = keys.key(Class::Request).mac(&[b"tollbook-address-v1"]);
        Self {
            number,
            address: Key::from_array(address),
            keys,
            session,
            holder,
            alone,
            used: AtomicU64::new(0),
            pieces: Mutex::new(Pieces {
                is_written: false,
                next: 0,
                known: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// Cuts a body, and seals what of it the scope does not have.
    ///
    /// What others hand over meanwhile is not known here, and stored twice then.
    pub(crate) fn cut(&self, body: &[u8]) -> Result<Cut, Error> {
        let mut taken = Cut::default();
        let mut filling = Filling::default();
        if self.alone {
            // Nothing will be like it in a scope that ends with it.
            for piece in body.chunks(PACK_BYTES) {
                taken.recipe.push(true, filling.pieces);
                filling.push(None, piece);
                self.seal(&mut filling, &mut taken)?;
            }
            return Ok(taken);
        }
        let mut own = HashMap::new();
        let pieces = cut(body);
        let addresses: Vec<Address> = pieces.iter().map(|piece| self.address(piece)).collect();
        let known: Vec<Option<u32>> = {
            let pieces = lock(&self.pieces);
            let known = addresses.iter().map(|address| pieces.known.get(address));
            known.map(Option::<&u32>::copied).collect()
        };
        for ((piece, address), known) in pieces.iter().zip(addresses).zip(known) {
            match (known, own.get(&address)) {
                (Some(number), _) => taken.recipe.push(false, number),
                (None, Some(number)) => taken.recipe.push(true, *number),
                (None, None) => {
                    own.insert(address, filling.pieces);
                    taken.recipe.push(true, filling.pieces);
                    filling.push(Some(address), piece);
                    if filling.pack.bytes() >= PACK_BYTES {
                        self.seal(&mut filling, &mut taken)?;
                    }
                }
            }
        }
        self.seal(&mut filling, &mut taken)?;
        Ok(taken)
    }

    /// To be held from when pieces get their numbers until they are handed to the writer: so that
    /// nothing is written before what it refers to.
    pub(crate) fn pieces(&self) -> MutexGuard<'_, Pieces> {
        lock(&self.pieces)
    }

    /// The row of the scope, if nobody handed it over before.
    pub(crate) fn row(&self, pieces: &mut Pieces) -> Option<NewScope> {
        let is_written = std::mem::replace(&mut pieces.is_written, true);
        (!is_written).then(|| NewScope {
            number: self.number,
            key: self.keys.id(),
            session: self.session,
            holder: self.holder,
            alone: self.alone,
        })
    }

    /// Numbers the pieces of a body that are new. Returns the first number.
    pub(crate) fn number(
        &self,
        pieces: &mut Pieces,
        cut: Cut,
        to: &mut Vec<StoredPack>,
    ) -> Result<(u32, u32), Error> {
        let first = pieces.next;
        for CutPack {
            addresses,
            pieces: count,
            data,
        } in cut.packs
        {
            let number = pieces.next;
            // What no session comes to: four thousand million pieces.
            pieces.next = number.checked_add(count).ok_or(ErrorKind::Corrupt)?;
            for (address, number) in addresses.iter().zip(number..) {
                pieces.learn(*address, number);
            }
            to.push(StoredPack {
                scope: self.number,
                number,
                pieces: count,
                addresses: addresses.concat(),
                data,
            });
        }
        Ok((first, pieces.next - first))
    }

    fn seal(&self, filling: &mut Filling, to: &mut Cut) -> Result<(), Error> {
        let Filling {
            pack, addresses, ..
        } = filling;
        if pack.len() == 0 {
            return Ok(());
        }
        let (pack, addresses) = (std::mem::take(pack), std::mem::take(addresses));
        let key = self.keys.key(Class::Request);
        to.packs.push(CutPack {
            data: pack.seal(key, self.keys.id(), &addresses.concat())?,
            pieces: u32::try_from(pack.len()).map_err(|_| ErrorKind::Corrupt)?,
            addresses,
        });
        Ok(())
    }

    fn address(&self, piece: &[u8]) -> Address {
        let mut address = [0; ADDRESS];
        address.copy_from_slice(&self.address.mac(&[piece])[..ADDRESS]);
        address
    }
}

/// A pack that is being filled.
#[derive(Default)]
struct Filling {
    pack: Pack,
    addresses: Vec<Address>,
    /// New pieces of the body so far, also in packs before this one.
    pieces: u32,
}

impl Filling {
    fn push(&mut self, address: Option<Address>, piece: &[u8]) {
        self.pack.push(piece);
        self.addresses.extend(address);
        self.pieces = self.pieces.saturating_add(1);
    }
}

impl Pieces {
    fn learn(&mut self, address: Address, number: u32) {
        if self.known.insert(address, number).is_none() {
            self.order.push_back(address);
        }
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Learns what the book has: where numbers go on, and the newest pieces.
    fn load(&mut self, book: &Connection, scope: u64) -> Result<(), Error> {
        let (first, end) = (piece_id(scope, 0)?, piece_id(scope + 1, 0)?);
        let mut packs = book.prepare_cached(
            "SELECT id, pieces, addresses FROM pack WHERE id >= ?1 AND id < ?2 ORDER BY id DESC",
        )?;
        let mut packs = packs.query([first, end])?;
        let mut newest = Vec::new();
        while let Some(pack) = packs.next()? {
            let number = pack.get::<_, i64>(0)? - first;
            let number = u32::try_from(number).map_err(|_| ErrorKind::Corrupt)?;
            let pieces: u32 = pack.get(1)?;
            if newest.is_empty() {
                self.next = number.checked_add(pieces).ok_or(ErrorKind::Corrupt)?;
            }
            let addresses = pack.get_ref(2)?.as_blob().map_err(|_| ErrorKind::Corrupt)?;
            let (addresses, _) = addresses.as_chunks::<ADDRESS>();
            let addresses = (number..).zip(addresses.iter().copied());
            let mut addresses: Vec<(u32, Address)> = addresses.collect();
            addresses.reverse();
            newest.extend(addresses);
            if newest.len() >= MAX_KNOWN {
                break;
            }
        }
        for (number, address) in newest.into_iter().rev() {
            self.learn(address, number);
        }
        self.is_written = true;
        Ok(())
    }
}

/// The row of the piece with this number, and of the pack that begins with it.
pub(crate) fn piece_id(scope: u64, piece: u32) -> Result<i64, Error> {
    let scope = signed(scope)?
        .checked_mul(1 << 32)
        .ok_or(ErrorKind::Corrupt)?;
    Ok(scope + i64::from(piece))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scopes").finish_non_exhaustive()
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

const ADDRESS: usize = 16;
/// Pieces that a scope remembers; of those before, nothing is shared any more.
const MAX_KNOWN: usize = 16 << 10;
/// Scopes that are remembered, and pieces in all of them: some thirty megabytes.
const MAX_SCOPES: usize = 4096;
const COUNTED_EVERY: usize = 64;
const MAX_PIECES: usize = 512 << 10;
