//! Numbers that states give to persons and companies.
//!
//! Each function takes a number as it is written and tells whether it can have been given out. The
//! source of each is named with it; the numbers in the tests are made up or are the examples of the
//! offices themselves.

mod americas;
mod asia;
mod europe;
mod north;

pub(super) use self::{
    americas::NAMED as AMERICAS, asia::NAMED as ASIA, europe::NAMED as EUROPE,
    north::NAMED as NORTH,
};
use crate::engine::validate::{Accepts, date, digits};

/// Whether the remainder by 11 of weighted digits is what the last digit makes of it: `11 - rest`,
/// with 11 as 0; 10 is no digit.
fn is_mod11(found: &[u8], weights: &[u8]) -> bool {
    let (Some(check), rest) = (found.last(), digits::weighted(found, weights) % 11) else {
        return false;
    };
    (11 - rest) % 11 == u32::from(*check)
}

/// As above, but a remainder below 2 gives 0.
fn is_mod11_low(found: &[u8], weights: &[u8]) -> bool {
    mod11_low(found, weights) == found.last().copied()
}

fn mod11_low(found: &[u8], weights: &[u8]) -> Option<u8> {
    let rest = digits::weighted(found, weights) % 11;
    u8::try_from(if rest < 2 { 0 } else { 11 - rest }).ok()
}

/// Runs the vectors of one table.
#[cfg(test)]
fn check(named: &[(&str, Accepts)], vectors: &[(&str, &[&str], &[&str])]) {
    let mut wrong = Vec::new();
    for (name, good, bad) in vectors {
        let (_, accepts) = named.iter().find(|(known, _)| known == name).unwrap();
        let good = good.iter().filter(|text| !accepts(text.as_bytes()));
        wrong.extend(good.map(|text| format!("{name} refuses {text}")));
        let bad = bad
            .iter()
            .chain(&["", "x"])
            .filter(|text| accepts(text.as_bytes()));
        wrong.extend(bad.map(|text| format!("{name} accepts {text}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (name, _) in named {
        assert!(
            vectors.iter().any(|(known, ..)| known == name),
            "{name} has no vectors"
        );
    }
}
