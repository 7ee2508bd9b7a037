//! SQL statements that remove or change much at once, told from sentences about them.
//!
//! This is no parser. It reads the tokens behind a keyword and asks for the shape of a statement,
//! and for two of three signs that it is one: it begins where statements begin, it ends as they
//! end, and its keyword is in upper case. A parser of the server's dialect judges better and is
//! the work of the gate in front of a database.

mod tokens;

use std::ops::Range;

use self::tokens::{End, Token, Tokens};
use crate::engine::Candidate;

/// `DROP` of a table or of what holds tables.
pub(crate) fn drop(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    dropped(
        candidate,
        &[
            "TABLE",
            "DATABASE",
            "SCHEMA",
            "TABLESPACE",
            "OWNED",
            "KEYSPACE",
        ],
    )
}

/// `DROP` of anything else that a schema has.
pub(crate) fn drop_object(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    dropped(
        candidate,
        &[
            "VIEW",
            "MATERIALIZED",
            "INDEX",
            "USER",
            "ROLE",
            "FUNCTION",
            "PROCEDURE",
            "TRIGGER",
            "SEQUENCE",
            "EXTENSION",
            "POLICY",
            "TYPE",
            "PUBLICATION",
            "SUBSCRIPTION",
        ],
    )
}

fn dropped(candidate: &Candidate<'_>, kinds: &[&str]) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    let kind = tokens.word()?;
    if !kinds.iter().any(|known| kind.is(known)) {
        return None;
    }
    for filler in ["VIEW", "BY", "CONCURRENTLY", "IF", "EXISTS"] {
        tokens.eat(filler);
    }
    tokens.names()?;
    while tokens.eat_any(&["CASCADE", "RESTRICT", "PURGE", "FORCE", "ON"]) {
        tokens.names();
    }
    Signs::of(candidate, tokens.end_of_line()).told(candidate, &tokens)
}

/// `TRUNCATE`.
pub(crate) fn truncate(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    let table = tokens.eat("TABLE");
    tokens.eat("ONLY");
    tokens.names()?;
    while tokens.eat_any(&["CASCADE", "RESTRICT", "RESTART", "CONTINUE", "IDENTITY"]) {}
    let end = tokens.end_of_line();
    let signs = Signs::of(candidate, end);
    // "Truncate names" is an order to a program, too.
    let meant = table || signs.upper || end == Some(End::Semicolon);
    if meant {
        signs.told(candidate, &tokens)
    } else {
        None
    }
}

/// `DELETE` without a `WHERE`, or with one that is always true.
pub(crate) fn delete(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    if !tokens.eat("FROM") {
        return None;
    }
    tokens.eat("ONLY");
    tokens.names()?;
    if tokens.eat("AS") {
        tokens.word()?;
    }
    everything(candidate, tokens, |word| {
        [
            "USING",
            "LIMIT",
            "ORDER",
            "RETURNING",
            "PARTITION",
            "JOIN",
            "ALLOW",
        ]
        .iter()
        .any(|known| word.is(known))
    })
}

/// `UPDATE` without a `WHERE`, or with one that is always true.
pub(crate) fn update(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    while tokens.eat_any(&["ONLY", "LOW_PRIORITY", "IGNORE"]) {}
    tokens.names()?;
    tokens.eat("AS");
    if !tokens.eat("SET") {
        tokens.word()?;
        if !tokens.eat("SET") {
            return None;
        }
    }
    tokens.names()?;
    if !matches!(tokens.advance(), Some(Token::Sign(b'='))) {
        return None;
    }
    everything(candidate, tokens, |_| true)
}

/// Whether the rest of a statement leaves no row out. `goes_on` tells which word may stand right
/// behind the table's name; another is its alias, if the statement goes on behind it.
fn everything(
    candidate: &Candidate<'_>,
    mut tokens: Tokens<'_>,
    goes_on: impl Fn(&Token<'_>) -> bool,
) -> Option<Range<usize>> {
    let mut first = true;
    let mut alias = false;
    loop {
        let Some(token) = tokens.advance() else {
            return Signs::of(candidate, tokens.end()).told(candidate, &tokens);
        };
        if token.is("WHERE") {
            if !always_true(&mut tokens)? {
                return None;
            }
            while tokens.advance().is_some() {}
            return Signs::of(candidate, tokens.end()).told(candidate, &tokens);
        }
        if first && !goes_on(&token) {
            if alias || !matches!(token, Token::Word(_)) {
                return None;
            }
            alias = true;
            continue;
        }
        first = false;
    }
}

/// Whether a condition is true whatever a row holds, as far as its first words tell. `None` when
/// the statement ends where a condition should be.
fn always_true(tokens: &mut Tokens<'_>) -> Option<bool> {
    let first = tokens.advance()?;
    if first.is("TRUE") {
        return Some(true);
    }
    let (Token::Number(left) | Token::Text(left)) = first else {
        return Some(false);
    };
    Some(match tokens.advance() {
        None => left != b"0",
        Some(Token::Sign(b'=')) => {
            matches!(tokens.advance(), Some(Token::Number(right) | Token::Text(right)) if right == left)
        }
        Some(token) => token.is("OR") && left != b"0",
    })
}

/// `GRANT`.
pub(crate) fn grant(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    let (mut on, mut to, mut count) = (false, false, 0);
    while let Some(token) = tokens.advance() {
        on |= token.is("ON");
        to |= token.is("TO");
        count += 1;
        if count > 32 {
            return None;
        }
    }
    let signs = Signs::of(candidate, tokens.end());
    let lower = on && tokens.end() == Some(End::Semicolon);
    if to && count >= 3 && (signs.upper || lower) {
        signs.told(candidate, &tokens)
    } else {
        None
    }
}

/// `ALTER` of the server, of who may use it, or of what they may.
pub(crate) fn alter(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    let kind = tokens.word()?;
    let known = ["SYSTEM", "ROLE", "USER", "LOGIN", "DATABASE", "SERVER"];
    let default = kind.is("DEFAULT") && tokens.eat("PRIVILEGES");
    if !default && !known.iter().any(|known| kind.is(known)) {
        return None;
    }
    if !kind.is("SYSTEM") && !default {
        tokens.account()?;
    }
    tokens.eat("WITH");
    if tokens.eat("IN") && tokens.eat("DATABASE") {
        tokens.names()?;
    }
    let verbs = [
        "SET",
        "RESET",
        "OWNER",
        "RENAME",
        "IDENTIFIED",
        "ADD",
        "SUPERUSER",
        "CREATEDB",
        "CREATEROLE",
        "LOGIN",
        "PASSWORD",
        "BYPASSRLS",
        "REPLICATION",
        "ENABLE",
        "DISABLE",
    ];
    let known = if default {
        tokens.eat_any(&["IN", "FOR", "GRANT", "REVOKE"])
    } else {
        tokens.eat_any(&verbs)
    };
    if !known {
        return None;
    }
    while tokens.advance().is_some() {}
    Signs::of(candidate, tokens.end()).told(candidate, &tokens)
}

/// `ALTER TABLE` that drops something.
pub(crate) fn alter_drop(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let mut tokens = Tokens::behind(candidate);
    if !tokens.eat("TABLE") {
        return None;
    }
    while tokens.eat_any(&["IF", "EXISTS", "ONLY"]) {}
    tokens.names()?;
    let mut before = None;
    let mut drops = false;
    let mut first = true;
    while let Some(token) = tokens.advance() {
        let verb = first || before == Some(b',');
        // `ALTER COLUMN c DROP DEFAULT` keeps the data.
        drops |= verb && token.is("DROP");
        before = match token {
            Token::Sign(sign) => Some(sign),
            _ => None,
        };
        first = false;
    }
    if drops {
        Signs::of(candidate, tokens.end()).told(candidate, &tokens)
    } else {
        None
    }
}

/// What speaks for a statement and against a sentence.
struct Signs {
    upper: bool,
    begins: bool,
    ends: bool,
}

impl Signs {
    fn of(candidate: &Candidate<'_>, end: Option<End>) -> Self {
        let keyword = &candidate.text[candidate.literal.clone()];
        Self {
            upper: keyword.iter().any(u8::is_ascii_uppercase)
                && !keyword.iter().any(u8::is_ascii_lowercase),
            begins: tokens::begins(candidate),
            // What is longer than the window cannot be shown to be harmless.
            ends: end.is_some(),
        }
    }

    fn told(&self, candidate: &Candidate<'_>, tokens: &Tokens<'_>) -> Option<Range<usize>> {
        let count = u8::from(self.upper) + u8::from(self.begins) + u8::from(self.ends);
        (count >= 2).then(|| candidate.literal.start..tokens.at().max(candidate.literal.end))
    }
}
