//! Text that somebody else wrote, made harmless for a person who has to decide.

/// The text with every character shown, as `\u{…}`, that would do something instead of being seen:
/// control characters and escape sequences, marks that reorder or hide text, characters that have no
/// shape, and piles of combining marks. Line ends stay.
///
/// At most `max` characters, but not fewer than 64. What is cut off is marked and counted in
/// characters of `text`, so that nobody takes a part for the whole.
pub fn inert(text: &str, max: usize) -> String {
    Renderer {
        max,
        lines: true,
        entities: false,
    }
    .render(text)
}

/// The same on one line: line ends are shown as `\n` and do not end it. For values that stand beside
/// others, which must not be able to look like one more of them.
pub fn inert_line(text: &str, max: usize) -> String {
    Renderer {
        max,
        lines: false,
        entities: false,
    }
    .render(text)
}

/// How text is made harmless.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renderer {
    pub(super) max: usize,
    /// Whether line ends stay.
    pub(super) lines: bool,
    /// Whether `&`, `<` and `>` become entities, as Slack wants them.
    pub(super) entities: bool,
}

/// The least that a renderer may be held to: what says that something was cut off must fit.
const LEAST: usize = 64;
/// Room for the mark of a cut.
const MARK: usize = 48;
/// How many combining marks one character may carry. Scripts need two or three.
const PILE: usize = 3;

impl Renderer {
    pub(super) fn render(self, text: &str) -> String {
        let max = self.max.max(LEAST);
        let (mut shown, mut length, mut pile) = (String::new(), 0, 0);
        // Where the text ends if it has to be cut: bytes shown, and characters of the text in them.
        let mut cut = (0, 0);
        for (index, c) in text.chars().enumerate() {
            let start = shown.len();
            self.push(&mut shown, c, &mut pile);
            length += shown[start..].chars().count();
            if length <= max - MARK {
                cut = (shown.len(), index + 1);
            }
            if length > max {
                let missing = text.chars().count() - cut.1;
                shown.truncate(cut.0);
                shown.push_str(&format!("… [{missing} characters not shown]"));
                return shown;
            }
        }
        shown
    }

    fn push(self, shown: &mut String, c: char, pile: &mut usize) {
        *pile = if combines(c) { *pile + 1 } else { 0 };
        match c {
            '\n' if self.lines => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("    "),
            '&' if self.entities => shown.push_str("&amp;"),
            '<' if self.entities => shown.push_str("&lt;"),
            '>' if self.entities => shown.push_str("&gt;"),
            c if c.is_control() || hides(c) || *pile > PILE => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
}

/// Characters that act or have no shape of their own.
const fn hides(c: char) -> bool {
    matches!(c,
        // Soft hyphen, grapheme joiner, bidirectional controls (Unicode UAX #9 §2).
        '\u{ad}' | '\u{34f}' | '\u{61c}'
        // Fillers and vowel separators that are blank.
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        // Zero-width characters, separators, bidirectional controls, invisible operators.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}'
        // Private use, variation selectors (a known way to hide bytes), byte order mark.
        | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{1d173}'..='\u{1d17a}'
        // Tags, more variation selectors, and the planes of private use.
        | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Marks that are drawn over the character before them.
const fn combines(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What approvers see: a change here changes what they decide on.
    #[test]
    fn what_would_act_is_shown() {
        for (text, shown) in [
            (
                "Grüße, 世界 🦀 naïve e\u{301}",
                "Grüße, 世界 🦀 naïve e\u{301}",
            ),
            ("a\tb\nc", "a    b\nc"),
            ("a\r\nb", "a\\u{d}\nb"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("\u{9b}31m\u{7f}\0\u{8}", "\\u{9b}31m\\u{7f}\\u{0}\\u{8}"),
            ("user\u{202e}nimda\u{202c}", "user\\u{202e}nimda\\u{202c}"),
            ("\u{2066}a\u{2069}\u{61c}", "\\u{2066}a\\u{2069}\\u{61c}"),
            (
                "DR\u{200b}OP\u{feff}\u{2060}\u{200d}",
                "DR\\u{200b}OP\\u{feff}\\u{2060}\\u{200d}",
            ),
            ("a\u{e0041}\u{e007f}b", "a\\u{e0041}\\u{e007f}b"),
            ("a\u{fe0f}\u{e0100}", "a\\u{fe0f}\\u{e0100}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            (
                "\u{3164}\u{115f}\u{2800}\u{ad}",
                "\\u{3164}\\u{115f}\\u{2800}\\u{ad}",
            ),
            (
                "z\u{300}\u{301}\u{302}\u{303}\u{304}",
                "z\u{300}\u{301}\u{302}\\u{303}\\u{304}",
            ),
            ("<b>&amp;</b> *x* `y`", "<b>&amp;</b> *x* `y`"),
        ] {
            assert_eq!(inert(text, 200), shown, "{text:?}");
        }
        assert_eq!(inert_line("who: a\nrule: none", 200), "who: a\\nrule: none");
        let slack = Renderer {
            max: 200,
            lines: true,
            entities: true,
        };
        assert_eq!(
            slack.render("<!channel> & <https://a|b>"),
            "&lt;!channel&gt; &amp; &lt;https://a|b&gt;"
        );
    }

    #[test]
    fn what_is_cut_off_is_counted() {
        assert_eq!(inert(&"a".repeat(64), 64), "a".repeat(64));
        assert_eq!(
            inert(&"a".repeat(65), 64),
            format!("{}… [49 characters not shown]", "a".repeat(16))
        );
        assert_eq!(
            inert(&"a".repeat(5_000_000), 1),
            format!("{}… [4999984 characters not shown]", "a".repeat(16))
        );
        // Never within an escape.
        assert_eq!(
            inert(&"\u{202e}".repeat(70), 64),
            "\\u{202e}\\u{202e}… [68 characters not shown]"
        );
    }

    proptest! {
        #[test]
        fn nothing_acts_and_the_limit_holds(text in any::<String>(), max in 0usize..300) {
            for (shown, lines) in [(inert(&text, max), true), (inert_line(&text, max), false)] {
                prop_assert!(shown.chars().count() <= max.max(LEAST));
                let acts = |c: char| hides(c) || (c.is_control() && !(lines && c == '\n'));
                prop_assert!(!shown.contains(acts));
            }
        }
    }
}
