//! Which pieces make a body.

use super::{number, varint};
use crate::{Error, ErrorKind};

/// Which pieces of a scope make a body, in runs.
///
/// Most of what an agent sends again stands in the order in which it was stored, so that a long
/// history is a few runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recipe(Vec<Run>);

/// Pieces that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Whether they are among those that the exchange itself brings. These are counted from its
    /// first, because what number that has is known only when the exchange is handed over.
    pub(crate) own: bool,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Recipe {
    /// Adds a piece at the end.
    pub(crate) fn push(&mut self, own: bool, piece: u32) {
        match self.0.last_mut() {
            Some(run) if run.own == own && run.first.checked_add(run.count) == Some(piece) => {
                run.count += 1;
            }
            _ => self.0.push(Run {
                own,
                first: piece,
                count: 1,
            }),
        }
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.0
    }

    /// Each run as two numbers: how far its first piece is from where the one before ended, and in
    /// the second how many they are and whether they are the exchange's own.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut expected = [0_i64; 2];
        for run in &self.0 {
            let expected = &mut expected[usize::from(run.own)];
            let apart = i64::from(run.first) - *expected;
            varint(&mut bytes, ((apart << 1) ^ (apart >> 63)).cast_unsigned());
            varint(&mut bytes, (u64::from(run.count) << 1) | u64::from(run.own));
            *expected = i64::from(run.first) + i64::from(run.count);
        }
        bytes
    }

    pub(super) fn from_bytes(mut bytes: &[u8]) -> Result<Self, Error> {
        let mut runs = Vec::new();
        let mut expected = [0_i64; 2];
        let small =
            |number: i64| u32::try_from(number).map_err(|_| Error::from(ErrorKind::Corrupt));
        while !bytes.is_empty() {
            let apart = number(&mut bytes)?;
            let apart = (apart >> 1).cast_signed() ^ -((apart & 1).cast_signed());
            let counted = number(&mut bytes)?;
            let own = counted & 1 == 1;
            let expected = &mut expected[usize::from(own)];
            let first = expected.checked_add(apart).ok_or(ErrorKind::Corrupt)?;
            let count = (counted >> 1).cast_signed();
            *expected = first.checked_add(count).ok_or(ErrorKind::Corrupt)?;
            runs.push(Run {
                own,
                first: small(first)?,
                count: small(count)?,
            });
        }
        Ok(Self(runs))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_history_is_a_few_runs() {
        let mut recipe = Recipe::default();
        (0..1000).for_each(|piece| recipe.push(false, piece));
        (0..3).for_each(|piece| recipe.push(true, piece));
        recipe.push(false, 7);
        assert_eq!(recipe.runs().len(), 3);
        assert!(recipe.to_bytes().len() < 10);
    }

    proptest! {
        #[test]
        fn recipes_come_back(pieces in prop::collection::vec((any::<bool>(), any::<u32>(), 1..9_u32), 0..40)) {
            let mut recipe = Recipe::default();
            for (own, first, count) in pieces {
                (0..count).for_each(|n| recipe.push(own, first.saturating_add(n)));
            }
            prop_assert_eq!(Recipe::from_bytes(&recipe.to_bytes()).unwrap(), recipe);
        }

        #[test]
        fn any_bytes_are_a_recipe_or_refused(bytes: Vec<u8>) {
            let _read = Recipe::from_bytes(&bytes);
        }
    }
}
