//! Asking the index.

use std::ops::Range;

use rusqlite::{Connection, ToSql, types::Value as Sql};
use serde::Serialize;
use tollbook_recording::{Reader, Summary};

use super::{Index, texts};
use crate::{
    Clock, Error, ErrorKind, Query,
    blocks::blocks,
    query::{Condition, Pattern, Phrase, Span, Term, TimeField},
    words::places,
};

/// Some of what was found, newest first.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// What was found.
    pub hits: Vec<Hit>,
    /// What to go on from, if there is more.
    pub cursor: Option<String>,
}

/// One exchange that was found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// The exchange, as lists have it.
    #[serde(flatten)]
    pub summary: Summary,
    /// Where the phrases stand first that were looked for; none twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snippets: Vec<Snippet>,
}

/// A piece of masked text around words that were looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snippet {
    /// Where it stands: `prompt`, `answer`, `thinking`, `input`, `result` or `system`.
    pub place: &'static str,
    /// What stands before the words.
    pub before: String,
    /// The words, as they are written there.
    pub found: String,
    /// What stands after them.
    pub after: String,
}

impl Index {
    /// The newest exchanges that the query takes, at most `limit`, with the places of the texts
    /// that it looks for. `cursor` is that of the page before.
    ///
    /// A text is found at the exchange that brought it, and at those whose last message has it; not
    /// at every later one of the session that sends it again as history.
    ///
    /// It answers from what was taken in: [`catch_up`](Self::catch_up) comes before it.
    ///
    /// # Errors
    ///
    /// When the cursor is none, or book or index cannot be read.
    pub fn find(
        &self,
        book: &Reader,
        query: &Query,
        clock: &Clock,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, Error> {
        let before = match cursor {
            Some(cursor) => Some(cursor.parse::<u64>().map_err(|_| ErrorKind::Cursor)?),
            None => None,
        };
        let indexes = self.indexes(query, clock, limit.saturating_add(1), before)?;
        let more = indexes.len() > limit;
        let page = &indexes[..indexes.len().min(limit)];
        let mut hits = Vec::with_capacity(page.len());
        for summary in book.summaries(page)? {
            let snippets = if query.reads_text() {
                snippets(book, &summary, query)?
            } else {
                Vec::new()
            };
            hits.push(Hit { summary, snippets });
        }
        let cursor = page.last().filter(|_| more).map(u64::to_string);
        Ok(Page { hits, cursor })
    }

    /// The indexes of the first entries of the newest exchanges that the query takes, below
    /// `before`, the newest first.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn indexes(
        &self,
        query: &Query,
        clock: &Clock,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<u64>, Error> {
        self.ask(
            query,
            clock,
            limit,
            before.map(|before| ("<", before)),
            "DESC",
        )
    }

    /// The indexes of the first entries of the oldest exchanges that the query takes, above
    /// `after`, the oldest first.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn indexes_after(
        &self,
        query: &Query,
        clock: &Clock,
        limit: usize,
        after: Option<u64>,
    ) -> Result<Vec<u64>, Error> {
        self.ask(query, clock, limit, after.map(|after| (">", after)), "ASC")
    }

    fn ask(
        &self,
        query: &Query,
        clock: &Clock,
        limit: usize,
        bound: Option<(&str, u64)>,
        order: &str,
    ) -> Result<Vec<u64>, Error> {
        let index = self.lock();
        let Some(mut ask) = Ask::of(&index, query, clock)? else {
            return Ok(Vec::new());
        };
        if let Some((sign, bound)) = bound {
            let bound = i64::try_from(bound).map_err(|_| ErrorKind::Cursor)?;
            ask.and(format!("{} {sign} ?", ask.key), [bound]);
        }
        let sql = format!(
            "SELECT exchange.intent FROM {} WHERE {} ORDER BY {} {order} LIMIT ?",
            ask.from,
            ask.conditions.join(" AND "),
            ask.key
        );
        ask.values
            .push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let values = ask.values.iter().map(|value| value as &dyn ToSql);
        let rows = index
            .prepare_cached(&sql)?
            .query_map(&*values.collect::<Vec<_>>(), |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        let unsigned = |index| u64::try_from(index).map_err(|_| ErrorKind::Index.into());
        rows.into_iter().map(unsigned).collect()
    }
}

/// A query on its way to SQLite. What has the fewest exchanges leads, and the others are looked up
/// for each of them.
pub(super) struct Ask {
    pub(super) from: &'static str,
    key: &'static str,
    pub(super) conditions: Vec<String>,
    pub(super) values: Vec<Sql>,
}

/// Values of a field that a term takes.
struct Terms {
    ids: Vec<i64>,
    uses: i64,
}

/// Fewer than these are looked up one by one, also where a text is looked for.
const FEW: i64 = 2_000;
/// More than these are not gathered.
const MANY: i64 = 20_000;

impl Ask {
    /// `None` if nothing can be found.
    pub(super) fn of(
        index: &Connection,
        query: &Query,
        clock: &Clock,
    ) -> Result<Option<Self>, Error> {
        let mut ask = Self {
            from: "exchange",
            key: "exchange.intent",
            conditions: vec!["TRUE".to_owned()],
            values: Vec::new(),
        };
        let mut words = Vec::new();
        for term in &query.terms {
            if let Condition::Word { field, any } = &term.condition {
                let terms = Terms::find(index, field, any)?;
                match (terms.ids.is_empty(), term.negated) {
                    (true, false) => return Ok(None),
                    (true, true) => {}
                    (false, negated) => words.push((terms, negated)),
                }
            }
        }
        let texts = |negated: bool| {
            let of = move |term: &&Term| term.negated == negated;
            let all = query.terms.iter().filter(of);
            all.filter_map(|term| texts::matching(&term.condition))
                .collect::<Vec<_>>()
        };
        let (mut wanted, mut unwanted) = (texts(false), texts(true));
        if !wanted.is_empty() && !unwanted.is_empty() {
            // FTS5 leaves out while it goes, where SQLite would gather all of them first.
            let all = format!("({}) NOT ({})", wanted.join(" AND "), unwanted.join(" OR "));
            (wanted, unwanted) = (vec![all], Vec::new());
        }

        words.sort_by_key(|(terms, negated)| (*negated, terms.uses));
        let leads = words.first().is_some_and(|(terms, negated)| {
            !negated && terms.ids.len() == 1 && (wanted.is_empty() || terms.uses < FEW)
        });
        if leads {
            let (terms, _) = words.remove(0);
            ask.from = "posting AS lead CROSS JOIN exchange ON exchange.intent = lead.exchange";
            ask.key = "lead.exchange";
            ask.and("lead.term = ?", terms.ids);
        }
        if !wanted.is_empty() {
            let wanted = wanted.join(" AND ");
            if leads {
                ask.and(IN_TEXT, [wanted]);
            } else {
                ask.from = "text CROSS JOIN exchange ON exchange.intent = text.rowid";
                ask.key = "text.rowid";
                ask.and("text MATCH ?", [wanted]);
            }
        }
        for text in unwanted {
            ask.and(format!("NOT {IN_TEXT}"), [text]);
        }
        for (terms, negated) in words {
            ask.word(&terms, negated);
        }
        for term in &query.terms {
            match &term.condition {
                Condition::Number { field, any } => {
                    let column = format!("exchange.{}", field.column());
                    ask.ranges(&column, any.iter().copied(), term.negated);
                }
                Condition::Time {
                    field,
                    from,
                    before,
                } => {
                    let column = match field {
                        TimeField::Started => "exchange.started",
                        TimeField::Ended => "exchange.ended",
                    };
                    let span = Span {
                        least: from.map(|from| from.micros(clock)),
                        most: before.map(|before| before.micros(clock).saturating_sub(1)),
                    };
                    ask.ranges(column, [span].into_iter(), term.negated);
                }
                Condition::Text { .. } | Condition::Word { .. } => {}
            }
        }
        Ok(Some(ask))
    }

    fn and<V: Into<Sql>>(
        &mut self,
        condition: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) {
        self.conditions.push(condition.into());
        self.values.extend(values.into_iter().map(Into::into));
    }

    fn word(&mut self, terms: &Terms, negated: bool) {
        let not = if negated { "NOT " } else { "" };
        // Of what leads, so that nothing is read of those that are left out.
        let key = self.key;
        if terms.ids.len() <= 8 && terms.uses > FEW {
            // Looking for each is cheaper than gathering them all.
            let marks = vec!["?"; terms.ids.len()].join(", ");
            let condition = format!(
                "{not}EXISTS (SELECT 1 FROM posting
                 WHERE posting.term IN ({marks}) AND posting.exchange = {key})"
            );
            self.and(condition, terms.ids.iter().copied());
            return;
        }
        let ids: Vec<String> = terms.ids.iter().map(i64::to_string).collect();
        let ids = format!("[{}]", ids.join(","));
        let condition = if terms.uses > MANY {
            // What an exchange has are few values; which exchanges have one of these are too many.
            format!(
                "{not}EXISTS (SELECT 1 FROM posting INDEXED BY posting_exchange
                 WHERE posting.exchange = {key}
                     AND posting.term IN (SELECT value FROM json_each(?)))"
            )
        } else {
            format!(
                "{key} {not}IN (SELECT exchange FROM posting
                 WHERE term IN (SELECT value FROM json_each(?)))"
            )
        };
        self.and(condition, [ids]);
    }

    fn ranges(&mut self, column: &str, spans: impl Iterator<Item = Span>, negated: bool) {
        let mut any = Vec::new();
        for span in spans {
            let mut both = vec![format!("{column} IS NOT NULL")];
            for (bound, sign) in [(span.least, ">="), (span.most, "<=")] {
                if let Some(bound) = bound {
                    both.push(format!("{column} {sign} ?"));
                    self.values.push(bound.into());
                }
            }
            any.push(format!("({})", both.join(" AND ")));
        }
        let not = if negated { "NOT " } else { "" };
        self.conditions.push(format!("{not}({})", any.join(" OR ")));
    }
}

const IN_TEXT: &str = "exchange.intent IN (SELECT rowid FROM text WHERE text MATCH ?)";

impl Terms {
    fn find(index: &Connection, field: &str, any: &[Pattern]) -> Result<Self, Error> {
        let mut found = Self {
            ids: Vec::new(),
            uses: 0,
        };
        if any.iter().all(|pattern| matches!(pattern, Pattern::Is(_))) {
            let mut term = index
                .prepare_cached("SELECT id, uses FROM term WHERE field = ?1 AND value = ?2")?;
            for pattern in any {
                if let Pattern::Is(value) = pattern {
                    let rows =
                        term.query_map([field, value], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    found.take(rows)?;
                }
            }
        } else {
            let mut terms =
                index.prepare_cached("SELECT id, uses, value FROM term WHERE field = ?1")?;
            let mut rows = terms.query([field])?;
            while let Some(row) = rows.next()? {
                let value: String = row.get(2)?;
                if any.iter().any(|pattern| pattern.takes(&value)) {
                    found.take([Ok((row.get(0)?, row.get(1)?))].into_iter())?;
                }
            }
        }
        Ok(found)
    }

    fn take(
        &mut self,
        rows: impl Iterator<Item = rusqlite::Result<(i64, i64)>>,
    ) -> Result<(), Error> {
        for row in rows {
            let (id, uses) = row?;
            if !self.ids.contains(&id) {
                self.ids.push(id);
                self.uses = self.uses.saturating_add(uses);
            }
        }
        Ok(())
    }
}

/// How much of a text is shown before and after what was found, in characters.
const AROUND: usize = 60;

fn snippets(book: &Reader, summary: &Summary, query: &Query) -> Result<Vec<Snippet>, Error> {
    let Some(record) = book.exchange(&summary.id.to_string())? else {
        return Ok(Vec::new());
    };
    let mut blocks = blocks(&record);
    // What this exchange brings is most likely what was meant.
    blocks.sort_by_key(|block| !block.brought);
    let mut all: Vec<Snippet> = Vec::new();
    let mut shown: Vec<(usize, Range<usize>)> = Vec::new();
    for (place, phrase) in query.phrases() {
        let mut fitting = (blocks.iter().enumerate())
            .filter(|(_, block)| place.covers(block.said.place()))
            .filter_map(|(number, block)| Some((number, block, find(&block.text, phrase)?)));
        let Some((number, block, found)) = fitting.next() else {
            continue;
        };
        let is_shown = |(other, around): &(usize, Range<usize>)| {
            *other == number && around.start <= found.start && found.end <= around.end
        };
        if !shown.iter().any(is_shown) {
            let around = around(&block.text, &found);
            all.push(Snippet {
                place: block.said.place().name(),
                before: block.text[around.start..found.start].to_owned(),
                after: block.text[found.end..around.end].to_owned(),
                found: block.text[found].to_owned(),
            });
            shown.push((number, around));
        }
    }
    Ok(all)
}

/// Where the phrase stands first in the text.
fn find(text: &str, phrase: &Phrase) -> Option<Range<usize>> {
    let (at, words): (Vec<_>, Vec<_>) = places(text).unzip();
    let length = phrase.words.len();
    let first = words.windows(length).position(|some| phrase.is(some))?;
    Some(at[first].start..at[first + length - 1].end)
}

/// What is shown of the text.
fn around(text: &str, found: &Range<usize>) -> Range<usize> {
    let before = text[..found.start].char_indices().rev().nth(AROUND - 1);
    let after = text[found.end..].char_indices().nth(AROUND);
    before.map_or(0, |(at, _)| at)..after.map_or(text.len(), |(at, _)| found.end + at)
}
