//! Makes lanes of masks.
//!
//! A lane is a few operations on the masks of a block and of those around it.

use super::{
    AT, BETWEEN, BITS, BLOCK, BLOCKS, COLON, DIGIT, ESCAPE, HEX, KEY_END, KINDS, Kind, LINE_END,
    LOCAL_BITS, LOCAL_PART, Lane, MARK, MAX_USER, Masks, NUMBER, Places, RUN, SEPARATOR, SLASH,
    TOKEN, UPPER, WORD, encoded,
};

/// How many blocks are done in one go, all in the same way.
const STEP: usize = 8;
const _: () = assert!(BLOCKS.is_multiple_of(STEP));

/// Makes lanes of masks. What is done is the same for all blocks, without a branch, so that it is
/// done for several at once.
#[inline(always)]
pub(super) fn make_lanes(places: &mut Places, blocks: usize, inside: &[u64; BLOCKS]) {
    let Places {
        kinds,
        lanes,
        encoded,
        ..
    } = places;
    let mut slashes: Masks = [0; BLOCKS + 2];
    slashes[0] = kinds[SLASH][0] & kinds[SLASH][0] << 1 & kinds[COLON][0] << 2;
    for first in (0..blocks).step_by(STEP) {
        for block in first..first + STEP {
            let around = Around {
                kinds,
                index: block + 1,
            };
            let inside = inside[block];
            let begins = around.begins();
            let run = around.run();
            slashes[block + 1] = around.slashes();
            lanes[Lane::Run as usize][block] = begins & run.0 & inside;
            lanes[Lane::Digit as usize][block] = around.digit(begins) & inside;
            lanes[Lane::Upper as usize][block] = around.upper(begins) & inside;
            lanes[Lane::Hex as usize][block] = around.hex(begins) & inside;
            lanes[Lane::Separator as usize][block] = around.separator() & inside;
            lanes[Lane::User as usize][block] = 0;
            lanes[Lane::At as usize][block] = 0;
            encoded[block] = encoded::places(&around, run) & inside;
        }
    }
    // These are rare.
    for block in 0..blocks {
        let index = block + 1;
        let around = Around { kinds, index };
        if slashes[block] | slashes[index] != 0 {
            lanes[Lane::User as usize][block] =
                around.user(slashes[block], slashes[index]) & inside[block];
        }
        if kinds[AT][index] | kinds[AT][index + 1] != 0 {
            lanes[Lane::At as usize][block] =
                around.local_parts() & around.begins() & inside[block];
        }
    }
}

/// A block and those around it.
pub(super) struct Around<'a> {
    kinds: &'a [Masks; KINDS],
    index: usize,
}

impl Around<'_> {
    #[inline(always)]
    fn here(&self, kind: Kind) -> u64 {
        self.kinds[kind][self.index]
    }

    #[inline(always)]
    fn last(&self, kind: Kind) -> u64 {
        self.kinds[kind][self.index - 1]
    }

    #[inline(always)]
    fn next(&self, kind: Kind) -> u64 {
        self.kinds[kind][self.index + 1]
    }

    /// Where so many bytes ahead there is one of a kind.
    #[inline(always)]
    fn ahead(&self, kind: Kind, by: u32) -> u64 {
        self.here(kind) >> by | self.next(kind) << (BITS - by)
    }

    /// Where so many bytes before there is one of a kind.
    #[inline(always)]
    fn back(&self, kind: Kind, by: u32) -> u64 {
        self.here(kind) << by | self.last(kind) >> (BITS - by)
    }

    /// A kind in this block and the one behind.
    #[inline(always)]
    pub(super) fn both(&self, kind: Kind) -> Wide {
        Wide(self.here(kind), self.next(kind))
    }

    /// Where a word begins.
    #[inline(always)]
    fn begins(&self) -> u64 {
        let escape = |by| self.back(ESCAPE, by);
        self.here(WORD) & (!self.back(WORD, 1) | escape(2) | escape(3) | escape(6))
    }

    /// Where [`RUN`] bytes stand that tokens are made of.
    #[inline(always)]
    fn run(&self) -> Wide {
        const { assert!(RUN == 16) };
        let mut run = self.both(TOKEN);
        for by in [1, 2, 4, 8] {
            run = run.and(run.ahead(by));
        }
        run
    }

    #[inline(always)]
    fn digit(&self, begins: u64) -> u64 {
        (begins & self.here(DIGIT) & self.ahead(NUMBER, 1))
            | (self.here(MARK) & (self.ahead(DIGIT, 1) | self.ahead(MARK, 1)))
    }

    #[inline(always)]
    fn upper(&self, begins: u64) -> u64 {
        let ahead = |kind, by| self.ahead(kind, by);
        let behind = ahead(DIGIT, 1)
            | (ahead(UPPER, 1)
                & (ahead(DIGIT, 2)
                    | (ahead(NUMBER, 2) & ahead(DIGIT, 3))
                    | (ahead(UPPER, 2)
                        & (ahead(DIGIT, 3)
                            | (ahead(UPPER, 3)
                                & (ahead(DIGIT, 4) | (ahead(UPPER, 4) & ahead(DIGIT, 5))))))));
        begins & self.here(UPPER) & behind
    }

    #[inline(always)]
    fn hex(&self, begins: u64) -> u64 {
        let ahead = |kind, by| self.ahead(kind, by);
        let behind = ahead(COLON, 1)
            | (ahead(HEX, 1)
                & (ahead(BETWEEN, 2)
                    | (ahead(HEX, 2) & (ahead(COLON, 3) | (ahead(HEX, 3) & ahead(COLON, 4))))));
        let colons = self.here(COLON) & ahead(COLON, 1) & ahead(HEX, 2);
        (begins & self.here(HEX) & behind) | colons
    }

    #[inline(always)]
    fn separator(&self) -> u64 {
        // Bytes that have not come are of every kind, so also of two that no byte is of.
        let unknown = self.ahead(LINE_END, 1) & self.ahead(COLON, 1);
        let is_path = self.here(COLON) & self.ahead(COLON, 1) & !unknown;
        let is_last = self.ahead(LINE_END, 1) & !unknown;
        self.here(SEPARATOR) & self.back(KEY_END, 1) & !is_path & !is_last
    }

    /// Where a colon and two slashes in a row end.
    #[inline(always)]
    fn slashes(&self) -> u64 {
        self.here(SLASH) & self.back(SLASH, 1) & self.back(COLON, 2)
    }

    /// Colons with `://` before them, not too far away.
    #[inline(always)]
    fn user(&self, last_slashes: u64, slashes: u64) -> u64 {
        let mut near = u128::from(slashes) << BLOCK | u128::from(last_slashes);
        near |= near << 1;
        near |= near << 2;
        near |= near << 4;
        near |= near << 8;
        near |= near << 16;
        near |= near << 16;
        // Now each reaches 48 bytes far, itself among them.
        const { assert!(MAX_USER == 48) };
        self.here(COLON) & high(near << 1)
    }

    /// What stands before an `@` and could be a local part.
    #[inline(always)]
    fn local_parts(&self) -> u64 {
        let mut found = 0;
        let signs = |at: u64, word: u64, behind: u64| at & (word >> 1 | behind);
        let mut at = signs(self.here(AT), self.here(WORD), self.next(WORD) << 63);
        let local = self.here(LOCAL_PART);
        while at != 0 {
            let bit = at.trailing_zeros();
            at &= at - 1;
            if bit > 0 {
                let run = (local << (BITS - bit)).leading_ones().min(bit);
                found |= ((1 << run) - 1) << (bit - run);
            }
        }
        // What is at the very end of the next block counts even if what is behind it is unknown here.
        let at = signs(self.next(AT), self.next(WORD), 1 << 63);
        if at != 0 && local >> 63 != 0 {
            let bit = at.trailing_zeros();
            let before = (1 << bit) - 1;
            if self.next(LOCAL_PART) & before == before {
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
}

/// Masks of a block and of the one behind it. What is behind both is of no kind.
#[derive(Clone, Copy)]
pub(super) struct Wide(pub(super) u64, u64);

impl Wide {
    #[inline(always)]
    pub(super) fn ahead(self, by: u32) -> Self {
        Self(self.0 >> by | self.1 << (BITS - by), self.1 >> by)
    }

    #[inline(always)]
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0, self.1 & other.1)
    }

    #[inline(always)]
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0, self.1 | other.1)
    }

    #[inline(always)]
    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0, self.1 & !other.1)
    }
}

/// The upper half.
#[inline(always)]
fn high(wide: u128) -> u64 {
    let [bytes @ .., _, _, _, _, _, _, _, _] = wide.to_be_bytes();
    u64::from_be_bytes(bytes)
}
