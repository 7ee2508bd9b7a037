//! Making inputs from inputs.

/// What matches begin with, end with and are cut by.
const PIECES: &[&[u8]] = &[
    b" ",
    b"\n",
    b"\r\n",
    b"\0",
    b"\"",
    b"'",
    b"\\",
    b"\\\"",
    b"\\n",
    b"\\u0041",
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"\\u00",
    b"\\/",
    b":",
    b"=",
    b": ",
    b" = ",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"{\"",
    b"\":\"",
    b"\"}",
    b"data: ",
    b"event: ",
    b"\n\n",
    b"&",
    b"%41",
    b"%",
    b"+",
    b"--x\r\n",
    b"--x--",
    b"\r\n\r\n",
    b"password",
    b"\"password\": \"",
    b"token=",
    b"AKIA",
    b"ghp_",
    b"sk-ant-",
    b"eyJ",
    b"-----BEGIN ",
    b"PRIVATE KEY-----",
    b"-----",
    b"[REDACTED:",
    b"[REDACTED:jwt]",
    b"://u:",
    b"@",
    b"Bearer ",
    b"4111111111111111",
    b"123-45-6789",
    b"a@example.com",
    b"0123456789abcdef",
    b"\xff",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbb\xbf",
    b"true",
    b"1e5",
    b"-1",
];

/// The longest input.
const MAX_INPUT: usize = 2000;

/// Makes inputs from seeds, by a generator that a number repeats.
pub(crate) struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
    count: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self {
            state: seed | 1,
            seeds,
            count: 0,
        }
    }

    /// How many inputs were made.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn input(&mut self) -> Vec<u8> {
        self.count += 1;
        let mut input = self.seed();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        input.truncate(MAX_INPUT);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (at, end) = self.range(input.len());
        match self.below(9) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 | 3 => {
                let piece = PIECES[self.below(PIECES.len())];
                drop(input.splice(at..at, piece.iter().copied()));
            }
            4 => {
                let piece = PIECES[self.below(PIECES.len())];
                drop(input.splice(at..end, piece.iter().copied()));
            }
            5 => {
                let other = self.seed();
                let (from, to) = self.range(other.len());
                drop(input.splice(at..at, other[from..to].iter().copied()));
            }
            6 => {
                let other = self.seed();
                drop(input.splice(at..end, other));
            }
            7 => {
                let times = self.below(20);
                let piece = input[at..end].repeat(times);
                drop(input.splice(at..at, piece.into_iter().take(MAX_INPUT)));
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (self.state >> 60 & 7);
                }
            }
        }
    }

    fn seed(&mut self) -> Vec<u8> {
        let index = self.below(self.seeds.len());
        self.seeds[index].clone()
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        (a.min(b), a.max(b))
    }

    /// A number below `end`, which is not zero. (xorshift64*, Vigna 2016)
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % end
    }
}

/// A short name for an input. (FNV-1a)
pub(crate) fn hash(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
