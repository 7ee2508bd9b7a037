//! What an event is about.

use std::ops::Range;

use crate::json::{Malformed, Token, Tokens};

/// What an event says, as far as it decides how the event is masked. All are ranges of its data.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub kind: Option<Range<usize>>,
    pub index: Option<Range<usize>>,
    /// The type of its delta, or of the content block that begins.
    pub delta_kind: Option<Range<usize>>,
    /// The names and values of the texts in there.
    pub texts: Vec<(Range<usize>, Range<usize>)>,
}

impl Head {
    /// Reads the head of an event's data.
    ///
    /// # Errors
    ///
    /// When the data is not JSON, or when a member that decides is there twice: readers disagree
    /// which of the two counts.
    pub(super) fn read(data: &[u8]) -> Result<Self, Malformed> {
        let mut head = Self::default();
        let mut tokens = Tokens::new(data);
        let mut depth = 0;
        let mut key = 0..0;
        let mut in_delta = false;
        let mut deltas = 0;
        while let Some(token) = tokens.next()? {
            match token {
                Token::ObjectStart | Token::ArrayStart => {
                    if depth == 1 && matches!(&data[key.clone()], b"delta" | b"content_block") {
                        in_delta = token == Token::ObjectStart;
                        deltas += 1;
                    }
                    depth += 1;
                }
                Token::ObjectEnd | Token::ArrayEnd => {
                    depth -= 1;
                    in_delta &= depth > 1;
                }
                Token::Key(range) if depth <= 2 => {
                    // An escaped name would be read as another one here than by the caller.
                    if (depth == 1 || in_delta) && data[range.clone()].contains(&b'\\') {
                        return Err(Malformed);
                    }
                    key = range;
                }
                Token::Text(range) | Token::Scalar(range) if depth == 1 => {
                    if data[range.clone()].contains(&b'\\') && data[key.clone()] == *b"type" {
                        return Err(Malformed);
                    }
                    let slot = match &data[key.clone()] {
                        b"type" => &mut head.kind,
                        b"index" => &mut head.index,
                        _ => continue,
                    };
                    if slot.replace(range).is_some() {
                        return Err(Malformed);
                    }
                }
                Token::Text(range) if depth == 2 && in_delta => {
                    let name = &data[key.clone()];
                    if name == b"type" {
                        if head.delta_kind.replace(range).is_some() {
                            return Err(Malformed);
                        }
                    } else if head
                        .texts
                        .iter()
                        .any(|(known, _)| data[known.clone()] == *name)
                    {
                        return Err(Malformed);
                    } else {
                        head.texts.push((key.clone(), range));
                    }
                }
                _ => {}
            }
        }
        if deltas > 1 { Err(Malformed) } else { Ok(head) }
    }
}
