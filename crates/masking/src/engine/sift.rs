//! Leaves out places at which no rule matches, by the few bytes there.
//!
//! Most places are of no use, and to go on to a rule and come back costs more than to look at all
//! places of a stretch in one go, without a branch that depends on what is there.

use crate::engine::{
    Engine,
    kernel::{List, NO_PLACES, Places, Text},
    keywords::Seen,
    lane::Lane,
};

impl Engine {
    /// Leaves out of the first `blocks` blocks what no rule can match at. After it, [`Lane::Run`]
    /// is for values only, and [`Lane::Literal`] for all literals.
    pub(super) fn sift(&self, text: Text<'_>, blocks: usize, seen: &mut Seen, places: &mut Places) {
        let Text { bytes, from, end } = text;
        let mut list = NO_PLACES;
        let behind = |place: u16| &bytes[from + usize::from(place)..];
        seen.go_back_to(from);

        let lanes = [Lane::Run, Lane::Literal];
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        let kept = keep(&mut list, known, |place| {
            self.literals.may_stand_at(bytes, from + usize::from(place))
        });
        let kept = keep(&mut list, kept, |place| {
            self.literals.stands_at(bytes, from + usize::from(place))
        });
        places.hold(Lane::Literal, &list[..kept]);
        self.sift_encoded(text, blocks, places);

        let lanes = [Lane::Run];
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        let kept = keep(&mut list, known, |place| {
            let at = from + usize::from(place);
            let before = at.checked_sub(1).map_or(0, |before| bytes[before]);
            let look = places.look(place, before, bytes.len() - at, end);
            self.values.may_begin(true, behind(place), end, look)
        });
        places.hold(Lane::Run, &list[..kept]);

        let lanes = [Lane::Digit, Lane::Upper, Lane::Hex];
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        let kept = keep(&mut list, known, |place| {
            let rest = behind(place);
            let look = places.look(place, 0, rest.len(), end);
            self.values.may_begin(false, rest, end, look)
        });
        places.hold_some(lanes, &list[..kept]);

        // Most that look like a value want a word before them, and there is none.
        let lanes = [Lane::Run, Lane::Digit, Lane::Upper, Lane::Hex];
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        let kept = keep(&mut list, known, |place| {
            let at = from + usize::from(place);
            let before = at.checked_sub(1).map_or(0, |before| bytes[before]);
            let look = places.look(place, before, bytes.len() - at, end);
            let lanes = places.lanes(usize::from(place / 64), u32::from(place % 64));
            let words = self
                .keywords
                .seen_before(seen, bytes, at, places.on_line(place));
            words.is_none_or(|words| {
                self.values
                    .may_stand((lanes, look), behind(place), end, words)
            })
        });
        places.hold_some(lanes, &list[..kept]);

        let lanes = [Lane::Separator];
        let known = self.kernel.list(places, blocks, lanes, &mut list);
        let kept = keep(&mut list, known, |place| {
            self.keys.may_end_before(bytes, from + usize::from(place))
        });
        let kept = keep(&mut list, kept, |place| {
            self.keys.may_stand_before(bytes, from + usize::from(place))
        });
        places.hold(Lane::Separator, &list[..kept]);
        places.count_in();
    }
}

/// Moves the places that are kept to the beginning of the list, and tells how many there are.
#[inline(always)]
fn keep(list: &mut List, known: usize, mut may: impl FnMut(u16) -> bool) -> usize {
    let mut kept = 0;
    for index in 0..known {
        let place = list[index];
        // Written in any case: a branch on what is there would be guessed wrong too often.
        list[kept] = place;
        kept += usize::from(may(place));
    }
    kept
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
