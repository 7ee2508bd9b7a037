//! The signed head of a log (<https://c2sp.org/tlog-checkpoint>).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::{Error, Frontier, Hash, Note, SigningKey, VerifierKey};

/// Which log, how many leaves, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, a URL without scheme. The log's key has the same name.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint of this tree.
    pub fn of(origin: impl Into<String>, tree: &Frontier) -> Self {
        Self {
            origin: origin.into(),
            size: tree.size(),
            root: tree.root(),
        }
    }

    /// Reads the text of a checkpoint. Extension lines are refused: the format advises against
    /// them, and nothing here would check what they say.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when the text has another form.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(Error::Checkpoint)?
            .split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(Error::Checkpoint);
        };
        let canonical = size == "0" || !size.starts_with('0');
        if origin.is_empty() || !canonical || !size.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::Checkpoint);
        }
        let root = BASE64.decode(root).map_err(|_| Error::Checkpoint)?;
        Ok(Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| Error::Checkpoint)?,
            root: Hash(root.try_into().map_err(|_| Error::Checkpoint)?),
        })
    }

    /// Reads a checkpoint out of a note that the log's key must have signed.
    ///
    /// # Errors
    ///
    /// Those of [`Note::open`] and [`from_text`](Self::from_text), and [`Error::Origin`] when the
    /// checkpoint is one of another log than the key's.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, Error> {
        let checkpoint = Self::from_text(Note::open(note, key)?.text())?;
        if checkpoint.origin == key.name() {
            Ok(checkpoint)
        } else {
            Err(Error::Origin)
        }
    }

    /// The text that is signed: three lines.
    pub fn to_text(&self) -> String {
        let root = BASE64.encode(self.root.0);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// The checkpoint as a note signed by `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Origin`] when the key has another name than the log, [`Error::Note`] when the
    /// origin cannot stand in a note.
    pub fn sign(&self, key: &SigningKey) -> Result<String, Error> {
        if self.origin != key.name() {
            return Err(Error::Origin);
        }
        Note::sign(&self.to_text(), key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(name, &[4; 32]).unwrap()
    }

    #[test]
    fn a_checkpoint_is_three_lines() {
        let checkpoint = Checkpoint::of("log.example/gw1", &Frontier::new());
        assert_eq!(
            checkpoint.to_text(),
            "log.example/gw1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        );
        assert_eq!(Checkpoint::from_text(&checkpoint.to_text()), Ok(checkpoint));
    }

    #[test]
    fn a_checkpoint_belongs_to_the_log_of_its_key() {
        let checkpoint = Checkpoint::of("log.example/gw1", &Frontier::new());
        let key = key("log.example/gw1");
        let note = checkpoint.sign(&key).unwrap();
        assert_eq!(Checkpoint::open(&note, &key.verifier_key()), Ok(checkpoint));

        let stray = Note::sign(
            "log.example/gw2\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            &key,
        );
        let opened = Checkpoint::open(&stray.unwrap(), &key.verifier_key());
        assert_eq!(opened, Err(Error::Origin));
    }

    #[test]
    fn other_forms_are_refused() {
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for text in [
            String::new(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            "o\n1\n47DEQpj8\n".to_owned(),
            format!("o\n1\n{root}\nextension\n"),
        ] {
            assert_eq!(
                Checkpoint::from_text(&text),
                Err(Error::Checkpoint),
                "{text}"
            );
        }
    }
}
