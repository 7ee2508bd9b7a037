//! What a command does with the path or text in it.

use std::ops::Range;

use crate::{
    engine::Candidate,
    validate::words::{base_name, program},
};

/// The literal begins a substitution whose text a shell runs.
pub(crate) fn run_by_shell(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let line = candidate.line_before();
    let end = line
        .iter()
        .rposition(|byte| !b" \"'\\".contains(byte))
        .map_or(0, |at| at + 1);
    let word = line[..end]
        .rsplit(|byte| byte.is_ascii_whitespace() || b";|&(\"'`".contains(byte))
        .next()
        .unwrap_or_default();
    let runs = RUNNERS.contains(&base_name(word));
    runs.then(|| candidate.literal.clone())
}

/// The literal is a path and something is written there. A literal that is no path is the whole
/// command, and what it does needs no further sign.
pub(crate) fn is_written(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let written = !is_path(candidate) || {
        let around = Around::of(candidate);
        around.redirected.is_some()
            || match around.program {
                b"tee" | b"sed" => true,
                b"cp" | b"mv" | b"install" | b"ln" => is_last(candidate),
                _ => false,
            }
    };
    written.then(|| candidate.literal.clone())
}

/// The literal is a path and what is there is removed or emptied. A literal that is no path is the
/// whole command.
pub(crate) fn is_removed(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let removed = !is_path(candidate) || {
        let around = Around::of(candidate);
        match around.redirected {
            // Programs write their logs; writing nothing empties one.
            Some(what) => matches!(
                what,
                b"" | b":"
                    | b"true"
                    | b"cat /dev/null"
                    | b"echo"
                    | b"echo -n"
                    | b"echo ''"
                    | b"echo \"\""
            ),
            None => REMOVERS.contains(&around.program),
        }
    };
    removed.then(|| candidate.literal.clone())
}

/// The command in which a path stands.
struct Around<'a> {
    program: &'a [u8],
    /// What is written before the `>` that the path stands behind. One that adds counts for
    /// writing, and has the `>` at its end.
    redirected: Option<&'a [u8]>,
}

impl<'a> Around<'a> {
    fn of(candidate: &Candidate<'a>) -> Self {
        let line = candidate.line_before();
        let head = line
            .iter()
            .rposition(|byte| byte.is_ascii_whitespace() || *byte == b'>')
            .map_or(&line[..0], |at| &line[..=at])
            .trim_ascii_end();
        let redirected = head.strip_suffix(b">").map(|before| {
            let start = before
                .iter()
                .rposition(|byte| b";|&({`".contains(byte))
                .map_or(0, |at| at + 1);
            let before = before[start..].trim_ascii();
            before.strip_prefix(b"sudo ").unwrap_or(before)
        });
        Self {
            program: program(line).map_or(b"", base_name),
            redirected,
        }
    }
}

/// Whether the literal is a path, or the end of one.
fn is_path(candidate: &Candidate<'_>) -> bool {
    let literal = &candidate.text[candidate.literal.clone()];
    literal.first().is_some_and(|first| b"/.".contains(first)) || literal.ends_with(b"/")
}

/// Whether the path is the last word of its command.
fn is_last(candidate: &Candidate<'_>) -> bool {
    let behind = candidate.behind();
    let word = behind
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || b";|&\"')`".contains(byte))
        .unwrap_or(behind.len());
    let rest = behind[word..].iter().find(|byte| **byte != b' ');
    rest.is_none_or(|byte| b"\n;|&\"')`".contains(byte))
}

/// What runs a text that it is given.
const RUNNERS: [&[u8]; 11] = [
    b"sh", b"bash", b"zsh", b"dash", b"ksh", b"eval", b"source", b".", b"-c", b"-lc", b"-ic",
];

/// What removes or empties its operands.
const REMOVERS: [&[u8]; 6] = [b"rm", b"shred", b"truncate", b"unlink", b"ln", b"sed"];
