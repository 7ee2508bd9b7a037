//! Fuzzing on the stable toolchain, as `crates/masking/tests/fuzz` does it: messages of the corpus, changed, for
//! `TEST_FUZZ_SECONDS` (2 unless told) from `TEST_FUZZ_SEED` on. What fails is written to
//! `tests/finds/` and replayed by every later run.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../it/laws.rs"]
mod laws;

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash as _, Hasher as _},
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use laws::{ASKED, PIECES};
use tollbook_wire_mysql::{Capabilities, Packets};

#[test]
fn messages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/finds");
    for find in fs::read_dir(&folder).into_iter().flatten() {
        let path = find.unwrap().path();
        let stream = fs::read(&path).unwrap();
        assert_eq!(wrong(&stream), None, "{} fails again", path.display());
    }
    let mut state = seed();
    println!("TEST_FUZZ_SEED={state}");
    let seconds = env::var("TEST_FUZZ_SECONDS").map_or(2, |told| told.parse().unwrap());
    let (start, mut count) = (Instant::now(), 0_u64);
    let seeds = seeds();
    while start.elapsed() < Duration::from_secs(seconds) {
        let stream = change(&seeds, &mut state);
        count += 1;
        if let Some(law) = wrong(&stream) {
            let mut hash = DefaultHasher::new();
            stream.hash(&mut hash);
            let name = format!("{:016x}", hash.finish());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(&name), &stream).unwrap();
            panic!("{law}: {name}");
        }
    }
    println!("{count} streams");
}

/// The law that a stream breaks.
fn wrong(stream: &[u8]) -> Option<String> {
    match panic::catch_unwind(AssertUnwindSafe(|| check(stream))) {
        Ok(Ok(())) => None,
        Ok(Err(law)) => Some(law),
        Err(_) => Some("it panics".to_owned()),
    }
}

/// The stream is read as any side could have sent it.
fn check(stream: &[u8]) -> Result<(), String> {
    let old = Capabilities::OFFERED.without(Capabilities::DEPRECATE_EOF);
    let agreements = [
        Capabilities::OFFERED.0,
        old.0,
        old.without(Capabilities::SESSION_TRACK).0,
    ];
    let mut bodies = Vec::new();
    for mut packets in [Packets::of_clients(1 << 20), Packets::of_servers(1 << 20)] {
        let mut wire = BytesMut::from(stream);
        while let Ok(Some(packet)) = packets.next(&mut wire) {
            bodies.push(packet.body.to_vec());
        }
        bodies.push(wire.to_vec());
    }
    for body in &bodies {
        laws::client(body)?;
        for agreed in agreements {
            laws::server(body, agreed)?;
        }
        if let [kind, value @ ..] = &body[..] {
            laws::values(*kind, kind % 2 == 0, value)?;
        }
    }
    // An answer begins anywhere in the stream.
    for begin in 0..bodies.len().min(4) {
        for agreed in agreements {
            for asked in ASKED {
                laws::answers(asked, agreed, &bodies[begin..])?;
            }
        }
    }
    Ok(())
}

/// What one side said at once, in the sessions of the corpus.
fn seeds() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../../testdata/mysql2.hex"),
        include_str!("../../testdata/pymysql.hex"),
        include_str!("../../testdata/cli.hex"),
    ];
    let lines = files.iter().flat_map(|file| file.lines());
    let digits = lines.filter_map(|line| line.split_once(' '));
    let bytes = |digits: &str| {
        let (pairs, _) = digits.as_bytes().as_chunks::<2>();
        let byte =
            |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.iter().map(byte).collect()
    };
    digits.map(|(_, digits)| bytes(digits)).collect()
}

fn change(seeds: &[Vec<u8>], state: &mut u64) -> Vec<u8> {
    let mut stream = seeds[below(state, seeds.len())].clone();
    for _ in 0..=below(state, 6) {
        let (from, to) = (
            below(state, stream.len() + 1),
            below(state, stream.len() + 1),
        );
        let (from, to) = (from.min(to), from.max(to));
        match below(state, 7) {
            0 => drop(stream.drain(from..to)),
            1 => stream.truncate(to),
            2 => drop(stream.splice(from..from, piece(state))),
            3 => drop(stream.splice(from..to, piece(state))),
            4 => drop(stream.splice(from..from, seeds[below(state, seeds.len())].clone())),
            _ => {
                if let Some(byte) = stream.get_mut(from) {
                    *byte = u8::try_from(below(state, 256)).unwrap();
                }
            }
        }
    }
    stream
}

fn piece(state: &mut u64) -> Vec<u8> {
    PIECES[below(state, PIECES.len())].to_vec()
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
