//! Signed notes (<https://c2sp.org/signed-note>).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::{Error, SigningKey, VerifierKey};

/// A text that a key has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
}

impl<'a> Note<'a> {
    /// Signs a text: the note in its text form.
    ///
    /// # Errors
    ///
    /// [`Error::Note`] when the text is empty, does not end in a line feed or holds other control
    /// characters.
    pub fn sign(text: &str, key: &SigningKey) -> Result<String, Error> {
        if !is_text(text) {
            return Err(Error::Note);
        }
        let public = key.verifier_key();
        let line = SignatureLine {
            name: key.name().to_owned(),
            id: public.id(),
            signature: key.sign(text.as_bytes()).to_vec(),
        };
        Ok(format!("{text}\n{line}\n"))
    }

    /// Reads a note that must bear a signature of `key`. Signatures of other keys are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Note`] when this is no note, [`Error::Signature`] when a signature of the key is
    /// false, [`Error::Unsigned`] when there is none.
    pub fn open(note: &'a str, key: &VerifierKey) -> Result<Self, Error> {
        let (opened, signatures) = Self::split(note)?;
        let mut signed = false;
        for line in signatures {
            if line.name == key.name() && line.id == key.id() {
                let signature = line.signature.as_slice().try_into();
                let signature = signature.map_err(|_| Error::Signature)?;
                if !key.verifies(opened.text.as_bytes(), signature) {
                    return Err(Error::Signature);
                }
                signed = true;
            }
        }
        if signed {
            Ok(opened)
        } else {
            Err(Error::Unsigned)
        }
    }

    /// Takes a note apart, whoever signed it: nothing that it says is shown by that.
    ///
    /// # Errors
    ///
    /// [`Error::Note`] when this is no note.
    pub fn split(note: &'a str) -> Result<(Self, Vec<SignatureLine>), Error> {
        if note.len() > MAX_BYTES {
            return Err(Error::Note);
        }
        let end = note.rfind("\n\n").ok_or(Error::Note)? + 1;
        let (text, signatures) = (&note[..end], &note[end + 1..]);
        if !is_text(text) {
            return Err(Error::Note);
        }
        Ok((Self { text }, SignatureLine::read_all(signatures)?))
    }

    /// The text that was signed, with its final line feed.
    pub const fn text(&self) -> &'a str {
        self.text
    }
}

/// A line by which a key signs a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: [u8; 4],
    /// What the key says of the note's text: a signature, in some kinds with more.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// Reads lines one after the other, as they stand behind a note's text.
    ///
    /// # Errors
    ///
    /// [`Error::Note`] when one has another form, or there are more than a hundred.
    pub fn read_all(lines: &str) -> Result<Vec<Self>, Error> {
        if !is_text(lines) {
            return Err(Error::Note);
        }
        let mut read = Vec::new();
        for line in lines.split_terminator('\n') {
            if read.len() == MAX_SIGNATURES {
                return Err(Error::Note);
            }
            read.push(Self::read(line).ok_or(Error::Note)?);
        }
        Ok(read)
    }

    fn read(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(MARK)?.split_once(' ')?;
        let bytes = BASE64.decode(bytes).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        (!name.is_empty() && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: *id,
            signature: signature.to_vec(),
        })
    }
}

/// The line without its line feed.
impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = BASE64.encode([&self.id[..], &self.signature].concat());
        write!(f, "{MARK}{} {bytes}", self.name)
    }
}

fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.bytes().any(|b| b < 0x20 && b != b'\n')
}

/// An em dash and a space.
const MARK: &str = "\u{2014} ";
/// As many signatures as Go's implementation reads.
const MAX_SIGNATURES: usize = 100;
/// As long a note as Go's implementation reads.
const MAX_BYTES: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNED: &str = "If you think cryptography is the answer to your problem,\n\
                          then you don't know what your problem is.\n\n\
                          \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key() -> SigningKey {
        SigningKey::from_text(SECRET).unwrap()
    }

    #[test]
    fn a_note_is_that_of_the_go_implementation() {
        assert_eq!(Note::sign(TEXT, &key()).as_deref(), Ok(SIGNED));
        let note = Note::open(SIGNED, &key().verifier_key());
        assert_eq!(note.map(|note| note.text()), Ok(TEXT));
    }

    #[test]
    fn signatures_of_unknown_keys_are_ignored() {
        let other = SigningKey::from_seed("witness.example", &[9; 32]).unwrap();
        let both = Note::sign(TEXT, &other).unwrap() + SIGNED.rsplit_once("\n\n").unwrap().1;
        assert!(Note::open(&both, &key().verifier_key()).is_ok());
        assert!(Note::open(&both, &other.verifier_key()).is_ok());

        let unsigned = Note::open(SIGNED, &other.verifier_key());
        assert_eq!(unsigned, Err(Error::Unsigned));
    }

    #[test]
    fn a_changed_text_has_a_false_signature() {
        let changed = SIGNED.replace("answer", "Answer");
        assert_eq!(
            Note::open(&changed, &key().verifier_key()),
            Err(Error::Signature)
        );
    }

    #[test]
    fn malformed_notes_are_refused() {
        for note in [
            "",
            "\n\n",
            TEXT,
            &SIGNED[..SIGNED.len() - 1],
            &SIGNED.replace('\u{2014}', "-"),
            &SIGNED.replace("x08g", "x08"),
            &SIGNED.replace(" x08go/", "  x08go/"),
            &SIGNED.replace("answer", "an\rswer"),
        ] {
            let opened = Note::open(note, &key().verifier_key());
            assert_eq!(opened, Err(Error::Note), "{note}");
        }
    }
}
