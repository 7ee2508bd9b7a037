//! `tollbook verify`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use tollbook_exchange::Timestamp;
use tollbook_gateway::control::{View, ViewAction, note_if_running};
use tollbook_ledger::{Note, Quorum, VerifierKey, WitnessKey};
use tollbook_recording::{Cosigned, Kept, Reader};
use tollbook_timestamp::{Answer, Roots, Stamp};

use crate::{
    command::{Book, Form},
    exit::Failure,
    print::{self, Tone, field, inert, tone},
};

/// Prove that nothing in the book was changed, removed or reordered.
///
/// Works without the gateway and without a network, on its folder or on a copy. Exit code 0: every
/// record is as it was written. 1: something is not; the faults name the index in the log.
///
/// That the newest records were not cut off together with their signed head, or the book replaced by
/// an older copy, only a checkpoint shows that you kept elsewhere: `--json` prints the newest as
/// `checkpoint`. Witnesses keep one too: how far they have signed the book is told where the
/// configuration says who they are, and `--witness` and `--quorum` demand that they signed all but
/// the last ten minutes of it, by the times of its entries. A false signature of a witness is a fault
/// without a demand too.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    book: Book,
    /// The log's public key, from a source other than the book itself; else the book's own.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A checkpoint of the book that you kept from earlier. May be given more than once.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The public key of a witness that counts, instead of those of the configuration. May be given
    /// more than once. All of them must have signed the book, or as many as `--quorum` says.
    #[arg(long, value_name = "KEY")]
    witness: Vec<WitnessKey>,
    /// How many witnesses must have signed the book, or the answer is no.
    #[arg(long, value_name = "N")]
    quorum: Option<usize>,
    /// The roots of time-stamping authorities, in PEM, instead of those of the configuration.
    #[arg(long, value_name = "FILE")]
    tsa_roots: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// How far witnesses have signed the book.
struct Witnessed {
    checkpoint: Option<Cosigned>,
    /// Who counts, if that is known.
    quorum: Option<Quorum>,
    /// Whether it has to be shown.
    demanded: bool,
    /// What came after it, where that has to be shown.
    after: Option<After>,
}

/// The entries that no witness has signed.
struct After {
    count: u64,
    /// Whether the first of them is older, by the last one's time, than witnesses take to sign.
    is_old: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let key = self.key.as_deref().map(verifier_key).transpose()?;
        let kept = self.checkpoint.iter().map(|file| kept(file));
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        let reader = self.book.open()?;
        let unknown = |error| Failure::unknown("cannot verify the book", error);
        let vkey = match &key {
            Some(key) => key.clone(),
            None => reader.verifier_key().map_err(unknown)?,
        };
        let mut witnessed = Witnessed {
            checkpoint: reader
                .attestations()
                .newest_cosigned(&vkey)
                .map_err(unknown)?,
            quorum: self.counts()?,
            demanded: self.quorum.is_some() || !self.witness.is_empty(),
            after: None,
        };
        let stamped = reader.attestations().newest_stamped(&vkey);
        let stamped = stamped.map_err(unknown)?;
        // Those that others have signed are held against the book as those are that were kept.
        let cosigned = witnessed.checkpoint.as_ref().map(|it| it.note.clone());
        let noted = stamped.as_ref().map(|it| it.note.clone());
        let kept: Vec<String> = kept.into_iter().chain(cosigned).chain(noted).collect();
        let mut report = reader.verify_with(Some(&vkey), &kept).map_err(unknown)?;
        let is_verified = report.is_verified();
        if witnessed.demanded {
            witnessed.after = Some(after(&reader, &witnessed, report.size).map_err(unknown)?);
        }
        let mut attested = report.kept.split_off(self.checkpoint.len());
        let noted = stamped.as_ref().and_then(|_| attested.pop());
        let cosigned = attested.pop();
        let roots = self.roots()?;
        let stamp = stamped.map(|stamped| {
            let answer = Answer::read(&stamped.token);
            let stamp =
                answer.and_then(|answer| answer.check(stamped.note.as_bytes(), roots.as_ref()));
            TimeStamp {
                size: stamped.size,
                stamp,
                is_trusted: roots.is_some(),
                kept: noted,
            }
        });
        let by = witnessed.by();
        // It shows no record, and does not change what it checks: a book at rest stays as it is.
        let noted = note_if_running(&self.book.folder()?, &View::new(ViewAction::Verify));
        if let Err(error) = noted {
            print::aside(&inert(&format!("not noted in the book: {error}")));
        }
        if self.form.json {
            let mut told = serde_json::to_value(&report)
                .map_err(|error| Failure::unknown("cannot print the report", error))?;
            told["witnessed"] = witnessed.to_json(&by, cosigned.as_ref());
            told["stamped"] = stamp.as_ref().map_or(Value::Null, TimeStamp::to_json);
            print::json(&told)?;
        } else {
            let mut page = print::report(&report);
            for (file, kept) in self.checkpoint.iter().zip(&report.kept) {
                page.push(checkpoint(file, kept));
            }
            page.extend(witnessed.line(&by, cosigned.as_ref()));
            page.extend(stamp.as_ref().map(TimeStamp::line));
            print::page(&page)?;
        }
        let is_stamped = stamp
            .as_ref()
            .map_or(self.tsa_roots.is_none(), TimeStamp::holds);
        if !witnessed.suffices(&by) || !is_stamped {
            return Ok(ExitCode::from(1));
        }
        // A file that is no checkpoint says nothing about the book.
        let unreadable = report.kept.iter().any(|kept| kept.verdict == "unreadable");
        if unreadable && report.verdict == "verified" {
            return Ok(ExitCode::from(3));
        }
        Ok(if is_verified {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

/// What the book has after the newest checkpoint that witnesses have signed.
fn after(
    reader: &Reader,
    witnessed: &Witnessed,
    size: u64,
) -> Result<After, tollbook_recording::Error> {
    let signed = witnessed.checkpoint.as_ref().map_or(0, |it| it.size);
    let time = |index| reader.entry_time(index);
    let between = match size.checked_sub(1) {
        Some(last) if signed <= last => time(signed)?.zip(time(last)?),
        _ => None,
    };
    Ok(After {
        count: size.saturating_sub(signed),
        is_old: between.is_some_and(|(first, last)| last.saturating_sub(first) > RECENT),
    })
}

/// How old entries may be that no witness has signed, in microseconds: as a gateway asks them every
/// ten seconds, they have been away for long then, or were never asked.
const RECENT: i64 = 600 * 1_000_000;

/// The newest time stamp.
struct TimeStamp {
    size: u64,
    stamp: Result<Stamp, tollbook_timestamp::Error>,
    /// Whether it was held against roots.
    is_trusted: bool,
    /// What the checkpoint that it is about says of the book.
    kept: Option<Kept>,
}

impl TimeStamp {
    /// Whether it is a true one of this book.
    fn holds(&self) -> bool {
        self.stamp.is_ok() && self.kept.as_ref().is_some_and(Kept::is_consistent)
    }

    fn line(&self) -> String {
        let mut text = match &self.stamp {
            Ok(stamp) => {
                let at = Timestamp::from_micros(stamp.time);
                let whose = if self.is_trusted {
                    ""
                } else {
                    "; whose it is was not checked, for want of --tsa-roots"
                };
                format!("there were {} entries at {at}{whose}", self.size)
            }
            Err(error) => error.to_string(),
        };
        if let Some(kept) = self.kept.as_ref().filter(|kept| !kept.is_consistent()) {
            text += &format!("; {}", kept.what);
        }
        let meant = match (self.holds(), self.is_trusted) {
            (true, true) => Tone::Good,
            (true, false) => Tone::Aside,
            _ => Tone::Bad,
        };
        field("time stamp", &tone(&inert(&text), meant))
    }

    fn to_json(&self) -> Value {
        let time = self.stamp.as_ref().ok().map(|stamp| stamp.time);
        json!({
            "size": self.size,
            "time": time.map(|time| Timestamp::from_micros(time).to_string()),
            "trusted": self.is_trusted && self.holds(),
            "what": self.stamp.as_ref().err().map(ToString::to_string),
            "verdict": self.kept.as_ref().map(|kept| kept.verdict),
        })
    }
}

impl Verify {
    /// The authorities that are trusted: as the command line says, else the configuration.
    fn roots(&self) -> Result<Option<Roots>, Failure> {
        let file = self.tsa_roots.clone().or_else(|| self.book.tsa_roots());
        file.map(|file| {
            let wrong =
                |why: String| Failure::usage(format!("cannot use {}: {why}", file.display()));
            let pem = std::fs::read(&file).map_err(|error| wrong(error.to_string()))?;
            Roots::from_pem(&pem).map_err(|error| wrong(error.to_string()))
        })
        .transpose()
    }

    /// Who counts: as the command line says, else the configuration.
    fn counts(&self) -> Result<Option<Quorum>, Failure> {
        let witnesses = match self.book.witnesses() {
            _ if !self.witness.is_empty() => {
                let needed = self.quorum.unwrap_or(self.witness.len());
                return Quorum::new(self.witness.clone(), needed)
                    .map(Some)
                    .map_err(|error| Failure::usage(format!("--witness and --quorum: {error}")));
            }
            None if self.quorum.is_some() => {
                let message =
                    "--quorum needs to know who the witnesses are: name each with --witness";
                return Err(Failure::usage(message.to_owned()));
            }
            witnesses => witnesses,
        };
        match (witnesses, self.quorum) {
            (Some(quorum), Some(needed)) => Quorum::new(quorum.witnesses().to_vec(), needed)
                .map(Some)
                .map_err(|error| Failure::usage(format!("--quorum: {error}"))),
            (quorum, _) => Ok(quorum),
        }
    }
}

/// Who signed a checkpoint.
enum By {
    /// These witnesses, and whether they are enough.
    Known(tollbook_ledger::Witnessed),
    /// Keys of these names, of which nobody said whose they are.
    Unknown(Vec<String>),
    /// Nobody.
    Nobody(String),
    /// One of those that count, with a false signature.
    False(String),
}

impl Witnessed {
    fn by(&self) -> By {
        let Some(Cosigned { note, .. }) = &self.checkpoint else {
            return By::Nobody("no witness has signed the book".to_owned());
        };
        match (&self.quorum, Note::split(note)) {
            (Some(quorum), _) => match quorum.judge(note) {
                Ok(witnessed) => By::Known(witnessed),
                Err(error) => By::False(error.to_string()),
            },
            (None, Ok((_, lines))) => {
                // The first line is the log's own.
                By::Unknown(lines.into_iter().skip(1).map(|line| line.name).collect())
            }
            (None, Err(error)) => By::Nobody(error.to_string()),
        }
    }

    /// Whether what was demanded is shown. Without a demand a lack of witnesses is no fault of the
    /// book; a false signature is one.
    fn suffices(&self, by: &By) -> bool {
        match by {
            By::False(_) => false,
            _ if !self.demanded => true,
            By::Known(witnessed) => witnessed.is_met() && !self.is_stale(),
            By::Unknown(_) | By::Nobody(_) => false,
        }
    }

    /// Whether too much of the book came after what witnesses have signed.
    fn is_stale(&self) -> bool {
        self.after.as_ref().is_some_and(|after| after.is_old)
    }

    fn line(&self, by: &By, kept: Option<&Kept>) -> Option<String> {
        if self.checkpoint.is_none() && self.quorum.is_none() {
            return None;
        }
        let size = self.checkpoint.as_ref().map_or(0, |cosigned| cosigned.size);
        let (text, mut meant) = match by {
            By::Known(witnessed) => {
                let by = witnessed.by.iter().map(|one| {
                    let at = i64::try_from(one.time).unwrap_or(i64::MAX);
                    let at = Timestamp::from_micros(at.saturating_mul(1_000_000));
                    format!("{} at {at}", one.witness)
                });
                let by = by.collect::<Vec<_>>().join(", ");
                let meant = if witnessed.is_met() {
                    Tone::Good
                } else {
                    Tone::Bad
                };
                let needed = witnessed.needed;
                (
                    format!(
                        "{size} entries, by {} of {needed} needed: {by}",
                        witnessed.by.len()
                    ),
                    meant,
                )
            }
            By::Unknown(names) => (
                format!(
                    "{size} entries, by keys that nobody vouched for: {}; name them with --witness",
                    names.join(", ")
                ),
                Tone::Aside,
            ),
            By::Nobody(why) | By::False(why) => (why.clone(), Tone::Bad),
        };
        let mut text = inert(&text);
        if let Some(after) = self.after.as_ref().filter(|after| after.is_old) {
            meant = Tone::Bad;
            let count = after.count;
            text = format!(
                "{text}\n{count} entries after that nobody witnessed, for over ten minutes"
            );
        }
        if let Some(kept) = kept.filter(|kept| !kept.is_consistent()) {
            meant = Tone::Bad;
            text = format!("{text}\n{}", inert(&kept.what));
        }
        Some(field("witnessed", &tone(&text, meant)))
    }

    fn to_json(&self, by: &By, kept: Option<&Kept>) -> Value {
        let unwitnessed = self.after.as_ref().map(|after| after.count);
        let Some(cosigned) = &self.checkpoint else {
            return Value::Null;
        };
        let (names, needed, met) = match by {
            By::Known(witnessed) => {
                let by = witnessed.by.iter();
                let by = by.map(|one| json!({ "witness": one.witness, "time": one.time }));
                (
                    by.collect::<Vec<_>>(),
                    Some(witnessed.needed),
                    Some(witnessed.is_met()),
                )
            }
            By::Unknown(names) => {
                let by = names
                    .iter()
                    .map(|name| json!({ "witness": name, "time": null }));
                (by.collect(), None, None)
            }
            By::Nobody(_) | By::False(_) => (Vec::new(), None, Some(false)),
        };
        json!({
            "size": cosigned.size,
            "by": names,
            "needed": needed,
            "met": met,
            "unwitnessed": unwitnessed,
            "stale": self.after.as_ref().map(|after| after.is_old),
            "verdict": kept.map(|kept| kept.verdict),
            "checkpoint": cosigned.note,
        })
    }
}

fn kept(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))
}

fn checkpoint(file: &Path, kept: &Kept) -> String {
    let meant = if kept.is_consistent() {
        Tone::Good
    } else {
        Tone::Bad
    };
    let size = kept
        .size
        .map_or_else(String::new, |size| format!(" of {size} entries"));
    let name = inert(&file.display().to_string());
    field(
        "checkpoint",
        &format!("{name}{size}\n{}", tone(&inert(&kept.what), meant)),
    )
}

fn verifier_key(file: &Path) -> Result<VerifierKey, Failure> {
    let wrong =
        |why: String| Failure::usage(format!("cannot use the key {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    text.trim()
        .parse()
        .map_err(|error: tollbook_ledger::Error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tollbook_ledger::{Checkpoint, Frontier, SigningKey, WitnessSigner, leaf_hash};

    use super::*;

    fn cosigned(spoil: bool) -> Witnessed {
        let log = SigningKey::from_seed("log.example", &[1; 32]).unwrap();
        let witness = WitnessSigner::from_seed("w.example", &[2; 32]).unwrap();
        let mut tree = Frontier::new();
        tree.append(leaf_hash(b"a"));
        let head = Checkpoint::of("log.example", &tree);
        let mut line = witness.cosign(&head.to_text(), 5).unwrap();
        if spoil {
            *line.signature.last_mut().unwrap() ^= 1;
        }
        let note = format!("{}{line}\n", head.sign(&log).unwrap());
        // Only what the crate itself makes can be of this type.
        let dir = tempfile::tempdir().unwrap();
        let kept = tollbook_recording::Attestations::of(dir.path());
        kept.keep_cosigned(1, &note).unwrap();
        Witnessed {
            checkpoint: kept.newest_cosigned(&log.verifier_key()).unwrap(),
            quorum: Some(Quorum::new(vec![witness.witness_key()], 1).unwrap()),
            demanded: true,
            after: None,
        }
    }

    #[test]
    fn an_old_checkpoint_does_not_do_and_a_false_line_never_does() {
        let mut fresh = cosigned(false);
        fresh.after = Some(After {
            count: 3,
            is_old: false,
        });
        assert!(fresh.suffices(&fresh.by()));
        assert_eq!(fresh.to_json(&fresh.by(), None)["unwitnessed"], 3);
        let stale = Witnessed {
            after: Some(After {
                count: 3,
                is_old: true,
            }),
            ..fresh
        };
        assert!(!stale.suffices(&stale.by()));
        let line = stale.line(&stale.by(), None).unwrap();
        assert!(line.contains("3 entries after that"), "{line}");

        let spoiled = cosigned(true);
        assert!(!spoiled.suffices(&spoiled.by()));
        let undemanded = Witnessed {
            demanded: false,
            ..spoiled
        };
        assert!(!undemanded.suffices(&undemanded.by()));
    }
}
