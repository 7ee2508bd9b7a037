//! Notes, checkpoints, tiles and proofs, read and made by Cloudflare's `signed_note` and
//! `tlog_tiles`, which come from Go's `x/mod/sumdb`.

use std::collections::HashMap;

use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{
    TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree, tree_hash,
};
use tollbook_ledger::{
    Checkpoint, Error, Frontier, Hash, Level, Note, SigningKey, Tile, TiledTree, Tiler,
    WitnessSigner, leaf_hash, verify_consistency, verify_inclusion,
};

const NAME: &str = "audit.example/gw1";

fn key() -> SigningKey {
    SigningKey::from_seed(NAME, &[7; 32]).unwrap()
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

/// A log as a folder of tiles.
struct Log {
    size: u64,
    root: Hash,
    tiles: HashMap<String, Vec<u8>>,
}

impl Log {
    fn of(size: u64) -> Self {
        let (mut tiles, mut tree, mut tiler) = (HashMap::new(), Frontier::new(), Tiler::new());
        let mut keep = |tile: Tile, hashes: &[Hash]| {
            let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
            tiles.insert(tile.to_string(), bytes);
            Ok::<_, Error>(())
        };
        for leaf in 0..size {
            let leaf = leaf_hash(&leaf.to_be_bytes());
            tree.append(leaf);
            tiler.append(leaf, &mut keep).unwrap();
        }
        tiler.finish(&mut keep).unwrap();
        Self {
            size,
            root: tree.root(),
            tiles,
        }
    }

    fn ours(&self) -> TiledTree<impl FnMut(Tile) -> Result<Vec<u8>, Error>> {
        let read = |tile: Tile| self.tiles.get(&tile.to_string()).cloned();
        TiledTree::new(self.size, move |tile| read(tile).ok_or(Error::Tile))
    }
}

/// Their reader of our tiles. Its paths have the height of a tile in them.
impl TileReader for Log {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            self.tiles.get(&path).cloned()
        };
        let all: Option<Vec<_>> = tiles.iter().map(read).collect();
        all.ok_or(tlog_tiles::Error::InvalidTile)
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

/// Cosignatures as their reader of notes sees them: it knows how notes are made, and asks this what
/// a line says.
struct Cosigner {
    id: u32,
    key: ed25519_dalek::VerifyingKey,
}

impl signed_note::Verifier for Cosigner {
    fn name(&self) -> &str {
        "w.example/1"
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let (time, signature) = signature.split_at(8);
        let time = u64::from_be_bytes(time.try_into().unwrap());
        let text = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
        self.key.verify_strict(&text, &signature).is_ok()
    }
}

#[test]
fn cosigned_notes_are_notes_elsewhere() {
    let log = Log::of(3);
    let head = Checkpoint {
        origin: NAME.to_owned(),
        size: 3,
        root: log.root,
    };
    let note = head.sign(&key()).unwrap();
    let witness = WitnessSigner::from_seed("w.example/1", &[5; 32]).unwrap();
    let line = witness.cosign(&head.to_text(), 1_700_000_000).unwrap();
    let cosigned = format!("{note}{line}\n");
    let secret = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let cosigner = Cosigner {
        id: u32::from_be_bytes(line.id),
        key: secret.verifying_key(),
    };
    let theirs = StandardVerifier::new(&key().verifier_key().to_string()).unwrap();
    let all = VerifierList::new(vec![Box::new(theirs), Box::new(cosigner)]);
    let read = signed_note::Note::from_bytes(cosigned.as_bytes()).unwrap();
    let (known, unknown) = read.verify(&all).unwrap();
    assert_eq!((known.len(), unknown.len()), (2, 0));
    assert_eq!(String::from_utf8(read.to_bytes()).unwrap(), cosigned);
}

#[test]
fn notes_are_read_both_ways() {
    let text = format!("{NAME}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    let public = key().verifier_key();
    let verifier = StandardVerifier::new(&public.to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(verifier)]);

    let ours = Note::sign(&text, &key()).unwrap();
    let read = signed_note::Note::from_bytes(ours.as_bytes()).unwrap();
    let (verified, unverified) = read.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    assert_eq!(read.text(), text.as_bytes());
    let changed = ours.replace("gw1\n0\n", "gw1\n1\n");
    let changed = signed_note::Note::from_bytes(changed.as_bytes()).unwrap();
    assert!(changed.verify(&known).is_err());

    let signer = StandardSigner::new(&key().to_text()).unwrap();
    let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let theirs = String::from_utf8(theirs.to_bytes()).unwrap();
    assert_eq!(theirs, ours);
    assert_eq!(Note::open(&theirs, &public).unwrap().text(), text);
}

#[test]
fn checkpoints_are_read_both_ways() {
    let log = Log::of(300);
    let ours = Checkpoint {
        origin: NAME.to_owned(),
        size: log.size,
        root: log.root,
    };
    let read = tlog_tiles::Checkpoint::from_bytes(ours.to_text().as_bytes()).unwrap();
    assert_eq!((read.origin(), read.size()), (NAME, 300));
    assert_eq!(read.hash().0, log.root.0);
    let theirs = tlog_tiles::Checkpoint::new(NAME, 300, theirs(log.root), "").unwrap();
    let text = String::from_utf8(theirs.to_bytes()).unwrap();
    assert_eq!(Checkpoint::from_text(&text), Ok(ours));
}

#[test]
fn tiles_have_the_same_names_and_make_the_same_proofs() {
    for size in [1_u64, 2, 255, 256, 257, 1000, 65_536, 70_000] {
        let log = Log::of(size);
        let named: Vec<String> = tlog_tiles::Tile::new_tiles(8, 0, size)
            .iter()
            .map(|tile| tile.path().replacen("tile/8/", "tile/", 1))
            .collect();
        let ours: Vec<String> = Tile::hashes(size).map(|tile| tile.to_string()).collect();
        assert_eq!(ours, named, "{size}");

        // Their reader checks every tile that it takes against the root.
        let reader = TileHashReader::new(size, theirs(log.root), &log);
        assert_eq!(tree_hash(size, &reader).unwrap().0, log.root.0);
        let mut tree = log.ours();
        for index in [0, size / 3, size / 2, size - 1] {
            let proof = prove_record(size, index, &reader).unwrap();
            let ours = tree.inclusion_proof(index).unwrap();
            let same: Vec<Hash> = proof.iter().map(|hash| Hash(hash.0)).collect();
            assert_eq!(ours, same, "{index} of {size}");
            let leaf = tree.leaf(index).unwrap();
            verify_inclusion(&leaf, index, size, &same, &log.root).unwrap();
            check_record(&proof, size, theirs(log.root), index, theirs(leaf)).unwrap();

            let old = index + 1;
            let proof = prove_tree(size, old, &reader).unwrap();
            let ours = tree.consistency_proof(old).unwrap();
            let same: Vec<Hash> = proof.iter().map(|hash| Hash(hash.0)).collect();
            assert_eq!(ours, same, "{old} to {size}");
            let root = tree.root(old).unwrap();
            verify_consistency(old, size, &root, &log.root, &same).unwrap();
            check_tree(&proof, size, theirs(log.root), old, theirs(root)).unwrap();
        }
    }
}

/// Their reader does not hold every tile against the root, so it is the proof that fails.
#[test]
fn neither_proves_anything_out_of_a_changed_tile() {
    let mut log = Log::of(300);
    let leaf = log.ours().leaf(2).unwrap();
    let first = Tile::of(300, Level::Hashes(0), 0).unwrap().to_string();
    log.tiles.get_mut(&first).unwrap()[100] ^= 1;
    let reader = TileHashReader::new(300, theirs(log.root), &log);
    let proof = prove_record(300, 2, &reader);
    let shown =
        proof.and_then(|proof| check_record(&proof, 300, theirs(log.root), 2, theirs(leaf)));
    assert!(shown.is_err());
    let proof = log.ours().inclusion_proof(2).unwrap();
    let shown = verify_inclusion(&leaf, 2, 300, &proof, &log.root);
    assert_eq!(shown, Err(Error::Proof));
}
