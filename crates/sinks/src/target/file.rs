//! A file that grows, and makes room for the next.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{BoxFuture, Deliver, Delivery, Failure};

/// Appends batches to a file, each on disk before it counts.
///
/// What a crash or a full disk left of a batch is cut off again, so that every line is whole. A batch
/// may be there twice after a crash; the index of each record says so.
#[derive(Clone, Debug)]
pub struct FileTarget {
    path: PathBuf,
    rotation: Rotation,
    now: fn() -> SystemTime,
    open: Arc<Mutex<Option<Open>>>,
}

/// When a file is put aside for the next.
///
/// It goes by the index of the first record that is not in it: `copy.jsonl` becomes
/// `copy-00000000000000012345.jsonl`, so that names sort as records do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Before it would have more bytes than this.
    pub bytes: Option<u64>,
    /// When a day (UTC) begins.
    pub daily: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// So much of it is on disk for good.
    length: u64,
    /// The day of what was written last.
    day: u64,
}

impl FileTarget {
    /// A file at this path, which is begun with its folder when it is not there. It is its owner's
    /// alone. What is there must be lines of text: an end without a line feed is cut off.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rotation: Rotation::default(),
            now: SystemTime::now,
            open: Arc::default(),
        }
    }

    /// Puts files aside.
    #[must_use]
    pub fn rotated(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    fn append(&self, bytes: &[u8], first: u64) -> io::Result<()> {
        let mut place = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // What fails leaves nothing open: the next try begins with what is on disk.
        let mut open = match place.take() {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        let today = day((self.now)());
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let large = |limit: u64| open.length.saturating_add(length) > limit;
        let full = self.rotation.bytes.is_some_and(large);
        if open.length > 0 && (full || self.rotation.daily && open.day < today) {
            drop(open);
            let aside = aside(&self.path, first);
            if aside.exists() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(&self.path, aside)?;
            open = Open::at(&self.path)?;
        }
        let written = open
            .file
            .write_all(bytes)
            .and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // Nobody knows what of it is on disk. It is cut off, and written anew another time.
            open.file.set_len(open.length)?;
            return Err(error);
        }
        open.length += length;
        open.day = today;
        *place = Some(open);
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // At the end, also where somebody else has written since.
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let parent = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = parent {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
        }
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() == 0
            && let Some(folder) = parent
        {
            // The name must outlast a power cut as the lines do.
            File::open(folder)?.sync_all()?;
        }
        let length = whole_lines(&mut file, metadata.len())?;
        if length < metadata.len() {
            file.set_len(length)?;
        }
        Ok(Self {
            file,
            length,
            day: day(metadata.modified()?),
        })
    }
}

/// How many bytes of the file are lines with an end.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut piece = [0; 8_192];
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(8_192);
        let size = usize::try_from(end - begin).unwrap_or(piece.len());
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut piece[..size])?;
        if let Some(last) = piece[..size].iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + u64::try_from(last).unwrap_or(0) + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Where a file goes when the record of this index is the first that is not in it.
fn aside(path: &Path, first: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{first:020}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{first:020}"),
    };
    path.with_file_name(name)
}

fn day(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / 86_400
}

impl Deliver for FileTarget {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (file, bytes, first) = (self.clone(), delivery.bytes.clone(), delivery.first);
            let appended = tokio::task::spawn_blocking(move || file.append(&bytes, first));
            match appended.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::again(match error.kind() {
                    io::ErrorKind::StorageFull => "the disk of the file is full",
                    io::ErrorKind::PermissionDenied => "the file may not be written",
                    io::ErrorKind::NotFound => "the folder of the file is not there",
                    io::ErrorKind::AlreadyExists => "a file is in the way of one put aside",
                    _ => "the file cannot be written",
                })),
                Err(_) => Err(Failure::again("the task that writes the file has failed")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        for (left, kept) in [
            ("", ""),
            ("torn", ""),
            ("whole\n", "whole\n"),
            ("whole\ntorn", "whole\n"),
        ] {
            fs::write(&path, left).unwrap();
            FileTarget::new(&path).append(b"next\n", 7).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}next\n"));
        }
        let long = format!("whole\n{}", "x".repeat(20_000));
        fs::write(&path, long).unwrap();
        FileTarget::new(&path).append(b"next\n", 7).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nnext\n");
    }

    /// Somebody else's lines are not written over.
    #[test]
    fn what_stands_there_by_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let targets = [FileTarget::new(&path), FileTarget::new(&path)];
        for (first, line) in [(1, "first\n"), (2, "2\n"), (3, "third\n"), (4, "4\n")] {
            let target = &targets[usize::from(first % 2 == 0)];
            target.append(line.as_bytes(), first).unwrap();
        }
        let all = fs::read_to_string(&path).unwrap();
        assert_eq!(all, "first\n2\nthird\n4\n");
    }

    #[test]
    fn files_make_room_by_size() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation {
            bytes: Some(10),
            daily: false,
        };
        let target = FileTarget::new(folder.path().join("a.jsonl")).rotated(rotation);
        for (first, line) in [
            (1, "12345\n"),
            (2, "123\n"),
            (3, "1\n"),
            (4, "1234567890123\n"),
        ] {
            target.append(line.as_bytes(), first).unwrap();
        }
        assert_eq!(
            names(folder.path()),
            [
                "a-00000000000000000003.jsonl",
                "a-00000000000000000004.jsonl",
                "a.jsonl"
            ]
        );
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("a-00000000000000000003.jsonl"), "12345\n123\n");
        assert_eq!(read("a.jsonl"), "1234567890123\n");
    }

    #[test]
    fn files_make_room_by_the_day() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let rotation = Rotation {
            bytes: None,
            daily: true,
        };
        let mut target = FileTarget::new(&path).rotated(rotation);
        target.append(b"1\n", 1).unwrap();
        target.append(b"2\n", 2).unwrap();
        assert_eq!(names(folder.path()), ["a.jsonl"]);
        target.now = || SystemTime::now() + Duration::from_secs(86_400);
        target.append(b"3\n", 3).unwrap();
        assert_eq!(
            names(folder.path()),
            ["a-00000000000000000003.jsonl", "a.jsonl"]
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    }
}
