//! Text that somebody else wrote, made harmless for a terminal.

/// The text with every character shown that would do something instead of being seen: control
/// characters, escape sequences, and the marks that reorder or hide text. Line ends stay.
pub(crate) fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            '\t' => shown.push_str("    "),
            c if c.is_control() || hides(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Bidirectional controls (Unicode UAX #9 §2), zero-width characters and tags.
const fn hides(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_is_shown() {
        assert_eq!(inert("a\u{1b}[31mb\r\nc"), "a\\u{1b}[31mb\\u{d}\nc");
        assert_eq!(inert("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(inert("Grüße, 世界 🦀"), "Grüße, 世界 🦀");
    }
}
