//! What becomes of sinks, in the book.

use tollbook_sinks::{BoxFuture, SinkEvent, Witness};

use crate::events::{Event, Events};

/// Writes into the book what becomes of sinks. What cannot be written is in the log, and stops no
/// sink: what they send is in the book already.
#[derive(Debug)]
pub(crate) struct SinkWitness(pub(crate) Events);

impl Witness for SinkWitness {
    fn note<'a>(&'a self, event: &'a SinkEvent) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.0.note(entry(event)).await {
                tracing::warn!(sink = event.sink(), %error, "what became of a sink could not be recorded");
            }
        })
    }
}

/// The event as it stands in the book.
fn entry(event: &SinkEvent) -> Event {
    let named = |name: &'static str| Event::new(name).with("sink", event.sink().to_owned());
    match event {
        SinkEvent::Started {
            kind,
            format,
            query,
            ..
        } => named("sink.started")
            .with("kind", *kind)
            .with("format", *format)
            .maybe("query", (!query.is_empty()).then(|| query.clone())),
        SinkEvent::Failing { since, why, .. } => named("sink.failing")
            .with("since", since.to_string())
            .with("why", why.clone()),
        SinkEvent::Recovered { since, .. } => {
            named("sink.recovered").with("since", since.to_string())
        }
        SinkEvent::SetAside {
            exchange,
            index,
            why,
            ..
        } => named("sink.set_aside")
            .with("exchange", exchange.to_string())
            .with("index", number(*index))
            .with("why", why.clone()),
        SinkEvent::Resent {
            exchange, index, ..
        } => named("sink.resent")
            .with("exchange", exchange.to_string())
            .with("index", number(*index)),
        SinkEvent::OtherBook { before, cursor, .. } => named("sink.other_book")
            .with("before", before.clone())
            .with("cursor", number(*cursor)),
        _ => named("sink.changed"),
    }
}

fn number(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
