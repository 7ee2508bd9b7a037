//! Fuzzing on the stable toolchain: one target for each decoder and view.
//!
//! Each target gets inputs made from the vectors of all rules, from structures of its format and from
//! what was found before, for `TEST_FUZZ_SECONDS` (2 unless told). `TEST_FUZZ_SEED` is
//! where a run begins; with `new` it goes where none has been. An input that fails is made smaller, written to `tests/finds/<target>/`, and replayed by every
//! later run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]
#![expect(clippy::print_stdout, reason = "tells the seed that repeats the run")]

#[path = "../it/corpus.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod corpus;
mod mutate;
mod seeds;
mod targets;

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use self::mutate::Mutator;

/// Whether an input is treated as the laws want it. Fails with what is wrong.
type Target = fn(&[u8]) -> Result<(), String>;

/// An input that fails, and what is wrong with it.
#[derive(Debug)]
struct Find {
    input: Vec<u8>,
    wrong: String,
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name), targets::$name, seeds::$name());
            }
        )*
    };
}

targets!(text, json, tool_input, events, rows, form, multipart, rules);

/// The harness can find what it is for: a masker that forgets what came before each piece.
#[test]
fn a_planted_bug_is_found() {
    let budget = Duration::from_secs(20);
    let mut mutator = Mutator::new(seed(), seeds::text());
    let find = search(targets::forgetful, &mut mutator, budget).expect("the bug is found");
    assert!(find.input.len() < 200, "{}", find.input.escape_ascii());
    assert!(targets::forgetful(&find.input).is_err());
    assert!(targets::text(&find.input).is_ok());
}

fn run(name: &str, target: Target, seeds: Vec<Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/finds")
        .join(name);
    for (path, input) in finds(&folder) {
        if let Err(wrong) = check(target, &input) {
            panic!("{} fails again: {wrong}", path.display());
        }
    }
    for input in &seeds {
        if let Err(wrong) = check(target, input) {
            panic!("a seed fails: {wrong}: {}", input.escape_ascii());
        }
    }
    let seed = seed();
    println!("{name}: TEST_FUZZ_SEED={seed}");
    let mut mutator = Mutator::new(seed, seeds);
    if let Some(find) = search(target, &mut mutator, budget()) {
        let path = folder.join(format!("{:016x}", mutate::hash(&find.input)));
        let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &find.input));
        panic!(
            "{name}, seed {seed}: {}: {} ({}: {kept:?})",
            find.wrong,
            find.input.escape_ascii(),
            path.display(),
        );
    }
    println!("{name}: {} inputs", mutator.count());
}

fn search(target: Target, mutator: &mut Mutator, budget: Duration) -> Option<Find> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let mut find = None;
    while find.is_none() && start.elapsed() < budget {
        let input = mutator.input();
        if let Err(wrong) = check(target, &input) {
            find = Some(smaller(target, Find { input, wrong }));
        }
    }
    panic::set_hook(hook);
    find
}

/// Leaves out of a find what it does not need.
fn smaller(target: Target, mut find: Find) -> Find {
    let start = Instant::now();
    let mut size = find.input.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < find.input.len() && start.elapsed() < Duration::from_secs(10) {
            let end = (at + size).min(find.input.len());
            let input = [&find.input[..at], &find.input[end..]].concat();
            match check(target, &input) {
                Err(wrong) => find = Find { input, wrong },
                Ok(()) => at = end,
            }
        }
        size /= 2;
    }
    find
}

fn check(target: Target, input: &[u8]) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().cloned();
        let told = told.or_else(|| panic.downcast_ref::<&str>().map(|told| (*told).to_owned()));
        Err(format!("panicked: {}", told.unwrap_or_default()))
    })
}

fn finds(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn budget() -> Duration {
    let told = env::var("TEST_FUZZ_SECONDS").ok();
    Duration::from_secs(told.map_or(2, |told| told.parse().unwrap()))
}

/// A run is the same every time, unless another seed is told, or `new` for one that nobody knows.
fn seed() -> u64 {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    };
    let told = env::var("TEST_FUZZ_SEED").ok();
    match told.as_deref() {
        None => 1,
        Some("new") => u64::try_from(now() & u128::from(u64::MAX)).unwrap(),
        Some(told) => told.parse().unwrap(),
    }
}
