//! Fuzzing on the stable toolchain, as `crates/masking/tests/fuzz` does it: texts of the corpus, changed, for
//! `TEST_FUZZ_SECONDS` (2 unless told) from `TEST_FUZZ_SEED` on. What fails is written to
//! `tests/finds/` and replayed by every later run.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash as _, Hasher as _},
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tollbook_sql::{Class, Dialect, Settings, Statements, fingerprint, literals};

/// What texts are cut by and put together with.
const PIECES: &[&str] = &[
    ";",
    " ",
    "\n",
    "\r",
    "\0",
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!",
    "/*+",
    "$$",
    "$a$",
    "$1",
    "?",
    "@",
    "@@",
    "E'",
    "e'\\",
    "U&'",
    "U&\"",
    "\\0061",
    "UESCAPE '!'",
    "N'",
    "B'",
    "X'",
    "0x",
    "1e",
    "1.",
    ".5",
    "..",
    "::",
    ":=",
    "->>",
    "<=>",
    "||",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "*",
    "=",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "é",
    "SELECT ",
    " FROM ",
    " WHERE ",
    " UNION ",
    " WITH x AS (",
    "DELETE FROM t",
    " RETURNING *",
    "BEGIN ATOMIC ",
    "CREATE FUNCTION ",
    "EXPLAIN ANALYZE ",
    "COPY ",
    " INTO ",
    "PREPARE p AS ",
    " OR 1=1",
    "NOT ",
    "CASE WHEN ",
    "set_config('role'",
    "SET sql_mode=",
    " FOR UPDATE",
];

#[test]
fn texts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/finds");
    for find in fs::read_dir(&folder).into_iter().flatten() {
        let text = fs::read_to_string(find.unwrap().path()).unwrap();
        assert_eq!(wrong(&text), None, "{text:?} fails again");
    }
    let mut state = seed();
    println!("TEST_FUZZ_SEED={state}");
    let seconds = env::var("TEST_FUZZ_SECONDS").map_or(2, |told| told.parse().unwrap());
    let (start, mut count) = (Instant::now(), 0_u64);
    let seeds = seeds();
    while start.elapsed() < Duration::from_secs(seconds) {
        let text = change(&seeds, &mut state);
        count += 1;
        if let Some(law) = wrong(&text) {
            let mut hash = DefaultHasher::new();
            text.hash(&mut hash);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{:016x}", hash.finish())), &text).unwrap();
            panic!("{law}: {text:?}");
        }
    }
    println!("{count} texts");
}

/// The law that a text breaks.
fn wrong(text: &str) -> Option<String> {
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        for strict in [true, false] {
            let settings = Settings {
                standard_conforming_strings: strict,
                no_backslash_escapes: !strict,
                ansi_quotes: !strict,
                ..Settings::default()
            };
            let checked = panic::catch_unwind(AssertUnwindSafe(|| laws(dialect, text, &settings)));
            match checked {
                Ok(Ok(())) => {}
                Ok(Err(law)) => return Some(law.to_owned()),
                Err(_) => return Some("it panics".to_owned()),
            }
        }
    }
    None
}

fn laws(dialect: Dialect, text: &str, settings: &Settings) -> Result<(), &'static str> {
    let law = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    let read = Statements::read(dialect, text, settings);
    let mut end = 0;
    for statement in &read {
        let span = statement.span.clone();
        law(
            end <= span.start && span.start < span.end,
            "statements overlap",
        )?;
        law(text.get(span.clone()).is_some(), "a span is out of bounds")?;
        law(
            statement.unknown.is_some() == (statement.class == Class::Unknown),
            "unknown without a reason",
        )?;
        end = span.end;
        // A statement alone is what it is among others, unless its text may go on.
        let alone = Statements::read(dialect, &text[span], settings);
        let open = read.any_unknown();
        law(open || alone.len() == 1, "a statement is several")?;
        law(
            open || alone.iter().all(|alone| alone.class == statement.class),
            "a statement alone is of another class",
        )?;
    }
    let mut end = 0;
    for literal in literals(dialect, text, settings) {
        law(
            end <= literal.start && text.get(literal.clone()).is_some(),
            "literals overlap",
        )?;
        end = literal.end;
    }
    law(
        read.fingerprint() == fingerprint(dialect, text, settings),
        "two fingerprints",
    )
}

fn seeds() -> Vec<String> {
    let files = [
        include_str!("../../testdata/corpus/postgres.toml"),
        include_str!("../../testdata/corpus/mysql.toml"),
    ];
    let mut seeds = Vec::new();
    for file in files {
        let file: toml::Table = toml::from_str(file).unwrap();
        for case in file["case"].as_array().unwrap() {
            seeds.push(case["text"].as_str().unwrap().to_owned());
        }
    }
    seeds
}

fn change(seeds: &[String], state: &mut u64) -> String {
    let mut text = seeds[below(state, seeds.len())].clone();
    for _ in 0..=below(state, 6) {
        let (from, to) = (boundary(&text, state), boundary(&text, state));
        let (from, to) = (from.min(to), from.max(to));
        match below(state, 6) {
            0 => text.replace_range(from..to, ""),
            1 => text.truncate(to),
            2 | 3 => text.insert_str(from, PIECES[below(state, PIECES.len())]),
            4 => text.replace_range(from..to, PIECES[below(state, PIECES.len())]),
            _ => text.insert_str(from, &seeds[below(state, seeds.len())]),
        }
    }
    text
}

fn boundary(text: &str, state: &mut u64) -> usize {
    let at = below(state, text.len() + 1);
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap()
}

/// A number below `end`, which is not zero. (xorshift64*, Vigna 2016)
fn below(state: &mut u64, end: usize) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let number = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
    usize::try_from(number).unwrap() % end
}

fn seed() -> u64 {
    match env::var("TEST_FUZZ_SEED").as_deref() {
        Err(_) => 1,
        Ok("new") => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap() | 1
        }
        Ok(told) => told.parse::<u64>().unwrap() | 1,
    }
}
