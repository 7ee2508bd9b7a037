//! Proofs out of tiles.

use std::{fmt, sync::Arc};

use crate::{Error, Hash, Level, Tile};

/// A tree that is read tile by tile, each when a proof needs it.
///
/// It keeps the few tiles that were used last, so proofs for neighbouring leaves read little, and
/// memory does not grow with the log. Tiles are taken as they are: a proof out of false tiles does
/// not verify.
pub struct TiledTree<F> {
    size: u64,
    fetch: F,
    /// The tiles that were used last, the latest at the end.
    recent: Vec<(Tile, Arc<[Hash]>)>,
}

impl<F, E> TiledTree<F>
where
    F: FnMut(Tile) -> Result<Vec<u8>, E>,
    E: From<Error>,
{
    /// The tree of `size` leaves of which `fetch` gives the bytes of any hash tile.
    pub const fn new(size: u64, fetch: F) -> Self {
        Self {
            size,
            fetch,
            recent: Vec::new(),
        }
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hash of the leaf at `index`.
    ///
    /// # Errors
    ///
    /// Those of fetching, [`Error::Tile`] for a tile of another length, and [`Error::Proof`] when
    /// there is no such leaf. The same goes for the other methods.
    pub fn leaf(&mut self, index: u64) -> Result<Hash, E> {
        self.subtree(0, index)
    }

    /// The root of the tree over the first `size` leaves.
    ///
    /// # Errors
    ///
    /// See [`leaf`](Self::leaf).
    pub fn root(&mut self, size: u64) -> Result<Hash, E> {
        match size {
            0 => Ok(Hash::empty()),
            size if size > self.size => Err(Error::Proof.into()),
            size => self.range(0, size),
        }
    }

    /// The hashes that lead from the leaf at `index` to the root (RFC 6962 §2.1.1).
    ///
    /// # Errors
    ///
    /// See [`leaf`](Self::leaf).
    pub fn inclusion_proof(&mut self, index: u64) -> Result<Vec<Hash>, E> {
        if index >= self.size {
            return Err(Error::Proof.into());
        }
        let mut proof = Vec::new();
        let (mut from, mut to) = (0, self.size);
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The hashes that show that the tree over the first `old` leaves is a beginning of this one
    /// (RFC 6962 §2.1.2).
    ///
    /// # Errors
    ///
    /// See [`leaf`](Self::leaf).
    pub fn consistency_proof(&mut self, old: u64) -> Result<Vec<Hash>, E> {
        let mut proof = Vec::new();
        if old > self.size {
            return Err(Error::Proof.into());
        }
        if old == 0 || old == self.size {
            return Ok(proof);
        }
        let (mut from, mut to) = (0, self.size);
        // Whether the old tree's own root is still the root of what is looked at.
        let mut known = true;
        while old < to {
            let middle = from + split(to - from);
            if old <= middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
                known = false;
            }
        }
        if !known {
            proof.push(self.range(from, to)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// The root over the leaves `from..to`, which begin where a subtree of that size begins.
    fn range(&mut self, from: u64, to: u64) -> Result<Hash, E> {
        let size = to - from;
        if size.is_power_of_two() {
            let height = size.trailing_zeros();
            return self.subtree(height, from >> height);
        }
        let middle = from + split(size);
        let left = self.range(from, middle)?;
        let right = self.range(middle, to)?;
        Ok(Hash::node(&left, &right))
    }

    /// The root over the `index`-th run of `2^height` leaves.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, E> {
        // A tile has every eighth level of the tree; those between are hashed out of one tile.
        let level = u8::try_from(height / 8).map_err(|_| Error::Proof)?;
        let first = index << (height % 8);
        let count = 1 << (height % 8);
        let tile = Tile::of(self.size, Level::Hashes(level), first >> 8).ok_or(Error::Proof)?;
        let hashes = self.tile(tile)?;
        let place = usize::try_from(first & 0xff).map_err(|_| Error::Proof)?;
        let run = hashes.get(place..place + count).ok_or(Error::Proof)?;
        let mut run = run.to_vec();
        while run.len() > 1 {
            let (pairs, _) = run.as_chunks::<2>();
            run = pairs.iter().map(|[l, r]| Hash::node(l, r)).collect();
        }
        run.first().copied().ok_or_else(|| Error::Proof.into())
    }

    fn tile(&mut self, tile: Tile) -> Result<Arc<[Hash]>, E> {
        let known = self.recent.iter().position(|(recent, _)| *recent == tile);
        let hashes = match known {
            Some(place) => self.recent.remove(place).1,
            None => {
                let bytes = (self.fetch)(tile)?;
                if self.recent.len() == RECENT {
                    self.recent.remove(0);
                }
                tile.split_hashes(&bytes)?.into()
            }
        };
        self.recent.push((tile, Arc::clone(&hashes)));
        Ok(hashes)
    }
}

impl<F> fmt::Debug for TiledTree<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TiledTree")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The largest power of two below `size`, which is at least two.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Enough for one proof in a tree of any size: a tile of each level, and the right edge.
const RECENT: usize = 16;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::HashMap};

    use super::*;
    use crate::{
        Tiler, consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion,
    };

    struct Log {
        leaves: Vec<Hash>,
        tiles: HashMap<Tile, Vec<u8>>,
    }

    fn log(size: u64) -> Log {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut tiles = HashMap::new();
        let mut keep = |tile: Tile, hashes: &[Hash]| {
            tiles.insert(tile, hashes.iter().flat_map(|hash| hash.0).collect());
            Ok::<_, Error>(())
        };
        let mut tiler = Tiler::new();
        for leaf in &leaves {
            tiler.append(*leaf, &mut keep).unwrap();
        }
        tiler.finish(&mut keep).unwrap();
        Log { leaves, tiles }
    }

    impl Log {
        fn tree(&self) -> TiledTree<impl FnMut(Tile) -> Result<Vec<u8>, Error>> {
            TiledTree::new(self.leaves.len() as u64, |tile| {
                self.tiles.get(&tile).cloned().ok_or(Error::Tile)
            })
        }
    }

    #[test]
    fn proofs_are_those_of_the_leaves() {
        for size in [1, 2, 3, 255, 256, 257, 511, 513, 700] {
            let log = log(size);
            let mut tree = log.tree();
            for index in (0..size).step_by(7).chain([size - 1]) {
                let place = usize::try_from(index).unwrap();
                let proof = tree.inclusion_proof(index).unwrap();
                assert_eq!(Some(proof), inclusion_proof(&log.leaves, place));
                assert_eq!(tree.leaf(index), Ok(log.leaves[place]));
                let proof = tree.consistency_proof(index).unwrap();
                assert_eq!(Some(proof), consistency_proof(&log.leaves, place));
            }
            assert_eq!(tree.inclusion_proof(size), Err(Error::Proof));
            assert_eq!(tree.consistency_proof(size + 1), Err(Error::Proof));
            assert_eq!(tree.root(size + 1), Err(Error::Proof));
        }
    }

    #[test]
    fn a_large_tree_needs_few_tiles_for_a_proof() {
        let log = log(200_001);
        let fetched = Cell::new(0);
        let mut tree = TiledTree::new(200_001, |tile| {
            fetched.set(fetched.get() + 1);
            log.tiles.get(&tile).cloned().ok_or(Error::Tile)
        });
        let root = tree.root(200_001).unwrap();
        for index in [0, 65_535, 65_536, 199_999, 200_000] {
            let place = usize::try_from(index).unwrap();
            let proof = tree.inclusion_proof(index).unwrap();
            let shown = verify_inclusion(&log.leaves[place], index, 200_001, &proof, &root);
            assert_eq!(shown, Ok(()), "{index}");
            let old = tree.root(index).unwrap();
            let proof = tree.consistency_proof(index).unwrap();
            let shown = verify_consistency(index, 200_001, &old, &root, &proof);
            assert_eq!(shown, Ok(()), "{index}");
        }
        assert!(fetched.get() < 60, "{}", fetched.get());
        assert_eq!(tree.recent.len().max(RECENT), RECENT);
    }

    #[test]
    fn a_tile_that_is_missing_or_short_is_no_proof() {
        let log = log(300);
        let mut tree = TiledTree::new(300, |_| Err::<Vec<u8>, _>(Error::Leaf));
        assert_eq!(tree.inclusion_proof(3), Err(Error::Leaf));
        let mut tree = TiledTree::new(300, |tile| {
            let bytes = &log.tiles[&tile];
            Ok::<_, Error>(bytes[1..].to_vec())
        });
        assert_eq!(tree.inclusion_proof(3), Err(Error::Tile));
    }
}
