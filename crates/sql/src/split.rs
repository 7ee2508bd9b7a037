//! Where statements begin and end.

use std::ops::Range;

use crate::{
    Dialect, Settings, Unknown,
    lexer::{Kind, Token, Unreadable},
};

/// One statement's tokens, or what is left of a text that cannot be cut for certain.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Which of the text's tokens, without the semicolon.
    pub(crate) tokens: Range<usize>,
    /// Why these tokens may be another number of statements than one.
    pub(crate) unsure: Option<Unknown>,
}

/// Cuts tokens into statements, without empty ones. All tokens but semicolons are in one of them.
pub(crate) fn split(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    settings: &Settings,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let word = |index: usize, is: &str| {
        let token: Option<&Token> = tokens.get(index);
        token.is_some_and(|token| {
            let written = text.get(token.span.clone()).unwrap_or_default();
            token.kind == Kind::Word && written.eq_ignore_ascii_case(is)
        })
    };
    let rest = |start: usize, why: Unknown| Piece {
        tokens: start..tokens.len(),
        unsure: Some(why),
    };
    for (index, token) in tokens.iter().enumerate() {
        let written = text.get(token.span.clone()).unwrap_or_default();
        match &token.kind {
            Kind::Unreadable(why) => {
                pieces.push(rest(start, unknown(*why)));
                return pieces;
            }
            Kind::Sign if written == "(" => depth += 1,
            Kind::Sign if written == ")" => depth = depth.saturating_sub(1),
            // Semicolons follow that end no statement.
            Kind::Word if body(dialect, index, start, &word) => {
                pieces.push(rest(start, Unknown::Boundary));
                return pieces;
            }
            Kind::Semicolon if depth > 0 => {
                pieces.push(rest(start, Unknown::Boundary));
                return pieces;
            }
            Kind::Semicolon => {
                if start < index {
                    pieces.push(Piece {
                        tokens: start..index,
                        unsure: None,
                    });
                }
                start = index + 1;
                if pieces.len() >= settings.max_statements && start < tokens.len() {
                    pieces.push(rest(start, Unknown::TooLarge));
                    return pieces;
                }
            }
            _ => {}
        }
    }
    if start < tokens.len() {
        pieces.push(Piece {
            tokens: start..tokens.len(),
            unsure: None,
        });
    }
    pieces
}

/// Whether the body of a routine begins here, or an anonymous one.
fn body(dialect: Dialect, index: usize, start: usize, word: &dyn Fn(usize, &str) -> bool) -> bool {
    match dialect {
        Dialect::Postgres => {
            word(start, "create") && word(index, "begin") && word(index + 1, "atomic")
        }
        Dialect::MySql => {
            let routine = ["procedure", "function", "trigger", "event", "package"];
            let makes = word(start, "create") || word(start, "alter");
            let head = index - start < 16 && routine.iter().any(|kind| word(index, kind));
            let anonymous = word(index, "begin") && word(index + 1, "not");
            let compound = ["if", "case", "loop", "repeat", "while", "for"];
            (makes && head)
                || (index == start
                    && (anonymous || compound.iter().any(|begin| word(index, begin))))
        }
    }
}

const fn unknown(why: Unreadable) -> Unknown {
    match why {
        Unreadable::Unterminated => Unknown::Unterminated,
        Unreadable::Sign => Unknown::Sign,
        Unreadable::Escape => Unknown::Escape,
        Unreadable::Executable => Unknown::ExecutableComment,
        Unreadable::TooLong => Unknown::TooLarge,
    }
}
