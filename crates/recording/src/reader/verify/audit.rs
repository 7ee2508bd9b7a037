//! The checks that need more than the log: what is stored for its entries.

use std::path::Path;

use rusqlite::{OptionalExtension, ToSql, Transaction, params};
use serde_json::Value;
use tollbook_exchange::{ExchangeId, SessionId, Timestamp};
use tollbook_ledger::{ContentDigest, Hash, Header, Kind, Leaf, MAX_FAULTS};

use super::{Fault, ToldGap, Unread, entries::Step, parted::Parted};
use crate::{
    Error, ErrorKind,
    body::{Opened, Recipe},
    database::{self, signed},
    envelope::{VERSION, content, shape_name},
    erased::Tombstones,
    journal::shape_of,
    keys::{Class, KeyId, Keyring},
    opener::{self, Content, Opener, brings},
    queue::Brings,
    row::Row,
    scopes::piece_id,
};

/// Key, session, holder, and whether the scope is that of one exchange alone.
type ScopeRow = ([u8; 16], [u8; 16], [u8; 32], bool);

/// The checks that need more than the log: bodies, and the table of exchanges.
pub(super) struct Audit<'a> {
    pub(super) book: &'a Transaction<'a>,
    opener: Opener<'a>,
    journal: &'a Path,
    tombstones: Tombstones,
    /// Whether the tombstones are also those that were written since.
    is_newest: bool,
    pub(super) looked: Looked,
}

/// What was found.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) erased: Unread,
    pub(super) unopened: Unread,
    /// Outcomes under keys of their own: of exchanges that nobody could open to close them.
    pub(super) apart: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) fault_count: u64,
    /// Faults that are keys which are gone, and nothing says why.
    pub(super) lost_count: u64,
    pub(super) intents: u64,
    pub(super) outcomes: u64,
    pub(super) gaps: Vec<ToldGap>,
}

impl Looked {
    /// Adds what was found of other entries.
    pub(super) fn add(&mut self, other: Self) {
        self.erased.add(other.erased);
        self.unopened.add(other.unopened);
        self.apart += other.apart;
        self.faults.extend(other.faults);
        self.fault_count += other.fault_count;
        self.lost_count += other.lost_count;
        self.intents += other.intents;
        self.outcomes += other.outcomes;
        self.gaps.extend(other.gaps);
    }
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        book: &'a Transaction<'a>,
        keyring: Result<&'a Keyring, ErrorKind>,
        journal: &'a Path,
    ) -> Self {
        let mut tombstones = Tombstones::default();
        // What cannot be read here is told where it is met again.
        let _damaged = tombstones.read(book);
        Self {
            book,
            opener: Opener::new(book, keyring),
            journal,
            tombstones,
            is_newest: false,
            looked: Looked::default(),
        }
    }

    /// Holds an entry against its leaf and checks what belongs to it, if the entry itself is what was
    /// signed. Returns what there is to be told of it to the verifier, who comes to the same.
    pub(super) fn entry(
        &mut self,
        place: i64,
        leaf: &[u8],
        salt: Option<&[u8]>,
        envelope: &[u8],
    ) -> Result<Step, Error> {
        let step = |digest: Hash| Ok(Step::Sealed(leaf.to_vec(), digest));
        let Ok(parsed) = Leaf::from_bytes(leaf) else {
            return step(Hash::empty());
        };
        let header = &parsed.header;
        let sealed = match opener::stored(self.book, header, envelope) {
            // What is of another type than was written does not fit either.
            Err(error) if error.is_damage() => Some(Hash::empty()),
            sealed => sealed?,
        };
        match sealed {
            Some(_) if salt.is_some() => return step(Hash::empty()),
            Some(sealed) if sealed != header.seal.digest => return step(sealed),
            _ => {}
        }
        let opened = self.opener.envelope(header, salt, envelope);
        let (step, fits) = match (sealed, &opened) {
            (_, Ok(Content::Open(opened))) => (
                Step::Open(leaf.to_vec(), opened.salt.to_vec(), opened.envelope.clone()),
                parsed.opens_with(&opened.salt, &opened.envelope),
            ),
            (Some(sealed), _) => (Step::Sealed(leaf.to_vec(), sealed), true),
            // Its salt is none.
            (None, _) => (
                Step::Open(
                    leaf.to_vec(),
                    salt.unwrap_or_default().to_vec(),
                    envelope.to_vec(),
                ),
                false,
            ),
        };
        match opened {
            Ok(opened) if fits => {
                if place != signed(header.sequence)? {
                    let what = "the entry is stored under another index";
                    self.fault(Some(header.sequence), what);
                }
                if self.belongings(header, opened).is_err() {
                    let what = "what belongs to the entry cannot be read: the journal is damaged";
                    self.fault(Some(header.sequence), what);
                }
            }
            Ok(_) => {}
            Err(error) if error.is_damage() => {
                if fits {
                    self.fault(Some(header.sequence), "its key does not open the envelope");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(step)
    }

    fn belongings(&mut self, header: &Header, opened: Content<Opened>) -> Result<(), Error> {
        let index = Some(header.sequence);
        match header.kind {
            Kind::Intent => self.looked.intents += 1,
            Kind::Outcome => self.looked.outcomes += 1,
            _ => {}
        }
        let key = KeyId(header.seal.key);
        let Some(opened) = self.opened(header, key, Class::Metadata, opened)? else {
            return self.unread(header);
        };
        let envelope: Value = serde_json::from_slice(&opened.envelope).unwrap_or(Value::Null);
        let fits = match (header.kind, Row::read(&envelope)) {
            (Kind::Intent, Some(Row::Intent(row))) => {
                let same = row.id.as_bytes() == &header.exchange
                    && row.session.as_bytes() == &header.session;
                if self.intent_row(header.sequence)?.as_ref() != Some(&row) {
                    self.fault(index, "the table of exchanges differs from the intent");
                }
                let brings = brings(self.book, header.sequence)?.unwrap_or_default();
                self.scope(header, brings, &envelope)?;
                let recorded = &envelope["request"]["body"];
                self.request(header, brings, &opened.salt, &opened.recipe, recorded)?;
                same
            }
            (Kind::Outcome, Some(Row::Outcome(row))) => {
                let same = row.id.as_bytes() == &header.exchange;
                if self.outcome_row(header.sequence)?.as_ref() != Some(&row) {
                    self.fault(index, "the table of exchanges differs from the outcome");
                }
                self.response(header, &opened.salt, &envelope["response"])?;
                same
            }
            (Kind::Intent | Kind::Outcome, _) => {
                self.fault(index, "the envelope is not one that this build reads");
                return Ok(());
            }
            (kind, _) => {
                self.told(header, &envelope);
                own(kind, header, &envelope)
            }
        };
        if !fits {
            self.fault(index, "the envelope is not that of its leaf");
        }
        Ok(())
    }

    /// Takes down what the book says was not recorded.
    fn told(&mut self, header: &Header, envelope: &Value) {
        let is_gap = header.kind == Kind::State && envelope["state"] == "gap";
        if !is_gap || self.looked.gaps.len() >= MAX_FAULTS {
            return;
        }
        let text = |key: &str| envelope[key].as_str().unwrap_or_default().to_owned();
        self.looked.gaps.push(ToldGap {
            index: header.sequence,
            connection: text("connection"),
            from: text("from").parse().ok(),
            to: text("to").parse().ok(),
            why: text("why"),
            counts: serde_json::from_value(envelope.clone()).unwrap_or_default(),
        });
    }

    /// Checks what can be of an entry that nobody can open.
    fn unread(&mut self, header: &Header) -> Result<(), Error> {
        let index = Some(header.sequence);
        let row: Option<([u8; 16], [u8; 16], bool)> = self
            .book
            .prepare_cached(
                "SELECT id, session, trim(concat(issuer, subject, kind, action, model)) = ''
                 FROM exchange JOIN caller USING (intent)
                 WHERE closed = ?1 OR intent = ?1",
            )?
            .query_row([signed(header.sequence)?], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((id, session, is_empty)) = row else {
            self.fault(index, "the table of exchanges lacks the exchange");
            return Ok(());
        };
        if (id, session) != (header.exchange, header.session) {
            self.fault(index, "the table of exchanges has another exchange here");
        }
        let key = KeyId(header.seal.key);
        if header.kind == Kind::Intent {
            let brings = brings(self.book, header.sequence)?.unwrap_or_default();
            self.scope(header, brings, &Value::Null)?;
            if self.tombstones.of(key, Class::Metadata).is_some() && !is_empty {
                self.fault(index, "the table of exchanges tells of what was erased");
            }
            // One that brought nothing has a range with nothing in it.
            let first = piece_id(brings.scope, brings.first)?;
            let end = first.saturating_add(i64::from(brings.count));
            self.stubs(
                header,
                (key, Class::Request),
                "SELECT 1 FROM pack WHERE id >= ?1 AND id < ?2 AND substr(data, 1, 1) = x'00'
                     AND length(data) = 33 LIMIT 1",
                params![first, end],
            )?;
        } else {
            let answered = self.answered(header)?;
            self.stubs(
                header,
                answered,
                "SELECT 1 FROM part WHERE exchange = ?1 AND substr(data, 1, 1) = x'00'
                     AND length(data) = 33 LIMIT 1",
                params![header.exchange],
            )?;
        }
        Ok(())
    }

    /// A body of which a stub alone is left was dropped. That is a loss where nothing says why, and
    /// takes no key to be seen.
    fn stubs(
        &mut self,
        header: &Header,
        (key, class): (KeyId, Class),
        find: &str,
        of: &[&dyn ToSql],
    ) -> Result<(), Error> {
        if self.tombstones.of(key, class).is_some() {
            return Ok(());
        }
        let found = self
            .book
            .prepare_cached(find)?
            .query_row(of, |_| Ok(()))
            .optional()?;
        if found.is_some() {
            self.opened::<()>(header, key, class, Content::Erased)?;
        }
        Ok(())
    }

    /// Holds the scope of an intent against its leaf, and against its envelope if that is open.
    fn scope(&mut self, header: &Header, brings: Brings, envelope: &Value) -> Result<(), Error> {
        let found: Option<ScopeRow> = self
            .book
            .prepare_cached("SELECT key, session, holder, alone FROM scope WHERE number = ?1")?
            .query_row([signed(brings.scope)?], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()
            .unwrap_or_default();
        let principal = &envelope["principal"];
        let holder = match (principal["issuer"].as_str(), principal["subject"].as_str()) {
            (Some(issuer), Some(subject)) => self.opener.subject(issuer, subject),
            _ if envelope.is_object() => Some([0; 32]),
            _ => None,
        };
        let fits = found.is_some_and(|(key, session, stored, alone)| {
            key == header.seal.key
                && session == header.session
                && alone == header.is_alone()
                && holder.is_none_or(|holder| holder == stored)
        });
        if !fits {
            let what = "the table of scopes differs from the intent";
            self.fault(Some(header.sequence), what);
        }
        Ok(())
    }

    /// Whether the body that was asked with is what the intent's envelope says.
    fn request(
        &mut self,
        header: &Header,
        brings: Brings,
        salt: &[u8; 32],
        recipe: &Recipe,
        recorded: &Value,
    ) -> Result<(), Error> {
        let mut body = Parted::new(salt, recorded["bytes"].as_u64().unwrap_or(0));
        let key = KeyId(header.seal.key);
        let read = self
            .opener
            .request(key, brings, recipe, &mut |piece| body.more(piece));
        let Some(read) = self.read(header, read)? else {
            return Ok(());
        };
        if self.opened(header, key, Class::Request, read)?.is_some()
            && *recorded != content(&body.digest)
        {
            self.fault(Some(header.sequence), OTHER_BODY);
        }
        Ok(())
    }

    /// Whether the stored response is what the outcome's envelope says.
    fn response(
        &mut self,
        header: &Header,
        salt: &[u8; 32],
        recorded: &Value,
    ) -> Result<(), Error> {
        let (key, class) = self.answered(header)?;
        // One that nobody could read when it was closed has no digest.
        if recorded["body"].is_null() {
            return Ok(());
        }
        let mut digest = ContentDigest::new(salt);
        let mut whole = true;
        let shape = recorded["shape"].as_str();
        let read = self.opener.answer(
            ExchangeId::from_bytes(header.exchange),
            (key, class),
            &mut |kind, parts| {
                whole &= shape == Some(shape_name(shape_of(kind)));
                parts.iter().for_each(|(at, bytes)| digest.part(*at, bytes));
                Ok(())
            },
        );
        let Some(read) = self.read(header, read)? else {
            return Ok(());
        };
        if self.opened(header, key, class, read)?.is_some()
            && (!whole || recorded["body"] != content(&digest))
        {
            self.fault(Some(header.sequence), OTHER_BODY);
        }
        Ok(())
    }

    /// The key of the answer, and its class: that of the exchange's scope. The outcome may have one of
    /// its own.
    fn answered(&mut self, header: &Header) -> Result<(KeyId, Class), Error> {
        // A key of another length is told at the intent.
        let own = KeyId(header.seal.key);
        let answered = opener::answer_key(self.book, header).unwrap_or((own, Class::Answer));
        if answered.0 != own {
            self.looked.apart += 1;
            let rows: i64 = self.book.query_row(
                "SELECT count(*) FROM scope WHERE key = ?1 AND session = ?2 AND alone = 1
                     AND holder = zeroblob(32)",
                params![header.seal.key, header.session],
                |row| row.get(0),
            )?;
            if rows != 1 {
                let what = "the table of scopes differs from the outcome";
                self.fault(Some(header.sequence), what);
            }
        }
        Ok(answered)
    }

    /// What was read of a body; a fault if its key does not open it.
    fn read<T>(
        &mut self,
        header: &Header,
        read: Result<Content<T>, Error>,
    ) -> Result<Option<Content<T>>, Error> {
        match read {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.is_damage() => {
                self.fault(Some(header.sequence), OTHER_BODY);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is open. The rest is counted, and a fault where a key is gone and nothing says why.
    fn opened<T>(
        &mut self,
        header: &Header,
        key: KeyId,
        class: Class,
        content: Content<T>,
    ) -> Result<Option<T>, Error> {
        let is_erased = match &content {
            Content::Erased => true,
            _ => self.tombstones.of(key, class).is_some(),
        };
        if !is_erased {
            if let Content::Open(opened) = content {
                return Ok(Some(opened));
            }
            self.looked.unopened.count(class);
            return Ok(None);
        }
        if self.tombstones.of(key, class).is_none() && !self.is_newest {
            // What was erased since the book began to be read here has its tombstone further on.
            self.is_newest = true;
            self.tombstones.read(&database::read(self.journal)?)?;
        }
        if self.tombstones.of(key, class).is_some() {
            self.looked.erased.count(class);
        } else {
            let what = format!(
                "the key for its {} is gone, and no tombstone says why",
                class.as_str()
            );
            self.looked.lost_count += 1;
            self.push(Some(header.sequence), &what);
        }
        Ok(None)
    }

    pub(super) fn fault(&mut self, index: Option<u64>, what: &str) {
        self.looked.fault_count += 1;
        self.push(index, what);
    }

    fn push(&mut self, index: Option<u64>, what: &str) {
        if self.looked.faults.len() < MAX_FAULTS {
            self.looked.faults.push(Fault {
                index,
                what: what.to_owned(),
            });
        }
    }
}

/// Whether the envelope of an entry of no exchange is that of its leaf.
fn own(kind: Kind, header: &Header, envelope: &Value) -> bool {
    let time = Timestamp::from_micros(header.time).to_string();
    let told = match kind {
        Kind::Close => {
            envelope["session"] == SessionId::from_bytes(header.session).to_string()
                && envelope["entries"] == header.link.ordinal
        }
        Kind::Start | Kind::State => envelope["period"] == header.period,
        Kind::Heartbeat => {
            envelope["period"] == header.period && envelope["open"] == header.link.open
        }
        Kind::Stop => envelope["open"] == header.link.open,
        // What these tell stands in no leaf.
        _ => true,
    };
    told && envelope["v"] == VERSION
        && envelope["kind"] == kind.as_str()
        && envelope["time"] == time
}

const OTHER_BODY: &str = "the stored body is not the one that was recorded";
