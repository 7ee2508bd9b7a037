//! What was probably meant by a name that nobody knows.

/// The name of `known` that is the fewest letters away from `name`.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().min_by_key(|known| distance(name, known))
}

/// How many letters to add, drop or change to come from one name to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, left) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, right) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_levenshteins() {
        for (from, to, letters) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("raeson", "reason", 2),
        ] {
            assert_eq!(distance(from, to), letters);
            assert_eq!(distance(to, from), letters);
        }
        assert_eq!(nearest("modle", ["messages", "model"]), Some("model"));
    }
}
