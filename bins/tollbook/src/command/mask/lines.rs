//! On which line a byte of a long text stands.

use std::collections::VecDeque;

/// Knows the ends of lines from the last place that was asked about to the end of what has come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    length: u64,
    /// How many lines have ended before those in `ends`.
    ended: u64,
    /// Where the first line that is not forgotten begins.
    begin: u64,
    /// Where later lines begin.
    begins: VecDeque<u64>,
}

impl Lines {
    /// Takes the next bytes of the text.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let begins = memchr::memchr_iter(b'\n', bytes);
        let length = self.length;
        self.begins
            .extend(begins.map(|end| length + end as u64 + 1));
        self.length += bytes.len() as u64;
    }

    /// Forgets the lines that end before this byte. What is asked about later stands behind it.
    pub(super) fn forget(&mut self, before: u64) {
        while let Some(begin) = self.begins.front().copied()
            && begin <= before
        {
            self.begins.pop_front();
            self.ended += 1;
            self.begin = begin;
        }
    }

    /// The line and column of a byte; both begin at 1.
    pub(super) fn place(&mut self, at: u64) -> (u64, u64) {
        self.forget(at);
        (self.ended + 1, at - self.begin + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_depend_on_how_the_text_is_cut() {
        let text = b"ab\n\ncd\nefg";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            text.chunks(size).for_each(|piece| lines.push(piece));
            let places: Vec<_> = [0, 1, 3, 4, 5, 7, 9].map(|at| lines.place(at)).into();
            let wanted = [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (4, 1), (4, 3)];
            assert_eq!(places, wanted, "{size}");
        }
    }

    #[test]
    fn what_is_behind_is_forgotten() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.push(b"line\nline\n");
            let length = lines.length;
            lines.forget(length);
        }
        assert!(lines.begins.is_empty());
        assert_eq!(lines.place(10_000), (2001, 1));
    }
}
