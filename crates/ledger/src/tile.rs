//! The tree cut into tiles (<https://c2sp.org/tlog-tiles>, as tagged `tlog-tiles/v0.1.0`).

use std::fmt;

use crate::{Error, Frontier, Hash};

/// The number of hashes in a full tile, and of leaves in a full entry bundle.
pub const TILE_WIDTH: u16 = 256;

/// One tile of a log: consecutive hashes of one level of the tree, or consecutive leaves.
///
/// Its [`Display`](fmt::Display) is its path below the log's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    level: Level,
    index: u64,
    width: u16,
}

/// What a tile is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Leaves: an entry bundle.
    Entries,
    /// Hashes. At level 0 those of leaves; above, each is the root over a full tile below.
    Hashes(u8),
}

/// Cuts a growing tree into tiles, holding only those that are not full: one of each level.
#[derive(Debug, Default)]
pub struct Tiler {
    levels: Vec<Edge>,
}

/// The tile of one level that is not full.
#[derive(Debug, Default)]
struct Edge {
    index: u64,
    hashes: Vec<Hash>,
}

impl Tile {
    /// The tile of this level and index in the tree of `size` leaves, if there is one.
    pub fn of(size: u64, level: Level, index: u64) -> Option<Self> {
        let height = match level {
            Level::Entries => 0,
            Level::Hashes(level) => level,
        };
        let hashes = size.checked_shr(8 * u32::from(height)).unwrap_or(0);
        let left = hashes.saturating_sub(index.checked_mul(WIDTH)?).min(WIDTH);
        let width = u16::try_from(left).ok().filter(|width| *width > 0)?;
        Some(Self {
            level,
            index,
            width,
        })
    }

    /// All hash tiles of the tree of `size` leaves, level by level.
    pub fn hashes(size: u64) -> impl Iterator<Item = Self> {
        (0..8).flat_map(move |level| Self::row(size, Level::Hashes(level)))
    }

    /// All entry bundles of the tree of `size` leaves.
    pub fn entries(size: u64) -> impl Iterator<Item = Self> {
        Self::row(size, Level::Entries)
    }

    /// The tile at a path below the log's folder, if the path is one that a tile has.
    pub fn from_path(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut index: u64 = 0;
        for three in number.split('/') {
            let three: u64 = three.trim_start_matches('x').parse().ok()?;
            index = index.checked_mul(1000)?.checked_add(three)?;
        }
        let level = match level {
            "entries" => Level::Entries,
            level => Level::Hashes(level.parse().ok()?),
        };
        let tile = Self {
            level,
            index,
            width,
        };
        (tile.to_string() == path).then_some(tile)
    }

    /// What it is made of.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Its place in its level.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or leaves it holds, at most [`TILE_WIDTH`].
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Takes the bytes of a hash tile apart.
    ///
    /// # Errors
    ///
    /// [`Error::Tile`] when they are not as many hashes as the tile is wide.
    pub fn split_hashes(&self, bytes: &[u8]) -> Result<Vec<Hash>, Error> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() == usize::from(self.width) && rest.is_empty() {
            Ok(hashes.iter().copied().map(Hash).collect())
        } else {
            Err(Error::Tile)
        }
    }

    /// Takes the bytes of an entry bundle apart: each leaf comes after its length in two bytes,
    /// most significant first.
    ///
    /// # Errors
    ///
    /// [`Error::Tile`] when they are not as many leaves as the bundle is wide.
    pub fn split_entries<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
        let mut leaves = Vec::with_capacity(usize::from(self.width));
        let mut rest = bytes;
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (leaf, after) = after.split_at_checked(length).ok_or(Error::Tile)?;
            leaves.push(leaf);
            rest = after;
        }
        if leaves.len() == usize::from(self.width) && rest.is_empty() {
            Ok(leaves)
        } else {
            Err(Error::Tile)
        }
    }

    fn row(size: u64, level: Level) -> impl Iterator<Item = Self> {
        (0..).map_while(move |index| Self::of(size, level, index))
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut threes = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            threes.push(rest % 1000);
            rest /= 1000;
        }
        for three in threes.iter().skip(1).rev() {
            write!(f, "x{three:03}/")?;
        }
        write!(f, "{:03}", threes[0])?;
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl Tiler {
    /// The tiler of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the leaf with this hash, and hands over each tile that it fills.
    ///
    /// # Errors
    ///
    /// Those of `full`.
    pub fn append<E>(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(Tile, &[Hash]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Edge::default());
            }
            let edge = &mut self.levels[usize::from(level)];
            edge.hashes.push(hash);
            if edge.hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let tile = Tile {
                level: Level::Hashes(level),
                index: edge.index,
                width: TILE_WIDTH,
            };
            full(tile, &edge.hashes)?;
            let mut above = Frontier::new();
            edge.hashes.drain(..).for_each(|hash| above.append(hash));
            hash = above.root();
            edge.index += 1;
        }
        Ok(())
    }

    /// Ends the tree, and hands over the tiles that are not full.
    ///
    /// # Errors
    ///
    /// Those of `partial`.
    pub fn finish<E>(
        self,
        mut partial: impl FnMut(Tile, &[Hash]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (level, edge) in (0..).zip(self.levels) {
            let Some(width) = u16::try_from(edge.hashes.len()).ok().filter(|n| *n > 0) else {
                continue;
            };
            let tile = Tile {
                level: Level::Hashes(level),
                index: edge.index,
                width,
            };
            partial(tile, &edge.hashes)?;
        }
        Ok(())
    }
}

const WIDTH: u64 = TILE_WIDTH as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf_hash;

    fn paths(tiles: impl Iterator<Item = Tile>) -> Vec<String> {
        tiles.map(|tile| tile.to_string()).collect()
    }

    /// The examples of the specification, "Merkle Tree" and "Partial Tiles".
    #[test]
    fn tiles_are_those_of_the_specification() {
        let tile = Tile {
            level: Level::Hashes(0),
            index: 1_234_067,
            width: TILE_WIDTH,
        };
        assert_eq!(tile.to_string(), "tile/0/x001/x234/067");

        let all = paths(Tile::hashes(70_000));
        assert_eq!(all.len(), 273 + 1 + 1 + 1 + 1);
        assert_eq!(all[272], "tile/0/272");
        assert_eq!(
            all[273..],
            [
                "tile/0/273.p/112",
                "tile/1/000",
                "tile/1/001.p/17",
                "tile/2/000.p/1"
            ]
        );
        assert_eq!(paths(Tile::hashes(256)), ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(
            paths(Tile::entries(300)),
            ["tile/entries/000", "tile/entries/001.p/44"]
        );
        assert_eq!(paths(Tile::hashes(0)), [""; 0]);
    }

    #[test]
    fn a_path_names_one_tile_or_none() {
        for size in [1, 255, 256, 257, 70_000, 300_000] {
            for tile in Tile::hashes(size).chain(Tile::entries(size)) {
                assert_eq!(Tile::from_path(&tile.to_string()), Some(tile));
            }
        }
        for path in [
            "tile/0/0",
            "tile/0/001/000",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/xx01",
            "tile/0/001.p/1/2",
            "tile/leaves/001",
            "tile/0",
            "checkpoint",
        ] {
            assert_eq!(Tile::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_tiler_makes_the_tiles_of_its_size() {
        for size in [0_u64, 1, 255, 256, 257, 1000, 66_000] {
            let mut tiler = Tiler::new();
            let mut made = Vec::new();
            let mut take = |tile: Tile, hashes: &[Hash]| {
                assert_eq!(hashes.len(), usize::from(tile.width()));
                made.push(tile);
                Ok::<_, ()>(())
            };
            for leaf in 0..size {
                tiler
                    .append(leaf_hash(&leaf.to_be_bytes()), &mut take)
                    .unwrap();
            }
            tiler.finish(&mut take).unwrap();
            made.sort();
            assert_eq!(made, Tile::hashes(size).collect::<Vec<_>>(), "{size}");
        }
    }

    #[test]
    fn bytes_of_another_length_are_no_tile() {
        let tile = Tile::of(2, Level::Hashes(0), 0).unwrap();
        assert_eq!(tile.split_hashes(&[7; 64]), Ok(vec![Hash([7; 32]); 2]));
        for length in [0, 32, 63, 65, 96] {
            assert_eq!(tile.split_hashes(&vec![7; length]), Err(Error::Tile));
        }
        let bundle = Tile::of(2, Level::Entries, 0).unwrap();
        let leaves: [&[u8]; 2] = [b"ab", b""];
        assert_eq!(bundle.split_entries(b"\0\x02ab\0\0"), Ok(leaves.to_vec()));
        for bytes in [
            &b""[..],
            b"\0\x02ab",
            b"\0\x02ab\0",
            b"\0\x02ab\0\x01",
            b"\0\x02ab\0\0\0\0",
        ] {
            assert_eq!(bundle.split_entries(bytes), Err(Error::Tile), "{bytes:?}");
        }
    }
}
