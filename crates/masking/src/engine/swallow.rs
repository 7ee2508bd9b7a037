//! The rest of a match whose placeholder is already written.

use crate::engine::{
    class::{BASE64, Class},
    encoded::Rest,
};

/// A private key longer than this ends here. The largest in use (RSA with 16384 bits) has 13 KB.
const MAX_KEY: usize = 16 << 10;
/// Header lines of a PEM block, in all.
const MAX_HEADERS: usize = 2 << 10;

/// What still belongs to the match and is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Swallow {
    /// Every byte of a class.
    Run(&'static Class),
    /// A value up to its closing quote.
    Quoted(Quote),
    /// A private key, at a line with or without headers.
    Key {
        headers: bool,
        seen: usize,
        line_feeds: u8,
    },
    /// What is encoded.
    Encoded(Rest),
}

/// How a value is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    pub byte: u8,
    /// Backslashes before the quote: one for the first level of quoting around it, three for two.
    pub escapes: usize,
    /// Whether the text is that of a JSON document, in which a bare `"` ends every string.
    pub json: bool,
}

/// One step through something with escapes.
pub(crate) enum Unit {
    /// So many bytes belong to it.
    Inside(usize),
    /// It ends after so many more bytes.
    Ends(usize),
    /// More bytes must come first.
    NotYet,
}

impl Swallow {
    /// How many bytes at the start of `bytes` belong to the match, and whether it ends there.
    /// At the end of the text everything is decided.
    pub(crate) fn eat(&mut self, bytes: &[u8], end: bool) -> (usize, bool) {
        if let Self::Run(class) = self {
            let (run, is_open) = class.run_in_address(bytes);
            return (run, run < bytes.len() && (end || !is_open));
        }
        if let Self::Encoded(rest) = self {
            return rest.eat(bytes, end);
        }
        let mut eaten = 0;
        while eaten < bytes.len() {
            let unit = match self {
                Self::Run(_) | Self::Encoded(_) => Unit::Ends(0),
                Self::Quoted(quote) => quoted_unit(&bytes[eaten..], *quote, end),
                Self::Key {
                    headers,
                    seen,
                    line_feeds,
                } => key_unit(&bytes[eaten..], headers, seen, line_feeds, end),
            };
            match unit {
                Unit::Inside(bytes) => eaten += bytes,
                Unit::Ends(bytes) => return (eaten + bytes, true),
                Unit::NotYet => return (eaten, false),
            }
        }
        (eaten, false)
    }
}

/// The next byte or escape of a value in quotes.
///
/// Each level of quoting doubles backslashes: a quote that `escapes` of them open is closed by a
/// quote behind `escapes` of them plus any number of escaped backslashes, which are part of the
/// value. An even number of them leaves the quote bare, and a bare quote closes every level. A line
/// end always closes, so that a stray quote cannot hide what follows.
pub(crate) fn quoted_unit(bytes: &[u8], quote: Quote, end: bool) -> Unit {
    /// More backslashes in a row than any sensible nesting has.
    const MAX_BACKSLASHES: usize = 16;

    match bytes[0] {
        b'\n' | b'\r' => Unit::Ends(0),
        byte if byte == quote.byte => Unit::Ends(0),
        b'"' if quote.json => Unit::Ends(0),
        b'\\' => {
            let run = bytes
                .iter()
                .take(MAX_BACKSLASHES)
                .take_while(|byte| **byte == b'\\')
                .count();
            match bytes.get(run) {
                None if !end => Unit::NotYet,
                None => Unit::Inside(run),
                Some(byte) if *byte == quote.byte => {
                    let levels = 2 * (quote.escapes + 1);
                    if run % 2 == 0 {
                        Unit::Ends(run)
                    } else if run < quote.escapes || run % levels == quote.escapes {
                        Unit::Ends(run.saturating_sub(quote.escapes))
                    } else {
                        Unit::Inside(run + 1)
                    }
                }
                Some(b'\n' | b'\r') => Unit::Inside(run),
                Some(_) if run % 2 == 1 => Unit::Inside(run + 1),
                Some(_) => Unit::Inside(run),
            }
        }
        _ => Unit::Inside(1),
    }
}

/// An escape, at whatever level of quoting: backslashes and the letter behind them.
pub(crate) enum Escape {
    /// The letter, and the length of it all.
    Of(u8, usize),
    /// More bytes must come first.
    NotYet,
}

/// The escape that `bytes` begin with. Without a letter it is one of a space, which means nothing.
pub(crate) fn escape(bytes: &[u8], end: bool) -> Escape {
    const MAX_BACKSLASHES: usize = 8;

    let run = bytes
        .iter()
        .take(MAX_BACKSLASHES)
        .take_while(|byte| **byte == b'\\')
        .count();
    match bytes.get(run) {
        Some(letter) => Escape::Of(*letter, run + 1),
        None if end => Escape::Of(b' ', run),
        None => Escape::NotYet,
    }
}

/// The next byte or escape of a private key.
pub(crate) fn key_unit(
    bytes: &[u8],
    headers: &mut bool,
    seen: &mut usize,
    line_feeds: &mut u8,
    end: bool,
) -> Unit {
    let (length, letter) = match bytes[0] {
        b'\n' => (1, b'n'),
        b'\r' => (1, b'r'),
        b'\\' => match escape(bytes, end) {
            Escape::Of(letter @ (b'n' | b'r' | b't' | b'/'), length) => (length, letter),
            Escape::Of(..) => return Unit::Ends(0),
            Escape::NotYet => return Unit::NotYet,
        },
        b'-' if *headers => {
            let dashes = bytes
                .iter()
                .take(5)
                .take_while(|byte| **byte == b'-')
                .count();
            if dashes == 5 {
                return Unit::Ends(0);
            }
            if dashes == bytes.len() && !end {
                return Unit::NotYet;
            }
            (1, b' ')
        }
        b' ' | b'\t' => (1, b' '),
        byte if BASE64.has(byte) => (1, b' '),
        b'"' | b'[' => return Unit::Ends(0),
        b'!'..=b'~' if *headers => (1, b' '),
        _ => return Unit::Ends(0),
    };
    *seen += length;
    match letter {
        b'n' => *line_feeds += 1,
        b'r' => {}
        _ => *line_feeds = 0,
    }
    if *line_feeds >= 2 || *seen > MAX_HEADERS {
        *headers = false;
        *line_feeds = 0;
    }
    if *seen > MAX_KEY {
        Unit::Ends(0)
    } else {
        Unit::Inside(length)
    }
}
