//! Leaves out places at which no rule matches, by the few bytes there.
//!
//! Most places are of no use, and to go on to a rule and come back costs more than to look at all
//! places of a stretch in one go, without a branch that depends on what is there.

use crate::engine::{
    Engine,
    kernel::{List, NO_PLACES, Places, Task, Text},
    keywords::Seen,
    lane::Lane,
};

/// What is to be sifted.
struct Sift<'a> {
    engine: &'a Engine,
    text: Text<'a>,
    blocks: usize,
    seen: &'a mut Seen,
    places: &'a mut Places,
}

impl Task for Sift<'_> {
    #[inline(always)]
    fn run(self) {
        let Self {
            engine,
            text,
            blocks,
            seen,
            places,
        } = self;
        engine.sift_all(text, blocks, seen, places);
    }
}

impl Engine {
    /// Leaves out of the first `blocks` blocks what no rule can match at. After it, [`Lane::Run`]
    /// is for values only, and [`Lane::Literal`] for all literals.
    pub(super) fn sift(&self, text: Text<'_>, blocks: usize, seen: &mut Seen, places: &mut Places) {
        self.kernel.run(Sift {
            engine: self,
            text,
            blocks,
            seen,
            places,
        });
    }

    #[inline(always)]
    fn sift_all(&self, text: Text<'_>, blocks: usize, seen: &mut Seen, places: &mut Places) {
        let mut list = NO_PLACES;
        seen.go_back_to(text.from);
        self.sift_literals(text, blocks, places, &mut list);
        self.sift_encoded(text, blocks, places);
        self.sift_values(text, blocks, (seen, places), &mut list);
        self.sift_separators(text, blocks, places, &mut list);
        places.count_in();
    }

    #[inline(always)]
    fn sift_literals(&self, text: Text<'_>, blocks: usize, places: &mut Places, list: &mut List) {
        let Text { bytes, from, .. } = text;
        let lanes = [Lane::Run, Lane::Literal];
        let known = self.kernel.list(places, blocks, lanes, list);
        let mut may = 0;
        for index in 0..known {
            let place = list[index];
            let may_stand = self.literals.may_stand_at(bytes, from + usize::from(place));
            may = keep(list, may, place, may_stand);
        }
        let mut kept = 0;
        for index in 0..may {
            let place = list[index];
            let stands = self.literals.stands_at(bytes, from + usize::from(place));
            kept = keep(list, kept, place, stands);
        }
        places.hold(Lane::Literal, &list[..kept]);
    }

    #[inline(always)]
    fn sift_values(
        &self,
        text: Text<'_>,
        blocks: usize,
        (seen, places): (&mut Seen, &mut Places),
        list: &mut List,
    ) {
        let lanes = [Lane::Run, Lane::Digit, Lane::Upper, Lane::Hex];
        let known = self.kernel.list(places, blocks, lanes, list);
        let mut kept = 0;
        for index in 0..known {
            let place = list[index];
            let may_stand = self.value_may_stand(text, place, (seen, places));
            kept = keep(list, kept, place, may_stand);
        }
        places.hold_some(lanes, &list[..kept]);
    }

    #[inline(always)]
    fn value_may_stand(
        &self,
        text: Text<'_>,
        place: u16,
        (seen, places): (&mut Seen, &Places),
    ) -> bool {
        let Text { bytes, from, end } = text;
        let at = from + usize::from(place);
        let before = at.checked_sub(1).map_or(0, |before| bytes[before]);
        let look = places.look(place, before, bytes.len() - at, end);
        let lanes = places.lanes(usize::from(place / 64), u32::from(place % 64));
        let (known, behind) = ((lanes, look), &bytes[at..]);
        if !self.values.may_begin(known, behind, end) {
            return false;
        }
        // Most that look like a value want a word before them, and there is none.
        let on_line = places.on_line(place);
        let words = self.keywords.seen_before(seen, bytes, at, on_line);
        words.is_none_or(|words| self.values.may_stand(known, behind, end, words))
    }

    #[inline(always)]
    fn sift_separators(&self, text: Text<'_>, blocks: usize, places: &mut Places, list: &mut List) {
        let Text { bytes, from, .. } = text;
        let known = self.kernel.list(places, blocks, [Lane::Separator], list);
        let mut may = 0;
        for index in 0..known {
            let place = list[index];
            let may_end = self.keys.may_end_before(bytes, from + usize::from(place));
            may = keep(list, may, place, may_end);
        }
        let mut kept = 0;
        for index in 0..may {
            let place = list[index];
            let may_stand = self.keys.may_stand_before(bytes, from + usize::from(place));
            kept = keep(list, kept, place, may_stand);
        }
        places.hold(Lane::Separator, &list[..kept]);
    }
}

/// Puts a place behind those that are kept if it is kept too, and tells how many there are.
#[inline(always)]
fn keep(list: &mut List, kept: usize, place: u16, is_kept: bool) -> usize {
    // Written in any case: a branch on what is there would be guessed wrong too often.
    list[kept] = place;
    kept + usize::from(is_kept)
}

#[cfg(test)]
mod tests {
    use crate::{Masker, engine::rule::CAP};

    #[test]
    fn words_behind_a_match_that_goes_on_are_seen() {
        let masker = Masker::builtin();
        let token = format!("sl.{}", "aB3_dE6-gH9".repeat(CAP / 10));
        let uuid = "2c7cc250-f79f-d215-5baf-879c1e29d8f3";
        for space in 0..200 {
            // What is looked through first reaches beyond the number.
            let (near, far) = ("a ".repeat(space), "b ".repeat(50));
            let text = format!("{token}\" {near} \"opsgenie\": \"{uuid}\", {far} cvv 4111");
            let masked = masker.mask(text.as_bytes()).masked.into_inner();
            let masked = String::from_utf8_lossy(&masked);
            assert!(!masked.contains(uuid), "{space}: {masked}");
            assert!(masked.starts_with("[REDACTED:dropbox-short-token]"));
        }
    }
}
