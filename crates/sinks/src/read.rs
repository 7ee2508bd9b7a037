//! From the book to what is sent.

use serde_json::Value;
use tokio::time::Instant;
use tollbook_budget::Prices;
use tollbook_exchange::{ExchangeId, Timestamp};
use tollbook_recording::{ErrorKind as BookErrorKind, Reader, Summary};
use tollbook_search::{Clock as QueryClock, Encoder, Facts};

use crate::{Delivery, Error, ErrorKind, Options, Shape, Sink};

/// How many entries are looked at in one snapshot of the book.
const WINDOW: u64 = 256;
/// How many entries are looked at in one go, where nothing is found to be sent.
const STRETCH: u64 = 20_000;
const HOUR: i64 = 3_600_000_000;

/// What comes next.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) parts: Vec<Part>,
    /// What the book has and cannot be read.
    pub(crate) broken: Vec<Item>,
    /// The index after the last entry that was looked at.
    pub(crate) to: u64,
    /// What the log has right before that.
    pub(crate) anchor: Option<[u8; 32]>,
    /// How many entries the log has.
    pub(crate) size: u64,
    /// How many exchanges are gone.
    pub(crate) skipped: u64,
}

/// Some records that are sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) items: Vec<Item>,
    pub(crate) delivery: Delivery,
    /// When it was read from the book.
    pub(crate) read: Instant,
    /// How often the other side refused it.
    pub(crate) refusals: u32,
}

/// What is there, by now, of some records.
#[derive(Debug, Default)]
pub(crate) struct Again {
    pub(crate) parts: Vec<Part>,
    /// What the book has and cannot be read.
    pub(crate) broken: Vec<Item>,
    /// How many of them are gone.
    pub(crate) gone: u64,
}

/// A record's place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The index of its last entry.
    pub(crate) index: u64,
    pub(crate) exchange: ExchangeId,
    pub(crate) ended: Timestamp,
}

/// Reads for one sink.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) book: Reader,
    pub(crate) origin: String,
    /// What tells the book from another one of this origin.
    pub(crate) first: String,
    pub(crate) prices: Prices,
    pub(crate) sink: Sink,
}

/// One record of the book.
enum Found {
    Record(Box<Value>),
    /// It was erased.
    Gone,
    /// It is there, and it is damaged, or its key is missing.
    Broken,
}

impl Source {
    /// What comes at `from` or after. With `planned`, nothing beyond it: what was going to be sent
    /// before a crash. That is all of it unless the options have changed; a batch has its limits also
    /// then.
    pub(crate) fn next(&self, from: u64, planned: Option<u64>) -> Result<Batch, Error> {
        let options = &self.sink.options;
        let size = self.book.size()?;
        let end = planned.map_or(size, |planned| planned.min(size));
        let clock = QueryClock::utc();
        let mut packer = Packer::new(self);
        let (mut at, mut skipped, mut broken) = (from, 0, Vec::new());
        'reading: while at < end && at - from < STRETCH {
            let to = end.min(at.saturating_add(WINDOW));
            for summary in self.book.window(at..to)? {
                // What is under way comes again with the entry that closes it.
                let Some(item) = item(&summary) else { continue };
                if !options.connections.is_empty()
                    && !options.connections.contains(&summary.connection)
                {
                    continue;
                }
                if packer.is_full(item) {
                    at = item.index;
                    break 'reading;
                }
                match self.find(item.exchange)? {
                    Found::Gone => skipped += 1,
                    Found::Broken => broken.push(item),
                    Found::Record(record) => {
                        let query = &options.query;
                        if query.is_all() || query.takes(&Facts::of(&record, &self.prices), &clock)
                        {
                            packer.push(item, *record)?;
                        }
                    }
                }
            }
            at = to;
        }
        Ok(Batch {
            parts: packer.finish()?,
            broken,
            to: at,
            anchor: match at.checked_sub(1) {
                Some(last) => self.book.leaf_at(last)?,
                None => None,
            },
            size,
            skipped,
        })
    }

    /// The same records, as the book has them by now.
    pub(crate) fn again(&self, items: &[Item]) -> Result<Again, Error> {
        let mut again = Again::default();
        let mut packer = Packer::new(self);
        for item in items {
            match self.find(item.exchange)? {
                Found::Record(record) => packer.push(*item, *record)?,
                Found::Gone => again.gone += 1,
                Found::Broken => again.broken.push(*item),
            }
        }
        again.parts = packer.finish()?;
        Ok(again)
    }

    /// The same records in two halves, as the book has them by now.
    pub(crate) fn halves(&self, items: &[Item]) -> Result<Again, Error> {
        let (first, second) = items.split_at(items.len() / 2);
        let (mut both, second) = (self.again(first)?, self.again(second)?);
        both.parts.extend(second.parts);
        both.broken.extend(second.broken);
        both.gone += second.gone;
        Ok(both)
    }

    /// One record by itself, of which no more is known than this.
    pub(crate) fn one(&self, index: u64, exchange: ExchangeId) -> Result<Again, Error> {
        let mut item = Item {
            index,
            exchange,
            ended: Timestamp::from_micros(0),
        };
        let mut again = Again::default();
        match self.find(exchange)? {
            Found::Gone => again.gone = 1,
            Found::Broken => again.broken.push(item),
            Found::Record(record) => {
                let ended = record["ended"].as_str();
                if let Some(ended) = ended.and_then(|ended| ended.parse().ok()) {
                    item.ended = ended;
                }
                let mut packer = Packer::new(self);
                packer.push(item, *record)?;
                again.parts = packer.finish()?;
            }
        }
        Ok(again)
    }

    fn find(&self, exchange: ExchangeId) -> Result<Found, Error> {
        match self.book.exchange(&exchange.to_string()) {
            Ok(Some(record)) => judge(record, self.book.locked().is_some()),
            Ok(None) => Ok(Found::Gone),
            // One that is damaged must not keep all others waiting.
            Err(error) if *error.kind() == BookErrorKind::Corrupt => Ok(Found::Broken),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a record is to a sink. One of which only the contents were erased is sent, and says so.
///
/// What cannot be opened is not sent without what it has. Where no key can be had the sink waits for
/// them; the one record whose key is missing is set aside, so that the others need not wait.
fn judge(record: Value, locked: bool) -> Result<Found, Error> {
    if record.get("unavailable").is_some_and(|why| !why.is_null()) {
        return match locked {
            true => Err(ErrorKind::Unavailable.into()),
            false => Ok(Found::Broken),
        };
    }
    let erased = record["erased"]["classes"].as_array();
    if erased.is_some_and(|classes| classes.iter().any(|class| class == "metadata")) {
        return Ok(Found::Gone);
    }
    Ok(Found::Record(Box::new(record)))
}

fn item(summary: &Summary) -> Option<Item> {
    summary.outcome.as_ref()?;
    Some(Item {
        index: summary.latest,
        exchange: summary.id,
        ended: summary.ended?,
    })
}

/// Puts records together as the sink takes them.
struct Packer<'a> {
    options: &'a Options,
    source: &'a Source,
    prices: &'a Prices,
    shape: Shape,
    by_hour: bool,
    parts: Vec<Part>,
    items: Vec<Item>,
    encoder: Option<Encoder>,
    bytes: Vec<u8>,
    /// In all parts.
    records: usize,
    /// About how many bytes the records have.
    size: usize,
    hour: Option<i64>,
    read: Instant,
}

impl<'a> Packer<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            options: &source.sink.options,
            source,
            prices: &source.prices,
            shape: source.sink.target.shape(),
            by_hour: source.sink.target.by_hour(),
            parts: Vec::new(),
            items: Vec::new(),
            encoder: None,
            bytes: Vec::new(),
            records: 0,
            size: 0,
            hour: None,
            // Before anything is read: what is erased meanwhile counts as erased later.
            read: Instant::now(),
        }
    }

    /// Whether this record belongs into the next batch.
    fn is_full(&self, item: Item) -> bool {
        self.records > 0
            && (self.records >= self.options.batch_records
                || self.size >= self.options.batch_bytes
                || self.by_hour && self.hour != Some(hour(item.ended)))
    }

    fn push(&mut self, item: Item, record: Value) -> Result<(), Error> {
        self.size = self.size.saturating_add(weight(&record));
        self.records += 1;
        self.hour = Some(hour(item.ended));
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::begin(self.options.format, self.options.contents, &mut self.bytes)?,
        };
        let before = self.bytes.len();
        encoder.record(record, self.prices, &mut self.bytes)?;
        self.items.push(item);
        self.encoder = Some(encoder);
        // A line comes out when it is full, with all that went in.
        let line = self.shape == Shape::Line && self.bytes.len() > before;
        if line || self.shape == Shape::Record {
            self.close()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Part>, Error> {
        self.close()?;
        Ok(self.parts)
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(encoder) = self.encoder.take() else {
            return Ok(());
        };
        encoder.end(&mut self.bytes)?;
        let (items, bytes) = (
            std::mem::take(&mut self.items),
            std::mem::take(&mut self.bytes),
        );
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return Ok(());
        };
        let delivery = Delivery {
            sink: self.source.sink.name.clone(),
            book: self.source.first.clone(),
            origin: self.source.origin.clone(),
            first: first.index,
            last: last.index,
            records: items.len(),
            ended: first.ended,
            bytes: bytes.into(),
            media_type: self.options.format.media_type(),
            format: self.options.format.as_str(),
        };
        self.parts.push(Part {
            items,
            delivery,
            read: self.read,
            refusals: 0,
        });
        Ok(())
    }
}

fn hour(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(HOUR)
}

/// About how many bytes a record takes: what was said is most of it, and the answer is there as text
/// and as events.
fn weight(record: &Value) -> usize {
    let length = |side: &str| {
        let body = &record[side]["body"];
        // What is no text stands there as `{"base64": …}`.
        let text = body.as_str().or_else(|| body["base64"].as_str());
        text.map_or(0, str::len)
    };
    let sum = length("request").saturating_add(length("response").saturating_mul(2));
    sum.saturating_add(2_048)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_erased_is_gone_and_what_is_closed_is_waited_for() {
        let erased = |classes: Value| json!({ "id": "a", "erased": { "classes": classes } });
        assert!(matches!(
            judge(json!({ "id": "a" }), false),
            Ok(Found::Record(_))
        ));
        let contents = erased(json!(["request", "answer"]));
        assert!(matches!(judge(contents, false), Ok(Found::Record(_))));
        let all = erased(json!(["metadata", "request", "answer"]));
        assert!(matches!(judge(all, false), Ok(Found::Gone)));
        let closed = json!({ "id": "a", "unavailable": { "classes": ["answer"], "why": "…" } });
        let waits = judge(closed.clone(), true).map(|_| ());
        assert_eq!(waits.unwrap_err().kind(), &ErrorKind::Unavailable);
        // One scope whose key is missing stands in nobody's way.
        assert!(matches!(judge(closed, false), Ok(Found::Broken)));
    }

    #[test]
    fn what_is_no_text_has_its_weight() {
        let record = |body: Value| json!({ "response": { "body": body } });
        let text = weight(&record(json!("x".repeat(5_000))));
        let bytes = weight(&record(json!({ "base64": "x".repeat(5_000) })));
        assert_eq!(text, bytes);
        assert!(bytes > 10_000);
    }
}
