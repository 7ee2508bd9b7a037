//! Envelopes: what an entry of the log says, as JSON.
//!
//! An envelope is stored and committed to byte for byte, so it is never written a second time and
//! needs no canonical form. Every envelope has `"v": 2`; a reader refuses versions it does not
//! know. A body is not in the envelope: its digest is, salted with the salt of the entry.

use serde_json::{Map, Value, json};
use tollbook_exchange::{
    Coverage, Draft, Exchange, ExchangeId, Level, Outcome, ResponseShape, SessionId, Timestamp,
};
use tollbook_ledger::{BOOK, Chain, ContentDigest, Kind};

use crate::{Error, ErrorKind, queue::Entry, row::Row};

/// The entry that says what was asked, from what is known so far.
pub(crate) fn intent(
    exchange: &Exchange,
    draft: &Draft,
    session: SessionId,
    salt: [u8; 32],
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
    entry(Kind::Intent, time, session, salt, &envelope)
}

/// The entry that says how it ended.
pub(crate) fn outcome(
    exchange: &Exchange,
    draft: &Draft,
    session: SessionId,
    outcome: Outcome,
    salt: [u8; 32],
    shape: ResponseShape,
    body: &ContentDigest,
) -> Result<Entry, Error> {
    let ended = exchange.started().after_micros(exchange.elapsed());
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
        body,
        result: draft.result.as_inner().clone(),
    }
    .entry(session, salt)
}

/// The entry for an exchange whose end nobody saw. `asked` is the envelope of its intent.
pub(crate) fn abandoned(
    asked: &Value,
    session: SessionId,
    salt: [u8; 32],
    shape: ResponseShape,
    body: &ContentDigest,
) -> Result<Entry, Error> {
    Closing {
        id: asked["id"].clone(),
        ended: Timestamp::now(),
        status: None,
        outcome: Outcome::Indeterminate,
        level: None,
        refusal: Value::Null,
        findings: asked["findings"].clone(),
        headers: json!([]),
        shape,
        bytes: body.bytes(),
        coverage: Coverage::default(),
        first_byte: None,
        body,
        result: Map::new(),
    }
    .entry(session, salt)
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

struct Closing<'a> {
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
    body: &'a ContentDigest,
    result: Map<String, Value>,
}

impl Closing<'_> {
    fn entry(self, session: SessionId, salt: [u8; 32]) -> Result<Entry, Error> {
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
                "body": content(self.body),
            },
            "result": self.result,
        });
        entry(Kind::Outcome, self.ended, session, salt, &envelope)
    }
}

fn entry(
    kind: Kind,
    time: Timestamp,
    session: SessionId,
    salt: [u8; 32],
    envelope: &Value,
) -> Result<Entry, Error> {
    let row = Row::read(envelope).ok_or(ErrorKind::Corrupt)?;
    Ok(Entry {
        kind,
        period: 0,
        time: time.as_micros(),
        exchange: row.id(),
        session,
        salt,
        envelope: envelope.to_string().into_bytes(),
        row: Some(row),
    })
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
    Ok(Entry {
        kind,
        period,
        time: time.as_micros(),
        exchange: ExchangeId::from_bytes(BOOK),
        session: SessionId::from_bytes(BOOK),
        salt,
        envelope: envelope.to_string().into_bytes(),
        row: None,
    })
}

/// The version of the envelopes that are written and read.
pub(crate) const VERSION: u64 = 2;
