//! The words of a shell command (POSIX.1-2024, Shell Command Language, 2.2 and 2.3).

use crate::engine::Candidate;

/// The words of the command that begins at a candidate, and what stands behind it.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    /// The words without their quotes, the program's name first.
    pub words: Vec<String>,
    /// Where the command ends in the text.
    pub end: usize,
    /// What stands behind the command, in its line and in the window.
    pub rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads the command whose name begins where the literal does. It ends at an operator, at the
    /// line's end, at the quote within which it began, or with the window.
    pub(crate) fn read(candidate: &Candidate<'a>) -> Self {
        let bytes = candidate.ahead();
        let outer = outer_quote(candidate.line_before());
        let mut words = Vec::new();
        let mut word: Option<Vec<u8>> = None;
        let mut quote = None;
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            let next = bytes.get(at + 1).copied();
            if let Some(open) = quote {
                if outer == Some(b'"') && byte == b'\\' && next == Some(open) {
                    quote = None;
                    at += 1;
                } else if byte == open {
                    quote = None;
                } else if outer == Some(byte) {
                    break;
                } else {
                    word.get_or_insert_default().push(byte);
                }
                at += 1;
                continue;
            }
            match (byte, next) {
                // Within quotes, the inner ones are escaped.
                (b'\\', Some(inner @ b'"')) if outer == Some(b'"') => {
                    quote = Some(inner);
                    at += 1;
                }
                (b'\\', Some(b'n' | b'r')) if outer == Some(b'"') => break,
                (b'\\', Some(b'\n')) => at += 1,
                (b'\\', Some(b'\\')) => word.get_or_insert_default().push(b'\\'),
                // Paths of Windows are written with it.
                (b'\\', Some(letter)) if letter.is_ascii_alphanumeric() => {
                    word.get_or_insert_default().push(b'\\');
                }
                (b'\\', Some(_)) => {}
                (b'"' | b'\'', _) if outer == Some(byte) => break,
                (b'"' | b'\'', _) if closes(&bytes[at..], byte) => {
                    quote = Some(byte);
                    word.get_or_insert_default();
                }
                (b'"' | b'\'' | b'`' | b'\n' | b'\r' | b';' | b'|' | b')', _) => break,
                // `2>&1` and `&>file` are no ends.
                (b'&', _) if !matches!(next, Some(b'>')) && at > 0 && bytes[at - 1] != b'>' => {
                    break;
                }
                (b' ' | b'\t' | b'<' | b'>', _) => words.extend(word.take()),
                _ => word.get_or_insert_default().push(byte),
            }
            at += 1;
            if words.len() >= MAX_WORDS {
                break;
            }
        }
        words.extend(word.take());
        let words = words
            .into_iter()
            .map(|word| String::from_utf8_lossy(&word).into_owned())
            .collect();
        let at = at.min(bytes.len());
        Self {
            words,
            end: candidate.literal.start + at,
            rest: line(&bytes[at..]),
        }
    }

    /// The words behind the name.
    pub(crate) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The arguments that are no options.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &str> {
        self.arguments()
            .iter()
            .map(String::as_str)
            .filter(|word| !word.starts_with('-'))
    }

    /// Whether an option is given, by its letter within a cluster or by its long name.
    pub(crate) fn has(&self, letters: &str, long: &[&str]) -> bool {
        self.arguments().iter().any(|word| {
            if let Some(name) = word.strip_prefix("--") {
                return long.contains(&name);
            }
            word.strip_prefix('-').is_some_and(|cluster| {
                cluster.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && cluster.contains(|letter| letters.contains(letter))
            })
        })
    }
}

/// The word that names the program in whose command a line's part ends, if there is one: behind
/// the last operator, settings of variables, and the programs that only run others.
pub(crate) fn program(line: &[u8]) -> Option<&[u8]> {
    let start = (0..line.len())
        .rev()
        .find(|at| {
            b";|&(`{".contains(&line[*at])
                // The beginning of a string in JSON.
                || (line[*at] == b'"' && *at > 0 && b":[,".contains(&line[*at - 1]))
        })
        .map_or(0, |at| at + 1);
    let line = &line[start..];
    // What stands right before the line's end is a path.
    let end = line
        .iter()
        .rposition(|byte| is_gap(*byte))
        .map_or(0, |at| at + 1);
    line[..end]
        .split(|byte| is_gap(*byte))
        .find(|word| !word.is_empty() && !is_prefix(word))
}

/// A program's name without its path.
pub(crate) fn base_name(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or(word)
}

/// Whether what is written in this line goes into a shell.
pub(crate) fn shell_follows(rest: &[u8]) -> bool {
    let rest = line(rest);
    let mut parts = rest.split(|byte| *byte == b'|').skip(1);
    parts.any(|part| {
        let mut words = part
            .split(|byte| byte.is_ascii_whitespace() || b";&)\"'`".contains(byte))
            .filter(|word| !word.is_empty())
            .skip_while(|word| matches!(*word, b"sudo" | b"doas" | b"env" | b"exec"));
        words.next().is_some_and(|word| {
            matches!(
                base_name(word),
                b"sh" | b"bash" | b"zsh" | b"dash" | b"ksh" | b"fish"
            )
        })
    })
}

/// The quote that is open where a line's part ends.
fn outer_quote(before: &[u8]) -> Option<u8> {
    let mut open = None;
    let mut escaped = false;
    for byte in before {
        match byte {
            b'\\' => {
                escaped = !escaped;
                continue;
            }
            b'"' | b'\'' => match open {
                None => open = Some(*byte),
                Some(quote) if quote == *byte && !escaped => open = None,
                // An escaped quote within quotes is the one that counts there.
                Some(_) => {}
            },
            _ => {}
        }
        escaped = false;
    }
    open
}

const fn is_gap(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'')
}

/// Words that may stand before a program's name without being one that matters.
fn is_prefix(word: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 17] = [
        b"sudo", b"doas", b"env", b"exec", b"time", b"nice", b"nohup", b"command", b"builtin",
        b"then", b"do", b"else", b"if", b"while", b"!", b"$", b"&&",
    ];
    PREFIXES.contains(&word) || word.contains(&b'=') || word.starts_with(b"-")
}

/// Whether the quote that `bytes` begin with has its other half in the line.
fn closes(bytes: &[u8], quote: u8) -> bool {
    line(bytes).iter().skip(1).any(|byte| *byte == quote)
}

fn line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    &bytes[..end]
}

/// More words than these are not read.
const MAX_WORDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, name: &str) -> Vec<String> {
        let at = text.find(name).unwrap();
        let candidate = Candidate::new(text.as_bytes(), at..at + name.len());
        Command::read(&candidate).words
    }

    #[test]
    fn a_command_is_read_as_a_shell_does() {
        for (text, expected) in [
            ("rm -rf '/a b' c; ls", &["rm", "-rf", "/a b", "c"][..]),
            ("bash -c \"rm -rf /\" x", &["rm", "-rf", "/"]),
            (
                r#"{"c":"rm -r \"a b\" /","t":1}"#,
                &["rm", "-r", "a b", "/"],
            ),
            (r#"{"c":"rm -r a\nls"}"#, &["rm", "-r", "a"]),
            ("$(rm a)", &["rm", "a"]),
            ("rm a\\\n  b", &["rm", "a", "b"]),
            ("rm a 2>&1 b", &["rm", "a", "2", "&1", "b"]),
            ("rm a && ls", &["rm", "a"]),
            ("`rm a` is", &["rm", "a"]),
            ("don't rm it", &["rm", "it"]),
            (r"rm C:\Windows", &["rm", r"C:\Windows"]),
            ("rm \"open", &["rm"]),
        ] {
            assert_eq!(words(text, "rm"), expected, "{text}");
        }
    }

    #[test]
    fn what_goes_into_a_shell_is_told_from_what_does_not() {
        assert!(shell_follows(b" x | sudo /bin/bash -s"));
        assert!(shell_follows(b" x | base64 -d | sh"));
        assert!(!shell_follows(b" x | wc -l\n | sh"));
        assert!(!shell_follows(b" x | shuf"));
    }
}
