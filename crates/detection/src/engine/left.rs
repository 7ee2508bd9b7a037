//! What must stand before a literal.

use crate::{
    engine::candidate::{Candidate, is_escape_letter, is_word},
    validate::words::{base_name, program, shell_follows},
};

/// What must stand before a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Anything.
    Any,
    /// Nothing that is part of a word.
    Boundary,
    /// The literal is the name of a program that runs, and no word in another's arguments.
    Command,
    /// Nothing but what begins a line: spaces, quotes, the marks of lists and headings.
    Line,
}

impl Left {
    pub(crate) fn fits(self, candidate: &Candidate<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Boundary => is_boundary(candidate),
            Self::Command => is_command(candidate),
            Self::Line => candidate
                .line_before()
                .iter()
                .all(|byte| b" \t>*#-\"'`|".contains(byte)),
        }
    }
}

fn is_boundary(candidate: &Candidate<'_>) -> bool {
    let before = candidate.before();
    match before.last() {
        Some(last) if is_word(*last) => is_escape_letter(before, before.len() - 1),
        _ => true,
    }
}

/// Whether a program of this name would run. A path may stand before its name, and other programs
/// that run it. Where it is an argument of a program that only shows or looks for it, it does not.
fn is_command(candidate: &Candidate<'_>) -> bool {
    if !is_boundary(candidate) {
        return false;
    }
    let line = candidate.line_before();
    if line.last().is_some_and(|last| b"-.".contains(last)) {
        return false;
    }
    let Some(first) = program(line) else {
        return true;
    };
    let is_inert =
        INERT.contains(&base_name(first)) || first.starts_with(b"#") || first.starts_with(b"//");
    !is_inert || shell_follows(candidate.behind())
}

/// Programs that do not run their arguments.
const INERT: [&[u8]; 17] = [
    b"echo", b"printf", b"grep", b"egrep", b"fgrep", b"zgrep", b"rg", b"ag", b"ack", b"git",
    b"man", b"which", b"whatis", b"apropos", b"help", b"#", b"//",
];
