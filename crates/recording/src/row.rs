//! The table of exchanges: what of the envelopes is kept in columns, so that lists need no JSON.

use rusqlite::{Transaction, params};
use serde_json::Value;
use tollbook_exchange::{ExchangeId, SessionId, Timestamp};

use crate::{Error, ErrorKind, database::signed, envelope::VERSION, queue::Brings};

/// What one entry puts into the table of exchanges.
///
/// Writer and verifier read it out of the envelope by the same code, so that a row that differs
/// from its envelopes was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Intent(IntentRow),
    Outcome(OutcomeRow),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntentRow {
    pub(crate) id: ExchangeId,
    pub(crate) session: SessionId,
    pub(crate) connection: String,
    pub(crate) protocol: String,
    pub(crate) started: i64,
    pub(crate) kind: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) verdict: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutcomeRow {
    pub(crate) id: ExchangeId,
    pub(crate) ended: i64,
    pub(crate) outcome: String,
    pub(crate) status: Option<i64>,
}

impl Row {
    /// Reads an envelope of version 2.
    pub(crate) fn read(envelope: &Value) -> Option<Self> {
        if envelope.get("v")?.as_u64() != Some(VERSION) {
            return None;
        }
        match envelope.get("kind")?.as_str()? {
            "intent" => IntentRow::read(envelope).map(Self::Intent),
            "outcome" => OutcomeRow::read(envelope).map(Self::Outcome),
            _ => None,
        }
    }

    pub(crate) const fn id(&self) -> ExchangeId {
        match self {
            Self::Intent(row) => row.id,
            Self::Outcome(row) => row.id,
        }
    }

    /// Writes the row of the entry at `index`.
    pub(crate) fn write(
        &self,
        to: &Transaction<'_>,
        index: u64,
        brings: Brings,
    ) -> Result<(), Error> {
        let index = signed(index)?;
        let changed = match self {
            Self::Intent(row) => to
                .prepare_cached(
                    "INSERT INTO exchange (intent, id, session, connection, protocol, started,
                         kind, issuer, subject, action, model, verdict, scope, first, brought)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                )?
                .execute(params![
                    index,
                    row.id.as_bytes(),
                    row.session.as_bytes(),
                    row.connection,
                    row.protocol,
                    row.started,
                    row.kind,
                    row.issuer,
                    row.subject,
                    row.action,
                    row.model,
                    row.verdict,
                    signed(brings.scope)?,
                    brings.first,
                    brings.count,
                ])?,
            Self::Outcome(row) => to
                .prepare_cached(
                    "UPDATE exchange SET closed = ?1, ended = ?2, outcome = ?3, status = ?4
                     WHERE id = ?5 AND closed IS NULL",
                )?
                .execute(params![
                    index,
                    row.ended,
                    row.outcome,
                    row.status,
                    row.id.as_bytes(),
                ])?,
        };
        // An outcome without its intent is a mistake of this crate; it must not look recorded.
        if changed == 1 {
            Ok(())
        } else {
            Err(ErrorKind::Corrupt.into())
        }
    }
}

impl IntentRow {
    fn read(envelope: &Value) -> Option<Self> {
        let optional = |part: &str, key: &str| {
            let text = envelope.get(part)?.get(key)?.as_str()?;
            Some(text.to_owned())
        };
        Some(Self {
            id: text(envelope, "id")?.parse().ok()?,
            session: text(envelope, "session")?.parse().ok()?,
            connection: text(envelope, "connection")?.to_owned(),
            protocol: text(envelope, "protocol")?.to_owned(),
            started: time(envelope, "started")?,
            kind: optional("principal", "kind"),
            issuer: optional("principal", "issuer"),
            subject: optional("principal", "subject"),
            action: optional("action", "name"),
            model: optional("action", "model"),
            verdict: optional("decision", "verdict"),
        })
    }
}

impl OutcomeRow {
    fn read(envelope: &Value) -> Option<Self> {
        Some(Self {
            id: text(envelope, "id")?.parse().ok()?,
            ended: time(envelope, "ended")?,
            outcome: text(envelope, "outcome")?.to_owned(),
            status: envelope.get("status").and_then(Value::as_i64),
        })
    }
}

fn text<'a>(envelope: &'a Value, key: &str) -> Option<&'a str> {
    envelope.get(key)?.as_str()
}

fn time(envelope: &Value, key: &str) -> Option<i64> {
    let time: Timestamp = text(envelope, key)?.parse().ok()?;
    Some(time.as_micros())
}
