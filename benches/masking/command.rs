//! `tollbook mask` on a file of 1 GiB, beside the library on the same bytes.
//!
//! The file is made of the speed corpus: 16 MiB of texts and requests, over and over. Both times are
//! those of the processor, user and system together, so that what the disk takes does not count; the
//! library gets the bytes in pieces of the size in which the command reads, from memory. The goal is
//! 0.8 of the library's rate.
//!
//! Builds the command first. `cargo bench --bench command -- 256` takes 256 MiB.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up is no bench, and tells its numbers"
)]

use std::{
    env, fs,
    fs::File,
    hint::black_box,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tollbook_benches::corpus::{self, Sources};
use tollbook_masking::Masker;

/// The pieces in which the command reads.
const PIECE: usize = 1 << 20;
const CORPUS: usize = 16 << 20;
const RUNS: usize = 3;

fn main() {
    let mebibytes = env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(1024usize);
    let command = build();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("corpus.txt");
    let corpus = corpus();
    write(&file, &corpus, mebibytes << 20).expect("the temporary folder has room");

    let (mut of_library, mut of_command) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        of_library = of_library.min(library(&corpus, mebibytes << 20));
        of_command = of_command.min(run(&command, &file));
    }
    let rate = |time: Duration| gigabytes(mebibytes) / time.as_secs_f64();
    println!("library           {:.3} GB/s", rate(of_library));
    println!("tollbook mask     {:.3} GB/s", rate(of_command));
    println!(
        "ratio             {:.2}",
        rate(of_command) / rate(of_library)
    );
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn gigabytes(mebibytes: usize) -> f64 {
    (mebibytes << 20) as f64 / 1e9
}

/// Texts as they are and requests, a half each.
fn corpus() -> Vec<u8> {
    let sources = Sources::read().expect("the bench runs in its workspace");
    let mut bytes = Vec::with_capacity(CORPUS);
    for document in corpus::traffic(&sources, 1, CORPUS / 2) {
        bytes.extend_from_slice(document.text.as_bytes());
        bytes.push(b'\n');
    }
    for request in corpus::requests(&sources, 1, CORPUS / 2) {
        bytes.extend_from_slice(request.as_bytes());
        bytes.push(b'\n');
    }
    bytes.truncate(CORPUS);
    bytes
}

fn write(file: &Path, corpus: &[u8], bytes: usize) -> io::Result<()> {
    let mut file = File::create(file)?;
    let mut left = bytes;
    while left > 0 {
        let piece = &corpus[..corpus.len().min(left)];
        file.write_all(piece)?;
        left -= piece.len();
    }
    Ok(())
}

/// The command in its release build.
fn build() -> PathBuf {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = Command::new(cargo)
        .args(["build", "--release", "--bin", "tollbook"])
        .current_dir(&root)
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "the command is built"
    );
    // This program lies in `release/deps`.
    let own = env::current_exe().expect("this program lies somewhere");
    let folder = own.ancestors().nth(2).unwrap_or(&own);
    folder.join("tollbook")
}

/// What this process takes for the same bytes.
fn library(corpus: &[u8], bytes: usize) -> Duration {
    let masker = Masker::builtin();
    let (mut stream, mut out) = (masker.stream(), Vec::with_capacity(2 * PIECE));
    let before = used("self");
    let mut left = bytes;
    while left > 0 {
        for piece in corpus[..corpus.len().min(left)].chunks(PIECE) {
            out.clear();
            stream.push(black_box(piece), &mut out);
            black_box(&out);
            left -= piece.len();
        }
    }
    stream.finish(&mut out);
    used("self") - before
}

/// What the command takes.
fn run(command: &Path, file: &Path) -> Duration {
    let before = used("children");
    let done = Command::new(command)
        .arg("mask")
        .stdin(File::open(file).expect("the file is there"))
        .stdout(Stdio::null())
        .status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "the command runs"
    );
    used("children") - before
}

/// The time on the processor of this process, or of those that it started and that have ended, user
/// and system together (proc_pid_stat(5)): hundredths of a second.
fn used(whose: &str) -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("there is a /proc");
    // The name of the program stands in brackets and may hold anything.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let first = if whose == "self" { 11 } else { 13 };
    let ticks = fields[first..first + 2]
        .iter()
        .filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
