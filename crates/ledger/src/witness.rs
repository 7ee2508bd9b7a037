//! Asking a witness, and being one (<https://c2sp.org/tlog-witness>).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::{Checkpoint, Error, Hash, Note, VerifierKey, verify_consistency};

/// What a log sends to a witness: its newest checkpoint, and that it grew out of the one that the
/// witness knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the tree that the witness knows.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The checkpoint: a signed note.
    pub note: String,
}

/// Why a witness does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The request cannot be read, or the old size is above that of the checkpoint.
    #[error("malformed request")]
    Malformed,
    /// It knows no log of this origin.
    #[error("unknown log")]
    UnknownLog,
    /// The log's key did not sign the checkpoint.
    #[error("the checkpoint is not signed by a key of its log")]
    Unsigned,
    /// It knows another checkpoint than the one of the old size.
    #[error("the newest checkpoint that was witnessed has {known} entries")]
    Known {
        /// The size of that one.
        known: u64,
    },
    /// The checkpoint has the size of the one that it knows, and another root: the log's key signed
    /// two histories.
    #[error("another root was witnessed for this size")]
    Forked,
    /// The proof does not show that the log grew out of what it knows.
    #[error("the consistency proof does not hold")]
    Proof,
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`Error::Witness`] when it has another form.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let mut rest = text.strip_prefix("old ").ok_or(Error::Witness)?;
        let mut line = || {
            let (line, next) = rest.split_once('\n')?;
            rest = next;
            Some(line)
        };
        let old = line().and_then(decimal).ok_or(Error::Witness)?;
        let mut proof = Vec::new();
        loop {
            match line().ok_or(Error::Witness)? {
                "" => break,
                _ if proof.len() == MAX_PROOF => return Err(Error::Witness),
                hash => {
                    let hash = BASE64.decode(hash).map_err(|_| Error::Witness)?;
                    proof.push(Hash(hash.try_into().map_err(|_| Error::Witness)?));
                }
            }
        }
        let note = rest.to_owned();
        Note::split(&note).map_err(|_| Error::Witness)?;
        Ok(Self { old, proof, note })
    }

    /// The log that the request says it comes from. Nothing shows yet that it does.
    pub fn origin(&self) -> &str {
        self.note.split('\n').next().unwrap_or_default()
    }

    /// What a witness has to say to it that trusts these keys and knows `known` of that log: the
    /// checkpoint to sign and to remember from now on.
    ///
    /// # Errors
    ///
    /// Why it does not sign, in the order of the specification.
    pub fn judge(
        &self,
        keys: &[VerifierKey],
        known: Option<&Checkpoint>,
    ) -> Result<Checkpoint, Refused> {
        let mut keys = keys
            .iter()
            .filter(|key| key.name() == self.origin())
            .peekable();
        if keys.peek().is_none() {
            return Err(Refused::UnknownLog);
        }
        let opened: Vec<_> = keys.map(|key| Checkpoint::open(&self.note, key)).collect();
        let checkpoint = match opened.iter().flatten().next() {
            Some(checkpoint) => checkpoint.clone(),
            None if opened.contains(&Err(Error::Checkpoint)) => return Err(Refused::Malformed),
            None => return Err(Refused::Unsigned),
        };
        if self.old > checkpoint.size {
            return Err(Refused::Malformed);
        }
        let (size, root) = known.map_or((0, Hash::empty()), |known| (known.size, known.root));
        if self.old != size {
            return Err(Refused::Known { known: size });
        }
        if size == checkpoint.size && root != checkpoint.root {
            return Err(Refused::Forked);
        }
        verify_consistency(size, checkpoint.size, &root, &checkpoint.root, &self.proof)
            .map_err(|_| Refused::Proof)?;
        Ok(checkpoint)
    }
}

impl Refused {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Known { .. } | Self::Forked => 409,
            Self::Proof => 422,
        }
    }

    /// Whether the log's own key signed something that cannot be of the history that was witnessed:
    /// evidence against the log, where another refusal may be a mistake or a stranger's.
    ///
    /// A proof that does not hold is none: anybody can send one with a true checkpoint.
    pub const fn is_fork(self) -> bool {
        matches!(self, Self::Forked)
    }
}

/// The body of a request.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", BASE64.encode(hash.0))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// Reads the size in the body of a witness's answer 409.
pub fn known_size(body: &str) -> Option<u64> {
    decimal(body.strip_suffix('\n')?)
}

/// A number without sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// As many hashes as the specification allows.
const MAX_PROOF: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Frontier, Growth, SigningKey, leaf_hash};

    fn key() -> SigningKey {
        SigningKey::from_seed("log.example", &[1; 32]).unwrap()
    }

    fn grown(tree: &mut Frontier, leaves: &[u8]) -> (Checkpoint, String, Vec<Hash>) {
        let mut growth = Growth::new(tree, tree.size() + leaves.len() as u64);
        for leaf in leaves {
            growth.append(leaf_hash(&[*leaf]));
        }
        let (proof, grown) = growth.finish().unwrap();
        *tree = grown;
        let checkpoint = Checkpoint::of("log.example", tree);
        let note = checkpoint.sign(&key()).unwrap();
        (checkpoint, note, proof)
    }

    #[test]
    fn a_log_that_grows_is_witnessed_and_one_that_does_not_is_refused() {
        let keys = [key().verifier_key()];
        let mut tree = Frontier::new();
        let (first, note, proof) = grown(&mut tree, &[1, 2, 3]);
        let request = AddCheckpoint {
            old: 0,
            proof,
            note,
        };
        assert_eq!(request.judge(&keys, None), Ok(first.clone()));
        let before = tree.clone();
        let (second, note, proof) = grown(&mut tree, &[4, 5]);
        let request = AddCheckpoint {
            old: 3,
            proof,
            note,
        };
        assert_eq!(request.judge(&keys, Some(&first)), Ok(second.clone()));
        assert_eq!(
            AddCheckpoint::from_text(&request.to_string()).as_ref(),
            Ok(&request)
        );

        // Once more, with nothing new, it is signed again.
        let again = AddCheckpoint {
            old: 5,
            proof: Vec::new(),
            ..request.clone()
        };
        assert_eq!(again.judge(&keys, Some(&second)), Ok(second.clone()));

        let refused = |request: &AddCheckpoint, known| request.judge(&keys, known).unwrap_err();
        assert_eq!(refused(&request, None), Refused::Known { known: 0 });
        assert_eq!(
            refused(&request, Some(&second)),
            Refused::Known { known: 5 }
        );
        assert_eq!(request.judge(&[], None), Err(Refused::UnknownLog));
        let other = SigningKey::from_seed("log.example", &[2; 32])
            .unwrap()
            .verifier_key();
        assert_eq!(
            request.judge(std::slice::from_ref(&other), None),
            Err(Refused::Unsigned)
        );
        // A log may have a new key beside its old one.
        assert!(
            request
                .judge(&[other, key().verifier_key()], Some(&first))
                .is_ok()
        );
        let above = AddCheckpoint {
            old: 6,
            ..request.clone()
        };
        assert_eq!(refused(&above, Some(&first)), Refused::Malformed);

        // Another history: of the same size, and of a larger one.
        let mut forked = Frontier::new();
        let (_, note, _) = grown(&mut forked, &[1, 2, 9, 4, 5]);
        let fork = AddCheckpoint {
            old: 5,
            proof: Vec::new(),
            note,
        };
        assert_eq!(refused(&fork, Some(&second)), Refused::Forked);
        let (_, note, proof) = grown(&mut forked, &[6]);
        let fork = AddCheckpoint {
            old: 5,
            proof,
            note,
        };
        assert_eq!(refused(&fork, Some(&second)), Refused::Proof);
        assert!(Refused::Forked.is_fork() && !Refused::Proof.is_fork());
        let statuses = [
            Refused::Malformed,
            Refused::Unsigned,
            Refused::UnknownLog,
            Refused::Forked,
            Refused::Proof,
        ];
        assert_eq!(statuses.map(Refused::status), [400, 403, 404, 409, 422]);

        // Restored from a copy of when it had three entries.
        let mut restored = before;
        let (_, note, proof) = grown(&mut restored, &[]);
        let behind = AddCheckpoint {
            old: 3,
            proof,
            note,
        };
        assert_eq!(refused(&behind, Some(&second)), Refused::Known { known: 5 });
    }

    #[test]
    fn other_forms_are_refused() {
        let note = Checkpoint::of("o", &Frontier::new()).to_text() + "\n\u{2014} o AAAAAAA=\n";
        assert!(AddCheckpoint::from_text(&format!("old 0\n\n{note}")).is_ok());
        let hash = BASE64.encode([7; 32]);
        let many = format!("{hash}\n").repeat(63);
        assert!(AddCheckpoint::from_text(&format!("old 1\n{many}\n{note}")).is_ok());
        for body in [
            String::new(),
            note.clone(),
            format!("old 0\n{note}"),
            format!("old  0\n\n{note}"),
            format!("old 00\n\n{note}"),
            format!("old +1\n\n{note}"),
            format!("old 1\nAAAA\n\n{note}"),
            format!("old 1\n{many}{hash}\n\n{note}"),
            format!("old 1\r\n\r\n{note}"),
            "old 1\n\n".to_owned(),
        ] {
            assert_eq!(
                AddCheckpoint::from_text(&body),
                Err(Error::Witness),
                "{body}"
            );
        }
        assert_eq!(known_size("17\n"), Some(17));
        for body in ["17", "017\n", "17\n\n", "-1\n", ""] {
            assert_eq!(known_size(body), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(body in "old [0-9]{1,3}\n(([A-Za-z0-9+/]{43}=)\n){0,3}\nlog\n[0-9]{1,3}\n[A-Za-z0-9+/]{43}=\n\n(\u{2014} [a-z]{1,4} [A-Za-z0-9+/]{8}\n){1,3}") {
            if let Ok(request) = AddCheckpoint::from_text(&body) {
                prop_assert_eq!(request.to_string(), body);
            }
        }

        #[test]
        fn nothing_that_is_read_panics(body in "\\PC{0,80}", old in "old [0-9]{0,22}\n\n?") {
            drop(AddCheckpoint::from_text(&body));
            drop(AddCheckpoint::from_text(&format!("{old}{body}")));
        }
    }
}
