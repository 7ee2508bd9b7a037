//! Values that are known by their own form, and by words that stand near them.

use crate::engine::{
    class::WORD,
    pattern::{Pattern, Reach},
    rule::{Left, Rule, Shape},
    verdict::{Match, Verdict},
    window::{Ahead, Window},
    words,
};

/// What joins a value to something else: the parts of a version, a range, a path, a name.
const JOINTS: &[u8] = b"-./+";

/// Looks for a value of the rule that begins at `at`. Whether a keyword stands before it is
/// [`Context`]'s to tell.
///
/// [`Context`]: crate::engine::keywords::Context
pub(crate) fn value((index, rule): (usize, &Rule), window: &Window<'_>, at: usize) -> Verdict {
    let Shape::Value { left, apart } = rule.shape else {
        return Verdict::No;
    };
    if !left.fits(window, at) || (apart && is_joined_before(window, at)) {
        return Verdict::No;
    }
    // Where a run of a class begins in the middle of something is told by its first byte.
    let is_run = rule.pattern.is_none() && left == Left::Boundary;
    if is_run && !matches!(window.ahead(at), Ahead::Byte(first) if WORD.has(first)) {
        return Verdict::No;
    }
    if words::goes_over_joints(rule) && window.before(at, 1).is_some_and(words::is_joint) {
        return Verdict::No;
    }
    let end = match rule.reach(window, at) {
        Reach::End(end) => end,
        Reach::NotYet => return Verdict::NotYet,
        Reach::No => return Verdict::No,
    };
    if apart {
        match is_joined_behind(window, end) {
            Some(false) => {}
            Some(true) => return Verdict::No,
            None => return Verdict::NotYet,
        }
    }
    let first = rule.pattern.as_ref().map_or(0, Pattern::random);
    if first > 0 && !words::is_random(&window.bytes[at..at + first]) {
        return Verdict::No;
    }
    let head = &window.bytes[at..end.min(at + words::DIGITLESS)];
    if words::wants_digit(rule) && !head.iter().any(u8::is_ascii_digit) {
        return Verdict::No;
    }
    if !rule.validates(&window.bytes[at..end]) {
        return Verdict::No;
    }
    // What goes on with what is masked was refused together with it.
    match window.is_masked_at(end) {
        Some(false) => {}
        Some(true) => return Verdict::No,
        None => return Verdict::NotYet,
    }
    Verdict::Match(Match {
        start: at,
        end,
        rule: index,
        swallow: rule.goes_on(end - at),
    })
}

fn is_joined_before(window: &Window<'_>, at: usize) -> bool {
    let before = |back| window.before(at, back);
    let has = |back, test: fn(&u8) -> bool| before(back).is_some_and(|byte| test(&byte));
    match before(1) {
        // Paths end in numbers; in a date or a range, one number comes before another.
        Some(b'/') => has(2, u8::is_ascii_digit),
        // As in a time, or in the fingerprint of a key.
        Some(b':') => {
            has(2, u8::is_ascii_hexdigit)
                && has(3, u8::is_ascii_hexdigit)
                && !before(4).is_some_and(|byte| WORD.has(byte))
        }
        Some(joint) if JOINTS.contains(&joint) => {
            before(2).is_some_and(|byte| WORD.has(byte)) && !window.is_boundary(at - 1)
        }
        _ => false,
    }
}

fn is_joined_behind(window: &Window<'_>, end: usize) -> Option<bool> {
    match window.ahead(end) {
        Ahead::Byte(joint) if JOINTS.contains(&joint) => match window.ahead(end + 1) {
            Ahead::Byte(b'[') => window.is_masked_at(end + 1),
            Ahead::Byte(byte) if joint == b'/' => Some(byte.is_ascii_digit()),
            Ahead::Byte(byte) => Some(WORD.has(byte)),
            Ahead::End => Some(false),
            Ahead::NotYet => None,
        },
        Ahead::Byte(_) | Ahead::End => Some(false),
        Ahead::NotYet => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(more: &str) -> Rule {
        let toml = format!(
            "[[rule]]\nid = \"x\"\ndescription = \"d\"\nsource = \"s\"\nshape = \"value\"\n\
             positive = [\"x\"]\nnegative = [\"x\"]\n{more}"
        );
        crate::rules::one(&toml)
    }

    fn found<'a>(rule: &Rule, text: &'a str) -> Option<&'a str> {
        let look = |bytes: &[u8], end, at| {
            let window = Window {
                bytes,
                floor: 0,
                after_match: false,
                end,
            };
            if window.is_escaped(at) {
                return Verdict::No; // As the engine does.
            }
            if !rule.in_context(&window, at) {
                return Verdict::No;
            }
            value((0, rule), &window, at)
        };
        let all = text.as_bytes();
        (0..text.len()).find_map(|at| {
            let whole = look(all, true, at);
            for cut in at + 1..text.len() {
                match (look(&all[..cut], false, at), whole) {
                    (Verdict::NotYet, _) | (Verdict::No, Verdict::No) => {}
                    (Verdict::Match(part), Verdict::Match(whole)) if part.end == whole.end => {}
                    _ => panic!("{text} at {at} cut at {cut}"),
                }
            }
            match whole {
                Verdict::Match(found) => Some(&text[found.start..found.end]),
                _ => None,
            }
        })
    }

    #[test]
    fn a_word_on_the_same_line_makes_a_value_one() {
        let rule = rule(
            "keywords = [\"Datadog\", \"sin\"]\nbody = { class = \"hex\", min = 16, max = 16 }",
        );
        let hex = "0123456789abcdef";
        for text in ["DATADOG_KEY = ", "my sin: ", "employeeSin=", "x_SIN_y="] {
            assert_eq!(found(&rule, &format!("{text}{hex} ")), Some(hex), "{text}");
        }
        for text in ["", "using ", "since ", "datadog\n", "data dog "] {
            assert_eq!(found(&rule, &format!("{text}{hex} ")), None, "{text}");
        }
        let far = format!("datadog{}{hex}", " ".repeat(60));
        assert_eq!(found(&rule, &far), None);
        assert_eq!(found(&rule, &format!("datadog {hex}0")), None);
        assert_eq!(found(&rule, &format!("datadog x{hex}")), None);
    }

    #[test]
    fn a_value_that_stands_apart_is_no_part_of_another() {
        let rule = rule("apart = true\npattern = '[0-9]{3}-[0-9]{2}-[0-9]{4}'");
        for text in [
            "123-45-6789",
            "x: 123-45-6789.",
            "(123-45-6789)",
            "-123-45-6789-",
            "id/123-45-6789",
            "ssn:123-45-6789/x",
        ] {
            assert_eq!(found(&rule, text), Some("123-45-6789"), "{text}");
        }
        for text in [
            "1-123-45-6789",
            "123-45-6789-1",
            "v.123-45-6789.2",
            "1/123-45-6789",
            "12:30:123-45-6789",
        ] {
            assert_eq!(found(&rule, text), None, "{text}");
        }
    }
}
