//! The short form of common rules, made into Cedar.

mod cedar;
mod read;

use crate::{
    Mistake,
    document::{Notes, Section},
    nearest::nearest,
    source::Source,
    vocabulary::Vocabulary,
};

/// What the rest of the set says, as far as the short form needs to know.
pub(crate) struct Allowed<'a> {
    /// The connections and the groups to which they permit everything.
    pub(crate) connections: &'a [(String, Vec<String>)],
    /// The zone of hours that name none.
    pub(crate) zone: &'a str,
}

/// The Cedar text that the rules in `source` stand for.
pub(crate) fn to_cedar(
    source: &Source,
    allowed: &Allowed<'_>,
    vocabulary: &Vocabulary,
    mistakes: &mut Vec<Mistake>,
) -> Source {
    let notes = Notes::new(&source.name, &source.text);
    let mut made = cedar::Writer::default();
    if let Some(table) = notes.parse() {
        let document = Section::new(&notes, table.get_ref(), table.span());
        for section in document.sections("rule") {
            if let Some(rule) = read::rule(section, &notes, allowed, vocabulary) {
                made.rule(&rule, &vocabulary.names);
            }
        }
        document.finish();
    }
    mistakes.extend(notes.finish());
    made.into_source(&source.name)
}

/// Which of `known` was meant by a `name` that is none of them.
fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!(": did you mean `{near}`?"))
}
