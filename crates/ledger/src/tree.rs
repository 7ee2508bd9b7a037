//! The growing edge of the tree: all that an appender must remember.

use crate::{Error, Hash};

/// The roots of the complete subtrees of a Merkle tree, largest first.
///
/// Enough to append to the tree and to know its root, in at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One hash for each bit that is set in `size`, most significant first.
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub const fn new() -> Self {
        Self {
            size: 0,
            roots: Vec::new(),
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Frontier`] when the bytes have another length than their size asks for.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (size, hashes) = bytes.split_first_chunk::<8>().ok_or(Error::Frontier)?;
        let size = u64::from_be_bytes(*size);
        let (roots, rest) = hashes.as_chunks::<32>();
        let expected = usize::try_from(size.count_ones()).map_err(|_| Error::Frontier)?;
        if roots.len() != expected || !rest.is_empty() {
            return Err(Error::Frontier);
        }
        Ok(Self {
            size,
            roots: roots.iter().copied().map(Hash).collect(),
        })
    }

    /// Appends the leaf with this hash. See [`leaf_hash`](crate::leaf_hash).
    pub fn append(&mut self, leaf: Hash) {
        let mut root = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                root = Hash::node(&left, &root);
            }
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree (RFC 6962 §2.1, "Merkle Tree Hash").
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(smallest) = roots.next() else {
            return Hash::empty();
        };
        roots.fold(*smallest, |right, left| Hash::node(left, &right))
    }

    /// The root of the complete subtree that begins at this index.
    pub(crate) fn subtree(&self, from: u64) -> Option<Hash> {
        let mut start = 0;
        let bits = (0..64).rev().filter(|bit| self.size & (1 << bit) != 0);
        for (bit, root) in bits.zip(&self.roots) {
            if start == from {
                return Some(*root);
            }
            start += 1 << bit;
        }
        None
    }

    /// The size as eight bytes, most significant first, and then the hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.roots.len());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(self.roots.iter().flat_map(|root| root.0));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::leaf_hash;

    /// The reference tree of the Certificate Transparency implementations.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_the_reference_tree() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root().to_string(), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            frontier.append(leaf_hash(leaf));
            assert_eq!(frontier.root().to_string(), *root);
        }
    }

    #[test]
    fn bytes_of_another_length_are_no_frontier() {
        let mut frontier = Frontier::new();
        for leaf in LEAVES {
            frontier.append(leaf_hash(leaf));
        }
        let bytes = frontier.to_bytes();
        for cut in 0..bytes.len() {
            assert_eq!(Frontier::from_bytes(&bytes[..cut]), Err(Error::Frontier));
        }
        let longer = [bytes.as_slice(), &[0; 32]].concat();
        assert_eq!(Frontier::from_bytes(&longer), Err(Error::Frontier));
    }

    proptest! {
        #[test]
        fn a_frontier_read_back_grows_into_the_same_tree(first in 0u8..200, more in 0u8..50) {
            let mut grown = Frontier::new();
            for leaf in 0..first {
                grown.append(leaf_hash(&[leaf]));
            }
            let mut read = Frontier::from_bytes(&grown.to_bytes()).unwrap();
            prop_assert_eq!(&read, &grown);
            for leaf in 0..more {
                grown.append(leaf_hash(&[leaf, 1]));
                read.append(leaf_hash(&[leaf, 1]));
            }
            prop_assert_eq!(read.root(), grown.root());
        }
    }
}
