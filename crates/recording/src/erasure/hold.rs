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
    /// The erasures that it forbade and that were not done since, on the same ground.
    pub refused: Vec<RefusedErasure>,
}

/// An erasure that was asked for and is not done, because of a hold. Whom it was about is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusedErasure {
    /// Who asked.
    pub by: String,
    /// On what ground: by this the request is found.
    pub basis: String,
    /// When it was asked for last.
    pub at: Timestamp,
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
    if holds.iter().any(|hold| !hold.refused.is_empty()) {
        for (basis, at) in erased(book)? {
            for hold in &mut holds {
                let stays = |refused: &RefusedErasure| refused.basis != basis || refused.at > at;
                hold.refused.retain(stays);
            }
        }
    }
    Ok(holds)
}

/// The grounds of all erasures that were done, and when.
fn erased(book: &Connection) -> Result<Vec<(String, Timestamp)>, Error> {
    let mut erased = Vec::new();
    super::each_tombstone(book, 0..u64::MAX, |_, envelope| {
        let text = |key: &str| envelope.get(key).and_then(Value::as_str);
        if text("why") == Some("erasure")
            && let (Some(basis), Some(at)) = (text("basis"), text("time"))
        {
            let at = at.parse().map_err(|_| ErrorKind::Corrupt)?;
            erased.push((basis.to_owned(), at));
        }
        Ok(())
    })?;
    Ok(erased)
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
            refused: Vec::new(),
        }),
        "released" => {
            let released = envelope.get("hold")?.as_u64()?;
            let hold = holds.iter_mut().find(|hold| hold.id == released)?;
            hold.released.get_or_insert(time);
        }
        "erasure_refused" => {
            let refused = RefusedErasure {
                by: text("by")?,
                basis: text("basis")?,
                at: time,
            };
            let ids = envelope.get("holds")?.as_array()?;
            let held = |hold: &&mut Hold| ids.iter().any(|id| id.as_u64() == Some(hold.id));
            for hold in holds.iter_mut().filter(held) {
                hold.refused.retain(|other| other.basis != refused.basis);
                hold.refused.push(refused.clone());
            }
        }
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
        let known: Vec<(u64, bool, Vec<&str>)> = holds
            .iter()
            .map(|hold| {
                let refused = hold.refused.iter().map(|refused| &*refused.basis);
                (hold.id, hold.released.is_some(), refused.collect())
            })
            .collect();
        assert_eq!(known, [(3, true, vec![]), (5, false, vec!["request 9"])]);
        assert_eq!(holds[0].session, Some(session));
        let unknown = told(tombstone::release(4, "corp/bo", "over").unwrap());
        assert!(take(&mut holds, 10, &unknown).is_none());
        let mut other = told(tombstone::hold(Some(&text), None, "corp/ana", "case 3").unwrap());
        other["act"] = "widened".into();
        assert!(take(&mut holds, 11, &other).is_none());
    }
}
