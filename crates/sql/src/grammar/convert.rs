//! Our tokens as the parser wants them.

use sqlparser::tokenizer::{Location, Span, Token as To, TokenWithSpan, Whitespace};

use crate::{
    Dialect,
    lexer::{Kind, Token},
};

/// The tokens of a statement with a semicolon behind them, which `COPY … FROM STDIN` wants. A span's column
/// is the place in the text in bytes.
pub(crate) fn tokens(dialect: Dialect, text: &str, tokens: &[Token]) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len() * 2 + 1);
    let mut end = None;
    for token in tokens {
        // Some rules ask whether two tokens touch.
        if end.is_some_and(|end| end < token.span.start) {
            out.push(spanned(To::Whitespace(Whitespace::Space), token));
        }
        end = Some(token.span.end);
        let written = text.get(token.span.clone()).unwrap_or_default();
        out.push(spanned(convert(dialect, written, token), token));
    }
    out.push(TokenWithSpan::wrap(To::SemiColon));
    out
}

fn spanned(token: To, from: &Token) -> TokenWithSpan {
    let at = |offset: usize| Location::new(1, u64::try_from(offset).unwrap_or(u64::MAX));
    TokenWithSpan::new(token, Span::new(at(from.span.start), at(from.span.end)))
}

fn convert(dialect: Dialect, written: &str, token: &Token) -> To {
    match &token.kind {
        // PostgreSQL folds the letters of ASCII; keywords are known in any case.
        Kind::Word if dialect == Dialect::Postgres => {
            To::make_word(&written.to_ascii_lowercase(), None)
        }
        Kind::Word => To::make_word(written, None),
        Kind::Quoted(name) => {
            let quote = if dialect == Dialect::Postgres {
                '"'
            } else {
                '`'
            };
            To::make_word(name, Some(quote))
        }
        Kind::Text(value) => To::SingleQuotedString(value.clone()),
        Kind::Number if written == "\\N" => To::make_keyword("NULL"),
        Kind::Number => To::Number(written.to_owned(), false),
        Kind::Bits => To::HexStringLiteral(String::new()),
        Kind::Parameter => To::Placeholder(written.to_owned()),
        Kind::Semicolon => To::SemiColon,
        Kind::Sign => sign(written),
        Kind::Unreadable(_) => To::Char('\u{fffd}'),
    }
}

fn sign(written: &str) -> To {
    match written {
        "," => To::Comma,
        "(" => To::LParen,
        ")" => To::RParen,
        "[" => To::LBracket,
        "]" => To::RBracket,
        "{" => To::LBrace,
        "}" => To::RBrace,
        "." => To::Period,
        ":" => To::Colon,
        "::" => To::DoubleColon,
        ":=" => To::Assignment,
        "=>" => To::RArrow,
        "=" => To::Eq,
        "<>" | "!=" => To::Neq,
        "<" => To::Lt,
        ">" => To::Gt,
        "<=" => To::LtEq,
        ">=" => To::GtEq,
        "<=>" => To::Spaceship,
        "+" => To::Plus,
        "-" => To::Minus,
        "*" => To::Mul,
        "/" => To::Div,
        "%" => To::Mod,
        "||" => To::StringConcat,
        "&" => To::Ampersand,
        "|" => To::Pipe,
        "^" => To::Caret,
        "#" => To::Sharp,
        "##" => To::DoubleSharp,
        "~" => To::Tilde,
        "~*" => To::TildeAsterisk,
        "!~" => To::ExclamationMarkTilde,
        "!~*" => To::ExclamationMarkTildeAsterisk,
        "~~" => To::DoubleTilde,
        "~~*" => To::DoubleTildeAsterisk,
        "!~~" => To::ExclamationMarkDoubleTilde,
        "!~~*" => To::ExclamationMarkDoubleTildeAsterisk,
        "<<" => To::ShiftLeft,
        ">>" => To::ShiftRight,
        "&&" => To::Overlap,
        "!" => To::ExclamationMark,
        "!!" => To::DoubleExclamationMark,
        "@" => To::AtSign,
        "^@" => To::CaretAt,
        "|/" => To::PGSquareRoot,
        "||/" => To::PGCubeRoot,
        "->" => To::Arrow,
        "->>" => To::LongArrow,
        "#>" => To::HashArrow,
        "#>>" => To::HashLongArrow,
        "#-" => To::HashMinus,
        "@-@" => To::AtDashAt,
        "?-" => To::QuestionMarkDash,
        "&<" => To::AmpersandLeftAngleBracket,
        "&>" => To::AmpersandRightAngleBracket,
        "&<|" => To::AmpersandLeftAngleBracketVerticalBar,
        "|&>" => To::VerticalBarAmpersandRightAngleBracket,
        "<->" => To::TwoWayArrow,
        "<^" => To::LeftAngleBracketCaret,
        ">^" => To::RightAngleBracketCaret,
        "?#" => To::QuestionMarkSharp,
        "?-|" => To::QuestionMarkDashVerticalBar,
        "?||" => To::QuestionMarkDoubleVerticalBar,
        "~=" => To::TildeEqual,
        "<<|" => To::ShiftLeftVerticalBar,
        "|>>" => To::VerticalBarShiftRight,
        "@>" => To::AtArrow,
        "<@" => To::ArrowAt,
        "@?" => To::AtQuestion,
        "@@" => To::AtAt,
        "?" => To::Question,
        "?&" => To::QuestionAnd,
        "?|" => To::QuestionPipe,
        other => To::CustomBinaryOperator(other.to_owned()),
    }
}
