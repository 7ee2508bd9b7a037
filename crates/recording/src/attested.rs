//! Checkpoints of the book that others have signed too, or given a time.
//!
//! They lie in a folder beside the journal. Nothing in the book depends on them: whoever takes them
//! away leaves a book that only its own key vouches for.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tollbook_ledger::{
    Checkpoint, VerifierKey,
    evidence::{ATTESTED, Attested},
};

use crate::{Error, ErrorKind, folder::owner_only};

/// The folder of a book's attested checkpoints.
#[derive(Clone, Debug)]
pub struct Attestations {
    folder: PathBuf,
    /// Where the newest that witnesses have signed is kept once more.
    copy: Option<PathBuf>,
}

/// A checkpoint that a time-stamping authority has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stamped {
    /// The number of entries that it is about.
    pub size: u64,
    /// The checkpoint, byte for byte as its hash was sent: a signed note.
    pub note: String,
    /// The answer of the authority (RFC 3161, "TimeStampResp").
    pub token: Vec<u8>,
}

/// A checkpoint that witnesses have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cosigned {
    /// The number of entries that it is about.
    pub size: u64,
    /// The note with all lines.
    pub note: String,
}

impl Attestations {
    /// Those of the book in this folder.
    pub fn of(book: impl AsRef<Path>) -> Self {
        Self {
            folder: book.as_ref().join(ATTESTED),
            copy: None,
        }
    }

    /// Keeps the newest that witnesses have signed beside the anchor too, as `<anchor>.witnessed`:
    /// apart from the book.
    #[must_use]
    pub fn beside(mut self, anchor: PathBuf) -> Self {
        let mut copy = anchor.into_os_string();
        copy.push(".witnessed");
        self.copy = Some(copy.into());
        self
    }

    /// Keeps a checkpoint with the lines of its witnesses, durably. Of those before it one an hour
    /// is kept.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn keep_cosigned(&self, size: u64, note: &str) -> Result<(), Error> {
        self.write(&Attested::Cosigned.file(size), note.as_bytes())?;
        if let Some(copy) = &self.copy {
            put(copy, note.as_bytes()).map_err(unusable)?;
        }
        // Of another log, such as that of an earlier epoch, nothing goes for this one.
        let is_of_it = |kept: &u64| {
            let kept = fs::read_to_string(self.folder.join(Attested::Cosigned.file(*kept)));
            kept.is_ok_and(|kept| kept.lines().next() == note.lines().next())
        };
        let mut sizes = self.sizes(Attested::Cosigned)?;
        sizes.retain(|kept| *kept < size && is_of_it(kept));
        if let [.., before, last] = sizes[..] {
            let time = |size| self.time(&Attested::Cosigned.file(size));
            let apart = time(last)?.duration_since(time(before)?);
            if apart.is_ok_and(|apart| apart < SPARSE) {
                fs::remove_file(self.folder.join(Attested::Cosigned.file(last)))
                    .map_err(unusable)?;
            }
        }
        Ok(())
    }

    /// Keeps a checkpoint and its time stamp, durably.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn keep_stamped(&self, size: u64, note: &str, token: &[u8]) -> Result<(), Error> {
        // The note last: where a power cut comes between them, there is no note without its token.
        self.write(&Attested::Token.file(size), token)?;
        self.write(&Attested::Stamped.file(size), note.as_bytes())
    }

    /// The newest that witnesses have signed, if there is one that this key of the log signed too.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn newest_cosigned(&self, key: &VerifierKey) -> Result<Option<Cosigned>, Error> {
        let sizes = self.sizes(Attested::Cosigned)?;
        for size in sizes.into_iter().rev() {
            if let Some(note) = self.note(size, Attested::Cosigned, key)? {
                return Ok(Some(Cosigned { size, note }));
            }
        }
        Ok(None)
    }

    /// The newest that has a time stamp, if there is one that this key of the log signed.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn newest_stamped(&self, key: &VerifierKey) -> Result<Option<Stamped>, Error> {
        let sizes = self.sizes(Attested::Token)?;
        for size in sizes.into_iter().rev() {
            if let Some(note) = self.note(size, Attested::Stamped, key)?
                && let Some(token) = self.token(size)?
            {
                return Ok(Some(Stamped { size, note, token }));
            }
        }
        Ok(None)
    }

    /// The files that belong to evidence about the first `size` entries, of which `needed` must be
    /// covered: the newest of each kind, and the first that covers those. Names are those below the
    /// evidence's own folder.
    pub(crate) fn evidence(
        &self,
        size: u64,
        needed: u64,
        key: &VerifierKey,
    ) -> Result<Vec<EvidenceFile>, Error> {
        let mut files = Vec::new();
        for kind in [Attested::Cosigned, Attested::Stamped] {
            let mut first = None;
            let mut last = None;
            for kept in self.sizes(kind)?.into_iter().filter(|kept| *kept <= size) {
                // Its bytes are kept: the file may go while the others are looked through.
                let Some(found) = self.whole(kept, kind, key)? else {
                    continue;
                };
                if first.is_none() && kept >= needed {
                    first = Some(found);
                    last = None;
                } else {
                    last = Some(found);
                }
            }
            files.extend([first, last].into_iter().flatten().flatten());
        }
        Ok(files)
    }

    /// The files of a checkpoint that is there with all that belongs to it: of one with a time stamp
    /// that is its token.
    fn whole(
        &self,
        size: u64,
        kind: Attested,
        key: &VerifierKey,
    ) -> Result<Option<Vec<EvidenceFile>>, Error> {
        let name = |kind: Attested| format!("{ATTESTED}/{}", kind.file(size));
        let Some(note) = self.note(size, kind, key)? else {
            return Ok(None);
        };
        let mut files = vec![(name(kind), note.into_bytes())];
        if kind == Attested::Stamped {
            match self.token(size)? {
                Some(token) => files.push((name(Attested::Token), token)),
                None => return Ok(None),
            }
        }
        Ok(Some(files))
    }

    /// The authority's answer to a checkpoint of this size.
    fn token(&self, size: u64) -> Result<Option<Vec<u8>>, Error> {
        match fs::read(self.folder.join(Attested::Token.file(size))) {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(error)),
        }
    }

    /// The checkpoint in a file, if the log's key signed it: those of an earlier epoch are another
    /// book's.
    fn note(&self, size: u64, kind: Attested, key: &VerifierKey) -> Result<Option<String>, Error> {
        let path = self.folder.join(kind.file(size));
        match fs::read_to_string(path) {
            Ok(note) => {
                let opened = Checkpoint::open(&note, key);
                Ok(opened.is_ok_and(|head| head.size == size).then_some(note))
            }
            // A file may go while the list of them is looked through.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(unusable(error)),
        }
    }

    /// The sizes of which there is a file of this kind, ascending.
    fn sizes(&self, kind: Attested) -> Result<Vec<u64>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(error)),
        };
        let mut sizes = Vec::new();
        for entry in entries {
            let name = entry.map_err(unusable)?.file_name();
            let found = name.to_str().and_then(Attested::of);
            sizes.extend(
                found
                    .filter(|(_, found)| *found == kind)
                    .map(|(size, _)| size),
            );
        }
        sizes.sort_unstable();
        Ok(sizes)
    }

    fn time(&self, name: &str) -> Result<SystemTime, Error> {
        let metadata = fs::metadata(self.folder.join(name));
        metadata.and_then(|file| file.modified()).map_err(unusable)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let write = || {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&self.folder)?;
            put(&self.folder.join(name), bytes)
        };
        write().map_err(unusable)
    }
}

/// Puts bytes in a file's place, durably and whole.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = owner_only().create(true).truncate(true).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn unusable(error: io::Error) -> Error {
    Error::because(ErrorKind::Folder, error)
}

/// A file's name below the evidence's folder, and its bytes.
type EvidenceFile = (String, Vec<u8>);

/// How far apart those are that are kept for good.
const SPARSE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use tollbook_ledger::{Frontier, SigningKey, leaf_hash};

    use super::*;

    fn note(key: &SigningKey, size: u64) -> String {
        let mut tree = Frontier::new();
        (0..size).for_each(|n| tree.append(leaf_hash(&n.to_be_bytes())));
        Checkpoint::of(key.name(), &tree).sign(key).unwrap()
    }

    #[test]
    fn the_newest_is_kept_and_of_those_before_it_one_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("log.example", &[1; 32]).unwrap();
        let public = key.verifier_key();
        let kept = Attestations::of(dir.path());
        assert_eq!(kept.newest_cosigned(&public).unwrap(), None);
        assert_eq!(kept.evidence(9, 0, &public).unwrap(), []);
        let mut now = SystemTime::now() - Duration::from_secs(3 * 3600);
        for size in 1..=9 {
            kept.keep_cosigned(size, &note(&key, size)).unwrap();
            let file = File::options()
                .write(true)
                .open(kept.folder.join(Attested::Cosigned.file(size)))
                .unwrap();
            file.set_modified(now).unwrap();
            now += Duration::from_secs(20 * 60);
        }
        let sizes = kept.sizes(Attested::Cosigned).unwrap();
        assert!(
            sizes.starts_with(&[1]) && sizes.ends_with(&[9]),
            "{sizes:?}"
        );
        assert!(sizes.len() < 6, "{sizes:?}");
        let newest = kept.newest_cosigned(&public).unwrap().unwrap();
        assert_eq!((newest.size, newest.note), (9, note(&key, 9)));

        // What another log's key signed is another book's.
        let other = SigningKey::from_seed("log.example/e2", &[2; 32]).unwrap();
        kept.write("20.checkpoint", note(&other, 20).as_bytes())
            .unwrap();
        assert_eq!(kept.newest_cosigned(&public).unwrap().unwrap().size, 9);

        kept.keep_stamped(4, &note(&key, 4), b"token").unwrap();
        assert_eq!(
            kept.newest_stamped(&public).unwrap().unwrap().token,
            b"token"
        );
        let names = |size, needed| -> Vec<String> {
            let files = kept.evidence(size, needed, &public).unwrap();
            files.into_iter().map(|(name, _)| name).collect()
        };
        let stamped = ["attested/4.stamped", "attested/4.tsr"];
        assert_eq!(
            names(30, 9),
            [&["attested/9.checkpoint"][..], &stamped].concat()
        );
        // A note without its token is as none, and so is a token without its note.
        kept.write("8.stamped", note(&key, 8).as_bytes()).unwrap();
        kept.write("9.tsr", b"token").unwrap();
        assert_eq!(kept.newest_stamped(&public).unwrap().unwrap().size, 4);
        assert_eq!(
            names(30, 9),
            [&["attested/9.checkpoint"][..], &stamped].concat()
        );
        assert_eq!(names(3, 0), ["attested/1.checkpoint"]);
        assert_eq!(
            names(30, 0)[..2],
            ["attested/1.checkpoint", "attested/9.checkpoint"]
        );
    }
}
