//! Finds the places of all lanes, 64 bytes at a time.
//!
//! A block of 64 bytes becomes one mask of 64 bits for each kind of bytes, and one for what looks
//! like the beginning of a literal. A lane is then a few operations on masks. How the masks are
//! made is the only thing that differs from machine to machine; the portable way is the twin that
//! the others are tested against, and [`places`] says byte by byte what must come out.

mod around;
pub(crate) mod encoded;
mod fingerprint;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use self::fingerprint::{FIRST, Fingerprint, weight};
use crate::engine::{
    class::Class,
    lane::{LOCAL, Lane, Lanes, RUN},
    words::{self, DIGITLESS, Look, MOST},
};

/// How many blocks are looked at in one go.
pub(crate) const BLOCKS: usize = 16;

/// How many bytes one step takes.
pub(crate) const BLOCK: usize = 64;
/// The same, for shifts.
const BITS: u32 = u64::BITS;
const _: () = assert!(BITS as usize == BLOCK);
/// The longest local part, for shifts.
const LOCAL_BITS: u32 = 63;
const _: () = assert!(LOCAL_BITS as usize == LOCAL);

/// A kind of bytes, as the index of its mask.
pub(crate) type Kind = usize;
/// Letters, digits and `_`.
pub(crate) const WORD: Kind = 0;
/// What tokens are made of.
pub(crate) const TOKEN: Kind = 1;
pub(crate) const DIGIT: Kind = 2;
pub(crate) const UPPER: Kind = 3;
pub(crate) const HEX: Kind = 4;
/// What the local part of an address is made of.
const LOCAL_PART: Kind = 5;
/// What may stand behind the first digit of a number.
const NUMBER: Kind = 6;
/// What may stand before a number and belong to it.
const MARK: Kind = 7;
/// What may stand right before a separator.
const KEY_END: Kind = 8;
const SEPARATOR: Kind = 9;
const COLON: Kind = 10;
/// What stands between pairs of hexadecimal digits.
const BETWEEN: Kind = 11;
const AT: Kind = 12;
/// What an escape begins with.
const ESCAPE: Kind = 13;
const SLASH: Kind = 14;
const LINE_END: Kind = 15;
const KINDS: usize = 16;

/// [`TOKEN`] as a class. With `%` begin signs that are written as addresses need them.
pub(crate) const TOKENS: Class = crate::engine::class::WORD.with(b"-./+=~%");
/// The longest user name in an address.
pub(crate) const MAX_USER: usize = 48;

/// The kinds of each byte, as bits.
static KIND: [u16; 256] = kinds();

const fn kinds() -> [u16; 256] {
    let mut kinds = [0; 256];
    let mut byte = 0u8;
    loop {
        let alnum = byte.is_ascii_alphanumeric();
        let word = alnum || byte == b'_';
        let mut is = [false; KINDS];
        is[WORD] = word;
        is[TOKEN] = TOKENS.has(byte);
        is[DIGIT] = byte.is_ascii_digit();
        is[UPPER] = byte.is_ascii_uppercase();
        is[HEX] = byte.is_ascii_hexdigit();
        is[LOCAL_PART] = word || matches!(byte, b'.' | b'%' | b'+' | b'-');
        is[NUMBER] =
            byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'-' | b'/' | b':' | b'(');
        is[MARK] = matches!(byte, b'+' | b'(');
        is[KEY_END] = alnum || matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b']');
        is[SEPARATOR] = matches!(byte, b':' | b'=');
        is[COLON] = byte == b':';
        is[BETWEEN] = matches!(byte, b':' | b'-');
        is[AT] = byte == b'@';
        is[ESCAPE] = matches!(byte, b'\\' | b'%');
        is[SLASH] = byte == b'/';
        is[LINE_END] = matches!(byte, b'\n' | b'\r');
        let mut kind = 0;
        while kind < KINDS {
            if is[kind] {
                kinds[byte as usize] |= 1 << kind;
            }
            kind += 1;
        }
        if byte == u8::MAX {
            return kinds;
        }
        byte += 1;
    }
}

/// Whether a byte is of a kind.
pub(crate) const fn is(byte: u8, kind: Kind) -> bool {
    KIND[byte as usize] & (1 << kind) != 0
}

/// A mask for each block of a stretch, with the block before it and the one behind.
type Masks = [u64; BLOCKS + 2];

/// The places in a stretch of text.
#[derive(Debug)]
pub(crate) struct Places {
    /// For each block, the places that are in any lane; known once they are sifted.
    pub any: [u64; BLOCKS],
    lanes: [[u64; BLOCKS]; Lane::COUNT],
    /// Where a group of letters may stand for text; once they are sifted, where a literal begins in
    /// one.
    pub encoded: [u64; BLOCKS],
    kinds: [Masks; KINDS],
}

impl Default for Places {
    fn default() -> Self {
        Self {
            any: [0; BLOCKS],
            lanes: [[0; BLOCKS]; Lane::COUNT],
            encoded: [0; BLOCKS],
            kinds: [[0; BLOCKS + 2]; KINDS],
        }
    }
}

impl Places {
    /// Leaves in a lane what is in the list.
    pub(crate) fn hold(&mut self, lane: Lane, list: &[u16]) {
        self.lanes[lane as usize] = blocks_of(list);
    }

    /// Leaves in some lanes only what is in the list.
    pub(crate) fn hold_some<const N: usize>(&mut self, some: [Lane; N], list: &[u16]) {
        let kept = blocks_of(list);
        for lane in some {
            let masks = self.lanes[lane as usize].iter_mut().zip(kept);
            masks.for_each(|(mask, kept)| *mask &= kept);
        }
    }

    /// What stands at a place behind the byte `before`, with `known` bytes to the end of what has come.
    #[inline(always)]
    pub(crate) fn look(&self, place: u16, before: u8, known: usize, end: bool) -> Look {
        let (block, bit) = (usize::from(place / 64) % BLOCKS, place % 64);
        let [words, tokens, digits, upper] = [WORD, TOKEN, DIGIT, UPPER].map(|kind| {
            let masks = &self.kinds[kind];
            masks[block + 1] >> bit | masks[block + 2] << 1 << (63 - bit)
        });
        let token = (tokens.trailing_ones() as usize).min(MOST).min(known);
        let near = digits & ((1 << token.min(DIGITLESS)) - 1);
        Look {
            word: (words.trailing_ones() as usize).min(MOST).min(known),
            token,
            open: !end && token == known,
            digit: near != 0,
            mixed: words::changes(upper, token.min(DIGITLESS)),
            joined: words::is_joint(before),
        }
    }

    /// How many of the bytes right before a place are on its line, no more than a block.
    #[inline(always)]
    pub(crate) fn on_line(&self, place: u16) -> usize {
        let (block, bit) = (usize::from(place / 64) % BLOCKS, place % 64);
        let ends = &self.kinds[LINE_END];
        let before = ends[block + 1] << 1 << (63 - bit) | ends[block] >> bit;
        before.leading_zeros() as usize
    }

    /// Sees what is left in any lane.
    pub(crate) fn count_in(&mut self) {
        self.any = self.encoded;
        for lane in &self.lanes {
            let masks = self.any.iter_mut().zip(lane);
            masks.for_each(|(any, mask)| *any |= mask);
        }
    }

    /// The lanes of a place.
    #[inline(always)]
    pub(crate) fn lanes(&self, block: usize, bit: u32) -> Lanes {
        let mut lanes = Lanes::default();
        for lane in Lane::ALL {
            let is_in = self.lanes[lane as usize][block] >> bit & 1 != 0;
            lanes = lanes.and_if(lane, is_in);
        }
        lanes
    }
}

/// The places in a list as masks.
fn blocks_of(list: &[u16]) -> [u64; BLOCKS] {
    let mut masks = [0; BLOCKS];
    for place in list {
        masks[usize::from(place / 64) % BLOCKS] |= 1 << (place % 64);
    }
    masks
}

/// What to look through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub bytes: &'a [u8],
    /// Where to begin.
    pub from: usize,
    /// Whether the text ends with `bytes`.
    pub end: bool,
}

/// Places by their distance from the beginning of the first block.
pub(crate) type List = [u16; BLOCKS * BLOCK + BLOCK];
/// A list to begin with.
pub(crate) const NO_PLACES: List = [0; BLOCKS * BLOCK + BLOCK];

/// Work that is done faster with the instructions that a kernel needs. What is inlined in it is
/// compiled for them.
pub(crate) trait Task {
    fn run(self);
}

/// How masks are made on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::HasAvx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::HasAvx512),
}

impl Kernel {
    /// The fastest one.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(has) = x86::HasAvx512::detect() {
                return Self::Avx512(has);
            }
            if let Some(has) = x86::HasAvx2::detect() {
                return Self::Avx2(has);
            }
        }
        Self::Portable
    }

    /// Finds the places in the next [`BLOCKS`] blocks, and tells how many blocks there were.
    pub(crate) fn places(
        self,
        text: Text<'_>,
        literals: &Fingerprint,
        places: &mut Places,
    ) -> usize {
        match self {
            Self::Portable => sweep(text, places, kinds_of, |block| literals_of(block, literals)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(has) => has.places(text, literals, places),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(has) => has.places(text, literals, places),
        }
    }
}

impl Kernel {
    /// Does the work with the instructions for bits that this machine has.
    #[inline]
    pub(crate) fn run(self, task: impl Task) {
        match self {
            Self::Portable => task.run(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(has) => has.run(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(has) => has.run(task),
        }
    }

    /// Where words may begin in a block, upper or lower case; the fingerprint has their letters with
    /// the bit for lower case. It may take other bytes for a word, and never misses one.
    pub(crate) fn beginnings(self, block: &Block, words: &Fingerprint) -> u64 {
        match self {
            Self::Portable => {
                let folded = block.map(|byte| byte | 0x20);
                let firsts = folded.windows(FIRST).enumerate();
                firsts.fold(0, |found, (bit, first)| {
                    found | u64::from(words.has(first)) << bit
                })
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(has) => has.beginnings(block, words),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(has) => has.beginnings(block, words),
        }
    }

    /// Writes down the places that are in any of some lanes, and tells how many there are. Beyond
    /// them the list holds what it may.
    pub(crate) fn list<const N: usize>(
        self,
        places: &Places,
        blocks: usize,
        lanes: [Lane; N],
        list: &mut List,
    ) -> usize {
        match self {
            Self::Portable => write_down(places, blocks, lanes, list),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(has) => has.list(places, blocks, lanes, list),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(has) => has.list(places, blocks, lanes, list),
        }
    }
}

#[inline(always)]
fn write_down<const N: usize>(
    places: &Places,
    blocks: usize,
    lanes: [Lane; N],
    list: &mut List,
) -> usize {
    /// So many are written down without asking whether there are so many.
    const ALWAYS: usize = 4;

    let mut known = 0;
    let mut base = 0u16;
    for block in 0..blocks.min(BLOCKS) {
        let of_lane = lanes.iter().map(|lane| places.lanes[*lane as usize][block]);
        let mut mask = of_lane.fold(0, |mask, of_lane| mask | of_lane);
        let count = mask.count_ones() as usize;
        let mut written = 0;
        while written < count {
            let Some(slots) = list.get_mut(known + written..known + written + ALWAYS) else {
                break;
            };
            for slot in slots {
                // Without a place this is 64 behind the base, which is never used.
                *slot = base | (mask.trailing_zeros() & 0x7f) as u16;
                mask &= mask.wrapping_sub(1);
            }
            written += ALWAYS;
        }
        known += count;
        base += 64;
    }
    known
}

/// A block and the bytes behind it that the beginning of a literal at its end may have.
pub(crate) type Block = [u8; BLOCK + FIRST - 1];

/// The portable way to make masks of kinds.
fn kinds_of(block: &Block) -> [u64; KINDS] {
    let mut masks = [0; KINDS];
    for (bit, byte) in block.iter().take(BLOCK).enumerate() {
        let kinds = KIND[usize::from(*byte)];
        for (kind, mask) in masks.iter_mut().enumerate() {
            *mask |= u64::from(kinds >> kind & 1) << bit;
        }
    }
    masks
}

/// The portable way to find the beginnings of literals.
fn literals_of(block: &Block, literals: &Fingerprint) -> u64 {
    let firsts = block.windows(FIRST).enumerate();
    firsts.fold(0, |mask, (bit, first)| {
        mask | u64::from(literals.has(first)) << bit
    })
}

/// Makes masks of the blocks, and lanes of the masks. A block needs the masks of those around it.
#[inline(always)]
fn sweep(
    text: Text<'_>,
    places: &mut Places,
    kinds: impl Fn(&Block) -> [u64; KINDS],
    literals: impl Fn(&Block) -> u64,
) -> usize {
    let Text { bytes, from, .. } = text;
    let blocks = (bytes.len() - from).div_ceil(BLOCK).min(BLOCKS);
    let literal = &mut places.lanes[Lane::Literal as usize];
    note(&mut places.kinds, 0, before(bytes, from, &kinds));
    for block in 0..=blocks {
        let rest = bytes.get(from + block * BLOCK..).unwrap_or_default();
        if let Some(whole) = rest.first_chunk() {
            note(&mut places.kinds, block + 1, kinds(whole));
            if let Some(literal) = literal[..blocks].get_mut(block) {
                *literal = literals(whole);
            }
            continue;
        }
        let (mut padded, known) = ([0; BLOCK + FIRST - 1], rest.len());
        padded[..known].copy_from_slice(rest);
        // What has not come may be anything.
        let unknown = |from: usize| if text.end { 0 } else { behind(from) };
        let of_kinds = kinds(&padded).map(|mask| mask | unknown(known));
        note(&mut places.kinds, block + 1, of_kinds);
        if let Some(literal) = literal[..blocks].get_mut(block) {
            let found = literals(&padded) | unknown((known + 1).saturating_sub(FIRST));
            *literal = found & !behind(known);
        }
    }
    let inside = behind_all(bytes.len() - from);
    around::make_lanes(places, blocks, &inside);
    blocks
}

/// The bits of a block from this one on.
#[inline(always)]
const fn behind(bit: usize) -> u64 {
    if bit < BLOCK { u64::MAX << bit } else { 0 }
}

/// The bits of all blocks that are of the next so many bytes.
#[inline(always)]
fn behind_all(known: usize) -> [u64; BLOCKS] {
    std::array::from_fn(|block| !behind(known.saturating_sub(block * BLOCK)))
}

#[inline(always)]
fn note(kinds: &mut [Masks; KINDS], block: usize, masks: [u64; KINDS]) {
    for (kind, mask) in kinds.iter_mut().zip(masks) {
        kind[block] = mask;
    }
}

/// What stands before the first block.
#[inline(always)]
fn before(bytes: &[u8], from: usize, kinds: &impl Fn(&Block) -> [u64; KINDS]) -> [u64; KINDS] {
    if from == 0 {
        return [0; KINDS];
    }
    let start = from.saturating_sub(BLOCK);
    match bytes[start..].first_chunk() {
        Some(block) if start + BLOCK == from => kinds(block),
        _ => {
            let mut block = [0; BLOCK + FIRST - 1];
            block[BLOCK - (from - start)..BLOCK].copy_from_slice(&bytes[start..from]);
            kinds(&block)
        }
    }
}

/// The lanes of the place at `at`, byte by byte, but for the literal lane. No word goes on over
/// `floor`.
pub(crate) fn places(bytes: &[u8], at: usize, floor: usize, end: bool) -> Lanes {
    let ahead = |offset: usize, kind: Kind| match bytes.get(at + offset) {
        Some(byte) => is(*byte, kind),
        None => !end,
    };
    let back = |offset: usize, kind: Kind| {
        at.checked_sub(offset)
            .is_some_and(|index| is(bytes[index], kind))
    };
    let first = bytes[at];
    let mut lanes = Lanes::default();
    let begins = is(first, WORD)
        && (at == floor || !back(1, WORD) || back(2, ESCAPE) || back(3, ESCAPE) || back(6, ESCAPE));
    if begins && (0..RUN).all(|offset| ahead(offset, TOKEN)) {
        lanes = lanes.and(Lane::Run);
    }
    if begins && is(first, DIGIT) && ahead(1, NUMBER)
        || is(first, MARK) && (ahead(1, DIGIT) || ahead(1, MARK))
    {
        lanes = lanes.and(Lane::Digit);
    }
    if begins && is(first, UPPER) && upper(ahead) {
        lanes = lanes.and(Lane::Upper);
    }
    let colons = first == b':' && ahead(1, COLON) && ahead(2, HEX);
    if begins && is(first, HEX) && hex(ahead) || colons {
        lanes = lanes.and(Lane::Hex);
    }
    if begins && local_part(bytes, at, end) {
        lanes = lanes.and(Lane::At);
    }
    let next = bytes.get(at + 1).copied();
    let is_path = first == b':' && next == Some(b':');
    let is_last = next.is_some_and(|next| is(next, LINE_END));
    if is(first, SEPARATOR) && back(1, KEY_END) && !is_path && !is_last {
        lanes = lanes.and(Lane::Separator);
    }
    let slashes = |end| back(end, SLASH) && back(end + 1, SLASH) && back(end + 2, COLON);
    if first == b':' && (1..=MAX_USER).any(slashes) {
        lanes = lanes.and(Lane::User);
    }
    lanes
}

fn upper(ahead: impl Fn(usize, Kind) -> bool) -> bool {
    let letters = (1..6).take_while(|offset| ahead(*offset, UPPER)).count();
    (0..=letters.min(4)).any(|letters| ahead(letters + 1, DIGIT))
        || letters > 0 && ahead(2, NUMBER) && ahead(3, DIGIT)
}

fn hex(ahead: impl Fn(usize, Kind) -> bool) -> bool {
    let digits = (1..4).take_while(|offset| ahead(*offset, HEX)).count();
    (0..=digits).any(|digits| ahead(digits + 1, COLON)) || digits > 0 && ahead(2, BETWEEN)
}

fn local_part(bytes: &[u8], at: usize, end: bool) -> bool {
    let rest = &bytes[at..];
    let run = rest
        .iter()
        .take(LOCAL + 1)
        .take_while(|byte| is(**byte, LOCAL_PART))
        .count();
    run <= LOCAL
        && match rest[run..] {
            [b'@', next, ..] => is(next, WORD),
            [b'@'] | [] => !end,
            _ => false,
        }
}
