//! How long what is recorded has to be kept, and how long it may be.

use std::{collections::BTreeMap, time::Duration};

use tollbook_exchange::Timestamp;

use crate::keys::Class;

/// How long what is recorded has to be kept, and how long it may be.
///
/// Time counts from the last entry of a scope, which is what one principal does in one session: its
/// keys are destroyed together, by class. The default keeps everything for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// What counts where nothing else is told for a connection.
    pub terms: Terms,
    /// What counts for a connection, by its name.
    pub connections: BTreeMap<String, Terms>,
}

/// The terms of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Who asked for what, and how it ended. When it goes, all goes.
    pub metadata: Term,
    /// The bodies of requests.
    pub request: Term,
    /// The bodies of answers.
    pub answer: Term,
    /// The bodies of answers that are rows of a database: those of connections that speak its
    /// protocol.
    pub rows: Term,
    /// The words of texts in the search index, exchange by exchange. The book keeps what they are of.
    pub index: Term,
}

/// How long something has to be kept, and how long it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// Nothing is destroyed before.
    pub min: Option<Duration>,
    /// It is destroyed after that.
    pub max: Option<Duration>,
}

impl Retention {
    /// When this class of a scope is to be destroyed, if ever: by the longest term of the
    /// connections it has entries of.
    pub(super) fn expires<'a>(
        &self,
        class: Class,
        connections: impl IntoIterator<Item = &'a str> + Clone,
        last: Timestamp,
    ) -> Option<Timestamp> {
        let kept = self.kept_until(class, connections.clone(), last);
        let mut latest = Some(kept);
        for terms in self.terms_of(connections) {
            let own = terms.of(class).max;
            // What nobody could tell the meaning of any more goes with the metadata.
            let max = match (own, terms.metadata.max) {
                (Some(own), Some(all)) => Some(own.min(all)),
                (own, all) => own.or(all),
            };
            latest = latest
                .zip(max)
                .map(|(latest, max)| latest.max(after(last, max)));
        }
        latest
    }

    /// Until when this class of a scope has to be kept. With the metadata the words in the index go.
    pub(super) fn kept_until<'a>(
        &self,
        class: Class,
        connections: impl IntoIterator<Item = &'a str>,
        last: Timestamp,
    ) -> Timestamp {
        let terms = self.terms_of(connections);
        let min = terms.filter_map(|terms| match class {
            Class::Metadata => terms.metadata.min.max(terms.index.min),
            _ => terms.of(class).min,
        });
        min.max().map_or(last, |min| after(last, min))
    }

    /// For how long the search index keeps the words of an exchange of this connection after its end;
    /// `None` for as long as the book has them.
    pub fn words(&self, connection: &str) -> Option<Duration> {
        let terms = self.connections.get(connection).unwrap_or(&self.terms);
        let max = terms.index.max?;
        Some(terms.index.min.map_or(max, |min| min.max(max)))
    }

    fn terms_of<'a>(
        &self,
        connections: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = &Terms> {
        let of = |name| self.connections.get(name).unwrap_or(&self.terms);
        connections.into_iter().map(of)
    }
}

impl Terms {
    /// Those of a class.
    pub(super) const fn of(&self, class: Class) -> &Term {
        match class {
            Class::Metadata => &self.metadata,
            Class::Request => &self.request,
            Class::Answer => &self.answer,
            Class::Rows => &self.rows,
        }
    }
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(time.as_micros().saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn term(min: Option<u32>, max: Option<u32>) -> Term {
        Term {
            min: min.map(|days| DAY * days),
            max: max.map(|days| DAY * days),
        }
    }

    fn days(until: Option<Timestamp>) -> Option<i64> {
        until.map(|until| until.as_micros() / 86_400_000_000)
    }

    #[test]
    fn the_longest_term_of_the_connections_counts() {
        let start = Timestamp::from_micros(0);
        let forever = Retention::default();
        assert_eq!(forever.expires(Class::Request, ["a"], start), None);
        assert_eq!(forever.kept_until(Class::Answer, ["a"], start), start);
        assert_eq!(forever.words("a"), None);

        let terms = Terms {
            metadata: term(Some(10), Some(400)),
            request: term(None, Some(90)),
            answer: term(Some(40), Some(30)),
            rows: term(None, Some(7)),
            index: term(Some(20), Some(60)),
        };
        let long = Terms {
            request: term(None, None),
            metadata: term(None, Some(200)),
            ..terms
        };
        let retention = Retention {
            terms,
            connections: BTreeMap::from([
                ("long".to_owned(), long),
                ("ever".to_owned(), Terms::default()),
            ]),
        };
        let expires = |class, connections: &[&'static str]| {
            days(retention.expires(class, connections.iter().copied(), start))
        };
        assert_eq!(expires(Class::Metadata, &["a"]), Some(400));
        assert_eq!(expires(Class::Request, &["a"]), Some(90));
        assert_eq!(
            expires(Class::Answer, &["a"]),
            Some(40),
            "not before the minimum"
        );
        assert_eq!(
            expires(Class::Request, &["long"]),
            Some(200),
            "with the metadata"
        );
        assert_eq!(expires(Class::Request, &["a", "long"]), Some(200));
        assert_eq!(expires(Class::Request, &["a", "ever"]), None);
        assert_eq!(expires(Class::Rows, &["a"]), Some(7));
        let kept = |class| days(Some(retention.kept_until(class, ["a"], start)));
        assert_eq!(kept(Class::Metadata), Some(20), "the words go with it");
        assert_eq!(kept(Class::Answer), Some(40));
        assert_eq!(kept(Class::Rows), Some(0));
        assert_eq!(retention.words("a"), Some(DAY * 60));
        assert_eq!(retention.words("ever"), None);
    }
}
