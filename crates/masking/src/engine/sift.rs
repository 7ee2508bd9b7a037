//! Leaves out places at which no rule matches, by the few bytes there.
//!
//! Most places are of no use, and to go on to a rule and come back costs more than to look at all
//! places of a stretch in one go, without a branch that depends on what is there.

use crate::engine::{
    Engine,
    kernel::{BLOCKS, NO_PLACES, Places, Text},
    lane::{Lane, Lanes},
};

impl Engine {
    /// Leaves out of the first `blocks` blocks what no rule can match at. After it, [`Lane::Run`]
    /// is for values only, and [`Lane::Literal`] for all literals.
    pub(super) fn sift(&self, text: Text<'_>, blocks: usize, places: &mut Places) {
        let Text { bytes, from, end } = text;
        let mut list = NO_PLACES;

        let lanes = Lanes::of(Lane::Run).and(Lane::Literal);
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        places.clear(Lane::Literal);
        for place in &list[..known] {
            let may = self
                .literals
                .may_stand_at(bytes, from + usize::from(*place));
            places.set(Lane::Literal, *place, may);
        }
        self.sift_encoded(text, blocks, places);

        let known = self
            .kernel
            .list(places, blocks, Lanes::of(Lane::Run), &mut list);
        places.clear(Lane::Run);
        for place in &list[..known] {
            let rest = &bytes[from + usize::from(*place)..];
            let before = from + usize::from(*place);
            let before = before.checked_sub(1).map_or(0, |before| bytes[before]);
            let look = places.look(*place, before, rest.len(), end);
            let may = self.values.may_begin(true, rest, end, look);
            places.set(Lane::Run, *place, may);
        }

        let lanes = Lanes::of(Lane::Digit).and(Lane::Upper).and(Lane::Hex);
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        let mut kept = [0u64; BLOCKS];
        for place in &list[..known] {
            let rest = &bytes[from + usize::from(*place)..];
            let look = places.look(*place, 0, rest.len(), end);
            let may = self.values.may_begin(false, rest, end, look);
            kept[usize::from(place / 64)] |= u64::from(may) << (place % 64);
        }
        for lane in [Lane::Digit, Lane::Upper, Lane::Hex] {
            places.keep(lane, &kept);
        }

        let lanes = Lanes::of(Lane::Separator);
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        places.clear(Lane::Separator);
        for place in &list[..known] {
            let may = self.keys.may_end_before(bytes, from + usize::from(*place));
            places.set(Lane::Separator, *place, may);
        }
        places.count_in(blocks);
    }
}
