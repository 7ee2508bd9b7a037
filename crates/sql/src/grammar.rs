//! The seam to the parser: tokens of one statement in, facts out.
//!
//! The rest of the crate knows no parser. This one is `sqlparser`, a grammar of its own that takes what many
//! servers take; where it takes more than the server, nothing is lost, for the server refuses; where it
//! takes less, the statement is unknown.

mod bounds;
mod columns;
mod convert;
mod copy;
mod kinds;
mod names;
mod walk;

use sqlparser::{
    ast,
    dialect::{MySqlDialect, PostgreSqlDialect},
    parser::Parser,
    tokenizer::Token as ParserToken,
};

use crate::{
    Class, Dialect, Prepared, Settings, Statement, StatementKind, Unknown,
    lexer::{Kind, Token},
};

/// Stack for the deepest tree that the limits allow, and for dropping it. Only what is used of it is
/// ever taken from the system.
const STACK: usize = 64 << 20;
const RED_ZONE: usize = STACK / 2;

/// Reads one statement.
pub(crate) fn read(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    settings: &Settings,
    out: &mut Statement,
) {
    out.kind = head(text, tokens);
    // The parser takes these for something else, or not at all.
    if by_words(dialect, text, tokens, out) {
        return;
    }
    // A chain of operators becomes a tree as deep as the chain is long.
    let chained = depth(text, tokens);
    if chained > settings.max_operators {
        return out.doubt(Unknown::TooLarge);
    }
    let deep = chained > 256;
    let run = || match parse(dialect, text, tokens, settings) {
        Ok(statement) => {
            kinds::statement(dialect, text, tokens, &statement, settings, out);
            disagreement(text, tokens, out);
        }
        Err(why) => out.doubt(why),
    };
    match deep {
        true => stacker::grow(STACK, run),
        false => stacker::maybe_grow(RED_ZONE.min(4 << 20), 8 << 20, run),
    }
}

/// Parses one statement that takes all tokens.
fn parse(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    settings: &Settings,
) -> Result<ast::Statement, Unknown> {
    let tokens = convert::tokens(dialect, text, tokens);
    let postgres = PostgreSqlDialect {};
    let mysql = MySqlDialect {};
    let parser = match dialect {
        Dialect::Postgres => Parser::new(&postgres),
        Dialect::MySql => Parser::new(&mysql),
    };
    let mut parser = parser
        .with_recursion_limit(settings.max_depth)
        .with_tokens_with_locations(tokens);
    // Its errors quote the text.
    let statement = parser.parse_statement().map_err(|error| match error {
        sqlparser::parser::ParserError::RecursionLimitExceeded => Unknown::TooLarge,
        _ => Unknown::NotParsed,
    })?;
    while parser.consume_token(&ParserToken::SemiColon) {}
    match parser.peek_token_ref().token {
        ParserToken::EOF => Ok(statement),
        _ => Err(Unknown::NotParsed),
    }
}

/// How deep the tree of these tokens may be at most, apart from what the parser limits itself: a chain of
/// operators ends at a comma or at the end of its parentheses, one of `UNION` does not.
fn depth(text: &str, tokens: &[Token]) -> usize {
    const WORDS: [&str; 8] = ["and", "or", "not", "is", "like", "in", "xor", "collate"];
    const SETS: [&str; 4] = ["union", "except", "intersect", "minus"];

    let (mut sets, mut most, mut sum) = (0_usize, 0_usize, 0_usize);
    let mut levels = vec![0_usize];
    for token in tokens {
        let written = text.get(token.span.clone()).unwrap_or_default();
        let is = |words: &[&str]| words.iter().any(|word| written.eq_ignore_ascii_case(word));
        let ends = match (&token.kind, written) {
            (Kind::Sign, "(" | "[") => {
                levels.push(0);
                continue;
            }
            (Kind::Sign, ")" | "]") => levels.pop().unwrap_or(0),
            (Kind::Sign, ",") => levels.last_mut().map(std::mem::take).unwrap_or(0),
            (Kind::Sign, ".") => continue,
            (Kind::Word, _) if is(&SETS) => {
                sets += 1;
                continue;
            }
            (Kind::Word, _) if !is(&WORDS) => continue,
            (Kind::Word | Kind::Sign, _) => {
                match levels.last_mut() {
                    Some(level) => *level += 1,
                    None => levels.push(1),
                }
                sum += 1;
                most = most.max(sum);
                continue;
            }
            _ => continue,
        };
        sum = sum.saturating_sub(ends);
    }
    most + sets
}

/// What the first words say a statement is. No proof: it is told of statements that nobody could read.
pub(crate) fn head(text: &str, tokens: &[Token]) -> StatementKind {
    let mut words = tokens.iter().filter_map(|token| match token.kind {
        Kind::Word => text.get(token.span.clone()),
        _ => None,
    });
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let second = words.next().unwrap_or_default().to_ascii_lowercase();
    match (first.as_str(), second.as_str()) {
        ("select" | "with" | "values" | "table", _) => StatementKind::Select,
        ("insert" | "replace", _) => StatementKind::Insert,
        ("update", _) => StatementKind::Update,
        ("delete", _) => StatementKind::Delete,
        ("merge", _) => StatementKind::Merge,
        ("truncate", _) => StatementKind::Truncate,
        ("create" | "alter" | "drop", "role" | "user" | "group") => StatementKind::Role,
        ("create" | "alter" | "drop" | "comment" | "rename" | "import" | "security", _) => {
            StatementKind::Ddl
        }
        ("grant" | "revoke", _) => StatementKind::Grant,
        ("reassign", _) => StatementKind::Role,
        ("set" | "reset" | "discard" | "use", _) => StatementKind::Set,
        ("show" | "describe" | "desc", _) => StatementKind::Show,
        ("prepare" | "commit" | "rollback", "transaction" | "prepared") => {
            StatementKind::Transaction
        }
        (
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release",
            _,
        ) => StatementKind::Transaction,
        ("copy", _) => StatementKind::CopyIn,
        ("load", _) => StatementKind::CopyFile,
        ("explain", _) => StatementKind::Explain,
        ("call", _) => StatementKind::Call,
        ("do", _) => StatementKind::Do,
        ("prepare", _) => StatementKind::Prepare,
        ("execute", _) => StatementKind::Execute,
        ("deallocate", _) => StatementKind::Deallocate,
        ("declare", _) => StatementKind::Declare,
        ("fetch" | "move" | "close", _) => StatementKind::Fetch,
        ("listen" | "unlisten", _) => StatementKind::Listen,
        ("notify", _) => StatementKind::Notify,
        ("lock" | "unlock", _) => StatementKind::Lock,
        (
            "vacuum" | "analyze" | "analyse" | "optimize" | "reindex" | "cluster" | "checkpoint",
            _,
        ) => StatementKind::Vacuum,
        ("kill", _) => StatementKind::Kill,
        _ => StatementKind::Unknown,
    }
}

/// What words alone decide. Gives whether the statement is done with.
fn by_words(dialect: Dialect, text: &str, tokens: &[Token], out: &mut Statement) -> bool {
    let words = Words { text, tokens };
    match out.kind {
        StatementKind::Do | StatementKind::Call => {
            out.doubt(Unknown::Elsewhere);
            true
        }
        StatementKind::Execute => {
            out.prepared = words.name(1).map(|name| Prepared { name, text: None });
            out.doubt(Unknown::Elsewhere);
            true
        }
        StatementKind::Deallocate => {
            let at = 1 + usize::from(words.is(1, "prepare") && tokens.len() > 2);
            out.prepared = words.name(at).map(|name| Prepared { name, text: None });
            out.at_least(Class::Session);
            tokens.len() == at + 1 && out.prepared.is_some()
        }
        // The text that is prepared is read when it is run: here it is a value.
        StatementKind::Prepare if dialect == Dialect::MySql && words.is(2, "from") => {
            if let (Some(name), [_, _, _, prepared]) = (words.name(1), tokens) {
                let text = match &prepared.kind {
                    Kind::Text(text) => Some(text.clone()),
                    _ => None,
                };
                out.prepared = Some(Prepared { name, text });
            }
            out.doubt(Unknown::Elsewhere);
            true
        }
        StatementKind::Select if dialect == Dialect::MySql => {
            let file = |at: usize| {
                words.is(at, "into")
                    && (words.is(at + 1, "outfile") || words.is(at + 1, "dumpfile"))
            };
            if (0..tokens.len()).any(file) {
                out.kind = StatementKind::CopyFile;
                out.doubt(Unknown::NotParsed);
            }
            out.kind == StatementKind::CopyFile
        }
        _ => false,
    }
}

/// A second look at what was taken for a query that changes nothing: the words of a change, where a change
/// can stand.
fn disagreement(text: &str, tokens: &[Token], out: &mut Statement) {
    const CHANGES: [&str; 4] = ["insert", "update", "delete", "merge"];

    let words = Words { text, tokens };
    if !matches!(out.class, Class::Read | Class::Transaction | Class::Session)
        || matches!(out.kind, StatementKind::Explain | StatementKind::Prepare)
    {
        return;
    }
    let change = |at: usize| {
        let begins = at == 0 || words.sign(at - 1, "(") || words.sign(at - 1, ")");
        // `insert(` is a function of MySQL.
        begins && !words.sign(at + 1, "(") && CHANGES.iter().any(|word| words.is(at, word))
    };
    let into = |at: usize| words.is(at, "into") && out.kind == StatementKind::Select;
    if (0..tokens.len()).any(|at| change(at) || into(at)) {
        out.doubt(Unknown::Disagreement);
    }
}

/// Looking at tokens by their number.
#[derive(Clone, Copy)]
struct Words<'t> {
    text: &'t str,
    tokens: &'t [Token],
}

impl<'t> Words<'t> {
    fn written(self, at: usize) -> &'t str {
        let token = self.tokens.get(at);
        token
            .and_then(|token| self.text.get(token.span.clone()))
            .unwrap_or_default()
    }

    /// Whether this token is a word without quotes.
    fn is(self, at: usize, word: &str) -> bool {
        let token = self.tokens.get(at);
        token.is_some_and(|token| token.kind == Kind::Word)
            && self.written(at).eq_ignore_ascii_case(word)
    }

    fn sign(self, at: usize, sign: &str) -> bool {
        let token = self.tokens.get(at);
        token.is_some_and(|token| token.kind == Kind::Sign) && self.written(at) == sign
    }

    fn name(self, at: usize) -> Option<String> {
        match &self.tokens.get(at)?.kind {
            Kind::Word => Some(self.written(at).to_ascii_lowercase()),
            Kind::Quoted(name) => Some(name.clone()),
            _ => None,
        }
    }
}
