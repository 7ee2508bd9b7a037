//! What a witness says of a checkpoint (<https://c2sp.org/tlog-cosignature>, the Ed25519 form).
//!
//! A witness remembers the newest checkpoint of a log and signs the next one only if the log grew
//! out of that. So who has a witness's word for a checkpoint knows that nobody was shown another
//! history by that witness, whoever holds the log's own key.

use std::{collections::HashSet, fmt, str::FromStr};

use ed25519_dalek::{Signature, Signer};
use zeroize::Zeroizing;

use crate::{
    Error, Note, SignatureLine,
    key::{Parts, check_name, key_id, key_text},
};

/// The public key of a witness, under its name.
///
/// The text form is `name+keyid+base64(0x04 ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

/// The key by which a witness signs checkpoints.
///
/// Its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct WitnessSigner {
    public: WitnessKey,
    key: ed25519_dalek::SigningKey,
}

/// Which witnesses count, and how many of them must have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    witnesses: Vec<WitnessKey>,
    needed: usize,
}

/// Which witnesses of a [`Quorum`] signed a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witnessed {
    /// Those that did, in the order of the quorum.
    pub by: Vec<Cosigned>,
    /// How many must have.
    pub needed: usize,
}

/// One witness's word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cosigned {
    /// The name of the witness.
    pub witness: String,
    /// When it signed, by its own clock: seconds since 1970.
    pub time: u64,
}

impl WitnessSigner {
    /// The key with this name and secret seed.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] when the name cannot stand in a note.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = WitnessKey::new(name, key.verifying_key())?;
        Ok(Self { public, key })
    }

    /// Reads `PRIVATE+KEY+name+keyid+base64(0x04 ‖ seed)`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when the text has another form, or a key id that is not the key's.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix(PRIVATE).ok_or(Error::Key)?;
        let parts = Parts::parse(text, COSIGNATURE)?;
        let key = Self::from_seed(parts.name, &parts.bytes)?;
        if key.public.id == parts.id {
            Ok(key)
        } else {
            Err(Error::Key)
        }
    }

    /// The text that [`from_text`](Self::from_text) reads. It *is* the secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let WitnessKey { name, id, .. } = &self.public;
        let secret = key_text(name, *id, COSIGNATURE, self.key.as_bytes());
        let secret = Zeroizing::new(secret);
        Zeroizing::new(format!("{PRIVATE}{}", *secret))
    }

    /// The public half.
    pub fn witness_key(&self) -> WitnessKey {
        self.public.clone()
    }

    /// Signs the text of a checkpoint: that at this time, in seconds since 1970, it is the newest
    /// that this witness has seen of its log.
    ///
    /// # Errors
    ///
    /// [`Error::Note`] for a time that cannot stand in a cosignature.
    pub fn cosign(&self, text: &str, time: u64) -> Result<SignatureLine, Error> {
        if time > MAX_TIME {
            return Err(Error::Note);
        }
        let signature = self.key.sign(&message(text, time)).to_bytes();
        Ok(SignatureLine {
            name: self.public.name.clone(),
            id: self.public.id,
            signature: [&time.to_be_bytes()[..], &signature].concat(),
        })
    }
}

impl WitnessKey {
    fn new(name: &str, key: ed25519_dalek::VerifyingKey) -> Result<Self, Error> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, COSIGNATURE, &key),
            key,
        })
    }

    /// The name of the witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the line is one of this witness, whatever it says.
    pub fn is_of(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.id == self.id
    }

    /// When the witness signed the text of a checkpoint by this line, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Error::Unsigned`] when the line is that of another key, [`Error::Signature`] when it is
    /// false.
    pub fn opens(&self, text: &str, line: &SignatureLine) -> Result<u64, Error> {
        if !self.is_of(line) {
            return Err(Error::Unsigned);
        }
        let (time, signature) = line
            .signature
            .split_first_chunk::<8>()
            .ok_or(Error::Signature)?;
        let time = u64::from_be_bytes(*time);
        let signature: &[u8; 64] = signature.try_into().map_err(|_| Error::Signature)?;
        let signature = Signature::from_bytes(signature);
        if time > MAX_TIME
            || self
                .key
                .verify_strict(&message(text, time), &signature)
                .is_err()
        {
            return Err(Error::Signature);
        }
        Ok(time)
    }
}

impl Quorum {
    /// So many of these witnesses.
    ///
    /// # Errors
    ///
    /// [`Error::Quorum`] when a name or key is there twice, because one witness would count as
    /// two, or more are needed than there are, or none.
    pub fn new(witnesses: Vec<WitnessKey>, needed: usize) -> Result<Self, Error> {
        let mut names = HashSet::new();
        let mut keys = HashSet::new();
        let distinct = witnesses
            .iter()
            .all(|witness| names.insert(&witness.name) && keys.insert(witness.key.to_bytes()));
        if !distinct || needed == 0 || needed > witnesses.len() {
            return Err(Error::Quorum);
        }
        Ok(Self { witnesses, needed })
    }

    /// The witnesses that count.
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// How many of them must have signed.
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// Which of them signed a note. Lines of other keys are ignored, and so is whether the log
    /// itself signed: that is what [`Checkpoint::open`](crate::Checkpoint::open) looks for.
    ///
    /// # Errors
    ///
    /// [`Error::Note`] when this is no note, [`Error::Signature`] when a line of a witness that
    /// counts is false.
    pub fn judge(&self, note: &str) -> Result<Witnessed, Error> {
        let (note, lines) = Note::split(note)?;
        let mut by = Vec::new();
        for witness in &self.witnesses {
            let times = lines.iter().filter(|line| witness.is_of(line));
            let times = times.map(|line| witness.opens(note.text(), line));
            let times = times.collect::<Result<Vec<_>, _>>()?;
            by.extend(times.into_iter().max().map(|time| Cosigned {
                witness: witness.name.clone(),
                time,
            }));
        }
        let needed = self.needed;
        Ok(Witnessed { by, needed })
    }
}

impl Witnessed {
    /// Whether enough have signed.
    pub const fn is_met(&self) -> bool {
        self.by.len() >= self.needed
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_bytes();
        f.write_str(&key_text(&self.name, self.id, COSIGNATURE, key))
    }
}

impl FromStr for WitnessKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = Parts::parse(text, COSIGNATURE)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&parts.bytes).map_err(|_| Error::Key)?;
        let key = Self::new(parts.name, key)?;
        if key.id == parts.id {
            Ok(key)
        } else {
            Err(Error::Key)
        }
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({self})")
    }
}

impl fmt::Debug for WitnessSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WitnessSigner(..)")
    }
}

fn message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// The signature type of Ed25519 cosignatures.
const COSIGNATURE: u8 = 0x04;
/// How the text of a secret key begins.
const PRIVATE: &str = "PRIVATE+KEY+";
const MAX_TIME: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Frontier, SigningKey};

    fn signer(name: &str, seed: u8) -> WitnessSigner {
        WitnessSigner::from_seed(name, &[seed; 32]).unwrap()
    }

    fn note() -> String {
        let key = SigningKey::from_seed("log.example", &[1; 32]).unwrap();
        Checkpoint::of("log.example", &Frontier::new())
            .sign(&key)
            .unwrap()
    }

    fn cosigned(note: &str, signers: &[&WitnessSigner]) -> String {
        let (text, _) = Note::split(note).unwrap();
        let lines = signers
            .iter()
            .map(|signer| format!("{}\n", signer.cosign(text.text(), 7).unwrap()));
        note.to_owned() + &lines.collect::<String>()
    }

    /// The example of the specification, whose key is not told there.
    #[test]
    fn the_example_of_the_specification_is_read() {
        let note = "example.com/behind-the-sofa\n20852163\n\
            CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
            \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let (text, lines) = Note::split(note).unwrap();
        assert_eq!(Checkpoint::from_text(text.text()).unwrap().size, 20_852_163);
        let time: [u8; 8] = lines[1].signature[..8].try_into().unwrap();
        assert_eq!(u64::from_be_bytes(time), 1_679_315_147);
        assert_eq!(lines[1].signature.len(), 72);
        let again: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert!(note.ends_with(&again));
    }

    #[test]
    fn a_quorum_counts_each_witness_once_and_strangers_never() {
        let (one, two, three) = (
            signer("w.example/1", 1),
            signer("w.example/2", 2),
            signer("w.example/3", 3),
        );
        let keys = vec![one.witness_key(), two.witness_key(), three.witness_key()];
        let quorum = Quorum::new(keys.clone(), 2).unwrap();
        let met = |note: &str| quorum.judge(note).unwrap().is_met();
        assert!(!met(&note()));
        assert!(!met(&cosigned(&note(), &[&one])));
        assert!(!met(&cosigned(&note(), &[&one, &one])));
        assert!(!met(&cosigned(&note(), &[&one, &signer("w.example/9", 9)])));
        assert!(met(&cosigned(
            &note(),
            &[&three, &signer("w.example/9", 9), &one]
        )));
        let by = quorum.judge(&cosigned(&note(), &[&three])).unwrap().by;
        assert_eq!(
            by,
            [Cosigned {
                witness: "w.example/3".to_owned(),
                time: 7
            }]
        );
        // The log's own key takes no notice of them.
        let log = SigningKey::from_seed("log.example", &[1; 32]).unwrap();
        assert!(Checkpoint::open(&cosigned(&note(), &[&one]), &log.verifier_key()).is_ok());

        let twice = vec![one.witness_key(), signer("w.example/1", 1).witness_key()];
        assert_eq!(Quorum::new(twice, 1), Err(Error::Quorum));
        let renamed = vec![one.witness_key(), signer("w.example/2", 1).witness_key()];
        assert_eq!(Quorum::new(renamed, 1), Err(Error::Quorum));
        assert_eq!(Quorum::new(keys.clone(), 4), Err(Error::Quorum));
        assert_eq!(Quorum::new(keys, 0), Err(Error::Quorum));
    }

    #[test]
    fn no_bit_of_a_cosignature_can_be_another() {
        let one = signer("w.example/1", 1);
        let note = note();
        let (text, _) = Note::split(&note).unwrap();
        let line = one.cosign(text.text(), 7).unwrap();
        let key = one.witness_key();
        assert_eq!(key.opens(text.text(), &line), Ok(7));
        for place in 0..line.signature.len() {
            let mut line = line.clone();
            line.signature[place] ^= 1 << (place % 8);
            assert_eq!(key.opens(text.text(), &line), Err(Error::Signature));
        }
        let other = text.text().replace("\n0\n", "\n1\n");
        assert_eq!(key.opens(&other, &line), Err(Error::Signature));
        let cut = SignatureLine {
            signature: line.signature[..71].to_vec(),
            ..line.clone()
        };
        assert_eq!(key.opens(text.text(), &cut), Err(Error::Signature));
        assert_eq!(one.cosign(text.text(), u64::MAX), Err(Error::Note));
    }

    #[test]
    fn keys_of_logs_and_of_witnesses_are_not_mixed_up() {
        let one = signer("w.example/1", 1);
        let text = one.witness_key().to_string();
        assert_eq!(text.parse(), Ok(one.witness_key()));
        assert_eq!(text.parse::<crate::VerifierKey>(), Err(Error::Key));
        let again = WitnessSigner::from_text(&one.to_text()).unwrap();
        assert_eq!(again.witness_key(), one.witness_key());
        assert!(SigningKey::from_text(&one.to_text()).is_err());
        assert_eq!(format!("{one:?}"), "WitnessSigner(..)");
    }
}
