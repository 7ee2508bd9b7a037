//! Words on their way into the index, and phrases on theirs.

use crate::{
    blocks::Block,
    query::{Condition, Phrase, Place},
    words::words,
};

/// Stands between two texts, so that no phrase begins in one and ends in the other. No word is it.
const BOUNDARY: &str = "\u{b6}";

/// The words of blocks, for each column.
pub(super) fn columns<'a>(blocks: impl Iterator<Item = &'a Block>) -> [String; Place::ALL.len()] {
    let mut columns: [String; Place::ALL.len()] = Default::default();
    for block in blocks {
        let place = block.said.place();
        let mut all = columns.iter_mut().zip(Place::ALL);
        let Some((column, _)) = all.find(|(_, at)| *at == place) else {
            continue;
        };
        for word in words(&block.text) {
            column.push_str(&word);
            column.push(' ');
        }
        column.push_str(BOUNDARY);
        column.push(' ');
    }
    columns
}

/// The condition in the language of FTS5 (<https://sqlite.org/fts5.html#full_text_query_syntax>),
/// if it is one about texts. Words are letters and digits, so that nothing in them has a meaning
/// there.
pub(super) fn matching(condition: &Condition) -> Option<String> {
    let Condition::Text { place, any } = condition else {
        return None;
    };
    let columns = Place::ALL.into_iter().filter(|at| place.covers(*at));
    let columns: Vec<&str> = columns.map(Place::name).collect();
    let any: Vec<String> = any.iter().map(phrase).collect();
    Some(format!(
        "({{{}}} : ({}))",
        columns.join(" "),
        any.join(" OR ")
    ))
}

fn phrase(phrase: &Phrase) -> String {
    let star = if phrase.prefix { " *" } else { "" };
    format!("\"{}\"{star}", phrase.words.join(" "))
}
