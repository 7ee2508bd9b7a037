//! Masks by AVX2 and AVX-512.
//!
//! With AVX-512 all ASCII bytes fit into one table, whose bits are eight kinds. With AVX2 a byte is
//! looked up by its halves: for the lower half and a kind, a table has one bit for each upper half
//! below eight with which the byte is of that kind. Bytes from 0x80 are of no kind.
//!
//! This is the only module with `unsafe` code: the loads, and the calls that rest on what the
//! processor was seen to have.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, __mmask64, _mm_loadu_si128, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    _mm512_add_epi16, _mm512_and_si512, _mm512_loadu_si512, _mm512_maskz_compress_epi16,
    _mm512_maskz_permutex2var_epi8, _mm512_movepi8_mask, _mm512_or_si512, _mm512_permutex2var_epi8,
    _mm512_set1_epi8, _mm512_set1_epi16, _mm512_slli_epi16, _mm512_storeu_si512,
    _mm512_test_epi8_mask, _mm512_xor_si512,
};

use super::{
    BLOCK, BLOCKS, Block, FIRST, Fingerprint, KIND, KINDS, Lane, List, Places, Task, Text, sweep,
    write_down,
};

/// For each ASCII byte the first eight kinds, and the other eight.
static BITS: [[u8; 128]; 2] = bits();

const fn bits() -> [[u8; 128]; 2] {
    let mut bits = [[0; 128]; 2];
    let mut byte = 0;
    while byte < 128 {
        [bits[0][byte], bits[1][byte]] = KIND[byte].to_le_bytes();
        byte += 1;
    }
    bits
}

/// For each kind and lower half, one bit for each upper half below eight.
static LOW: [[u8; 16]; KINDS] = low();
/// For each upper half, its bit.
static HIGH: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

const fn low() -> [[u8; 16]; KINDS] {
    let mut table = [[0; 16]; KINDS];
    let mut byte = 0;
    while byte < 128 {
        let mut kind = 0;
        while kind < KINDS {
            if KIND[byte] & (1 << kind) != 0 {
                table[kind][byte & 15] |= 1 << (byte >> 4);
            }
            kind += 1;
        }
        byte += 1;
    }
    table
}

/// The processor was seen to have AVX2 and the instructions for bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasAvx2(());

/// The processor was seen to have AVX-512 with bytes in both forms, AVX2 and the instructions for bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasAvx512(HasAvx2);

impl HasAvx2 {
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }

    pub(super) fn places(
        self,
        text: Text<'_>,
        literals: &Fingerprint,
        places: &mut Places,
    ) -> usize {
        // SAFETY: the processor has what the function is compiled for: there is a `self`.
        unsafe { sweep_avx2(text, literals, places) }
    }

    pub(super) fn beginnings(self, block: &Block, words: &Fingerprint) -> u64 {
        // SAFETY: as above.
        unsafe { folded_avx2(block, words) }
    }

    pub(super) fn run(self, task: impl Task) {
        // SAFETY: as above.
        unsafe { run_avx2(task) }
    }

    pub(super) fn list<const N: usize>(
        self,
        places: &Places,
        blocks: usize,
        lanes: [Lane; N],
        list: &mut List,
    ) -> usize {
        // SAFETY: as above.
        unsafe { list_bits(places, blocks, lanes, list) }
    }
}

impl HasAvx512 {
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2");
        HasAvx2::detect().filter(|_| has).map(Self)
    }

    pub(super) fn places(
        self,
        text: Text<'_>,
        literals: &Fingerprint,
        places: &mut Places,
    ) -> usize {
        // SAFETY: the processor has what the function is compiled for: there is a `self`.
        unsafe { sweep_avx512(text, literals, places) }
    }

    pub(super) fn beginnings(self, block: &Block, words: &Fingerprint) -> u64 {
        // SAFETY: as above.
        unsafe { folded_avx512(block, words) }
    }

    pub(super) fn run(self, task: impl Task) {
        self.0.run(task);
    }

    pub(super) fn list<const N: usize>(
        self,
        places: &Places,
        blocks: usize,
        lanes: [Lane; N],
        list: &mut List,
    ) -> usize {
        // SAFETY: as above.
        unsafe { list_avx512(places, blocks, lanes, list) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2(task: impl Task) {
    task.run();
}

#[target_feature(enable = "bmi1,bmi2,lzcnt,popcnt")]
fn list_bits<const N: usize>(
    places: &Places,
    blocks: usize,
    lanes: [Lane; N],
    list: &mut List,
) -> usize {
    write_down(places, blocks, lanes, list)
}

/// The first places of a stretch, as many as are written down in one go.
const HALF: usize = BLOCK / 2;
static NUMBERS: [u16; HALF] = {
    let (mut numbers, mut number) = ([0; HALF], 0u16);
    while (number as usize) < HALF {
        numbers[number as usize] = number;
        number += 1;
    }
    numbers
};

/// As [`write_down`] does it, 32 places at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn list_avx512<const N: usize>(
    places: &Places,
    blocks: usize,
    lanes: [Lane; N],
    list: &mut List,
) -> usize {
    // SAFETY: 32 numbers of two bytes are there to read, and the load needs no alignment.
    let mut ids = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) };
    let mut known = 0;
    for block in 0..blocks.min(BLOCKS) {
        let of_lane = lanes.iter().map(|lane| places.lanes[*lane as usize][block]);
        let mask = of_lane.fold(0, |mask, of_lane| mask | of_lane);
        for half in [(mask & 0xffff_ffff) as u32, (mask >> 32) as u32] {
            let Some(slots) = list[known..].first_chunk_mut::<HALF>() else {
                return known;
            };
            let packed = _mm512_maskz_compress_epi16(half, ids);
            // SAFETY: there is room for 32 numbers, and the store needs no alignment.
            unsafe { _mm512_storeu_si512(slots.as_mut_ptr().cast(), packed) };
            known += half.count_ones() as usize;
            ids = _mm512_add_epi16(ids, _mm512_set1_epi16(32));
        }
    }
    known
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn sweep_avx2(text: Text<'_>, literals: &Fingerprint, places: &mut Places) -> usize {
    sweep(
        text,
        places,
        |block| kinds_avx2(block),
        |block| halves_avx2(block, literals),
    )
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi1,bmi2,lzcnt,popcnt")]
fn sweep_avx512(text: Text<'_>, literals: &Fingerprint, places: &mut Places) -> usize {
    sweep(
        text,
        places,
        |block| kinds_avx512(block),
        |block| {
            let bytes = [0, 1, 2, 3].map(|offset| load_512(block, offset));
            pairs_avx512(&bytes, literals)
        },
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn kinds_avx2(block: &Block) -> [u64; KINDS] {
    let high = twice_128(&HIGH);
    let mut masks = [0; KINDS];
    let halves = [0, 32].map(|from| {
        let bytes = load_256(block, from);
        let (below, above) = nibbles_256(bytes);
        (below, above, _mm256_shuffle_epi8(high, above))
    });
    for (mask, table) in masks.iter_mut().zip(&LOW) {
        let table = twice_128(table);
        for ((below, _, bit), shift) in halves.into_iter().zip([0, 32]) {
            let known = _mm256_and_si256(_mm256_shuffle_epi8(table, below), bit);
            *mask |= u64::from(nonzero_256(known)) << shift;
        }
    }
    masks
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn kinds_avx512(block: &Block) -> [u64; KINDS] {
    let bytes = load_512(block, 0);
    let ascii: __mmask64 = !_mm512_movepi8_mask(bytes);
    let mut masks = [0; KINDS];
    for (table, eight) in BITS.iter().zip(masks.chunks_exact_mut(8)) {
        let [low, high] = table_512(table);
        let kinds = _mm512_maskz_permutex2var_epi8(ascii, low, bytes, high);
        for (bit, mask) in [1, 2, 4, 8, 16, 32, 64, -128].into_iter().zip(eight) {
            *mask = _mm512_test_epi8_mask(kinds, _mm512_set1_epi8(bit));
        }
    }
    masks
}

/// Where the beginnings of literals may be, given the block and what is one, two and three bytes on.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn pairs_avx512(bytes: &[__m512i; FIRST], literals: &Fingerprint) -> u64 {
    let mut known = [_mm512_set1_epi8(-1); 2];
    for offset in 0..FIRST - 1 {
        // As `fingerprint::pair` has it; the table is looked up by seven bits.
        let left = _mm512_and_si512(_mm512_slli_epi16::<2>(bytes[offset]), _mm512_set1_epi8(-4));
        let pair = _mm512_xor_si512(left, bytes[offset + 1]);
        for (known, tables) in known.iter_mut().zip(&literals.pairs) {
            let [low, high] = table_512(&tables[offset]);
            *known = _mm512_and_si512(*known, _mm512_permutex2var_epi8(low, pair, high));
        }
    }
    let [first, second] = known.map(|sets| _mm512_test_epi8_mask(sets, sets));
    first | second
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn folded_avx512(block: &Block, literals: &Fingerprint) -> u64 {
    let fold = _mm512_set1_epi8(0x20);
    let bytes = [0, 1, 2, 3].map(|offset| _mm512_or_si512(load_512(block, offset), fold));
    pairs_avx512(&bytes, literals)
}

#[target_feature(enable = "avx2")]
fn folded_avx2(block: &Block, literals: &Fingerprint) -> u64 {
    halves_avx2(&block.map(|byte| byte | 0x20), literals)
}

/// Where the beginnings of literals may be.
#[target_feature(enable = "avx2")]
#[inline]
fn halves_avx2(block: &Block, literals: &Fingerprint) -> u64 {
    let mut found = 0;
    for (from, shift) in [(0, 0), (32, 32)] {
        let mut sets = _mm256_set1_epi8(-1);
        for offset in 0..FIRST {
            let (below, above) = nibbles_256(load_256(block, from + offset));
            let low = _mm256_shuffle_epi8(twice_128(&literals.low[offset]), below);
            let high = _mm256_shuffle_epi8(twice_128(&literals.high[offset]), above);
            sets = _mm256_and_si256(sets, _mm256_and_si256(low, high));
        }
        found |= u64::from(nonzero_256(sets)) << shift;
    }
    found
}

#[target_feature(enable = "avx2")]
#[inline]
fn nibbles_256(bytes: __m256i) -> (__m256i, __m256i) {
    let half = _mm256_set1_epi8(15);
    (
        _mm256_and_si256(bytes, half),
        _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half),
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn nonzero_256(bytes: __m256i) -> u32 {
    let zero = _mm256_cmpeq_epi8(bytes, _mm256_setzero_si256());
    !_mm256_movemask_epi8(zero).cast_unsigned()
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_256(block: &Block, from: usize) -> __m256i {
    let bytes: &[u8; 32] = block[from..].first_chunk().unwrap_or(&[0; 32]);
    // SAFETY: 32 bytes are there to read, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_512(block: &Block, from: usize) -> __m512i {
    let bytes: &[u8; BLOCK] = block[from..].first_chunk().unwrap_or(&[0; BLOCK]);
    // SAFETY: 64 bytes are there to read, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn load_128(table: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are there to read, and the load needs no alignment.
    unsafe { _mm_loadu_si128(table.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn twice_128(table: &[u8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(load_128(table))
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn table_512(table: &[u8; 128]) -> [__m512i; 2] {
    // SAFETY: 64 bytes are there to read from either address, and the load needs no alignment.
    unsafe {
        let start = table.as_ptr();
        [
            _mm512_loadu_si512(start.cast()),
            _mm512_loadu_si512(start.add(BLOCK).cast()),
        ]
    }
}
