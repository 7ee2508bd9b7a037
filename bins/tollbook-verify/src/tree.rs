//! The whole tree, out of its tiles and leaves.

use tollbook_ledger::{
    Chains, Checkpoint, Frontier, Hash, History, Kept, Kind, Leaf, Level, Past, Pulse, TILE_WIDTH,
    Tile, Tiler, VerifierKey,
    evidence::{Manifest, Selector, record_file},
    leaf_hash,
};

use crate::{
    bundle::{Absent, Bundle},
    check::absence,
    report::Faults,
};

/// What the tree shows.
pub(crate) struct Found {
    /// How many exchanges the selection takes and how many of them are open, if all leaves are
    /// there and are those of the signed head.
    pub(crate) exchanges: Option<(u64, u64)>,
    /// When nobody wrote, under the same condition.
    pub(crate) pulse: Option<Pulse>,
    pub(crate) kept: Vec<Kept>,
}

/// Goes through the tree from left to right: every hash tile must be what the level below it makes
/// it, every leaf must be the one of its hash, and the root must be the one that was signed.
/// Meanwhile it looks which records the selection takes, that no session has a gap, and compares the
/// checkpoints that were kept.
pub(crate) fn check(
    bundle: &Bundle,
    key: &VerifierKey,
    head: &Checkpoint,
    manifest: &Manifest,
    kept: &[String],
    faults: &mut Faults,
) -> Found {
    let mut tree = Frontier::new();
    let mut history = History::new();
    kept.iter().for_each(|note| history.keep(note, key, &tree));
    let mut tiler = Tiler::new();
    let mut selector = Selector::new(&manifest.selection);
    let (mut chains, mut pulse) = (Chains::new(), Pulse::new());
    // Whether each leaf was there and whole.
    let mut all_leaves = manifest.leaves;

    let numbers = (0..).map_while(|number| Tile::of(head.size, Level::Hashes(0), number));
    for tile in numbers {
        let hashes = hashes(bundle, tile, faults);
        let leaves = manifest
            .leaves
            .then(|| leaves(bundle, tile, head.size, faults));
        let leaves = leaves.flatten();
        all_leaves &= leaves.is_some();
        if leaves.is_none() {
            // None of them can be told to be another's, and none behind them to lack one.
            (0..tile.width()).for_each(|_| chains.unread());
        }
        // Where a tile is gone or cannot be read, the leaves say what is in it, and without both
        // there is nothing to go on with.
        let computed = || {
            let leaves = leaves.as_ref()?.iter();
            Some(leaves.map(|leaf| leaf_hash(leaf)).collect())
        };
        let Some(hashes) = hashes.or_else(computed) else {
            break;
        };
        for (place, hash) in hashes.into_iter().enumerate() {
            let index = tree.size();
            if let Some(leaves) = &leaves {
                match leaf_at(index, &leaves[place], &hash) {
                    Ok(leaf) => {
                        let taken = selector.entry(&leaf.header);
                        // Which exchange an outcome ends may stand in a leaf that was not to be read.
                        if taken || all_leaves || leaf.header.kind != Kind::Outcome {
                            // A tombstone is there for what it explains.
                            let stone = leaf.header.kind == Kind::Tombstone
                                && !(manifest.erased.is_empty() && manifest.emptied.is_empty())
                                && manifest.records.contains(index);
                            selected(index, taken || stone, manifest, faults);
                        }
                        pulse.entry(&leaf.header);
                        if let Err(broken) = chains.entry(&leaf.header, hash) {
                            faults.session(index, &bundle_of(index, head.size), broken);
                        }
                    }
                    Err(what) => {
                        all_leaves = false;
                        match Leaf::from_bytes(&leaves[place]) {
                            Ok(leaf) if leaf.header.sequence == index => {
                                chains.doubt(&leaf.header, hash);
                            }
                            _ => chains.unread(),
                        }
                        faults.wrong(Some(index), &bundle_of(index, head.size), what);
                    }
                }
            }
            tree.append(hash);
            history.grown(&tree);
            let mut full = Vec::new();
            let Ok(()) = tiler.append(hash, |tile, hashes| keep(&mut full, tile, hashes));
            compare(bundle, &full, faults);
        }
    }
    let mut partial = Vec::new();
    let Ok(()) = tiler.finish(|tile, hashes| keep(&mut partial, tile, hashes));
    let whole = tree.size() == head.size && tree.root() == head.root;
    if tree.size() == head.size {
        compare(bundle, &partial, faults);
        if !whole {
            let what = "the tree has another root than the one that was signed";
            faults.wrong(None, "tile", what);
        }
    }
    Found {
        pulse: (whole && all_leaves).then_some(pulse),
        exchanges: (whole && all_leaves).then(|| (selector.exchanges(), selector.open())),
        kept: judged(history.finish(), head, whole),
    }
}

/// What kept checkpoints say, as far as the tree is the one that was signed: a damaged copy is not
/// to accuse the log.
fn judged(mut kept: Vec<Kept>, head: &Checkpoint, whole: bool) -> Vec<Kept> {
    for kept in &mut kept {
        let reached = kept.size.is_some_and(|size| size <= head.size);
        let compared = matches!(kept.past, Past::Consistent | Past::Fork | Past::Behind);
        if !whole && reached && compared {
            kept.past = Past::Unknown;
        }
    }
    kept
}

/// The leaf, if it is the one of its index and hash.
fn leaf_at(index: u64, bytes: &[u8], hash: &Hash) -> Result<Leaf, &'static str> {
    let leaf = Leaf::from_bytes(bytes).map_err(|_| "the leaf cannot be read");
    if leaf_hash(bytes) != *hash {
        return Err("leaf and hash tile differ");
    }
    match leaf? {
        leaf if leaf.header.sequence == index => Ok(leaf),
        _ => Err("the leaf belongs to another index"),
    }
}

/// Holds what the selection takes against what the evidence has.
fn selected(index: u64, taken: bool, manifest: &Manifest, faults: &mut Faults) {
    match (taken, manifest.records.contains(index)) {
        (true, false) => {
            let what = "the record is one of the selection, and is missing";
            faults.missing(Some(index), &record_file(index, "json"), what);
        }
        (false, true) => {
            let what = "the record is none of the selection";
            faults.wrong(Some(index), &record_file(index, "json"), what);
        }
        _ => {}
    }
}

fn hashes(bundle: &Bundle, tile: Tile, faults: &mut Faults) -> Option<Vec<Hash>> {
    let name = tile.to_string();
    match bundle.read(&name, u64::from(TILE_WIDTH) * 32) {
        Ok(bytes) => match tile.split_hashes(&bytes) {
            Ok(hashes) => return Some(hashes),
            Err(error) => faults.wrong(None, &name, error),
        },
        Err(absent) => absence(faults, None, &name, absent),
    }
    None
}

fn leaves(bundle: &Bundle, tile: Tile, size: u64, faults: &mut Faults) -> Option<Vec<Vec<u8>>> {
    let tile = Tile::of(size, Level::Entries, tile.index())?;
    let name = tile.to_string();
    match bundle.read(&name, MAX_ENTRIES) {
        Ok(bytes) => match tile.split_entries(&bytes) {
            Ok(leaves) => return Some(leaves.into_iter().map(<[u8]>::to_vec).collect()),
            Err(error) => faults.wrong(first(tile), &name, error),
        },
        Err(absent) => absence(faults, first(tile), &name, absent),
    }
    None
}

/// The index of a bundle's first leaf: that which cannot be read is there or behind it.
fn first(tile: Tile) -> Option<u64> {
    tile.index().checked_mul(u64::from(TILE_WIDTH))
}

fn bundle_of(index: u64, size: u64) -> String {
    let tile = Tile::of(size, Level::Entries, index / u64::from(TILE_WIDTH));
    tile.map_or_else(String::new, |tile| tile.to_string())
}

type Made = Vec<(Tile, Vec<u8>)>;

fn keep(made: &mut Made, tile: Tile, hashes: &[Hash]) -> Result<(), std::convert::Infallible> {
    // Those of level 0 are what the others are made of.
    if tile.level() != Level::Hashes(0) {
        made.push((tile, hashes.iter().flat_map(|hash| hash.0).collect()));
    }
    Ok(())
}

/// Compares the tiles above level 0 with those that the level below makes.
fn compare(bundle: &Bundle, made: &Made, faults: &mut Faults) {
    for (tile, bytes) in made {
        let name = tile.to_string();
        match bundle.read(&name, u64::from(TILE_WIDTH) * 32) {
            Ok(found) if found == *bytes => {}
            Ok(_) => faults.wrong(None, &name, "the tile is not that of the tiles below it"),
            Err(Absent::Missing) => faults.wrong(None, &name, Absent::Missing),
            Err(absent) => absence(faults, None, &name, absent),
        }
    }
}

/// As many leaves as a bundle has, each as long as its length can say.
const MAX_ENTRIES: u64 = TILE_WIDTH as u64 * (2 + u16::MAX as u64);
