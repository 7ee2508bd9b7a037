//! What stands around a place, decoded.

use zeroize::Zeroizing;

use crate::engine::{
    encoded::Codec,
    window::{Ahead, Window},
};

/// No more letters than this are decoded from the place on. With the padding and the opening of a
/// placeholder behind them, that is what may wait.
pub(super) const LETTERS: usize = 148;
/// No more bytes than this before the place: a literal may begin there.
const BEFORE: usize = 30;
/// The bytes of so many letters, at most.
const BYTES: usize = LETTERS / 4 * 3;

/// The bytes that the letters around a place stand for. They are wiped when they are dropped.
pub(super) struct Decoded {
    codec: Codec,
    /// Those before the place end at [`BEFORE`], those behind begin there.
    bytes: Zeroizing<[u8; BEFORE + BYTES]>,
    start: usize,
    end: usize,
    /// Where the letters of each group begin, counted from the place.
    groups: [u8; LETTERS / 2 + 1],
    reached: Reached,
    next: Next,
}

/// The first bits of the byte behind the last one that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Next {
    bits: u32,
    value: u8,
}

/// Why there are no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// More letters may come.
    Open,
    /// What stands here is no letter, or the text ends.
    End(usize),
    /// So many letters were asked for.
    Limit,
}

impl Decoded {
    /// What up to so many letters from `at` on stand for. Lines may be broken between groups if it
    /// goes on `over_lines`.
    pub(super) fn at(
        codec: Codec,
        window: &Window<'_>,
        at: usize,
        letters: usize,
        over_lines: bool,
    ) -> Self {
        let mut decoded = Self {
            codec,
            bytes: Zeroizing::new([0; BEFORE + BYTES]),
            start: BEFORE,
            end: BEFORE,
            groups: [0; LETTERS / 2 + 1],
            reached: Reached::Limit,
            next: Next::default(),
        };
        decoded.go_on(window, at, letters, over_lines);
        decoded
    }

    /// Adds what stands before the place, as far as it is text.
    pub(super) fn look_back(&mut self, window: &Window<'_>, at: usize) {
        let size = self.codec.letters();
        for group in 1..=BEFORE / self.codec.bytes() {
            let mut values = [0; 4];
            for (index, value) in values[..size].iter_mut().enumerate() {
                let letter = window.before(at, group * size - index);
                match letter.and_then(|letter| self.codec.value(letter)) {
                    Some(known) => *value = known,
                    None => return,
                }
            }
            let (bytes, count) = self.codec.group(&values[..size]);
            // Letters that stand for no text are something else than the text behind them.
            if !bytes[..count].is_ascii() {
                return;
            }
            let end = self.start;
            self.start -= count;
            self.bytes[self.start..end].copy_from_slice(&bytes[..count]);
        }
    }

    /// All the bytes; those of the place begin at [`Decoded::place`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) const fn place(&self) -> usize {
        BEFORE - self.start
    }

    pub(super) const fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) const fn next(&self) -> Next {
        self.next
    }

    pub(super) const fn reached(&self) -> Reached {
        self.reached
    }

    /// The first letter that has bits of a byte, counted from the place.
    pub(super) fn first_letter(&self, byte: usize) -> usize {
        let (group, inside) = self.group_of(byte);
        group + inside
    }

    /// The same behind the last letter that has bits of the byte before this one.
    pub(super) fn behind_letter(&self, end: usize) -> usize {
        let (group, inside) = self.group_of(end.saturating_sub(1));
        group + self.codec.covering(inside + 1)
    }

    /// The first group that begins with this byte or later.
    pub(super) fn next_group(&self, byte: usize) -> usize {
        let size = self.codec.bytes();
        let index = (byte - self.place()).div_ceil(size);
        usize::from(self.groups[index])
    }

    fn group_of(&self, byte: usize) -> (usize, usize) {
        let (byte, size) = (byte.saturating_sub(self.place()), self.codec.bytes());
        (usize::from(self.groups[byte / size]), byte % size)
    }

    fn go_on(&mut self, window: &Window<'_>, at: usize, letters: usize, over_lines: bool) {
        let size = self.codec.letters();
        let mut from = at;
        for group in 0.. {
            if over_lines {
                match line_break(window, from, self.codec) {
                    Some(length) => from += length,
                    None => self.reached = Reached::Open,
                }
            }
            self.begin_group(group, from - at);
            if self.reached == Reached::Open || from + size > at + letters {
                return;
            }
            let (mut values, mut known) = ([0; 4], 0);
            while known < size {
                let value = match window.ahead(from + known) {
                    Ahead::Byte(letter) => self.codec.value(letter),
                    Ahead::NotYet => {
                        self.reached = Reached::Open;
                        break;
                    }
                    Ahead::End => None,
                };
                let Some(value) = value else {
                    self.reached = Reached::End(from + known);
                    break;
                };
                values[known] = value;
                known += 1;
            }
            let (bytes, count) = self.codec.group(&values[..known]);
            self.bytes[self.end..self.end + count].copy_from_slice(&bytes[..count]);
            self.end += count;
            from += known;
            if known < size {
                self.next = Next {
                    bits: self.codec.bits_beyond(known),
                    value: bytes[count],
                };
                self.begin_group(group + 1, from - at);
                return;
            }
        }
    }

    fn begin_group(&mut self, group: usize, at: usize) {
        if let Some(slot) = self.groups.get_mut(group) {
            // No more letters than a byte can count are decoded.
            *slot = u8::try_from(at).unwrap_or(u8::MAX);
        }
    }
}

impl Next {
    /// Whether the byte may be this one.
    pub(super) fn may_be(self, byte: u8) -> bool {
        let known = u8::MAX.checked_shl(8 - self.bits).unwrap_or(0);
        byte & known == self.value & known
    }
}

/// The length of a line break that more letters stand behind; none is none. Lines are also broken by
/// what stands for a break in a string. Nothing as long as that depends on what comes.
pub(super) fn line_break(window: &Window<'_>, at: usize, codec: Codec) -> Option<usize> {
    let length = match (window.ahead(at), window.ahead(at + 1)) {
        (Ahead::Byte(b'\n'), _) => 1,
        (Ahead::Byte(b'\r'), Ahead::Byte(b'\n')) | (Ahead::Byte(b'\\'), Ahead::Byte(b'n')) => 2,
        (Ahead::Byte(b'\r' | b'\\'), Ahead::NotYet) => return None,
        _ => return Some(0),
    };
    match window.ahead(at + length) {
        Ahead::Byte(letter) if codec.value(letter).is_some() => Some(length),
        Ahead::NotYet => None,
        _ => Some(0),
    }
}
