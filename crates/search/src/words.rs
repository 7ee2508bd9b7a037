//! The words of a text: what full text is looked for by.

use std::ops::Range;

/// The longest word, in characters. What is longer is cut, in texts and in queries alike, so that
/// it is found by its beginning.
const LONGEST: usize = 64;

/// The words of a text: runs of letters and digits in lower case. Everything else parts them, so
/// that `src/main.rs` has three. What is written without spaces, such as Chinese, has a word for
/// each character.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    places(text).map(|(_, word)| word)
}

/// The words of a text with the bytes that they stand at.
pub(crate) fn places(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + text[at..].find(char::is_alphanumeric)?;
        let run = &text[begin..];
        let length = match run.chars().next() {
            Some(first) if alone(first) => first.len_utf8(),
            _ => run
                .find(|c: char| !c.is_alphanumeric() || alone(c))
                .unwrap_or(run.len()),
        };
        at = begin + length;
        // Lower case may bring marks along, which are no part of words.
        let lower = run[..length].chars().flat_map(char::to_lowercase);
        let word = lower.filter(|c| c.is_alphanumeric()).take(LONGEST);
        Some((begin..at, word.collect()))
    })
}

/// Characters of scripts that put no spaces between words: kana, and the ideographs of Chinese and
/// Japanese (Unicode blocks of those names).
const fn alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(
            all("rm -rf src/Main.rs; DROP_TABLE"),
            ["rm", "rf", "src", "main", "rs", "drop", "table"]
        );
        assert_eq!(all("Größe ÉTÉ"), ["größe", "été"]);
        assert_eq!(all("漢字とGit"), ["漢", "字", "と", "git"]);
        assert_eq!(all("--- \n"), [""; 0]);
        assert_eq!(all(&"a".repeat(100)), ["a".repeat(64)]);
    }
}
