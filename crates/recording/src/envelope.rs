//! Envelopes: what an entry of the log says, as JSON.
//!
//! An envelope is stored and committed to byte for byte, so it is never written a second time and
//! needs no canonical form. Every envelope has `"v": 2`; a reader refuses versions it does not
//! know. A body is not in the envelope: its digest is, salted with the salt of the entry.
//!
//! Those of exchanges are stored sealed, with their salt: when their key is destroyed, nobody can
//! tell any more what the leaf committed to. The book's own are stored as they are.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};
use tollbook_exchange::{
    Coverage, Draft, Exchange, ExchangeId, Level, Outcome, ResponseShape, SessionId, Timestamp,
};
use tollbook_ledger::{BOOK, Chain, ContentDigest, Kind, Seal, SealedDigest, salted};

use crate::{
    Error, ErrorKind, blob,
    body::{Opened, Recipe},
    keys::{Class, Key, ScopeKeys},
    queue::{Brings, Entry},
    row::Row,
};

/// What an entry is sealed with: the keys of its scope, its salt, and the recipe of the body that
/// was asked with.
pub(crate) struct Sealing<'a> {
    pub(crate) keys: &'a ScopeKeys,
    pub(crate) salt: [u8; 32],
    pub(crate) recipe: Recipe,
}

/// The entry that says what was asked, from what is known so far.
pub(crate) fn intent(
    exchange: &Exchange,
    draft: &Draft,
    session: SessionId,
    sealing: Sealing<'_>,
    body: &ContentDigest,
) -> Result<Entry, Error> {
    let time = exchange.started().after_micros(exchange.elapsed());
    let envelope = json!({
        "v": VERSION,
        "kind": "intent",
        "id": exchange.id(),
        "session": session,
        "connection": exchange.connection(),
        "protocol": exchange.protocol(),
        "level": draft.level,
        "started": exchange.started(),
        "principal": draft.principal,
        "action": draft.action,
        "decision": draft.decision,
        "findings": draft.findings,
        "request": {
            "method": draft.request.method,
            "target": draft.request.target,
            "headers": draft.request.headers,
            "bytes": draft.request.bytes,
            "coverage": draft.request.coverage,
            "body": content(body),
        },
    });
    entry(Kind::Intent, time, session, sealing, &envelope)
}

/// The entry that says how it ended.
pub(crate) fn outcome(
    exchange: &Exchange,
    draft: &Draft,
    session: SessionId,
    outcome: Outcome,
    sealing: Sealing<'_>,
    shape: ResponseShape,
    body: &ContentDigest,
) -> Result<Entry, Error> {
    let ended = exchange.started().after_micros(exchange.elapsed());
    let (result, answer) = of_answer(draft.result.as_inner());
    let answer = match answer.is_empty() {
        true => Value::Null,
        false => {
            let id = exchange.id();
            let place = answer_place(&id);
            let key = sealing.keys.key(Class::of_answer(exchange.protocol()));
            let answer = Value::Object(answer).to_string();
            BASE64
                .encode(blob::seal(key, &place, answer.as_bytes())?)
                .into()
        }
    };
    Closing {
        id: json!(exchange.id()),
        ended,
        status: draft.response.status,
        outcome,
        level: Some(draft.level),
        refusal: draft.refusal.as_ref().map_or(Value::Null, |refusal| {
            json!({ "code": refusal.code, "reason": refusal.reason, "message": refusal.message })
        }),
        findings: json!(draft.findings),
        headers: json!(draft.response.headers),
        shape,
        bytes: draft.response.bytes,
        coverage: draft.response.coverage,
        first_byte: draft.response.first_byte,
        body: content(body),
        result,
        answer,
    }
    .entry(session, sealing)
}

/// The entry for an exchange whose end nobody saw. `asked` is the envelope of its intent, if that can
/// be opened, and `body` what was recorded of the answer, if that can be.
pub(crate) fn abandoned(
    exchange: ExchangeId,
    asked: &Value,
    session: SessionId,
    sealing: Sealing<'_>,
    shape: ResponseShape,
    body: Option<&ContentDigest>,
) -> Result<Entry, Error> {
    Closing {
        id: json!(exchange),
        ended: Timestamp::now(),
        status: None,
        outcome: Outcome::Indeterminate,
        level: None,
        refusal: Value::Null,
        findings: asked["findings"].clone(),
        headers: json!([]),
        shape,
        bytes: body.map_or(0, ContentDigest::bytes),
        coverage: Coverage::default(),
        first_byte: None,
        body: body.map_or(Value::Null, content),
        result: Map::new(),
        answer: Value::Null,
    }
    .entry(session, sealing)
}

/// Opens what [`outcome`] sealed of a result, by a key for answers.
pub(crate) fn open_answer(
    exchange: ExchangeId,
    key: &Key,
    sealed: &str,
) -> Result<Map<String, Value>, Error> {
    let corrupt = |_| ErrorKind::Corrupt;
    let sealed = BASE64.decode(sealed).map_err(|_| ErrorKind::Corrupt)?;
    let answer = blob::open(key, &answer_place(&exchange), &sealed)?;
    Ok(serde_json::from_slice(&answer).map_err(corrupt)?)
}

/// Parts what a result has of the answer's content from the rest: it goes when the answer does.
fn of_answer(result: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let members = result
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    members.partition(|(name, _)| !OF_ANSWER.contains(&name.as_str()))
}

fn answer_place(exchange: &ExchangeId) -> [&[u8]; 2] {
    [b"result", exchange.as_bytes()]
}

/// How the shape is called in an envelope.
pub(crate) const fn shape_name(shape: ResponseShape) -> &'static str {
    match shape {
        ResponseShape::Events => "events",
        _ => "body",
    }
}

/// What stands in an envelope for a body.
pub(crate) fn content(body: &ContentDigest) -> Value {
    json!({
        "parts": body.parts(),
        "bytes": body.bytes(),
        "digest": body.finish().to_string(),
    })
}

struct Closing {
    id: Value,
    ended: Timestamp,
    status: Option<u16>,
    outcome: Outcome,
    level: Option<Level>,
    refusal: Value,
    findings: Value,
    headers: Value,
    shape: ResponseShape,
    bytes: u64,
    coverage: Coverage,
    first_byte: Option<u64>,
    /// Null where nobody could open what was recorded of it.
    body: Value,
    result: Map<String, Value>,
    /// What the result has of the answer's content, sealed as the answer is.
    answer: Value,
}

impl Closing {
    fn entry(self, session: SessionId, sealing: Sealing<'_>) -> Result<Entry, Error> {
        let envelope = json!({
            "v": VERSION,
            "kind": "outcome",
            "id": self.id,
            "ended": self.ended,
            "status": self.status,
            "outcome": self.outcome,
            "level": self.level,
            "refusal": self.refusal,
            "findings": self.findings,
            "response": {
                "headers": self.headers,
                "shape": shape_name(self.shape),
                "bytes": self.bytes,
                "coverage": self.coverage,
                "first_byte": self.first_byte,
                "body": self.body,
            },
            "result": self.result,
            "answer": self.answer,
        });
        entry(Kind::Outcome, self.ended, session, sealing, &envelope)
    }
}

fn entry(
    kind: Kind,
    time: Timestamp,
    session: SessionId,
    sealing: Sealing<'_>,
    envelope: &Value,
) -> Result<Entry, Error> {
    let row = Row::read(envelope).ok_or(ErrorKind::Corrupt)?;
    let exchange = row.id();
    let opened = Opened {
        salt: sealing.salt,
        recipe: sealing.recipe,
        envelope: envelope.to_string().into_bytes(),
    };
    let key = sealing.keys.key(Class::Metadata);
    let mut entry = Entry {
        kind,
        period: 0,
        time: time.as_micros(),
        exchange,
        session,
        salted: salted(&opened.salt, &opened.envelope),
        seal: Seal {
            key: sealing.keys.id().0,
            ..Seal::PLAIN
        },
        salt: None,
        envelope: opened.seal(key, kind, exchange.as_bytes(), session.as_bytes())?,
        row: Some(row),
        brings: Brings::default(),
    };
    entry.brought(&SealedDigest::new());
    Ok(entry)
}

impl Entry {
    /// Puts into the seal what the entry brings besides its envelope.
    pub(crate) fn brought(&mut self, pieces: &SealedDigest) {
        self.seal.digest = pieces.finish(&blob::digest(&[], &self.envelope));
    }
}

/// The session of an exchange, from what is known so far.
pub(crate) fn session(exchange: &Exchange, draft: &Draft) -> SessionId {
    draft
        .session
        .unwrap_or_else(|| SessionId::alone(exchange.id()))
}

/// The entry of a recorder that begins to write. `before` is the kind of the book's own entry that
/// came last, and `epoch` what is known of a book that this one comes after.
pub(crate) fn start(
    period: u16,
    before: Option<Kind>,
    epoch: Option<&Value>,
) -> Result<Entry, Error> {
    let before = before.map(|kind| match kind {
        Kind::Stop => "stopped",
        _ => "crashed",
    });
    own(
        Kind::Start,
        period,
        json!({
            "program": concat!("tollbook-recording ", env!("CARGO_PKG_VERSION")),
            "before": before,
            "epoch": epoch,
            "period": period,
        }),
    )
}

/// The entry that shows that the recorder lives. `uptime` is in milliseconds of a clock that
/// nobody sets, so that a jump of the other one is seen.
pub(crate) fn heartbeat(period: u16, open: u32, uptime: u64) -> Result<Entry, Error> {
    let told = json!({ "open": open, "uptime_ms": uptime, "period": period });
    own(Kind::Heartbeat, period, told)
}

/// The entry of a disk that has little room, or enough again. `refused` counts the exchanges that
/// were not begun in the state before.
pub(crate) fn state(period: u16, state: &str, free: u64, refused: u64) -> Result<Entry, Error> {
    let told = json!({ "state": state, "free": free, "refused": refused, "period": period });
    own(Kind::State, period, told)
}

/// The entry of anything else that the recorder has to tell of itself: `told` has its `state`.
pub(crate) fn condition(period: u16, mut told: Value) -> Result<Entry, Error> {
    told["period"] = json!(period);
    own(Kind::State, period, told)
}

/// The last entry of a recorder that ends in good order.
pub(crate) fn stop(open: u32) -> Result<Entry, Error> {
    own(Kind::Stop, 0, json!({ "open": open }))
}

/// The entry that counts the records of a session that has been idle.
pub(crate) fn close(session: [u8; 16], chain: &Chain) -> Result<Entry, Error> {
    let told = json!({
        "session": SessionId::from_bytes(session),
        "entries": chain.entries,
        "exchanges": chain.exchanges,
    });
    let mut entry = own(Kind::Close, 0, told)?;
    entry.session = SessionId::from_bytes(session);
    Ok(entry)
}

/// An entry of no exchange.
pub(crate) fn own(kind: Kind, period: u16, told: Value) -> Result<Entry, Error> {
    let time = Timestamp::now();
    let mut envelope = json!({ "v": VERSION, "kind": kind.as_str(), "time": time });
    if let (Value::Object(envelope), Value::Object(told)) = (&mut envelope, told) {
        envelope.extend(told);
    }
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|_| ErrorKind::Random)?;
    let envelope = envelope.to_string().into_bytes();
    Ok(Entry {
        kind,
        period,
        time: time.as_micros(),
        exchange: ExchangeId::from_bytes(BOOK),
        session: SessionId::from_bytes(BOOK),
        salted: salted(&salt, &envelope),
        seal: Seal::PLAIN,
        salt: Some(salt),
        envelope,
        row: None,
        brings: Brings::default(),
    })
}

/// What a result has of the answer's content: the message, put together, and the calls in it.
const OF_ANSWER: [&str; 2] = ["answer", "tool_calls"];
/// The version of the envelopes that are written and read.
pub(crate) const VERSION: u64 = 2;
