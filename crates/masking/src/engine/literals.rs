//! The literals that tokens and private keys are known by.

use std::{fmt, ops::Range};

use crate::engine::kernel::{FIRST, Fingerprint, weight};

/// How many bytes of a literal are looked at before the literal is.
pub(crate) const TRIGRAM: usize = 3;

/// Literals, found by their first three bytes.
pub(crate) struct Literals {
    /// Sorted by what stands ahead.
    literals: Vec<Literal>,
    /// For the last bytes of what has come, while there are fewer than three.
    by_first: Vec<Range<usize>>,
    /// The hashes of the first three bytes of all literals.
    known: Bits<THREES>,
    /// Those of the first four bytes, and of three for literals of three bytes.
    fours: Bits<FOURS>,
    threes: Bits<THREES>,
    /// For the literals that the run lane does not find.
    pub fingerprint: Fingerprint,
    /// Literals whose first three bytes have the same hash, by its lower bits.
    buckets: Vec<Vec<Beginning>>,
}

/// How a literal begins: its first eight bytes or fewer.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    bytes: u64,
    mask: u64,
    literal: usize,
}

/// What stands at a place where a match may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// What must stand before the place.
    pub behind: Vec<u8>,
    /// What must stand from the place on; at least three bytes.
    pub ahead: Vec<u8>,
    pub rule: usize,
    /// Whether the run lane does not find it.
    pub lane: bool,
}

impl Literal {
    /// A literal of the rule with this index. One that is to stay is found at those bytes of it
    /// that are rarest in other text, though not at punctuation, which should not have to wait.
    pub(crate) fn new(literal: &[u8], rule: usize, keep: bool, lane: bool) -> Self {
        let rarest = (0..literal.len().saturating_sub(TRIGRAM - 1))
            .filter(|at| literal[*at].is_ascii_alphanumeric())
            .min_by_key(|at| weight(&literal[*at..literal.len().min(at + FIRST)]));
        let place = rarest.filter(|_| keep).unwrap_or(0);
        let (behind, ahead) = literal.split_at(place);
        Self {
            behind: behind.to_vec(),
            ahead: ahead.to_vec(),
            rule,
            lane,
        }
    }
}

impl Literals {
    pub(crate) fn new(mut literals: Vec<Literal>) -> Self {
        literals.retain(|literal| literal.ahead.len() >= TRIGRAM);
        literals.sort_by(|a, b| a.ahead.cmp(&b.ahead).then(a.rule.cmp(&b.rule)));
        let lanes = literals.iter().filter(|literal| literal.lane);
        let beginnings = lanes.map(|literal| &literal.ahead[..]).collect();
        let mut table = Self {
            fingerprint: Fingerprint::new(beginnings),
            literals: Vec::new(),
            by_first: vec![0..0; 1 << 8],
            known: Bits::default(),
            fours: Bits::default(),
            threes: Bits::default(),
            buckets: vec![Vec::new(); BUCKETS],
        };
        for (index, Literal { ahead, .. }) in literals.iter().enumerate() {
            let hash = hash(ahead[0], ahead[1], ahead[2]);
            table.known.set(hash);
            match ahead.first_chunk() {
                Some(four) => table.fours.set(hash_four(*four)),
                None => table.threes.set(hash),
            }
            table.buckets[hash % BUCKETS].push(Beginning::of(ahead, index));
            let range = &mut table.by_first[usize::from(ahead[0])];
            if range.end == 0 {
                range.start = index;
            }
            range.end = index + 1;
        }
        table.literals = literals;
        table
    }

    /// Whether a literal may stand at the place.
    #[inline(always)]
    pub(crate) fn may_stand_at(&self, bytes: &[u8], at: usize) -> bool {
        let Some(four) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
            return true;
        };
        let [a, b, c, _] = *four;
        self.fours.has(hash_four(*four)) | self.threes.has(hash(a, b, c))
    }

    /// The same, by all bytes of the literals. What has been masked counts as if it had not.
    #[inline(always)]
    pub(crate) fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        let (before, rest) = bytes.split_at(at);
        let [a, b, c, ..] = rest else {
            return true;
        };
        let bucket = &self.buckets[hash(*a, *b, *c) % BUCKETS];
        let (first, known) = first_eight(rest);
        for beginning in bucket {
            // What has not come may be anything.
            if (first ^ beginning.bytes) & beginning.mask & known == 0
                && Self::goes_on(&self.literals[beginning.literal], before, rest)
            {
                return true;
            }
        }
        false
    }

    fn goes_on(literal: &Literal, before: &[u8], rest: &[u8]) -> bool {
        let Literal { ahead, behind, .. } = literal;
        let known = ahead.len().min(rest.len());
        // Behind a match the end of a placeholder is seen.
        ahead[..known] == rest[..known] && (behind.contains(&b']') || before.ends_with(behind))
    }

    /// The literals that `bytes` begin with, or that may yet come to stand there: the second of the
    /// pair tells whether one is there as a whole.
    pub(crate) fn at<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a Literal, bool)> {
        let (bucket, range): (&[Beginning], _) = match bytes {
            [] => (&[], 0..0),
            [a, b, c, ..] => {
                let hash = hash(*a, *b, *c);
                let bucket = &self.buckets[hash % BUCKETS][..];
                (if self.known.has(hash) { bucket } else { &[] }, 0..0)
            }
            [first, ..] => (&[], self.by_first[usize::from(*first)].clone()),
        };
        let (first, known) = first_eight(bytes);
        let whole = bucket
            .iter()
            .filter(move |beginning| (first ^ beginning.bytes) & beginning.mask & known == 0)
            .map(|beginning| &self.literals[beginning.literal]);
        whole.chain(&self.literals[range]).filter_map(|literal| {
            let ahead = &literal.ahead[..];
            if bytes.starts_with(ahead) {
                Some((literal, true))
            } else if ahead.starts_with(bytes) {
                Some((literal, false))
            } else {
                None
            }
        })
    }
}

impl fmt::Debug for Literals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Literals")
            .field("literals", &self.literals.len())
            .finish_non_exhaustive()
    }
}

impl Beginning {
    fn of(ahead: &[u8], literal: usize) -> Self {
        let (bytes, mask) = first_eight(ahead);
        Self {
            bytes,
            mask,
            literal,
        }
    }
}

/// The first eight bytes, and which of them are there.
#[inline]
fn first_eight(bytes: &[u8]) -> (u64, u64) {
    match bytes.first_chunk() {
        Some(eight) => (u64::from_le_bytes(*eight), u64::MAX),
        None => {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            (u64::from_le_bytes(eight), (1 << (8 * bytes.len())) - 1)
        }
    }
}

const BUCKETS: usize = 1 << 10;

/// A 16-bit hash of three bytes.
#[inline]
fn hash(a: u8, b: u8, c: u8) -> usize {
    hash_four([a, b, c, 0])
}

/// A 16-bit hash of four.
#[inline]
fn hash_four(four: [u8; 4]) -> usize {
    // Fibonacci hashing: the upper half of the product depends on all of the input.
    (u32::from_le_bytes(four).wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// Few hashes of three bytes, and more of four: small sets stay in the first-level cache beside all
/// the others.
const THREES: usize = 1 << 7;
const FOURS: usize = 1 << 9;

/// A set of hashes, as so many words of bits.
struct Bits<const WORDS: usize>(Box<[u64; WORDS]>);

impl<const WORDS: usize> Default for Bits<WORDS> {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl<const WORDS: usize> Bits<WORDS> {
    #[inline]
    fn has(&self, hash: usize) -> bool {
        self.0[hash / 64 % WORDS] & (1 << (hash % 64)) != 0
    }

    fn set(&mut self, hash: usize) {
        self.0[hash / 64 % WORDS] |= 1 << (hash % 64);
    }
}
