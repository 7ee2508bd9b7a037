//! The rest of a match that is encoded.

use crate::engine::{
    class::Class,
    encoded::{
        Codec,
        decoded::{Decoded, LETTERS, Reached},
        padding,
    },
    swallow::{Unit, key_unit},
    window::Window,
};

/// So many bytes behind a byte may tell whether it belongs to a key.
const AHEAD: usize = 16;

/// What still belongs to a match, from the beginning of a group of letters on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    codec: Codec,
    of: Of,
    /// How many bytes of the group are known to belong to it.
    inside: usize,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    /// Every byte of a class.
    Run(&'static Class),
    /// A private key, as [`Swallow::Key`](crate::engine::swallow::Swallow::Key).
    Key {
        headers: bool,
        seen: usize,
        line_feeds: u8,
    },
}

impl Rest {
    pub(super) const fn run(codec: Codec, class: &'static Class) -> Self {
        Self {
            codec,
            of: Of::Run(class),
            inside: 0,
        }
    }

    pub(super) const fn key(codec: Codec, headers: bool, seen: usize, line_feeds: u8) -> Self {
        Self {
            codec,
            of: Of::Key {
                headers,
                seen,
                line_feeds,
            },
            inside: 0,
        }
    }

    /// How many letters at the start of `bytes` belong to the match, and whether it ends there. At
    /// the end of the text everything is decided.
    pub(crate) fn eat(&mut self, bytes: &[u8], end: bool) -> (usize, bool) {
        let window = Window {
            bytes,
            floor: 0,
            after_match: false,
            end,
        };
        let over_lines = matches!(self.of, Of::Key { .. });
        let size = self.codec.bytes();
        let mut eaten = 0;
        loop {
            let text = Decoded::at(self.codec, &window, eaten, LETTERS, over_lines);
            let known = text.bytes();
            let is_whole = matches!(text.reached(), Reached::End(_));
            let mut at = self.inside;
            while at < known.len() {
                if text.reached() == Reached::Limit && known.len() - at < AHEAD {
                    break;
                }
                match self.unit(&known[at..], is_whole) {
                    Unit::Inside(bytes) => at += bytes,
                    Unit::Ends(bytes) => {
                        at += bytes;
                        let letters = if at == 0 { 0 } else { text.behind_letter(at) };
                        return (eaten + letters, true);
                    }
                    Unit::NotYet => break,
                }
            }
            if let Reached::End(stop) = text.reached()
                && at >= known.len()
            {
                // Letters at the end that are no whole group hold bits of it too.
                if let Some(length) = padding(&window, stop) {
                    return (stop + length, true);
                }
            }
            // Groups that are not known as a whole wait.
            let whole = at.min(known.len()) / size * size;
            // A line break before a group goes with the first byte that is known to be in it.
            eaten += if whole == 0 {
                0
            } else {
                text.behind_letter(whole)
            };
            self.inside = at - whole;
            if text.reached() != Reached::Limit {
                return (eaten, false);
            }
        }
    }

    fn unit(&mut self, bytes: &[u8], end: bool) -> Unit {
        match &mut self.of {
            Of::Run(class) if class.has(bytes[0]) => Unit::Inside(1),
            Of::Run(_) => Unit::Ends(0),
            Of::Key {
                headers,
                seen,
                line_feeds,
            } => key_unit(bytes, headers, seen, line_feeds, end),
        }
    }
}
