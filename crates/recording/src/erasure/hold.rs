//! Legal holds: what must not be destroyed, whoever asks and however old it is.

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;
use tollbook_exchange::{SessionId, Timestamp};

use crate::{Error, ErrorKind, database::unsigned};

/// Something must not be destroyed, for this reason.
///
/// A hold beats erasure and retention. Its beginning and its end are entries of the log, and there is
/// no other list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Hold {
    /// The hold: the index of the entry with which it began.
    pub id: u64,
    /// The session that is held, if it is one.
    pub session: Option<SessionId>,
    /// The subject that is held, if it is one: its keyed hash, in hex.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// When it began.
    pub since: Timestamp,
    /// When it ended.
    pub released: Option<Timestamp>,
}

/// All holds there ever were, oldest first.
pub(super) fn all(book: &Connection) -> Result<Vec<Hold>, Error> {
    let mut holds: Vec<Hold> = Vec::new();
    // The literal is that of the index, without which all of the log would be looked at.
    let mut entries = book.prepare(
        "SELECT seq, leaf, salt, envelope FROM entry WHERE substr(leaf, 2, 1) = x'09'
             ORDER BY seq",
    )?;
    let mut entries = entries.query([])?;
    while let Some(entry) = entries.next()? {
        let index = unsigned(entry.get(0)?)?;
        let envelope = super::committed(
            index,
            &entry.get::<_, Vec<u8>>(1)?,
            entry.get(2)?,
            &entry.get::<_, Vec<u8>>(3)?,
        )?;
        take(&mut holds, index, &envelope).ok_or(ErrorKind::Corrupt)?;
    }
    Ok(holds)
}

/// Those that are in force, oldest first.
pub(super) fn active(book: &Connection) -> Result<Vec<Hold>, Error> {
    let mut holds = all(book)?;
    holds.retain(|hold| hold.released.is_none());
    Ok(holds)
}

/// Takes what an entry tells. `None` if nobody can tell what that is.
fn take(holds: &mut Vec<Hold>, index: u64, envelope: &Value) -> Option<()> {
    let text = |key: &str| Some(envelope.get(key)?.as_str()?.to_owned());
    let time = text("time")?.parse().ok()?;
    match envelope.get("act")?.as_str()? {
        "added" => holds.push(Hold {
            id: index,
            session: match text("session") {
                Some(session) => Some(session.parse().ok()?),
                None => None,
            },
            subject: text("subject"),
            reason: text("reason")?,
            by: text("by")?,
            since: time,
            released: None,
        }),
        "released" => {
            let released = envelope.get("hold")?.as_u64()?;
            let hold = holds.iter_mut().find(|hold| hold.id == released)?;
            hold.released.get_or_insert(time);
        }
        "erasure_refused" => {}
        // It may be a hold, and what is destroyed does not come back.
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erasure::tombstone;

    fn told(entry: crate::queue::Entry) -> Value {
        serde_json::from_slice(&entry.envelope).unwrap()
    }

    #[test]
    fn holds_are_what_the_log_says() {
        let session = SessionId::from_bytes([7; 16]);
        let mut holds = Vec::new();
        let text = session.to_string();
        for (index, entry) in [
            (3, tombstone::hold(Some(&text), None, "corp/ana", "case 1")),
            (5, tombstone::hold(None, Some("ab12"), "corp/ana", "case 2")),
            (6, tombstone::refused(&[5], "corp/bo", "request 9")),
            (9, tombstone::release(3, "corp/bo", "over")),
        ] {
            take(&mut holds, index, &told(entry.unwrap())).unwrap();
        }
        let known: Vec<_> = holds
            .iter()
            .map(|hold| (hold.id, hold.session, hold.released.is_some()))
            .collect();
        assert_eq!(known, [(3, Some(session), true), (5, None, false)]);
        let unknown = told(tombstone::release(4, "corp/bo", "over").unwrap());
        assert!(take(&mut holds, 10, &unknown).is_none());
        let mut other = told(tombstone::hold(Some(&text), None, "corp/ana", "case 3").unwrap());
        other["act"] = "widened".into();
        assert!(take(&mut holds, 11, &other).is_none());
    }
}
