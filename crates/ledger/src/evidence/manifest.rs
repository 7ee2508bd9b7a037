//! What evidence says of itself.

use std::fmt;

use super::{Indexes, Selection, id_from_text, id_to_text, time_from_text, time_to_text};
use crate::{Error, Hash};

/// What evidence says of itself: of which log it is, what was selected, and what is in the folder.
///
/// Nobody signs it, and nothing is believed because it says so: which log and how long is in the
/// checkpoint, and what the selection takes is in the leaves. The digest in its last line tells a
/// damaged manifest from a whole one, and no more. One text stands for a manifest:
///
/// ```text
/// tollbook-evidence v3
/// writer tollbook 0.1.0
/// log audit.example/gw1
/// size 8
/// leaves all
/// contents all
/// session 5f0c9d1e-6a61-8f5e-8d0b-7d2f7a3a5c11
/// since 2026-11-22T00:00:00.000000Z
/// record 2-3
/// record 6
/// sha256 …
/// ```
///
/// `leaves` and `contents` are `all` or `none`. There is a line `exchange` for each exchange that
/// was asked for by its id; `session`, `since` and `until` are there if they were asked for. Each
/// `record` is an index, or the first and last of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The program that wrote it, for people.
    pub writer: String,
    /// The log's name.
    pub origin: String,
    /// The number of leaves of the log.
    pub size: u64,
    /// Whether the leaves of the whole log are there.
    pub leaves: bool,
    /// Whether the recorded bodies are there.
    pub contents: bool,
    /// What was asked for.
    pub selection: Selection,
    /// The records that are there.
    pub records: Indexes,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`] when the text is not one of version 3, byte for byte.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let manifest = Self::read(text).ok_or(Error::Manifest)?;
        if manifest.to_string() == text {
            Ok(manifest)
        } else {
            Err(Error::Manifest)
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split_terminator('\n');
        if lines.next()? != FIRST {
            return None;
        }
        let mut value = |key: &str| {
            let (found, value) = lines.next()?.split_once(' ')?;
            (found == key).then_some(value)
        };
        let all = |value: &str| match value {
            "all" => Some(true),
            "none" => Some(false),
            _ => None,
        };
        let mut manifest = Self {
            writer: value("writer")?.to_owned(),
            origin: value("log")?.to_owned(),
            size: value("size")?.parse().ok()?,
            leaves: all(value("leaves")?)?,
            contents: all(value("contents")?)?,
            selection: Selection::default(),
            records: Indexes::new(),
        };
        let mut runs = Vec::new();
        for line in lines {
            let (key, value) = line.split_once(' ')?;
            let selection = &mut manifest.selection;
            match key {
                "exchange" => {
                    selection.exchanges.insert(id_from_text(value)?);
                }
                "session" => selection.session = Some(id_from_text(value)?),
                "since" => selection.since = Some(time_from_text(value)?),
                "until" => selection.until = Some(time_from_text(value)?),
                "record" => {
                    let (first, last) = value.split_once('-').unwrap_or((value, value));
                    runs.push((first.parse().ok()?, last.parse().ok()?));
                }
                "sha256" => {}
                _ => return None,
            }
        }
        manifest.records = Indexes::from_runs(runs)?;
        let inside = manifest
            .records
            .last()
            .is_none_or(|last| last < manifest.size);
        inside.then_some(manifest)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |all| if all { "all" } else { "none" };
        let mut text = format!(
            "{FIRST}\nwriter {}\nlog {}\nsize {}\nleaves {}\ncontents {}\n",
            self.writer,
            self.origin,
            self.size,
            all(self.leaves),
            all(self.contents),
        );
        let mut line = |key: &str, value: &str| text += &format!("{key} {value}\n");
        for id in &self.selection.exchanges {
            line("exchange", &id_to_text(id));
        }
        if let Some(session) = &self.selection.session {
            line("session", &id_to_text(session));
        }
        if let Some(since) = self.selection.since {
            line("since", &time_to_text(since));
        }
        if let Some(until) = self.selection.until {
            line("until", &time_to_text(until));
        }
        for (first, last) in self.records.runs() {
            if first == last {
                line("record", &first.to_string());
            } else {
                line("record", &format!("{first}-{last}"));
            }
        }
        let digest = Hash::of(&[text.as_bytes()]);
        writeln!(f, "{text}sha256 {digest}")
    }
}

const FIRST: &str = "tollbook-evidence v3";

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut records = Indexes::new();
        [2, 3, 6]
            .iter()
            .for_each(|index| assert!(records.push(*index)));
        Manifest {
            writer: "tollbook 0.1.0".to_owned(),
            origin: "audit.example/gw1".to_owned(),
            size: 8,
            leaves: true,
            contents: false,
            selection: Selection {
                exchanges: [[1; 16], [2; 16]].into(),
                session: Some([3; 16]),
                since: Some(0),
                until: Some(1),
            },
            records,
        }
    }

    /// It is read by verifiers that other people keep: version 3 never changes.
    #[test]
    fn the_text_of_version_3_is_fixed() {
        let text = manifest().to_string();
        let (lines, digest) = text.split_once("sha256 ").unwrap();
        assert_eq!(
            lines,
            "tollbook-evidence v3\nwriter tollbook 0.1.0\nlog audit.example/gw1\nsize 8\n\
             leaves all\ncontents none\n\
             exchange 01010101-0101-0101-0101-010101010101\n\
             exchange 02020202-0202-0202-0202-020202020202\n\
             session 03030303-0303-0303-0303-030303030303\n\
             since 1970-01-01T00:00:00.000000Z\nuntil 1970-01-01T00:00:00.000001Z\n\
             record 2-3\nrecord 6\n"
        );
        assert_eq!(digest.trim_end(), Hash::of(&[lines.as_bytes()]).to_string());
        assert_eq!(Manifest::from_text(&text), Ok(manifest()));
    }

    #[test]
    fn no_byte_of_a_manifest_can_be_another_or_missing() {
        let text = manifest().to_string();
        for place in 0..text.len() {
            assert_eq!(Manifest::from_text(&text[..place]), Err(Error::Manifest));
            for bit in 0..8 {
                let mut changed = text.clone().into_bytes();
                changed[place] ^= 1 << bit;
                let read = String::from_utf8(changed).map(|text| Manifest::from_text(&text));
                assert!(!matches!(read, Ok(Ok(_))), "bit {bit} of byte {place}");
            }
        }
        assert_eq!(Manifest::from_text(&(text + "\n")), Err(Error::Manifest));
    }

    #[test]
    fn records_beyond_the_log_are_refused() {
        let mut beyond = manifest();
        beyond.size = 6;
        let read = Manifest::from_text(&beyond.to_string());
        assert_eq!(read, Err(Error::Manifest));
    }
}
