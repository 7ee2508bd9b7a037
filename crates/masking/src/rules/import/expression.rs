//! Expressions as pieces: the texts they stand for, their bytes, and how they are written.

use regex_syntax::hir::{Class as HirClass, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

use crate::engine::{class::Class, pattern::class_of};

/// Reads an expression as gitleaks does: about bytes, with ASCII classes.
pub(super) fn parse(regex: &str) -> Result<Hir, String> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(regex)
        .map_err(|_| {
            "its expression cannot be read: it looks around, refers back, or is wrong".to_owned()
        })
}

/// What stands one behind the other in an expression.
pub(super) fn parts(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Concat(parts) => parts.clone(),
        HirKind::Empty => Vec::new(),
        _ => vec![hir.clone()],
    }
}

/// The expression without groups and without looks to its sides, and without brackets, which no
/// pattern matches.
pub(super) fn plain(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0.clone()),
        HirKind::Class(class) => {
            let class = class_of(class);
            class_hir(|byte| class.has(byte) && !matches!(byte, b'[' | b']'))
        }
        HirKind::Capture(group) => plain(&group.sub),
        HirKind::Repetition(again) => Hir::repetition(Repetition {
            min: again.min,
            max: again.max,
            greedy: true,
            sub: Box::new(plain(&again.sub)),
        }),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(plain).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(plain).collect()),
    }
}

/// The expression of one byte of a class.
pub(super) fn class_hir(has: impl Fn(u8) -> bool) -> Hir {
    let ranges = (0..=u8::MAX)
        .filter(|byte| has(*byte))
        .map(|byte| ClassBytesRange::new(byte, byte));
    Hir::class(HirClass::Bytes(ClassBytes::new(ranges)))
}

/// All texts that an expression stands for, if they are at most `most`.
pub(super) fn texts(hir: &Hir, most: usize) -> Option<Vec<Vec<u8>>> {
    let mut found = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_vec()],
        HirKind::Class(class) => {
            let class = class_of(class);
            let bytes = (0..=u8::MAX).filter(|byte| class.has(*byte));
            bytes.map(|byte| vec![byte]).take(most + 1).collect()
        }
        HirKind::Capture(group) => texts(&group.sub, most)?,
        HirKind::Repetition(again) => {
            let max = again.max.filter(|max| *max <= 4)?;
            let once = texts(&again.sub, most)?;
            let mut found = Vec::new();
            let mut so_far = vec![Vec::new()];
            for times in 0..=max {
                if times >= again.min {
                    found.extend(so_far.iter().cloned());
                }
                so_far = product(&so_far, &once, most)?;
            }
            found
        }
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Vec::new()], |so_far, part| {
            product(&so_far, &texts(part, most)?, most)
        })?,
        HirKind::Alternation(parts) => {
            let mut found = Vec::new();
            for part in parts {
                found.extend(texts(part, most)?);
            }
            found
        }
    };
    found.sort_unstable();
    found.dedup();
    (found.len() <= most).then_some(found)
}

/// Each text of the one with each of the other, if they are at most `most`.
pub(super) fn product(first: &[Vec<u8>], second: &[Vec<u8>], most: usize) -> Option<Vec<Vec<u8>>> {
    (first.len() * second.len() <= most).then(|| {
        first
            .iter()
            .flat_map(|first| {
                second
                    .iter()
                    .map(move |second| [&first[..], second].concat())
            })
            .collect()
    })
}

/// Every byte that stands in some match.
pub(super) fn bytes(hir: &Hir) -> Class {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Class::EMPTY,
        HirKind::Literal(literal) => Class::EMPTY.with(&literal.0),
        HirKind::Class(class) => class_of(class),
        HirKind::Capture(group) => bytes(&group.sub),
        HirKind::Repetition(again) => bytes(&again.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .fold(Class::EMPTY, |all, part| all.or(&bytes(part))),
    }
}

/// Writes an expression that [`plain`] has made as a pattern.
pub(super) fn write(hir: &Hir, out: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => out.push_str("(?:)"),
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| write_byte(*byte, out)),
        HirKind::Class(class) => write_class(&class_of(class), out),
        HirKind::Capture(group) => write(&group.sub, out),
        HirKind::Repetition(again) => {
            write_atom(&again.sub, out);
            match (again.min, again.max) {
                (0, Some(1)) => out.push('?'),
                (min, Some(max)) if min == max => {
                    out.push_str(&format!("{{{min}}}"));
                }
                (min, Some(max)) => {
                    out.push_str(&format!("{{{min},{max}}}"));
                }
                (min, None) => {
                    out.push_str(&format!("{{{min},}}"));
                }
            }
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| match part.kind() {
            HirKind::Alternation(_) => write_atom(part, out),
            _ => write(part, out),
        }),
        HirKind::Alternation(parts) => {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write(part, out);
            }
        }
    }
}

/// Writes an expression so that a repetition behind it takes all of it.
fn write_atom(hir: &Hir, out: &mut String) {
    let is_atom = match hir.kind() {
        HirKind::Class(_) => true,
        HirKind::Literal(literal) => literal.0.len() == 1,
        _ => false,
    };
    if is_atom {
        write(hir, out);
    } else {
        out.push_str("(?:");
        write(hir, out);
        out.push(')');
    }
}

fn write_class(class: &Class, out: &mut String) {
    let has = |byte: u16| u8::try_from(byte).is_ok_and(|byte| class.has(byte));
    out.push('[');
    let mut byte = 0;
    while byte < 0x100 {
        let first = byte;
        while has(byte) {
            byte += 1;
        }
        let edge =
            |byte: u16, out: &mut String| write_byte(u8::try_from(byte).unwrap_or(0xff), out);
        if byte > first {
            edge(first, out);
            if byte > first + 1 {
                if byte > first + 2 {
                    out.push('-');
                }
                edge(byte - 1, out);
            }
        }
        byte += 1;
    }
    out.push(']');
}

fn write_byte(byte: u8, out: &mut String) {
    match byte {
        b'_' | b'=' | b'/' | b'@' | b':' | b',' | b';' | b'"' | b'%' | b'!' => {
            out.push(char::from(byte));
        }
        _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
        b'.' | b'-' | b'+' | b'$' | b'?' | b'*' | b'|' | b'(' | b')' | b'\\' => {
            out.push('\\');
            out.push(char::from(byte));
        }
        _ => {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
}
