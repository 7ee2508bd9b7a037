//! Where a body is cut, so that what is sent again is cut again at the same places.

use memchr::memchr2;

/// Cuts a body into pieces. Together they are the body.
///
/// JSON is cut behind the elements of arrays, where it grows and changes from turn to turn, and
/// behind long strings, because what agents move about (marks of where to cache) stands behind
/// those. It is no parser: of what is not JSON it makes pieces too. What is long after that, and all
/// that does not look like JSON, is cut where a hash over the last bytes has a pattern, so that
/// what is inserted changes the pieces near it alone.
///
/// Where a body is cut depends on what comes before, and never on what comes after.
pub(crate) fn cut(body: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut rest = body;
    if matches!(first, Some(b'{' | b'[')) {
        let mut scan = Scan::default();
        let mut begin = 0;
        while let Some(end) = scan.next(body, begin) {
            // A body of very many short elements is not cut to dust.
            let least = if pieces.len() < MANY { 1 } else { LARGE / 4 };
            if end - begin >= least {
                chunks(&body[begin..end], &mut pieces);
                begin = end;
            }
        }
        rest = &body[begin..];
    }
    chunks(rest, &mut pieces);
    pieces
}

/// Goes through JSON without reading it: strings, and which brackets are open.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    depth: usize,
    /// A bit for each open bracket, the lowest for the innermost: whether it is that of an array.
    arrays: u64,
}

impl Scan {
    /// The next place to cut at, if the piece begins there.
    fn next(&mut self, body: &[u8], begin: usize) -> Option<usize> {
        while let Some(byte) = body.get(self.at) {
            let place = self.at;
            let within = self.arrays & 1 == 1;
            match byte {
                b'"' => {
                    self.at = string(body, place + 1);
                    if self.at - place >= LONG && self.at < body.len() {
                        return Some(self.at);
                    }
                    continue;
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    self.arrays = (self.arrays << 1) | u64::from(*byte == b'[');
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.arrays >>= 1;
                }
                _ => {}
            }
            self.at += 1;
            if !within || !matches!(byte, b',' | b']') || place == begin {
                continue;
            }
            // Elements are cut off before what follows on them, for that is a comma for most and
            // a bracket for the last.
            let depth = self.depth + usize::from(*byte == b']');
            let least = match depth {
                1 | 2 if matches!(body[place - 1], b'}' | b']') => 1,
                1..=6 => SMALL,
                _ => continue,
            };
            if place - begin >= least {
                return Some(place);
            }
        }
        None
    }
}

/// The place behind the string that begins here.
fn string(body: &[u8], mut at: usize) -> usize {
    loop {
        let rest = body.get(at..).unwrap_or_default();
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found + 1,
            Some(found) => at += found + 2,
            None => return body.len(),
        }
    }
}

/// Cuts what is long by its content, as FastCDC does (Xia et al., USENIX ATC 2016), with one mask.
fn chunks<'a>(mut piece: &'a [u8], to: &mut Vec<&'a [u8]>) {
    while piece.len() > LARGE {
        let mut hash = 0_u64;
        let window = &piece[LARGE / 4 - 64..piece.len().min(LARGE * 2)];
        let found = window.iter().enumerate().position(|(n, byte)| {
            hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
            n >= 64 && hash & MASK == 0
        });
        let end = found.map_or(LARGE * 2, |found| LARGE / 4 - 64 + found + 1);
        let (chunk, rest) = piece.split_at(end.min(piece.len()));
        to.push(chunk);
        piece = rest;
    }
    if !piece.is_empty() {
        to.push(piece);
    }
}

/// As many pieces as a body is cut into at every element.
const MANY: usize = 4096;
/// Bytes of a piece within an element, and of a string that is cut off.
const SMALL: usize = 256;
const LONG: usize = 512;
/// Pieces above are cut by their content, into chunks of a quarter of it to twice as much.
const LARGE: usize = 16 << 10;
/// One place in 8192 on average; the high bits have more bytes behind them.
const MASK: u64 = 0x1fff << 48;
const GEAR: [u64; 256] = gear();

/// Numbers without a pattern: those of SplitMix64, from a seed that never changes.
const fn gear() -> [u64; 256] {
    let mut gear = [0; 256];
    let mut state = 0x746f_6c6c_626f_6f6b_u64;
    let mut n = 0;
    while n < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        gear[n] = mixed ^ (mixed >> 31);
        n += 1;
    }
    gear
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn texts(body: &str) -> Vec<String> {
        let pieces = cut(body.as_bytes()).into_iter();
        pieces
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect()
    }

    #[test]
    fn messages_are_pieces_of_their_own() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"a, \"b]"},{"role":"x"}],"n":[1,2]}"#;
        assert_eq!(
            texts(body),
            [
                r#"{"model":"m","messages":[{"role":"user","content":"a, \"b]"}"#,
                r#",{"role":"x"}"#,
                r#"],"n":[1,2]}"#,
            ]
        );
    }

    /// A mark that moves on with the end of the conversation leaves the texts alone.
    #[test]
    fn what_is_sent_again_is_cut_at_the_same_places() {
        let turn = |turns: usize| -> String {
            let messages: Vec<Value> = (0..turns)
                .map(|n| {
                    let text = format!("{n} {}", "some words ".repeat(100));
                    let mut block = json!({ "type": "text", "text": text });
                    if n + 2 >= turns {
                        block["cache_control"] = json!({ "type": "ephemeral" });
                    }
                    json!({ "role": "user", "content": [block] })
                })
                .collect();
            json!({ "system": "s".repeat(2000), "messages": messages, "stream": true }).to_string()
        };
        let mut known: HashSet<String> = texts(&turn(5)).into_iter().collect();
        for turns in 6..10 {
            let new: Vec<_> = texts(&turn(turns))
                .into_iter()
                .filter(|p| !known.contains(p))
                .collect();
            let bytes: usize = new.iter().map(String::len).sum();
            assert!(bytes < 1500, "{turns}: {bytes} {new:?}");
            known.extend(new);
        }
    }

    #[test]
    fn bytes_that_are_inserted_change_the_pieces_near_them() {
        let bytes: Vec<u8> = (0..400_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .scan(7_u8, |state, byte| {
                *state = state.wrapping_mul(31).wrapping_add(byte);
                Some(*state)
            })
            .collect();
        let mut changed = bytes.clone();
        changed.splice(200_000..200_000, *b"inserted");
        let known: HashSet<&[u8]> = cut(&bytes).into_iter().collect();
        let pieces = cut(&changed);
        assert!(pieces.len() > 10, "{}", pieces.len());
        let new = pieces
            .iter()
            .filter(|piece| !known.contains(**piece))
            .count();
        assert!(new <= 4, "{new} of {}", pieces.len());
    }

    #[test]
    fn many_short_elements_are_not_cut_to_dust() {
        let body = serde_json::to_vec(&vec![json!([1]); 200_000]).unwrap();
        assert!(cut(&body).len() < 2 * MANY, "{}", cut(&body).len());
    }

    proptest! {
        #[test]
        fn pieces_are_the_body(body: Vec<u8>, json in "[\\[\\]{}\",\\\\a ]{0,400}") {
            for body in [body.as_slice(), json.as_bytes()] {
                let pieces = cut(body);
                prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
                prop_assert_eq!(pieces.concat(), body);
            }
        }
    }
}
