//! `[retention]` and `[connection.retention]`.

use tollbook_recording::{Term, Terms};

use super::document::Section;

/// How long what is recorded is kept, by class. What is left out is as in `usual`.
pub(super) fn read(section: Section<'_>, usual: &Terms) -> Terms {
    let terms = Terms {
        metadata: term(&section, "metadata", usual.metadata),
        request: term(&section, "request", usual.request),
        answer: term(&section, "answer", usual.answer),
        rows: term(&section, "rows", usual.rows),
        index: term(&section, "index", usual.index),
    };
    if let Some(max) = terms.metadata.max
        && [terms.request, terms.answer, terms.rows, terms.index]
            .into_iter()
            .filter_map(|term| term.min)
            .any(|min| min > max)
    {
        section.wrong(
            "nothing is kept for longer than `metadata`: its `max` is below the `min` of another \
             class",
        );
    }
    section.finish();
    terms
}

fn term(section: &Section<'_>, key: &'static str, usual: Term) -> Term {
    if !section.has(key) {
        return usual;
    }
    let table = section.table(key);
    let term = Term {
        min: table.days("min"),
        max: table.days("max"),
    };
    if term.min > term.max && term.max.is_some() {
        table.wrong(format!("the `min` of `{key}` is more than its `max`"));
    }
    table.finish();
    term
}
