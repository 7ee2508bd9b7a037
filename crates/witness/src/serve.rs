//! Being a witness.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use tollbook_ledger::{
    AddCheckpoint, Checkpoint, Note, Refused, VerifierKey, WitnessKey, WitnessSigner,
};

use crate::{
    Error,
    files::{create, write},
};

/// A witness over files in a folder. One process may have a folder open.
///
/// What it knows of a log is the newest checkpoint that it signed: a file of its own, which is a
/// note with both signatures.
pub struct Witness {
    signer: WitnessSigner,
    logs: Vec<VerifierKey>,
    folder: PathBuf,
    /// Held from looking what is known until the new checkpoint is durable, so that no two requests
    /// grow out of the same one.
    deciding: Mutex<()>,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// That a log has two histories, if this request shows it and nobody was told yet.
    pub fork: Option<Fork>,
    /// That nothing showed this checkpoint of a log to grow out of what was witnessed, if this request
    /// is the first with it. The proof may have been a stranger's, so it accuses nobody.
    pub unproven: Option<Fork>,
}

/// A log signed a checkpoint that does not fit the one that was witnessed, or that was not shown to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fork {
    /// The name of the log.
    pub origin: String,
    /// The size that was witnessed.
    pub known: u64,
    /// The size of the checkpoint that does not fit.
    pub claimed: u64,
    /// Where it is kept.
    file: PathBuf,
}

impl Witness {
    /// A witness of these logs, which it knows by their keys. A log may have several.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used.
    pub fn open(
        folder: impl AsRef<Path>,
        signer: WitnessSigner,
        logs: Vec<VerifierKey>,
    ) -> Result<Self, Error> {
        create(folder.as_ref())?;
        Ok(Self {
            signer,
            logs,
            folder: folder.as_ref().to_owned(),
            deciding: Mutex::new(()),
        })
    }

    /// Its public key.
    pub fn key(&self) -> WitnessKey {
        self.signer.witness_key()
    }

    /// Answers the body of a request at this time, in seconds since 1970. Blocks: what is signed is
    /// durable before this returns.
    pub fn add_checkpoint(&self, body: &str, now: u64) -> Answer {
        let Ok(request) = AddCheckpoint::from_text(body) else {
            return refusal(Refused::Malformed);
        };
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.decide(&request, now).unwrap_or_else(|_| Answer {
            status: 500,
            content_type: TEXT,
            body: "what is known of this log cannot be read or kept\n".to_owned(),
            fork: None,
            unproven: None,
        })
    }

    /// Notes that people were told of a fork: from here on it is not among the answers. Blocks.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written: it will be told again.
    pub fn told(&self, fork: &Fork) -> Result<(), Error> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        write(&fork.file.with_extension(TOLD), "").map_err(Error::Folder)
    }

    fn decide(&self, request: &AddCheckpoint, now: u64) -> io::Result<Answer> {
        let origin = request.origin();
        // Nothing is looked for under the names that strangers send.
        let is_known = self.logs.iter().any(|key| key.name() == origin);
        let file = self.file(origin);
        let known = if is_known {
            known(&file, origin)?
        } else {
            None
        };
        let checkpoint = match request.judge(&self.logs, known.as_ref()) {
            Ok(checkpoint) => checkpoint,
            Err(refused) => {
                let mut answer = refusal(refused);
                if refused.is_fork() {
                    answer.fork = self.forked(request, known.as_ref())?;
                } else if refused == Refused::Proof {
                    answer.unproven = self.unproven(request, known.as_ref())?;
                }
                return Ok(answer);
            }
        };
        let line = self.signer.cosign(&checkpoint.to_text(), now);
        let line = line.map_err(io::Error::other)?;
        let text = format!("{}\n{line}\n", checkpoint.to_text());
        if known.as_ref() != Some(&checkpoint) {
            let (_, lines) = Note::split(&request.note).map_err(io::Error::other)?;
            // One line of each key: what is kept must be short enough to be read again, however often
            // a line was sent.
            let log: String = (self.logs.iter())
                .filter_map(|key| {
                    let mut own = lines.iter();
                    let own = own.find(|line| key.name() == line.name && key.id() == line.id)?;
                    Some(format!("{own}\n"))
                })
                .collect();
            let kept = text.replacen("\n\n", &format!("\n\n{log}"), 1);
            write(&file, &kept)?;
        }
        Ok(Answer {
            status: 200,
            content_type: TEXT,
            body: format!("{line}\n"),
            fork: None,
            unproven: None,
        })
    }

    /// Keeps a checkpoint that does not fit: with the one that was witnessed it is evidence against
    /// the log. It is told until somebody has noted that it was.
    fn forked(
        &self,
        request: &AddCheckpoint,
        known: Option<&Checkpoint>,
    ) -> io::Result<Option<Fork>> {
        let Some((fork, _)) = self.keep(request, known, FORK)? else {
            return Ok(None);
        };
        let is_told = fork.file.with_extension(TOLD).try_exists()?;
        Ok((!is_told).then_some(fork))
    }

    /// Keeps a checkpoint that was not shown to fit.
    fn unproven(
        &self,
        request: &AddCheckpoint,
        known: Option<&Checkpoint>,
    ) -> io::Result<Option<Fork>> {
        let kept = self.keep(request, known, UNPROVEN)?;
        Ok(kept.filter(|(_, is_new)| *is_new).map(|(fork, _)| fork))
    }

    /// Keeps the checkpoint of a request, named by its size and root so that none stands in the way of
    /// another, and says whether it is the first time. None where the log has as many of this kind
    /// as are kept.
    fn keep(
        &self,
        request: &AddCheckpoint,
        known: Option<&Checkpoint>,
        kind: &str,
    ) -> io::Result<Option<(Fork, bool)>> {
        let (note, _) = Note::split(&request.note).map_err(io::Error::other)?;
        let claimed = Checkpoint::from_text(note.text()).map_err(io::Error::other)?;
        let log = hex(&Sha256::digest(&claimed.origin));
        let name = format!("{log}-{}-{}", claimed.size, hex(&claimed.root.0[..8]));
        let file = self.folder.join(format!("{name}.{kind}"));
        let is_new = !file.try_exists()?;
        if is_new {
            let mut kept = 0;
            for entry in fs::read_dir(&self.folder)? {
                let name = entry?.file_name();
                let name = name.to_string_lossy();
                let is_one = name.starts_with(&log) && name.ends_with(&format!(".{kind}"));
                kept += usize::from(is_one);
            }
            if kept >= MAX_KEPT {
                return Ok(None);
            }
            write(&file, &request.note)?;
        }
        let fork = Fork {
            known: known.map_or(0, |known| known.size),
            claimed: claimed.size,
            origin: claimed.origin,
            file,
        };
        Ok(Some((fork, is_new)))
    }

    /// The file of a log. Its name is a hash, because that of a log holds slashes.
    fn file(&self, origin: &str) -> PathBuf {
        let name = hex(&Sha256::digest(origin));
        self.folder.join(format!("{name}.checkpoint"))
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("key", &self.key())
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

/// What is known of a log. A file that cannot be read is not one that is not there.
fn known(file: &Path, origin: &str) -> io::Result<Option<Checkpoint>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (note, _) = Note::split(&text).map_err(io::Error::other)?;
    let known = Checkpoint::from_text(note.text()).map_err(io::Error::other)?;
    if known.origin == origin {
        Ok(Some(known))
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refusal(refused: Refused) -> Answer {
    let (content_type, body) = match refused {
        Refused::Known { known } => ("text/x.tlog.size", format!("{known}\n")),
        refused => (TEXT, format!("{refused}\n")),
    };
    Answer {
        status: refused.status(),
        content_type,
        body,
        fork: None,
        unproven: None,
    }
}

/// The extension of a checkpoint that is of another history.
const FORK: &str = "fork";
/// That of one that was not shown to be of the same.
const UNPROVEN: &str = "unproven";
/// That of the mark that a fork was told.
const TOLD: &str = "told";
/// How many of either kind are kept of a log. A log's own key signed each of them, but who has seen
/// many of its checkpoints could send each with a proof that does not hold.
const MAX_KEPT: usize = 16;
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use tollbook_ledger::{Frontier, Growth, Quorum, SigningKey, leaf_hash};

    use super::*;
    use crate::witness_key;

    fn log() -> SigningKey {
        SigningKey::from_seed("log.example/gw1", &[1; 32]).unwrap()
    }

    fn witness(folder: &Path) -> Witness {
        let key = witness_key(folder, "witness.example/w1").unwrap();
        Witness::open(folder, key, vec![log().verifier_key()]).unwrap()
    }

    fn grown(tree: &mut Frontier, leaves: &[u8]) -> String {
        let old = tree.size();
        let mut growth = Growth::new(tree, old + leaves.len() as u64);
        leaves
            .iter()
            .for_each(|leaf| growth.append(leaf_hash(&[*leaf])));
        let (proof, grown) = growth.finish().unwrap();
        *tree = grown;
        let note = Checkpoint::of(log().name(), tree).sign(&log()).unwrap();
        AddCheckpoint { old, proof, note }.to_string()
    }

    #[test]
    fn what_was_witnessed_is_known_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Frontier::new();
        let first = witness(dir.path()).add_checkpoint(&grown(&mut tree, &[1, 2, 3]), 5);
        assert_eq!((first.status, first.fork), (200, None));
        let old = tree.clone();
        let request = grown(&mut tree, &[4]);
        let second = witness(dir.path()).add_checkpoint(&request, 6);
        assert_eq!(second.status, 200);
        let again = witness(dir.path()).add_checkpoint(&request, 7);
        assert_eq!(
            (again.status, again.content_type),
            (409, "text/x.tlog.size")
        );
        assert_eq!(again.body, "4\n");

        // The cosignature is one on the checkpoint, and what is kept is a note with both.
        let quorum = Quorum::new(vec![witness(dir.path()).key()], 1).unwrap();
        let request = AddCheckpoint::from_text(&request).unwrap();
        let judged = quorum
            .judge(&(request.note.clone() + &second.body))
            .unwrap();
        assert_eq!((judged.is_met(), judged.by[0].time), (true, 6));
        let file = witness(dir.path()).file(log().name());
        let kept = fs::read_to_string(&file).unwrap();
        assert!(quorum.judge(&kept).unwrap().is_met());
        assert_eq!(
            Checkpoint::open(&kept, &log().verifier_key()).unwrap().size,
            4
        );

        // A book that was restored, and went on in another way.
        let mut restored = old;
        let fork = grown(&mut restored, &[9]);
        let mut fork = AddCheckpoint::from_text(&fork).unwrap();
        fork.old = 4;
        fork.proof = Vec::new();
        let answer = witness(dir.path()).add_checkpoint(&fork.to_string(), 8);
        assert_eq!((answer.status, answer.content_type), (409, TEXT));
        let told = answer.fork.unwrap();
        assert_eq!((told.known, told.claimed), (4, 4));
        assert_eq!(fs::read_to_string(&told.file).unwrap(), fork.note);
        // It is told until somebody says that it was.
        let again = witness(dir.path()).add_checkpoint(&fork.to_string(), 8);
        assert_eq!(again.fork.as_ref(), Some(&told));
        witness(dir.path()).told(&told).unwrap();
        let again = witness(dir.path()).add_checkpoint(&fork.to_string(), 8);
        assert_eq!((again.status, again.fork), (409, None));
        assert_eq!(fs::read_to_string(&file).unwrap(), kept);
    }

    #[test]
    fn a_stranger_accuses_nobody_and_silences_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let witness = witness(dir.path());
        let (mut tree, mut restored) = (Frontier::new(), Frontier::new());
        grown(&mut restored, &[1, 2]);
        let request = grown(&mut tree, &[1, 2, 3]);
        assert_eq!(witness.add_checkpoint(&request, 5).status, 200);
        // True checkpoints of the log, with proofs that are none.
        for leaf in 0..20 {
            let request = grown(&mut tree, &[leaf]);
            let mut request = AddCheckpoint::from_text(&request).unwrap();
            request.old = 3;
            request.proof = vec![tollbook_ledger::Hash([7; 32])];
            let answer = witness.add_checkpoint(&request.to_string(), 6);
            assert_eq!((answer.status, answer.fork), (422, None));
            assert_eq!(answer.unproven.is_some(), usize::from(leaf) < MAX_KEPT);
            let again = witness.add_checkpoint(&request.to_string(), 6);
            assert_eq!((again.status, again.unproven), (422, None));
        }
        // Another root of the size that was witnessed is told all the same, and each such root.
        for leaf in [8, 9] {
            let mut fork = restored.clone();
            let fork = grown(&mut fork, &[leaf]);
            let mut fork = AddCheckpoint::from_text(&fork).unwrap();
            (fork.old, fork.proof) = (3, Vec::new());
            let told = witness.add_checkpoint(&fork.to_string(), 7).fork.unwrap();
            witness.told(&told).unwrap();
        }
    }

    #[test]
    fn a_line_that_is_sent_often_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let witness = witness(dir.path());
        let mut tree = Frontier::new();
        let mut request = AddCheckpoint::from_text(&grown(&mut tree, &[1])).unwrap();
        let (_, line) = request.note.split_once("\n\n").unwrap();
        request.note += &line.repeat(99);
        assert_eq!(witness.add_checkpoint(&request.to_string(), 5).status, 200);
        let next = grown(&mut tree, &[2]);
        assert_eq!(witness.add_checkpoint(&next, 6).status, 200);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let witness = witness(dir.path());
        let mut tree = Frontier::new();
        assert_eq!(
            witness.add_checkpoint(&grown(&mut tree, &[1]), 5).status,
            200
        );
        let file = witness.file(log().name());
        fs::write(&file, "torn").unwrap();
        let request = grown(&mut tree, &[2]);
        assert_eq!(witness.add_checkpoint(&request, 6).status, 500);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(witness.add_checkpoint(&request, 6).status, 500);
        assert_eq!(witness.add_checkpoint("old", 6).status, 400);
    }

    #[test]
    fn of_two_requests_at_once_one_is_witnessed() {
        let dir = tempfile::tempdir().unwrap();
        let witness = witness(dir.path());
        let (mut one, mut other) = (Frontier::new(), Frontier::new());
        let requests = [grown(&mut one, &[1, 2]), grown(&mut other, &[1, 3])];
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|n| {
                    let (witness, request) = (&witness, &requests[n % 2]);
                    scope.spawn(move || witness.add_checkpoint(request, 1).status)
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)));
    }

    #[test]
    fn a_key_is_made_once_and_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("witness");
        let key = witness_key(&folder, "w.example").unwrap().witness_key();
        assert_eq!(
            witness_key(&folder, "w.example").unwrap().witness_key(),
            key
        );
        assert_eq!(
            fs::read_to_string(folder.join("vkey")).unwrap(),
            format!("{key}\n")
        );
        assert!(matches!(
            witness_key(&folder, "v.example"),
            Err(Error::Name(_))
        ));
        assert!(matches!(
            witness_key(dir.path(), "a b"),
            Err(Error::BadName)
        ));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = fs::Permissions::from_mode(0o640);
            fs::set_permissions(folder.join("key"), open).unwrap();
            assert!(matches!(witness_key(&folder, "w.example"), Err(Error::Key)));
        }
    }
}
