//! What was probably meant by a name that nobody knows.

/// The name of `known` that is the fewest letters away from `name`.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .min_by_key(|known| strsim::levenshtein(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        assert_eq!(nearest("modle", ["messages", "model"]), Some("model"));
        assert_eq!(nearest("x", []), None);
    }
}
