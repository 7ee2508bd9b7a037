//! One leaf's proof in a file (<https://c2sp.org/tlog-proof>).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::{Checkpoint, Error, Hash, VerifierKey, verify_inclusion};

/// An inclusion proof together with the signed checkpoint that it leads to: all that is needed to
/// show that something is in a log, besides the thing itself and the log's key.
///
/// The format has no tag yet. This is its text at revision `ab17a741` of C2SP, 2026-05-22, whose
/// first line is `c2sp.org/tlog-proof@v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// What the application needs besides to compute the leaf. The proof does not vouch for it.
    pub extra: Option<Vec<u8>>,
    /// The leaf's index in the log.
    pub index: u64,
    /// The hashes that lead from the leaf to the root.
    pub hashes: Vec<Hash>,
    /// The checkpoint: a signed note.
    pub checkpoint: String,
}

impl LogProof {
    /// Reads a proof. Its checkpoint is not looked at before [`verify`](Self::verify).
    ///
    /// # Errors
    ///
    /// [`Error::LogProof`] when the text has another form.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let (proof, checkpoint) = text.split_once("\n\n").ok_or(Error::LogProof)?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(FIRST) {
            return Err(Error::LogProof);
        }
        let extra = lines.next_if(|line| line.starts_with(EXTRA));
        let extra = extra.map(|line| BASE64.decode(&line[EXTRA.len()..]));
        let extra = extra.transpose().map_err(|_| Error::LogProof)?;
        let index = lines.next().and_then(|line| line.strip_prefix(INDEX));
        let index = index.and_then(decimal).ok_or(Error::LogProof)?;
        let mut hashes = Vec::new();
        for line in lines {
            let hash = BASE64
                .decode(line)
                .ok()
                .and_then(|hash| hash.try_into().ok());
            hashes.push(Hash(hash.ok_or(Error::LogProof)?));
            if hashes.len() > MAX_HASHES {
                return Err(Error::LogProof);
            }
        }
        if checkpoint.is_empty() || extra.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::LogProof);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// The text of the proof. Files of it end in `.tlog-proof`.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST}\n");
        if let Some(extra) = &self.extra {
            text += &format!("{EXTRA}{}\n", BASE64.encode(extra));
        }
        text += &format!("{INDEX}{}\n", self.index);
        for hash in &self.hashes {
            text += &BASE64.encode(hash.0);
            text.push('\n');
        }
        text.push('\n');
        text + &self.checkpoint
    }

    /// Shows that the leaf with this hash stands at the proof's index in the log of `key`. Returns
    /// the checkpoint that says so.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::open`], and [`Error::Proof`] when the hashes do not lead from the
    /// leaf to the root.
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<Checkpoint, Error> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let root = &checkpoint.root;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, root)?;
        Ok(checkpoint)
    }
}

/// A number without leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| canonical && digits)
}

const FIRST: &str = "c2sp.org/tlog-proof@v1";
const EXTRA: &str = "extra ";
const INDEX: &str = "index ";
/// As many as the proof of a leaf in the largest tree has.
const MAX_HASHES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frontier, SigningKey, inclusion_proof, leaf_hash};

    /// The example of the specification; its extra line is not whole base64 there.
    const EXAMPLE: &str = "c2sp.org/tlog-proof@v1\n\
        index 73894\n\
        gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\
        B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\
        EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=\n\
        RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=\n\
        AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=\n\
        \n\
        example.com/fancylog\n\
        109482\n\
        sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\
        \n\
        \u{2014} example.com/fancylog hI2DJw[...]1roloI=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let proof = LogProof::from_text(EXAMPLE).unwrap();
        assert_eq!((proof.index, proof.hashes.len()), (73_894, 5));
        assert_eq!(proof.hashes[4].0[..3], [0x00, 0x70, 0xa2]);
        assert!(
            proof
                .checkpoint
                .starts_with("example.com/fancylog\n109482\n")
        );
        assert_eq!(proof.to_text(), EXAMPLE);

        let with_extra = LogProof {
            extra: Some(b"more".to_vec()),
            ..proof
        };
        let text = with_extra.to_text();
        assert!(
            text.contains("@v1\nextra bW9yZQ==\nindex 73894\n"),
            "{text}"
        );
        assert_eq!(LogProof::from_text(&text), Ok(with_extra));
    }

    #[test]
    fn other_forms_are_refused() {
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 73894", "index 073894"),
            ("index 73894", "index +1"),
            ("index 73894", "index"),
            ("index 73894", "extra \nindex 73894"),
            ("index 73894", "extra bW9yZQ\nindex 73894"),
            ("index 73894", "extra bW9yZQ==\nextra bW9yZQ==\nindex 73894"),
            ("gSKyX", "gSKy"),
            ("PlQ=", "PlR="),
            ("\n\n", "\n"),
        ] {
            let text = EXAMPLE.replace(from, to);
            assert_eq!(LogProof::from_text(&text), Err(Error::LogProof), "{to}");
        }
        let hash = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n";
        let long = EXAMPLE.replacen(hash, &hash.repeat(70), 1);
        assert_eq!(LogProof::from_text(&long), Err(Error::LogProof));
    }

    #[test]
    fn a_proof_is_for_one_leaf_at_one_index_of_one_log() {
        let key = SigningKey::from_seed("log.example", &[1; 32]).unwrap();
        let leaves: Vec<Hash> = (0..9_u8).map(|n| leaf_hash(&[n])).collect();
        let mut tree = Frontier::new();
        leaves.iter().for_each(|leaf| tree.append(*leaf));
        let checkpoint = Checkpoint::of("log.example", &tree);
        let proof = LogProof {
            extra: None,
            index: 4,
            hashes: inclusion_proof(&leaves, 4).unwrap(),
            checkpoint: checkpoint.sign(&key).unwrap(),
        };
        let key = key.verifier_key();
        assert_eq!(proof.verify(&leaves[4], &key), Ok(checkpoint));
        assert_eq!(proof.verify(&leaves[5], &key), Err(Error::Proof));
        let other = LogProof {
            index: 5,
            ..proof.clone()
        };
        assert_eq!(other.verify(&leaves[4], &key), Err(Error::Proof));
        let stranger = SigningKey::from_seed("log.example", &[2; 32]).unwrap();
        let unsigned = proof.verify(&leaves[4], &stranger.verifier_key());
        assert_eq!(unsigned, Err(Error::Unsigned));
    }
}
