//! Proofs that a leaf is in a tree, and that a tree grew out of another.

use crate::{Error, Frontier, Hash};

/// The hashes that lead from the leaf at `index` to the root of the tree over `leaves`
/// (RFC 6962 §2.1.1), or `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The hashes that show that the tree over the first `old` leaves is a beginning of the tree over
/// `leaves` (RFC 6962 §2.1.2), or `None` when there are fewer leaves.
///
/// Empty when there is nothing to show: `old` is zero or all of them.
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    if old > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    if old == 0 || old == leaves.len() {
        return Some(proof);
    }
    let (mut leaves, mut old) = (leaves, old);
    // Whether `old` still ends where the old tree had a complete subtree of its own root.
    let mut known = true;
    while old < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            old -= left.len();
            leaves = right;
            known = false;
        }
    }
    if !known {
        proof.push(root(leaves));
    }
    proof.reverse();
    Some(proof)
}

/// Makes a consistency proof out of the edge of the old tree and the leaves that came after it,
/// without those before it.
#[derive(Clone, Debug)]
pub struct Growth {
    tree: Frontier,
    size: u64,
    /// The hashes of the proof, in its order.
    nodes: Vec<Node>,
    /// The first of them to which the next leaf can belong.
    next: usize,
}

/// One hash of a consistency proof.
#[derive(Clone, Debug)]
enum Node {
    /// That of a whole subtree of the old tree.
    Old(Hash),
    /// That over the leaves up to this index, from where the one before ends.
    Fresh(u64, Frontier),
}

impl Growth {
    /// From `old` to the tree of `size` leaves. The leaves from `old` on must follow.
    pub fn new(old: &Frontier, size: u64) -> Self {
        let mut nodes = Vec::new();
        if (1..size).contains(&old.size()) {
            let (mut from, mut to) = (0, size);
            // Whether the old tree's own root is still the root of what is looked at.
            let mut known = true;
            while old.size() < to {
                let middle = from + (1 << (to - from - 1).ilog2());
                if old.size() <= middle {
                    nodes.push(Node::Fresh(to, Frontier::new()));
                    to = middle;
                } else {
                    nodes.extend(old.subtree(from).map(Node::Old));
                    from = middle;
                    known = false;
                }
            }
            if !known {
                nodes.extend(old.subtree(from).map(Node::Old));
            }
            nodes.reverse();
        }
        Self {
            tree: old.clone(),
            size,
            nodes,
            next: 0,
        }
    }

    /// Takes the hash of the next leaf.
    pub fn append(&mut self, leaf: Hash) {
        let index = self.tree.size();
        self.tree.append(leaf);
        while let Some(node) = self.nodes.get_mut(self.next) {
            match node {
                Node::Fresh(end, tree) if index < *end => return tree.append(leaf),
                _ => self.next += 1,
            }
        }
    }

    /// The proof, and the edge of the new tree.
    ///
    /// # Errors
    ///
    /// [`Error::Proof`] when it was given more leaves or fewer.
    pub fn finish(self) -> Result<(Vec<Hash>, Frontier), Error> {
        if self.tree.size() != self.size {
            return Err(Error::Proof);
        }
        let hashes = self.nodes.into_iter().map(|node| match node {
            Node::Old(hash) => hash,
            Node::Fresh(_, tree) => tree.root(),
        });
        Ok((hashes.collect(), self.tree))
    }
}

/// Checks that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with this
/// root (RFC 9162 §2.1.3.2).
///
/// # Errors
///
/// [`Error::Proof`] when the proof does not show that.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    if index >= size {
        return Err(Error::Proof);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(Error::Proof);
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(Error::Proof)
    }
}

/// Checks that the tree of `old` leaves with root `old_root` is a beginning of the tree of `new`
/// leaves with root `new_root` (RFC 9162 §2.1.4.2).
///
/// # Errors
///
/// [`Error::Proof`] when the proof does not show that.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    let holds = |holds: bool| if holds { Ok(()) } else { Err(Error::Proof) };
    if old == new {
        return holds(proof.is_empty() && old_root == new_root);
    }
    if old == 0 {
        return holds(proof.is_empty() && *old_root == Hash::empty());
    }
    if old > new {
        return Err(Error::Proof);
    }
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(Error::Proof)?
    };
    let shift = (old - 1).trailing_ones();
    // Below 64: `old - 1` is not all ones, because `old` is below `new`.
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(Error::Proof);
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(sibling, &old_hash);
            new_hash = Hash::node(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::node(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    holds(last == 0 && old_hash == *old_root && new_hash == *new_root)
}

fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

/// The largest power of two below `size`, which is at least two.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::leaf_hash;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count)
            .map(|leaf| leaf_hash(&leaf.to_be_bytes()))
            .collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_in_its_place_only() {
        for size in 1..40 {
            let leaves = leaves(size);
            let root = root(&leaves);
            for index in 0..size {
                let proof = inclusion_proof(&leaves, index).unwrap();
                for place in 0..size {
                    let shown =
                        verify_inclusion(&leaves[index], place as u64, size as u64, &proof, &root);
                    assert_eq!(
                        shown.is_ok(),
                        place == index,
                        "{index} of {size} at {place}"
                    );
                }
            }
            assert_eq!(inclusion_proof(&leaves, size), None);
        }
    }

    #[test]
    fn the_edge_of_a_tree_and_what_follows_make_the_same_proof() {
        for new in 0..70 {
            let leaves = leaves(new);
            let mut old = Frontier::new();
            for size in 0..=new {
                let mut growth = Growth::new(&old, new as u64);
                leaves[size..].iter().for_each(|leaf| growth.append(*leaf));
                let (proof, tree) = growth.finish().unwrap();
                assert_eq!(
                    Some(proof),
                    consistency_proof(&leaves, size),
                    "{size} of {new}"
                );
                assert_eq!(tree.root(), root(&leaves));
                if let Some(leaf) = leaves.get(size) {
                    old.append(*leaf);
                }
            }
        }
        let growth = Growth::new(&Frontier::new(), 3);
        assert_eq!(growth.finish().unwrap_err(), Error::Proof);
    }

    #[test]
    fn every_small_tree_grew_out_of_every_smaller_one() {
        for new in 0..40 {
            let leaves = leaves(new);
            for old in 0..=new {
                let proof = consistency_proof(&leaves, old).unwrap();
                let shown = verify_consistency(
                    old as u64,
                    new as u64,
                    &root(&leaves[..old]),
                    &root(&leaves),
                    &proof,
                );
                assert_eq!(shown, Ok(()), "{old} of {new}");
            }
            assert_eq!(consistency_proof(&leaves, new + 1), None);
        }
    }

    proptest! {
        #[test]
        fn a_changed_proof_proves_nothing(
            size in 2usize..300,
            pick in any::<prop::sample::Index>(),
            place in any::<prop::sample::Index>(),
            bit in 0usize..256,
        ) {
            let leaves = leaves(size);
            let index = pick.index(size);
            let mut proof = inclusion_proof(&leaves, index).unwrap();
            let place = place.index(proof.len());
            proof[place].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(
                verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &root(&leaves)),
                Err(Error::Proof)
            );
        }

        #[test]
        fn a_tree_with_another_past_is_not_consistent(
            new in 2usize..300,
            cut in any::<prop::sample::Index>(),
            changed in any::<prop::sample::Index>(),
        ) {
            let old = 1 + cut.index(new - 1);
            let mut leaves = leaves(new);
            let old_root = root(&leaves[..old]);
            leaves[changed.index(old)].0[0] ^= 1;
            let proof = consistency_proof(&leaves, old).unwrap();
            prop_assert_eq!(
                verify_consistency(old as u64, new as u64, &old_root, &root(&leaves), &proof),
                Err(Error::Proof)
            );
        }
    }
}
