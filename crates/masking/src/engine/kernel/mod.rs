//! Finds the places of all lanes, 64 bytes at a time.
//!
//! A block of 64 bytes becomes one mask of 64 bits for each kind of bytes, and one for what looks
//! like the beginning of a literal. A lane is then a few operations on masks. How the masks are
//! made is the only thing that differs from machine to machine; the portable way is the twin that
//! the others are tested against, and [`places`] says byte by byte what must come out.

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

/// One mask for each kind, and one for the beginnings of literals.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    kinds: [u64; KINDS],
    literal: u64,
}

/// The kinds that [`Places`] keep.
const ALONE: [Kind; 4] = [WORD, TOKEN, DIGIT, UPPER];

/// The places in a stretch of text.
#[derive(Debug)]
pub(crate) struct Places {
    /// For each block, the places that are in any lane.
    pub any: [u64; BLOCKS],
    lanes: [[u64; Lane::COUNT]; BLOCKS],
    /// Where a group of letters may stand for text; once they are sifted, where a literal begins in
    /// one.
    pub encoded: [u64; BLOCKS],
    /// Words, tokens, digits and upper-case letters, and those of the block behind.
    kinds: [[u64; 4]; BLOCKS + 1],
}

impl Default for Places {
    fn default() -> Self {
        Self {
            any: [0; BLOCKS],
            lanes: [[0; Lane::COUNT]; BLOCKS],
            encoded: [0; BLOCKS],
            kinds: [[0; 4]; BLOCKS + 1],
        }
    }
}

impl Places {
    /// Leaves in a lane what is in the list.
    pub(crate) fn hold(&mut self, lane: Lane, list: &[u16]) {
        for lanes in &mut self.lanes {
            lanes[lane as usize] = 0;
        }
        for place in list {
            self.lanes[usize::from(place / 64) % BLOCKS][lane as usize] |= 1 << (place % 64);
        }
    }

    /// Leaves in some lanes only what is in the list.
    pub(crate) fn hold_some<const N: usize>(
        &mut self,
        some: [Lane; N],
        blocks: usize,
        list: &[u16],
    ) {
        let mut kept = [0u64; BLOCKS];
        for place in list {
            kept[usize::from(place / 64) % BLOCKS] |= 1 << (place % 64);
        }
        for (lanes, kept) in self.lanes.iter_mut().zip(kept).take(blocks) {
            for lane in some {
                lanes[lane as usize] &= kept;
            }
        }
    }

    /// What stands at a place behind the byte `before`, with `known` bytes to the end of what has come.
    #[inline]
    pub(crate) fn look(&self, place: u16, before: u8, known: usize, end: bool) -> Look {
        let (block, bit) = (usize::from(place / 64) % BLOCKS, place % 64);
        let behind = self.kinds[block + 1].into_iter();
        let mut here = self.kinds[block];
        for (here, behind) in here.iter_mut().zip(behind) {
            *here = *here >> bit | behind << 1 << (63 - bit);
        }
        let [words, tokens, digits, upper] = here;
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

    /// Sees what is left in any lane of the first blocks.
    pub(crate) fn count_in(&mut self, blocks: usize) {
        let encoded = self.encoded;
        let all = self.any.iter_mut().zip(&self.lanes).zip(encoded);
        for ((any, lanes), encoded) in all.take(blocks) {
            *any = lanes.iter().fold(encoded, |any, lane| any | lane);
        }
    }

    /// The lanes of a place.
    pub(crate) fn lanes(&self, block: usize, bit: u32) -> Lanes {
        let mut lanes = Lanes::default();
        for lane in Lane::ALL {
            if self.lanes[block][lane as usize] >> bit & 1 != 0 {
                lanes = lanes.and(lane);
            }
        }
        lanes
    }
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
            Self::Portable => sweep(text, places, |block| portable(block, literals)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(has) => has.places(text, literals, places),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(has) => has.places(text, literals, places),
        }
    }
}

impl Kernel {
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
    const ALWAYS: usize = 3;

    let mut known = 0;
    let mut base = 0u16;
    for block in 0..blocks.min(BLOCKS) {
        let of_lane = lanes.iter().map(|lane| places.lanes[block][*lane as usize]);
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

/// The portable way to make masks.
fn portable(block: &Block, literals: &Fingerprint) -> Masks {
    let mut masks = Masks::default();
    for (bit, first) in block.windows(FIRST).enumerate() {
        let kinds = KIND[usize::from(first[0])];
        for (kind, mask) in masks.kinds.iter_mut().enumerate() {
            *mask |= u64::from(kinds >> kind & 1) << bit;
        }
        masks.literal |= u64::from(literals.has(first)) << bit;
    }
    masks
}

/// Makes lanes of masks, block by block. Each block needs the masks of the one behind it.
#[inline(always)]
fn sweep(text: Text<'_>, places: &mut Places, masks: impl Fn(&Block) -> Masks) -> usize {
    let Text { bytes, from, .. } = text;
    let blocks = (bytes.len() - from).div_ceil(BLOCK).min(BLOCKS);
    let mut last = before(bytes, from, &masks);
    let mut here = masks_at(text, from, &masks);
    for block in 0..blocks {
        let at = from + block * BLOCK;
        let next = masks_at(text, at + BLOCK, &masks);
        let (lanes, encoded) = lanes(&last, &here, &next);
        let known = bytes.len() - at;
        let inside = if known < BLOCK {
            (1 << known) - 1
        } else {
            u64::MAX
        };
        let mut any = 0;
        for (lane, found) in places.lanes[block].iter_mut().zip(lanes) {
            *lane = found & inside;
            any |= *lane;
        }
        places.any[block] = any;
        places.encoded[block] = encoded & inside;
        places.kinds[block] = ALONE.map(|kind| here.kinds[kind]);
        places.kinds[block + 1] = ALONE.map(|kind| next.kinds[kind]);
        last = Last::of(&here, &last);
        here = next;
    }
    blocks
}

#[inline(always)]
fn masks_at(text: Text<'_>, at: usize, masks: &impl Fn(&Block) -> Masks) -> Masks {
    if let Some(block) = text.bytes.get(at..).and_then(<[u8]>::first_chunk) {
        return masks(block);
    }
    let rest = text.bytes.get(at..).unwrap_or_default();
    let mut block = [0; BLOCK + FIRST - 1];
    block[..rest.len()].copy_from_slice(rest);
    let mut found = masks(&block);
    if !text.end {
        // What has not come may be anything.
        let from = |bit: usize| if bit < BLOCK { u64::MAX << bit } else { 0 };
        found.literal |= from(rest.len().saturating_sub(FIRST - 1));
        for mask in &mut found.kinds {
            *mask |= from(rest.len());
        }
    }
    found
}

/// What of the blocks before the one at hand counts.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    word: u64,
    key_end: u64,
    escape: u64,
    colon: u64,
    slash: u64,
    /// Where a colon and two slashes in a row end.
    slashes: u64,
}

/// What stands before the first block.
#[inline(always)]
fn before(bytes: &[u8], from: usize, masks: &impl Fn(&Block) -> Masks) -> Last {
    if from == 0 {
        return Last::default();
    }
    let start = from.saturating_sub(BLOCK);
    let found = match bytes[start..].first_chunk() {
        Some(block) if start + BLOCK == from => masks(block),
        _ => {
            let mut block = [0; BLOCK + FIRST - 1];
            block[BLOCK - (from - start)..BLOCK].copy_from_slice(&bytes[start..from]);
            masks(&block)
        }
    };
    Last::of(&found, &Last::default())
}

impl Last {
    #[inline(always)]
    fn of(masks: &Masks, last: &Self) -> Self {
        Self {
            word: masks.kinds[WORD],
            key_end: masks.kinds[KEY_END],
            escape: masks.kinds[ESCAPE],
            colon: masks.kinds[COLON],
            slash: masks.kinds[SLASH],
            slashes: slashes(last, masks),
        }
    }
}

#[inline(always)]
fn slashes(last: &Last, here: &Masks) -> u64 {
    let (slash, colon) = (here.kinds[SLASH], here.kinds[COLON]);
    slash & (slash << 1 | last.slash >> 63) & (colon << 2 | last.colon >> 62)
}

#[inline(always)]
fn lanes(last: &Last, here: &Masks, next: &Masks) -> ([u64; Lane::COUNT], u64) {
    let here_is = |kind: Kind| here.kinds[kind];
    let ahead = |kind: Kind, by: u32| here.kinds[kind] >> by | next.kinds[kind] << (BITS - by);
    let back = |here: u64, last: u64, by: u32| here << by | last >> (BITS - by);
    let escape = |by| back(here.kinds[ESCAPE], last.escape, by);

    let word = here_is(WORD);
    let begins = word & (!back(word, last.word, 1) | escape(2) | escape(3) | escape(6));

    let mut run = u128::from(here_is(TOKEN)) | u128::from(next.kinds[TOKEN]) << BLOCK;
    run &= run >> 1;
    run &= run >> 2;
    run &= run >> 4;
    run &= run >> 8;

    let digit = (begins & here_is(DIGIT) & ahead(NUMBER, 1))
        | (here_is(MARK) & (ahead(DIGIT, 1) | ahead(MARK, 1)));

    let behind_upper = ahead(DIGIT, 1)
        | (ahead(UPPER, 1)
            & (ahead(DIGIT, 2)
                | (ahead(NUMBER, 2) & ahead(DIGIT, 3))
                | (ahead(UPPER, 2)
                    & (ahead(DIGIT, 3)
                        | (ahead(UPPER, 3)
                            & (ahead(DIGIT, 4) | (ahead(UPPER, 4) & ahead(DIGIT, 5))))))));

    let behind_hex = ahead(COLON, 1)
        | (ahead(HEX, 1)
            & (ahead(BETWEEN, 2)
                | (ahead(HEX, 2) & (ahead(COLON, 3) | (ahead(HEX, 3) & ahead(COLON, 4))))));
    let colons = here_is(COLON) & ahead(COLON, 1) & ahead(HEX, 2);

    let separator = here_is(SEPARATOR)
        & back(here_is(KEY_END), last.key_end, 1)
        & !(here_is(COLON) & ahead(COLON, 1) & !unknown(here, next, 1))
        & !(ahead(LINE_END, 1) & !unknown(here, next, 1));

    let mut lanes = [0; Lane::COUNT];
    lanes[Lane::Run as usize] = begins & low(run);
    lanes[Lane::Literal as usize] = here.literal;
    lanes[Lane::Separator as usize] = separator;
    lanes[Lane::User as usize] = user(last, here);
    lanes[Lane::Digit as usize] = digit;
    lanes[Lane::Upper as usize] = begins & here_is(UPPER) & behind_upper;
    lanes[Lane::Hex as usize] = (begins & here_is(HEX) & behind_hex) | colons;
    lanes[Lane::At as usize] = local_parts(here, next) & begins;
    (lanes, encoded::places(here, next, run))
}

/// The lower half.
#[inline(always)]
fn low(wide: u128) -> u64 {
    let [_, _, _, _, _, _, _, _, bytes @ ..] = wide.to_be_bytes();
    u64::from_be_bytes(bytes)
}

/// Bytes that have not come are of every kind, so also of two that no byte is of.
#[inline(always)]
fn unknown(here: &Masks, next: &Masks, by: u32) -> u64 {
    let both = |masks: &Masks| masks.kinds[LINE_END] & masks.kinds[COLON];
    both(here) >> by | both(next) << (BITS - by)
}

/// Colons with `://` before them, not too far away.
#[inline(always)]
fn user(last: &Last, here: &Masks) -> u64 {
    let here_slashes = slashes(last, here);
    if here_slashes | last.slashes == 0 {
        return 0;
    }
    let mut near = u128::from(here_slashes) << BLOCK | u128::from(last.slashes);
    near |= near << 1;
    near |= near << 2;
    near |= near << 4;
    near |= near << 8;
    near |= near << 16;
    near |= near << 16;
    // Now each reaches 48 bytes far, itself among them.
    const { assert!(MAX_USER == 48) };
    here.kinds[COLON] & low((near << 1) >> BLOCK)
}

/// What stands before an `@` and could be a local part.
#[inline(always)]
fn local_parts(here: &Masks, next: &Masks) -> u64 {
    let mut found = 0;
    let signs = |masks: &Masks, behind: u64| masks.kinds[AT] & (masks.kinds[WORD] >> 1 | behind);
    let mut at = signs(here, next.kinds[WORD] << 63);
    let local = here.kinds[LOCAL_PART];
    while at != 0 {
        let bit = at.trailing_zeros();
        at &= at - 1;
        if bit > 0 {
            let run = (local << (BITS - bit)).leading_ones().min(bit);
            found |= ((1 << run) - 1) << (bit - run);
        }
    }
    // What is at the very end of the next block counts even if what is behind it is unknown here.
    let at = signs(next, 1 << 63);
    if at != 0 && local >> 63 != 0 {
        let bit = at.trailing_zeros();
        let before = (1 << bit) - 1;
        if next.kinds[LOCAL_PART] & before == before {
            let run = local.leading_ones().min(LOCAL_BITS - bit);
            found |= if run == 0 {
                0
            } else {
                u64::MAX << (BITS - run)
            };
        }
    }
    found
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
