//! Checkpoints that somebody kept, held against a log.

use std::fmt;

use crate::{Checkpoint, Error, Frontier, VerifierKey};

/// What a checkpoint that was kept from earlier says of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Past {
    /// The log is one that grew out of it.
    Consistent,
    /// The log did not grow out of it, and its key signed both: it has two histories.
    Fork,
    /// The key signed more entries than there are: the log was cut off or restored from an older
    /// copy, or what is looked at is older than the checkpoint.
    Behind,
    /// It is not signed by the log's key, or is one of another log.
    Foreign(Error),
    /// It is no checkpoint.
    Unreadable(Error),
    /// The log is too damaged to tell, or the checkpoint was given after its entries.
    Unknown,
}

/// One checkpoint that was kept, and what it says of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The number of entries it is about, if it could be read.
    pub size: Option<u64>,
    /// What it says.
    pub past: Past,
}

/// Holds checkpoints that were kept against a tree while it grows.
#[derive(Clone, Debug, Default)]
pub struct History {
    kept: Vec<Kept>,
    /// Those of sizes that the tree has not reached, with their places in `kept`.
    ahead: Vec<(Checkpoint, usize)>,
    /// The least size of those.
    next: Option<u64>,
}

impl History {
    /// No checkpoint was kept.
    pub const fn new() -> Self {
        Self {
            kept: Vec::new(),
            ahead: Vec::new(),
            next: None,
        }
    }

    /// Takes a checkpoint that was kept, a signed note, before the entries that it is about.
    pub fn keep(&mut self, note: &str, key: &VerifierKey, tree: &Frontier) {
        let (size, past) = match Checkpoint::open(note, key) {
            Ok(checkpoint) if checkpoint.size < tree.size() => {
                (Some(checkpoint.size), Past::Unknown)
            }
            Ok(checkpoint) => {
                let size = checkpoint.size;
                self.ahead.push((checkpoint, self.kept.len()));
                (Some(size), Past::Behind)
            }
            Err(error @ (Error::Note | Error::Checkpoint)) => (None, Past::Unreadable(error)),
            Err(error) => (None, Past::Foreign(error)),
        };
        self.kept.push(Kept { size, past });
        self.look_ahead();
        self.grown(tree);
    }

    /// Compares the tree with those of its present size. To be called for every size.
    pub fn grown(&mut self, tree: &Frontier) {
        if self.next != Some(tree.size()) {
            return;
        }
        let root = tree.root();
        let (kept, size) = (&mut self.kept, tree.size());
        self.ahead.retain(|(checkpoint, place)| {
            if checkpoint.size != size {
                return true;
            }
            kept[*place].past = if checkpoint.root == root {
                Past::Consistent
            } else {
                Past::Fork
            };
            false
        });
        self.look_ahead();
    }

    /// What they say, in the order in which they were given.
    pub fn finish(self) -> Vec<Kept> {
        self.kept
    }

    fn look_ahead(&mut self) {
        self.next = self.ahead.iter().map(|(ahead, _)| ahead.size).min();
    }
}

impl Past {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Fork => "fork",
            Self::Behind => "behind",
            Self::Foreign(_) => "foreign",
            Self::Unreadable(_) => "unreadable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consistent => f.write_str("the log grew out of it"),
            Self::Fork => {
                f.write_str("fork: the log's key signed this and a log that did not grow out of it")
            }
            Self::Behind => f.write_str(
                "behind: the log had more entries when this was signed; it was cut off or \
                 restored, or this copy is older",
            ),
            Self::Foreign(error) => write!(f, "not of this log: {error}"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Unknown => f.write_str("cannot be told"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningKey, leaf_hash};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("log.example", &[seed; 32]).unwrap()
    }

    /// The tree over these leaves, and the checkpoints on the way.
    fn grow(leaves: &[u8], history: &mut History) -> Vec<String> {
        let mut tree = Frontier::new();
        let sign = |tree: &Frontier| Checkpoint::of("log.example", tree).sign(&key(1)).unwrap();
        let mut notes = vec![sign(&tree)];
        for leaf in leaves {
            tree.append(leaf_hash(&[*leaf]));
            history.grown(&tree);
            notes.push(sign(&tree));
        }
        notes
    }

    #[test]
    fn each_checkpoint_has_a_verdict_of_its_own() {
        let notes = grow(&[1, 2, 3, 4], &mut History::new());
        let others = grow(&[1, 9, 3, 4, 5, 6], &mut History::new());
        let stranger = Checkpoint::of("log.example", &Frontier::new()).sign(&key(2));

        let public = key(1).verifier_key();
        let mut history = History::new();
        let mut keep = |note: &str| history.keep(note, &public, &Frontier::new());
        keep(&notes[4]);
        keep(&notes[0]);
        keep(&others[1]);
        keep(&others[2]);
        keep(&others[6]);
        keep(&stranger.unwrap());
        keep(&notes[1].replace("log.example\n1\n", "log.example\n2\n"));
        keep("nothing");
        grow(&[1, 2, 3, 4], &mut history);
        let found = history.finish();
        let found: Vec<_> = found.iter().map(|kept| (kept.size, kept.past)).collect();
        assert_eq!(
            found,
            [
                (Some(4), Past::Consistent),
                (Some(0), Past::Consistent),
                (Some(1), Past::Consistent),
                (Some(2), Past::Fork),
                (Some(6), Past::Behind),
                (None, Past::Foreign(Error::Unsigned)),
                (None, Past::Foreign(Error::Signature)),
                (None, Past::Unreadable(Error::Note)),
            ]
        );
    }
}
