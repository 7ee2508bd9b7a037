//! Telling where something was found.

use crate::json::{Found, Malformed, Token, Tokens, path::Path, text::decode};

/// A match of a rule.
#[derive(Debug)]
pub(super) struct Hit {
    /// Where the name or value begins in the document.
    pub at: usize,
    pub rule: usize,
    pub count: u32,
    /// Where in the document that the value is, if it is one.
    pub inner: String,
}

/// Finds out the paths of matches, by going through the document once more. `masked_names` are
/// the places of names that hold a match themselves and are not told, in order.
///
/// # Errors
///
/// When the document is not JSON.
pub(super) fn report(
    document: &[u8],
    mut hits: Vec<Hit>,
    masked_names: &[usize],
) -> Result<Found, Malformed> {
    let mut found = Found::default();
    hits.sort_by_key(|hit| hit.at);
    let mut hits = hits.into_iter().peekable();
    let mut tokens = Tokens::new(document);
    let mut path = Path::default();
    // The lengths of the path to each open value, and to what is in it.
    let mut levels: Vec<(usize, usize)> = Vec::new();
    while hits.peek().is_some()
        && let Some(token) = tokens.next()?
    {
        let start = match token {
            Token::ObjectStart | Token::ArrayStart => {
                let outer = path.len();
                if token == Token::ArrayStart {
                    path.push_elements();
                }
                levels.push((outer, path.len()));
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                path.truncate(levels.pop().map_or(0, |(outer, _)| outer));
                continue;
            }
            Token::Key(range) => {
                path.truncate(levels.last().map_or(0, |(_, inner)| *inner));
                let mut name = Vec::new();
                decode(&document[range.clone()], &mut name);
                let is_masked = masked_names.binary_search(&range.start).is_ok();
                path.push_member((!is_masked).then_some(&name[..]));
                range.start
            }
            Token::Text(range) | Token::Scalar(range) => range.start,
        };
        while let Some(hit) = hits.next_if(|hit| hit.at <= start) {
            found.add(hit.rule, &path.told_with(&hit.inner), hit.count);
        }
    }
    Ok(found)
}
