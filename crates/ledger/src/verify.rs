//! Checking a whole log, entry by entry.

use std::fmt;

use crate::{
    Broken, Chains, Checkpoint, Error, Frontier, Hash, Header, History, Kept, Leaf, Past, Pulse,
    VerifierKey, leaf_hash,
};

/// Checks a log of which it is given the entries in order, and checkpoints of it.
///
/// It holds one [`Frontier`] and the end of each session's [`Chain`](crate::Chain): about a hundred
/// bytes for each session. See the [crate documentation](crate) for an example.
///
/// Where entries are missing it names them and goes on: what is there is still held against its
/// commitment and its session, but no root can be computed any more, so that [`Integrity`] is
/// [`Unknown`](Integrity::Unknown).
#[derive(Debug)]
pub struct Verifier {
    key: VerifierKey,
    tree: Frontier,
    /// The index of the entry that comes next.
    next: u64,
    /// Whether the tree is one over all entries so far.
    whole: bool,
    chains: Chains,
    pulse: Pulse,
    count: u64,
    unread: u64,
    /// Checkpoints of sizes that the tree has not reached.
    ahead: Vec<Checkpoint>,
    history: History,
    proven: Option<u64>,
    faults: Vec<Fault>,
    fault_count: u64,
    /// Whether some fault is that something is not what was signed.
    broken: bool,
    /// Whether some fault is that something is missing.
    lacks: bool,
}

/// One entry of a log, opened.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The leaf.
    pub leaf: &'a [u8],
    /// The salt of its commitment.
    pub salt: &'a [u8],
    /// What was recorded.
    pub envelope: &'a [u8],
}

/// What a [`Verifier`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The short answer.
    pub verdict: Verdict,
    /// Whether what is there is what was signed.
    pub integrity: Integrity,
    /// Whether all is there that was signed.
    pub completeness: Completeness,
    /// What the checkpoints say that were kept, in the order in which they were given.
    pub kept: Vec<Kept>,
    /// The number of entries that were given.
    pub size: u64,
    /// When nobody wrote, and why.
    pub pulse: Pulse,
    /// The root of the tree over them.
    pub root: Hash,
    /// The largest size for which a checkpoint was signed and true.
    pub proven: Option<u64>,
    /// What is wrong, in the order it was met; at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// How much is wrong, also beyond what `faults` holds.
    pub fault_count: u64,
}

/// Whether a log is what its key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Every entry is what the log's key signed.
    Verified,
    /// Something is wrong.
    Tampered,
    /// Nothing is wrong, but no checkpoint covers every entry.
    Unproven,
}

/// Whether each record is what the log's key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Integrity {
    /// Each of them is.
    Proven,
    /// Some are not, or the key signed two histories.
    Broken,
    /// Nothing signed says so.
    Unknown,
}

/// Whether no record is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completeness {
    /// None is.
    Complete,
    /// Some are.
    Incomplete,
    /// Nothing that is there can show it.
    NotShown,
}

/// One thing that is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The index of the entry, if it is the fault of one.
    pub index: Option<u64>,
    /// What is wrong.
    pub what: What,
}

/// What can be wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The leaf cannot be read.
    Leaf,
    /// No byte of the entry can be read.
    Unreadable,
    /// The leaf belongs to a lower index: entries are doubled or in another order.
    Sequence,
    /// Entries are missing from this index on, to the one given.
    Lost {
        /// The index of the last one missing.
        last: u64,
    },
    /// The entry does not come next in its session.
    Session(Broken),
    /// Leaf, salt and envelope do not belong together.
    Commitment,
    /// What is stored encrypted is not what the leaf has the digest of.
    Sealed,
    /// The checkpoint cannot be read, or the key did not sign it.
    Checkpoint(Error),
    /// The checkpoint was given after the entries it is about.
    Late,
    /// The key signed another root for this size: some entry was replaced as a whole.
    Root,
    /// The key signed more entries than there are. The index is that of the first one missing.
    Missing,
}

/// As many faults as a [`Report`] tells apart.
pub const MAX_FAULTS: usize = 1000;

impl Verifier {
    /// A verifier of the log that signs with this key.
    pub fn new(key: VerifierKey) -> Self {
        Self {
            key,
            tree: Frontier::new(),
            next: 0,
            whole: true,
            chains: Chains::new(),
            pulse: Pulse::new(),
            count: 0,
            unread: 0,
            ahead: Vec::new(),
            history: History::new(),
            proven: None,
            faults: Vec::new(),
            fault_count: 0,
            broken: false,
            lacks: false,
        }
    }

    /// Takes the next entry. Returns the leaf's header if all of the entry belongs together.
    pub fn entry(&mut self, entry: &Entry<'_>) -> Option<Header> {
        self.next(entry.leaf, check(entry))
    }

    /// Takes the next entry as it is stored: a leaf, and the digest over what lies on the disk.
    /// Nobody opens it. Returns the leaf's header if the two belong together.
    pub fn sealed(&mut self, leaf: &[u8], digest: &Hash) -> Option<Header> {
        let checked = match Leaf::from_bytes(leaf) {
            Ok(leaf) if leaf.header.seal.digest == *digest => Ok(leaf.header),
            Ok(_) => Err(What::Sealed),
            Err(_) => Err(What::Leaf),
        };
        self.next(leaf, checked)
    }

    fn next(&mut self, leaf: &[u8], checked: Result<Header, What>) -> Option<Header> {
        self.count += 1;
        let hash = leaf_hash(leaf);
        match checked {
            Ok(header) => {
                self.place(&header);
                if let Err(broken) = self.chains.entry(&header, hash) {
                    self.fault(Some(header.sequence), What::Session(broken));
                }
                self.pulse.entry(&header);
            }
            Err(what) => {
                self.fault(Some(self.next), what);
                match Leaf::peek(leaf) {
                    Ok(leaf) if leaf.header.sequence == self.next => {
                        self.chains.doubt(&leaf.header, hash);
                    }
                    _ => self.chains.unread(),
                }
                self.next += 1;
                self.unread += 1;
            }
        }
        if self.whole {
            self.tree.append(hash);
            self.history.grown(&self.tree);
            self.compare();
        }
        checked.ok()
    }

    /// Goes on over an entry that is there and of which no byte can be read. Its leaf is in no tree
    /// then, so no root can be computed any more.
    pub fn unreadable(&mut self) {
        self.count += 1;
        self.fault(Some(self.next), What::Unreadable);
        self.chains.unread();
        self.whole = false;
        self.next += 1;
        self.unread += 1;
    }

    /// Holds the index of an entry against that which comes next.
    fn place(&mut self, header: &Header) {
        let (expected, found) = (self.next, header.sequence);
        if found == expected {
            self.next += 1;
        } else if found > expected {
            self.whole = false;
            self.chains.lost();
            self.fault(Some(expected), What::Lost { last: found - 1 });
            self.next = found.saturating_add(1);
        } else {
            self.whole = false;
            self.fault(Some(expected), What::Sequence);
        }
    }

    /// Takes a checkpoint: a note about the entries so far, or about some still to come. Give a
    /// checkpoint that was kept from earlier before the entries.
    pub fn checkpoint(&mut self, note: &str) {
        match Checkpoint::open(note, &self.key) {
            Ok(checkpoint) if checkpoint.size < self.tree.size() => self.fault(None, What::Late),
            Ok(checkpoint) => {
                self.ahead.push(checkpoint);
                self.compare();
            }
            Err(error) => self.fault(None, What::Checkpoint(error)),
        }
    }

    /// Takes a checkpoint that somebody kept from earlier, to be given before the entries. It has a
    /// verdict of its own in [`Report::kept`].
    pub fn keep(&mut self, note: &str) {
        self.history.keep(note, &self.key, &self.tree);
    }

    /// The index of the entry that comes next if none is missing.
    pub const fn size(&self) -> u64 {
        self.next
    }

    /// Whether no entry was missing or in another's place so far.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many entries were there that are not what was signed, or could not be read.
    pub const fn unread(&self) -> u64 {
        self.unread
    }

    /// What is wrong so far, as in a [`Report`].
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The chains of the sessions so far.
    pub const fn chains(&self) -> &Chains {
        &self.chains
    }

    /// The growing edge of the tree over all entries before the first that is missing.
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Ends the log.
    pub fn finish(mut self) -> Report {
        let next = self.next;
        if self
            .ahead
            .iter()
            .any(|ahead| self.whole || ahead.size > next)
        {
            self.fault(Some(next), What::Missing);
        }
        let mut kept = self.history.finish();
        for kept in &mut kept {
            // Without the entries before it nobody can tell what it says.
            let within = kept.size.is_some_and(|size| size <= next);
            if !self.whole && within && kept.past == Past::Behind {
                kept.past = Past::Unknown;
            }
        }
        for kept in &kept {
            if kept.past == Past::Consistent {
                self.proven = self.proven.max(kept.size);
            }
        }
        let says = |found: fn(&Past) -> bool| kept.iter().any(|kept| found(&kept.past));
        let broken = self.broken || says(|past| matches!(past, Past::Fork | Past::Foreign(_)));
        let lacks = self.lacks || says(|past| matches!(past, Past::Fork | Past::Behind));
        let proven = self.whole && self.proven == Some(next);
        let integrity = match (broken, proven) {
            (true, _) => Integrity::Broken,
            (false, true) => Integrity::Proven,
            (false, false) => Integrity::Unknown,
        };
        let completeness = match (lacks, proven) {
            (true, _) => Completeness::Incomplete,
            (false, true) => Completeness::Complete,
            (false, false) => Completeness::NotShown,
        };
        let verdict = if broken || lacks {
            Verdict::Tampered
        } else if proven {
            Verdict::Verified
        } else {
            Verdict::Unproven
        };
        Report {
            verdict,
            integrity,
            completeness,
            kept,
            size: self.count,
            pulse: self.pulse,
            root: self.tree.root(),
            proven: self.proven,
            faults: self.faults,
            fault_count: self.fault_count,
        }
    }

    /// Compares the tree with the checkpoints of its present size.
    fn compare(&mut self) {
        let size = self.tree.size();
        if !self.ahead.iter().any(|checkpoint| checkpoint.size == size) {
            return;
        }
        let root = self.tree.root();
        let (now, ahead) = std::mem::take(&mut self.ahead)
            .into_iter()
            .partition::<Vec<_>, _>(|checkpoint| checkpoint.size == size);
        self.ahead = ahead;
        for checkpoint in now {
            if checkpoint.root == root {
                self.proven = Some(size);
            } else {
                self.fault(None, What::Root);
            }
        }
    }

    fn fault(&mut self, index: Option<u64>, what: What) {
        self.fault_count += 1;
        let lacks = matches!(
            what,
            What::Missing | What::Lost { .. } | What::Session(Broken::Missing { .. })
        );
        self.lacks |= lacks;
        self.broken |= !lacks;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { index, what });
        }
    }
}

fn check(entry: &Entry<'_>) -> Result<Header, What> {
    let leaf = Leaf::from_bytes(entry.leaf).map_err(|_| What::Leaf)?;
    let salt = entry.salt.try_into().map_err(|_| What::Commitment)?;
    if leaf.opens_with(salt, entry.envelope) {
        Ok(leaf.header)
    } else {
        Err(What::Commitment)
    }
}

impl Verdict {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Tampered => "tampered",
            Self::Unproven => "unproven",
        }
    }
}

impl Integrity {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

impl Completeness {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::NotShown => "not_shown",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str("the leaf cannot be read"),
            Self::Unreadable => {
                f.write_str("the entry cannot be read: the disk or its file is damaged")
            }
            Self::Sequence => f.write_str("the leaf belongs to another index"),
            Self::Lost { last } => write!(f, "entries are missing, to index {last}"),
            Self::Session(broken) => write!(f, "{broken}"),
            Self::Commitment => f.write_str("leaf, salt and envelope do not belong together"),
            Self::Sealed => f.write_str("the stored bytes are not those that the leaf speaks of"),
            Self::Checkpoint(error) => write!(f, "{error}"),
            Self::Late => f.write_str("the checkpoint was given after its entries"),
            Self::Root => f.write_str("the root is not the one that was signed"),
            Self::Missing => f.write_str("entries that were signed are missing"),
        }
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("bytes", &self.envelope.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Kind, Seal, SigningKey};

    type Stored = (Vec<u8>, Vec<u8>, Vec<u8>);

    fn key() -> SigningKey {
        SigningKey::from_seed("log.example", &[1; 32]).unwrap()
    }

    /// A log of `size` entries and its checkpoints of every size.
    fn log(size: u8) -> (Vec<Stored>, Vec<String>) {
        let mut tree = Frontier::new();
        let mut notes = vec![Checkpoint::of("log.example", &tree).sign(&key()).unwrap()];
        let mut entries = Vec::new();
        let mut chain = Chain::new();
        for n in 0..size {
            let header = Header {
                kind: Kind::Intent,
                period: 0,
                sequence: n.into(),
                time: 7,
                exchange: [n; 16],
                session: [9; 16],
                link: chain.next(Kind::Intent),
                seal: Seal::PLAIN,
            };
            let envelope = format!("{{\"n\":{n}}}").into_bytes();
            let leaf = Leaf::seal(header, &[n; 32], &envelope).to_bytes();
            tree.append(leaf_hash(&leaf));
            chain.push(&header, leaf_hash(&leaf));
            notes.push(Checkpoint::of("log.example", &tree).sign(&key()).unwrap());
            entries.push((leaf.to_vec(), vec![n; 32], envelope));
        }
        (entries, notes)
    }

    fn verify(entries: &[Stored], notes: &[String]) -> Report {
        let mut verifier = Verifier::new(key().verifier_key());
        notes.iter().for_each(|note| verifier.checkpoint(note));
        for (leaf, salt, envelope) in entries {
            verifier.entry(&Entry {
                leaf,
                salt,
                envelope,
            });
        }
        verifier.finish()
    }

    fn first_fault(report: &Report) -> (Option<u64>, What) {
        assert_eq!(report.verdict, Verdict::Tampered);
        (report.faults[0].index, report.faults[0].what)
    }

    #[test]
    fn a_whole_log_is_verified_with_every_checkpoint_ever_signed() {
        let (entries, notes) = log(9);
        let report = verify(&entries, &notes);
        assert_eq!(report.faults, []);
        assert_eq!(report.verdict, Verdict::Verified);
        assert_eq!((report.size, report.proven), (9, Some(9)));
        assert_eq!(report.integrity, Integrity::Proven);
        assert_eq!(report.completeness, Completeness::Complete);
        assert_eq!(verify(&[], &notes[..1]).verdict, Verdict::Verified);
    }

    #[test]
    fn entries_that_no_checkpoint_covers_are_unproven() {
        let (entries, notes) = log(3);
        assert_eq!(verify(&entries, &notes[..3]).verdict, Verdict::Unproven);
        assert_eq!(verify(&entries, &[]).verdict, Verdict::Unproven);
        assert_eq!(verify(&[], &[]).verdict, Verdict::Unproven);
    }

    #[test]
    fn a_changed_byte_is_found_at_its_entry() {
        let (entries, notes) = log(5);
        for index in 0..entries.len() {
            for field in 0..3 {
                let mut entries = entries.clone();
                let entry = &mut entries[index];
                let bytes = [&mut entry.0, &mut entry.1, &mut entry.2];
                bytes.into_iter().nth(field).unwrap()[1] ^= 1;
                let report = verify(&entries, &notes[5..]);
                assert_eq!(first_fault(&report).0, Some(index as u64), "field {field}");
            }
        }
    }

    #[test]
    fn missing_doubled_and_moved_entries_are_found() {
        let (entries, notes) = log(4);
        let without = [&entries[..1], &entries[2..]].concat();
        let report = verify(&without, &notes[4..]);
        assert_eq!(first_fault(&report), (Some(1), What::Lost { last: 1 }));
        let named = Broken::Missing {
            session: [9; 16],
            first: 1,
            last: 1,
        };
        assert_eq!(report.faults[1].what, What::Session(named));
        assert_eq!((report.faults[1].index, report.fault_count), (Some(2), 2));
        assert_eq!(report.integrity, Integrity::Unknown);
        assert_eq!(report.completeness, Completeness::Incomplete);

        let doubled = [&entries[..2], &entries[1..]].concat();
        let report = verify(&doubled, &notes[4..]);
        assert_eq!(first_fault(&report), (Some(2), What::Sequence));
        assert_eq!(report.integrity, Integrity::Broken);

        let mut moved = entries.clone();
        moved.swap(1, 2);
        let report = verify(&moved, &notes[4..]);
        assert_eq!(first_fault(&report), (Some(1), What::Lost { last: 1 }));
        let reordered = |fault: &Fault| matches!(fault.what, What::Session(Broken::Order { .. }));
        assert!(report.faults.iter().any(reordered), "{:?}", report.faults);

        // Nothing is accused of having two histories because a copy lacks an entry.
        let mut verifier = Verifier::new(key().verifier_key());
        verifier.keep(&notes[3]);
        for (leaf, salt, envelope) in &without {
            verifier.entry(&Entry {
                leaf,
                salt,
                envelope,
            });
        }
        assert_eq!(verifier.finish().kept[0].past, Past::Unknown);

        let cut = verify(&entries[..3], &notes[4..]);
        assert_eq!(cut.completeness, Completeness::Incomplete);
        assert_eq!(cut.integrity, Integrity::Unknown);
        let cut_later = verify(&entries[..3], &notes[3..]);
        assert_eq!(cut_later.integrity, Integrity::Proven);
        assert_eq!(cut_later.completeness, Completeness::Incomplete);
        assert_eq!(first_fault(&cut), (Some(3), What::Missing));
    }

    #[test]
    fn an_entry_replaced_as_a_whole_is_found_by_the_root() {
        let (mut entries, notes) = log(4);
        let header = Leaf::from_bytes(&entries[2].0).unwrap().header;
        entries[2].0 = Leaf::seal(header, &[0; 32], b"forged").to_bytes().to_vec();
        entries[2].1 = vec![0; 32];
        entries[2].2 = b"forged".to_vec();
        let report = verify(&entries, &notes[4..]);
        assert_eq!(report.faults.last().unwrap().what, What::Root);
        // The next of its session knows which record stood there.
        let session = [9; 16];
        let other = What::Session(Broken::Previous { session });
        assert_eq!(first_fault(&report), (Some(3), other));
        // A checkpoint kept from before the forgery narrows it down.
        assert_eq!(verify(&entries, &notes[2..]).proven, Some(2));
    }

    #[test]
    fn a_kept_checkpoint_tells_a_restored_log() {
        let (entries, notes) = log(6);
        let kept = |entries: &[Stored], head: &str, kept: &str| {
            let mut verifier = Verifier::new(key().verifier_key());
            verifier.checkpoint(head);
            verifier.keep(kept);
            for (leaf, salt, envelope) in entries {
                let (leaf, salt) = (leaf.as_slice(), salt.as_slice());
                verifier.entry(&Entry {
                    leaf,
                    salt,
                    envelope,
                });
            }
            verifier.finish()
        };
        let grown = kept(&entries, &notes[6], &notes[3]);
        assert_eq!(grown.verdict, Verdict::Verified);
        assert_eq!(grown.kept[0].past, Past::Consistent);

        let restored = kept(&entries[..4], &notes[4], &notes[6]);
        assert_eq!(restored.kept[0].past, Past::Behind);
        assert_eq!(restored.verdict, Verdict::Tampered);
        assert_eq!(restored.integrity, Integrity::Proven);
        assert_eq!(restored.completeness, Completeness::Incomplete);

        // Restored, and then other things happened.
        let header = Leaf::from_bytes(&entries[4].0).unwrap().header;
        let envelope = b"another".to_vec();
        let leaf = Leaf::seal(header, &[8; 32], &envelope).to_bytes().to_vec();
        let forked = [&entries[..4], &[(leaf, vec![8; 32], envelope)]].concat();
        let mut tree = Frontier::new();
        forked
            .iter()
            .for_each(|(leaf, ..)| tree.append(leaf_hash(leaf)));
        let head = Checkpoint::of("log.example", &tree).sign(&key()).unwrap();
        assert_eq!(
            verify(&forked, std::slice::from_ref(&head)).verdict,
            Verdict::Verified
        );
        let told = kept(&forked, &head, &notes[5]);
        assert_eq!(told.kept[0].past, Past::Fork);
        assert_eq!(told.verdict, Verdict::Tampered);
        assert_eq!(told.integrity, Integrity::Broken);
    }

    #[test]
    fn checkpoints_of_others_and_late_ones_are_refused() {
        let (entries, notes) = log(2);
        let other = SigningKey::from_seed("log.example", &[2; 32]).unwrap();
        let forged = Checkpoint::of("log.example", &Frontier::new()).sign(&other);
        let report = verify(&[], &[forged.unwrap()]);
        assert_eq!(
            first_fault(&report),
            (None, What::Checkpoint(Error::Unsigned))
        );

        let mut verifier = Verifier::new(key().verifier_key());
        for (leaf, salt, envelope) in &entries {
            verifier.entry(&Entry {
                leaf,
                salt,
                envelope,
            });
        }
        verifier.checkpoint(&notes[1]);
        assert_eq!(first_fault(&verifier.finish()), (None, What::Late));
    }
}
