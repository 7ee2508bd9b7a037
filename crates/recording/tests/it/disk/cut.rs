//! The disk as a power cut could leave it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tollbook_recording::{Reader, Recorder};

use super::child::{ACKS, acknowledged, body_of, config};

/// All that a process did to its disk, in order.
pub(crate) struct Trace {
    root: PathBuf,
    steps: Vec<Step>,
}

enum Step {
    Create(String),
    Write(String, u64, Vec<u8>),
    Truncate(String, u64),
    Sync(String),
    SyncFolder(String),
    Rename(String, String),
    Remove(String),
}

/// What becomes of writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lost {
    /// All of them are lost.
    All,
    /// Some are, in any order, and some are cut off at the end of a sector.
    Some(u64),
    /// None is: as when the process is killed.
    None,
}

/// A file on a disk.
#[derive(Clone, Default)]
struct File {
    /// What a sync made sure of.
    sure: Vec<u8>,
    /// Whether its name is sure to be there.
    named: bool,
    /// What was done since.
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Trace {
    pub(crate) fn read(path: &Path, root: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let (mut rest, mut steps) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let number = |place: usize| {
                let bytes = rest[place * 8..place * 8 + 8].try_into().unwrap();
                u64::from_ne_bytes(bytes)
            };
            let [name, data] = [number(1), number(3)].map(|n| usize::try_from(n).unwrap());
            let (kind, at) = (number(0), number(2));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let path = text(&rest[32..32 + name]);
            // Only writes and renames have data.
            let has_data = matches!(u8::try_from(kind), Ok(b'W' | b'R'));
            let length = if has_data { data } else { 0 };
            let data = &rest[32 + name..32 + name + length];
            steps.push(match u8::try_from(kind).unwrap() {
                b'C' => Step::Create(path),
                b'W' => Step::Write(path, at, data.to_vec()),
                b'T' => Step::Truncate(path, at),
                b'S' => Step::Sync(path),
                b'D' => Step::SyncFolder(path),
                b'R' => Step::Rename(path, text(data)),
                b'U' => Step::Remove(path),
                other => panic!("{other}"),
            });
            rest = &rest[32 + name + length..];
        }
        Self {
            root: root.to_owned(),
            steps,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Cuts the power after so many steps, starts again, and looks. Returns the exchanges that were
    /// acknowledged and are lost, and how many were.
    pub(crate) fn cut(&self, after: usize, lost: Lost) -> (BTreeSet<String>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let acked = self.leave(after, lost, dir.path());
        // Whoever acknowledged it is outside, and has forgotten nothing.
        let what = format!("cut after {after} steps, {lost:?} lost");
        let opened = Recorder::open(config(dir.path()));
        let recorder = opened.unwrap_or_else(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            panic!("{what}: {error} ({source:?})")
        });
        recorder.close();
        drop(recorder);
        let reader = Reader::open(dir.path().join("book")).unwrap();
        let found = reader.verify(None).unwrap();
        assert!(found.is_verified(), "{what}: {:?}", found.faults);
        assert_eq!(found.open, 0, "{what}");
        let is_there = |id: &String| {
            let shown = reader.exchange(id).unwrap();
            shown.is_some_and(|shown| shown["request"]["body"] == body_of(id))
        };
        let count = acked.len();
        (
            acked.into_iter().filter(|id| !is_there(id)).collect(),
            count,
        )
    }

    /// Writes down the disk as it is after the cut. Returns what had been acknowledged.
    fn leave(&self, after: usize, lost: Lost, to: &Path) -> BTreeSet<String> {
        let mut files: BTreeMap<&str, File> = BTreeMap::new();
        let mut renamed: Vec<(&str, &str, Option<File>)> = Vec::new();
        for step in &self.steps[..after] {
            match step {
                Step::Create(name) => {
                    files.insert(name, File::default());
                }
                Step::Write(name, at, data) => {
                    let file = files.entry(name).or_default();
                    file.since.push(Change::Write(*at, data.clone()));
                }
                Step::Truncate(name, length) => {
                    let file = files.entry(name).or_default();
                    file.since.push(Change::Truncate(*length));
                }
                Step::Sync(name) => {
                    let file = files.entry(name).or_default();
                    for change in std::mem::take(&mut file.since) {
                        change.apply(&mut file.sure, usize::MAX);
                    }
                    file.named = true;
                }
                Step::SyncFolder(folder) => {
                    renamed.clear();
                    for (name, file) in &mut files {
                        file.named |= Path::new(name).parent() == Some(Path::new(folder));
                    }
                }
                Step::Rename(from, to) => {
                    let file = files.remove(from.as_str()).unwrap_or_default();
                    renamed.push((from, to, files.insert(to, file)));
                }
                Step::Remove(name) => {
                    files.remove(name.as_str());
                }
            }
        }
        let mut dice = Dice(match lost {
            Lost::Some(seed) => seed | 1,
            _ => 1,
        });
        for (from, to, before) in renamed.into_iter().rev() {
            let undone = match lost {
                Lost::All => true,
                Lost::Some(_) => dice.roll(2) == 0,
                Lost::None => false,
            };
            if undone && let Some(file) = files.remove(to) {
                files.insert(from, file);
                if let Some(before) = before {
                    files.insert(to, before);
                }
            }
        }
        let mut acked = BTreeSet::new();
        for (name, mut file) in files {
            let below = Path::new(name).strip_prefix(&self.root).unwrap();
            let is_acks = below == Path::new(ACKS);
            let named = match lost {
                Lost::All => file.named,
                Lost::Some(_) => file.named || dice.roll(2) == 0,
                Lost::None => true,
            };
            for change in file.since {
                match lost {
                    Lost::None => change.apply(&mut file.sure, usize::MAX),
                    _ if is_acks => change.apply(&mut file.sure, usize::MAX),
                    Lost::All => {}
                    Lost::Some(_) => match dice.roll(4) {
                        0 => {}
                        1 => change.apply(&mut file.sure, dice.roll(9) * 512),
                        _ => change.apply(&mut file.sure, usize::MAX),
                    },
                }
            }
            if is_acks {
                acked = acknowledged(&String::from_utf8(file.sure).unwrap());
            } else if named && below.file_name().is_some() {
                let path = to.join(below);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, file.sure).unwrap();
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(&path, private).unwrap();
            }
        }
        acked
    }
}

impl Change {
    /// Does it, as far as the first so many bytes of a write go.
    fn apply(self, to: &mut Vec<u8>, length: usize) {
        match self {
            Self::Write(at, data) => {
                let at = usize::try_from(at).unwrap();
                let data = &data[..data.len().min(length)];
                to.resize(to.len().max(at + data.len()), 0);
                to[at..at + data.len()].copy_from_slice(data);
            }
            Self::Truncate(length) => to.resize(usize::try_from(length).unwrap(), 0),
        }
    }
}

/// Throws the same each time (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % sides).unwrap()
    }
}
