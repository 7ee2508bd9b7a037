//! The chain of each session: which record follows which, without gaps.

use std::{collections::HashMap, fmt};

use crate::{Hash, Header, Kind, evidence::id_to_text};

/// The session of the entries that the book writes about itself, such as heartbeats.
pub const BOOK: [u8; 16] = [0; 16];

/// Where a leaf stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of entries of the session before this one.
    pub ordinal: u64,
    /// The number of exchanges of the session that have no outcome after this entry; in the
    /// book's own entries, of all sessions.
    pub open: u32,
    /// The [`leaf_hash`](crate::leaf_hash) of the session's entry before this one; zeros in the
    /// first.
    pub previous: Hash,
}

/// The end of a session's chain so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of entries.
    pub entries: u64,
    /// The number of exchanges that were opened.
    pub exchanges: u64,
    /// How many of them have no outcome.
    pub open: u32,
    /// The hash of the last leaf.
    pub head: Hash,
    /// The index of the last leaf in the log.
    pub last: u64,
    /// Whether the last entry is one that closed the session.
    pub closed: bool,
}

impl Chain {
    /// A session without an entry.
    pub const fn new() -> Self {
        Self {
            entries: 0,
            exchanges: 0,
            open: 0,
            head: Hash([0; 32]),
            last: 0,
            closed: false,
        }
    }

    /// The link of the next entry, if that is of this kind. The book's own entries have another
    /// count of what is open.
    pub const fn next(&self, kind: Kind) -> Link {
        Link {
            ordinal: self.entries,
            open: match kind {
                Kind::Intent => self.open.saturating_add(1),
                Kind::Outcome => self.open.saturating_sub(1),
                _ => self.open,
            },
            previous: self.head,
        }
    }

    /// Goes on to the entry with this header and leaf hash.
    pub const fn push(&mut self, header: &Header, leaf: Hash) {
        self.entries = header.link.ordinal.saturating_add(1);
        self.open = header.link.open;
        self.head = leaf;
        self.last = header.sequence;
        self.closed = matches!(header.kind, Kind::Close);
        if matches!(header.kind, Kind::Intent) {
            self.exchanges = self.exchanges.saturating_add(1);
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

/// The chains of all sessions of a log, while one goes through it.
///
/// It remembers each session that has more than one exchange or could have: about a hundred bytes.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    sessions: HashMap<[u8; 16], (Chain, Trust)>,
    open: u32,
    /// Whether records are missing that the count of what is open would need.
    unsure: bool,
    /// How many entries were there that nobody could read, and that no session has shown to be its.
    unread: u64,
}

/// Whether the last entry of a chain was what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Good,
    Doubted,
}

/// What is wrong with a session's chain, seen at one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// Records of the session are missing before this one.
    Missing {
        /// The session.
        session: [u8; 16],
        /// The ordinal of the first one missing.
        first: u64,
        /// The ordinal of the last one missing.
        last: u64,
    },
    /// The record comes after one that it should come before.
    Order {
        /// The session.
        session: [u8; 16],
        /// The ordinal that should be here.
        expected: u64,
        /// The ordinal that is here.
        found: u64,
    },
    /// The record names another one before it than the one that is there.
    Previous {
        /// The session.
        session: [u8; 16],
    },
    /// The record counts other exchanges as open than those that are.
    Open {
        /// The session.
        session: [u8; 16],
    },
}

impl Chains {
    /// No entry so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on to the log's next entry that is what was signed.
    ///
    /// # Errors
    ///
    /// [`Broken`] when it is not the one that comes next in its session. Either way the chain goes
    /// on from here, so that what is wrong is told once.
    pub fn entry(&mut self, header: &Header, leaf: Hash) -> Result<(), Broken> {
        let (chain, trust) = self.chain(header);
        let mut found = self.judge(header, &chain, trust);
        if let Err(Broken::Missing { first, last, .. }) = found
            && last - first < self.unread
        {
            // Those before it are there, and their damage is told already.
            self.unread -= last - first + 1;
            found = Ok(());
        }
        self.unsure |= found.is_err();
        if !matches!(found, Err(Broken::Order { .. })) {
            self.push(header, leaf, chain, Trust::Good);
        }
        found
    }

    /// Goes on to an entry that is not what was signed. If it comes next in the session that it
    /// names it is taken for that one, and else for one that [cannot be read](Self::unread).
    pub fn doubt(&mut self, header: &Header, leaf: Hash) {
        let (chain, trust) = self.chain(header);
        if self.judge(header, &chain, trust).is_err() {
            return self.unread();
        }
        if chain.entries == 0 {
            // The name of its session may be what was changed.
            self.unread += 1;
        }
        self.unsure = true;
        self.push(header, leaf, chain, Trust::Doubted);
    }

    /// Notes that an entry is there that nobody can read. A session that lacks a record from here
    /// on is taken for its own, so that a record behind damage is not accused of a gap.
    pub const fn unread(&mut self) {
        self.unsure = true;
        self.unread += 1;
    }

    /// Notes that entries are missing here, of whatever sessions.
    pub const fn lost(&mut self) {
        self.unsure = true;
    }

    /// The chain of a session, as far as it is remembered.
    pub fn session(&self, id: &[u8; 16]) -> Option<&Chain> {
        self.sessions.get(id).map(|(chain, _)| chain)
    }

    /// The chains that are remembered: those of sessions that can have more than one exchange, the
    /// book's own, and those of exchanges that are open.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8; 16], &Chain)> {
        self.sessions.iter().map(|(id, (chain, _))| (id, chain))
    }

    /// The number of exchanges that have no outcome.
    pub const fn open(&self) -> u32 {
        self.open
    }

    fn chain(&self, header: &Header) -> (Chain, Trust) {
        let known = self.sessions.get(&header.session).copied();
        known.unwrap_or((Chain::new(), Trust::Good))
    }

    fn judge(&self, header: &Header, chain: &Chain, trust: Trust) -> Result<(), Broken> {
        let (session, found) = (header.session, header.link);
        let mut expected = chain.next(header.kind);
        if session == BOOK {
            expected.open = if self.unsure { found.open } else { self.open };
        }
        if found.ordinal > expected.ordinal {
            return Err(Broken::Missing {
                session,
                first: expected.ordinal,
                last: found.ordinal - 1,
            });
        }
        if found.ordinal < expected.ordinal {
            return Err(Broken::Order {
                session,
                expected: expected.ordinal,
                found: found.ordinal,
            });
        }
        if found.previous != expected.previous && trust == Trust::Good {
            return Err(Broken::Previous { session });
        }
        if found.open != expected.open && trust == Trust::Good {
            return Err(Broken::Open { session });
        }
        Ok(())
    }

    fn push(&mut self, header: &Header, leaf: Hash, mut chain: Chain, trust: Trust) {
        match header.kind {
            Kind::Intent => self.open = self.open.saturating_add(1),
            Kind::Outcome => self.open = self.open.saturating_sub(1),
            // What the book counted is right also where something before it is missing.
            _ if header.session == BOOK => {
                self.open = header.link.open;
                self.unsure = false;
            }
            _ => {}
        }
        chain.push(header, leaf);
        if header.is_alone() && chain.open == 0 {
            // Nothing comes after the outcome of the only exchange of a session.
            self.sessions.remove(&header.session);
        } else {
            self.sessions.insert(header.session, (chain, trust));
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                session,
                first,
                last,
            } => {
                let session = Named(session);
                if first == last {
                    write!(f, "record {first} of {session} is missing before this one")
                } else {
                    write!(
                        f,
                        "records {first} to {last} of {session} are missing before this one"
                    )
                }
            }
            Self::Order {
                session,
                expected,
                found,
            } => write!(
                f,
                "record {found} of {} stands where record {expected} belongs",
                Named(session)
            ),
            Self::Previous { session } => write!(
                f,
                "another record of {} stood before this one",
                Named(session)
            ),
            Self::Open { session } => write!(
                f,
                "the record counts other exchanges of {} as open than those that are",
                Named(session)
            ),
        }
    }
}

struct Named<'a>(&'a [u8; 16]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            BOOK => f.write_str("the book's own entries"),
            session => write!(f, "session {}", id_to_text(&session)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log's headers with their leaf hashes, of these sessions and kinds.
    fn log(entries: &[(u8, Kind)]) -> Vec<(Header, Hash)> {
        let (mut chains, mut log) = (Chains::new(), Vec::new());
        for (sequence, (session, kind)) in (0..).zip(entries) {
            let chain = chains.session(&[*session; 16]).copied().unwrap_or_default();
            let mut link = chain.next(*kind);
            if *session == 0 {
                link.open = chains.open();
            }
            let header = Header {
                kind: *kind,
                period: 0,
                sequence,
                time: 0,
                exchange: [99; 16],
                session: [*session; 16],
                link,
                seal: crate::Seal::PLAIN,
            };
            let hash = Hash([u8::try_from(sequence).unwrap() + 1; 32]);
            assert_eq!(chains.entry(&header, hash), Ok(()));
            log.push((header, hash));
        }
        log
    }

    fn found(log: &[(Header, Hash)]) -> Vec<Broken> {
        let mut chains = Chains::new();
        let entries = log.iter().map(|(header, hash)| chains.entry(header, *hash));
        entries.filter_map(Result::err).collect()
    }

    const SESSIONS: [(u8, Kind); 9] = [
        (0, Kind::Start),
        (1, Kind::Intent),
        (2, Kind::Intent),
        (1, Kind::Outcome),
        (1, Kind::Intent),
        (0, Kind::Heartbeat),
        (1, Kind::Outcome),
        (1, Kind::Close),
        (0, Kind::Stop),
    ];

    #[test]
    fn a_record_that_is_missing_is_named_by_the_next_of_its_session() {
        let log = log(&SESSIONS);
        assert_eq!(found(&log), []);
        for lost in 0..log.len() {
            let mut rest = log.clone();
            let (header, _) = rest.remove(lost);
            let later = log[lost + 1..].iter();
            let seen = later
                .clone()
                .any(|(next, _)| next.session == header.session);
            let named = found(&rest).iter().any(|broken| {
                let ordinal = header.link.ordinal;
                *broken
                    == Broken::Missing {
                        session: header.session,
                        first: ordinal,
                        last: ordinal,
                    }
            });
            assert_eq!(named, seen, "{lost}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_accuses_none_behind_it() {
        let log = log(&SESSIONS);
        for damaged in 0..log.len() {
            for field in 0..5 {
                let (mut chains, mut broken) = (Chains::new(), Vec::new());
                for (place, (header, hash)) in log.iter().enumerate() {
                    if place != damaged {
                        broken.extend(chains.entry(header, *hash).err());
                        continue;
                    }
                    let mut header = *header;
                    match field {
                        0 => {}
                        1 => header.session[3] ^= 4,
                        2 => header.link.ordinal ^= 1 << 9,
                        3 => header.link.open += 4,
                        _ => header.link.previous.0[0] ^= 1,
                    }
                    match field {
                        0 => chains.unread(),
                        _ => chains.doubt(&header, Hash([99; 32])),
                    }
                }
                assert_eq!(broken, [], "entry {damaged}, field {field}");
            }
        }
    }

    #[test]
    fn one_record_that_cannot_be_read_hides_no_two() {
        let log = log(&SESSIONS);
        let mut chains = Chains::new();
        chains.unread();
        let mut found = Vec::new();
        for (header, hash) in [&log[..3], &log[6..]].concat() {
            found.extend(chains.entry(&header, hash).err());
        }
        let missing = |broken: &Broken| matches!(broken, Broken::Missing { session, first: 1, last: 2 } if *session == [1; 16]);
        assert!(found.iter().any(missing), "{found:?}");
    }

    #[test]
    fn records_in_another_order_are_told() {
        let mut log = log(&SESSIONS);
        log.swap(3, 4);
        let broken = found(&log);
        assert!(
            matches!(broken[0], Broken::Missing { session, first: 1, last: 1 } if session == [1; 16])
        );
        assert!(
            matches!(
                broken[1],
                Broken::Order {
                    expected: 3,
                    found: 1,
                    ..
                }
            ),
            "{broken:?}"
        );
    }

    #[test]
    fn a_record_of_another_past_is_told() {
        let mut log = log(&SESSIONS);
        log[3].1 = Hash([77; 32]);
        assert_eq!(found(&log), [Broken::Previous { session: [1; 16] }]);
        let mut counted = super::tests::log(&SESSIONS);
        counted[5].0.link.open = 7;
        assert!(found(&counted).contains(&Broken::Open { session: BOOK }));
    }
}
