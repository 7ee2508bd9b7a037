//! Every kernel finds what the definition says.

use super::*;

fn kernels() -> Vec<Kernel> {
    let mut kernels = vec![Kernel::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        kernels.extend(x86::HasAvx2::detect().map(Kernel::Avx2));
        kernels.extend(x86::HasAvx512::detect().map(Kernel::Avx512));
    }
    kernels
}

/// The lanes of every place from `from` on, byte by byte.
fn expected(text: Text<'_>, has: impl Fn(&[u8]) -> bool) -> Vec<Lanes> {
    let Text { bytes, from, end } = text;
    (from..bytes.len().min(from + BLOCKS * BLOCK))
        .map(|at| {
            let lanes = places(bytes, at, usize::MAX, end);
            let is_literal = match bytes.get(at..at + FIRST) {
                Some(first) => has(first),
                None if !end => true,
                None => {
                    let mut first = [0; FIRST];
                    first[..bytes.len() - at].copy_from_slice(&bytes[at..]);
                    has(&first)
                }
            };
            if is_literal {
                lanes.and(Lane::Literal)
            } else {
                lanes
            }
        })
        .collect()
}

fn check(text: Text<'_>, literals: &Fingerprint) {
    let by_halves = expected(text, |first| literals.has(first));
    let by_pairs = expected(text, |first| literals.has_pairs(first));
    let bytes_end = text.bytes.len();
    for kernel in kernels() {
        let expected = match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(_) => &by_pairs,
            _ => &by_halves,
        };
        let mut places = Places::default();
        let blocks = kernel.places(text, literals, &mut places);
        assert_eq!(blocks, expected.len().div_ceil(BLOCK));
        let mut list = NO_PLACES;
        let lanes = [Lane::Run, Lane::Separator];
        let listed = kernel.list(&places, blocks, lanes, &mut list);
        let wanted = expected.iter().enumerate();
        let wanted = wanted.filter(|(_, known)| lanes.iter().any(|lane| known.has(*lane)));
        assert!(
            list[..listed]
                .iter()
                .map(|place| usize::from(*place))
                .eq(wanted.map(|(at, _)| at)),
            "{kernel:?} lists of {}",
            text.bytes.escape_ascii()
        );
        for at in 0..blocks * BLOCK {
            let bit = u32::try_from(at % BLOCK).unwrap();
            let found = places.lanes(at / BLOCK, bit);
            let wanted = expected.get(at).copied().unwrap_or_default();
            assert_eq!(
                found,
                wanted,
                "{kernel:?} at {at} of {:?} in {}",
                text.from,
                text.bytes.escape_ascii()
            );
            let is_encoded = places.encoded[at / BLOCK] >> bit & 1 != 0;
            let place = text.from + at;
            let wants = place < bytes_end && encoded::is_place(text.bytes, place, text.end);
            assert_eq!(is_encoded, wants, "{kernel:?} at {at}");
        }
    }
}

fn literals() -> Fingerprint {
    Fingerprint::new(vec![b"Bear", b"BEGI", b"sk-a", b"---", b"8Q~"])
}

/// Numbers that look random and are the same on every run.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    })
}

fn text(seed: u64, length: usize) -> Vec<u8> {
    const ALPHABETS: &[&[u8]] = &[
        b"aZ09_-./+=~:@%\\ (\"'`]\n\tgG,",
        b"aab0:@/.-",
        b"aaaaaaaaaaaaaaaa@%.",
        b"http://user:a@b ",
        b"AAA1 2:(+-",
    ];
    let mut random = random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let alphabet = usize::try_from(random.next().unwrap()).unwrap() % (ALPHABETS.len() + 1);
    random
        .take(length)
        .map(|number| match ALPHABETS.get(alphabet) {
            Some(alphabet) => alphabet[usize::try_from(number).unwrap() % alphabet.len()],
            None => u8::try_from(number & 0xff).unwrap(),
        })
        .collect()
}

#[test]
fn every_alignment_and_length_is_the_same_for_all_kernels() {
    let literals = literals();
    for length in 0..=200 {
        // The end of the text is the end of the allocation.
        let bytes = text(length, usize::try_from(length).unwrap()).into_boxed_slice();
        for from in 0..bytes.len().min(65) {
            for end in [false, true] {
                let bytes = &bytes;
                check(Text { bytes, from, end }, &literals);
            }
        }
    }
}

#[test]
fn random_texts_are_the_same_for_all_kernels() {
    let literals = literals();
    for seed in 1000..2500 {
        let bytes = &text(seed, 150 + usize::try_from(seed % 97).unwrap());
        let from = usize::try_from(seed % 71).unwrap();
        for end in [false, true] {
            check(Text { bytes, from, end }, &literals);
        }
    }
    let bytes = &text(7, 3 * BLOCKS * BLOCK);
    check(
        Text {
            bytes,
            from: 3,
            end: false,
        },
        &literals,
    );
}

#[test]
fn local_parts_of_every_length_are_found_wherever_they_lie() {
    let literals = literals();
    for length in 1..70 {
        for before in 0..130 {
            let text = format!("{}{}@b.de", " ".repeat(before), "a".repeat(length));
            let bytes = text.as_bytes();
            check(
                Text {
                    bytes,
                    from: 0,
                    end: true,
                },
                &literals,
            );
        }
    }
}
