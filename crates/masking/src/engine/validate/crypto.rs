//! Addresses of cryptocurrencies.

use sha2::{Digest, Sha256};

use crate::engine::validate::Accepts;

/// Validators for addresses.
pub(super) static NAMED: &[(&str, Accepts)] = &[
    ("base58check", is_base58check),
    ("bech32", is_bech32),
    ("ethereum", is_ethereum),
];

/// A version, 20 bytes and the first four bytes of their double SHA-256
/// (<https://en.bitcoin.it/wiki/Base58Check_encoding>).
fn is_base58check(body: &[u8]) -> bool {
    const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

    if !(25..=36).contains(&body.len()) {
        return false;
    }
    let mut plain = [0u8; 25];
    for byte in body {
        let Some(value) = DIGITS.iter().position(|digit| digit == byte) else {
            return false;
        };
        let mut carry = value;
        for place in plain.iter_mut().rev() {
            carry += usize::from(*place) * 58;
            *place = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    let (text, check) = plain.split_at(21);
    Sha256::digest(Sha256::digest(text)).starts_with(check)
}

/// A human-readable part, `1`, and data with a checksum (BIP 173, BIP 350).
fn is_bech32(body: &[u8]) -> bool {
    const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

    let upper = body.iter().any(u8::is_ascii_uppercase);
    let lower = body.iter().any(u8::is_ascii_lowercase);
    let Some(one) = memchr::memrchr(b'1', body).filter(|_| !(upper && lower)) else {
        return false;
    };
    let (name, data) = (&body[..one], &body[one + 1..]);
    if name.is_empty() || data.len() < 6 || body.len() > 90 {
        return false;
    }
    let step = |state: u32, value: u32| {
        let top = state >> 25;
        let mut state = (state & 0x1ff_ffff) << 5 ^ value;
        for (bit, generator) in [
            0x3b6a_57b2,
            0x2650_8e6d,
            0x1ea1_19fa,
            0x3d42_33dd,
            0x2a14_62b3,
        ]
        .into_iter()
        .enumerate()
        {
            if top >> bit & 1 == 1 {
                state ^= generator;
            }
        }
        state
    };
    let lowered = || name.iter().map(|byte| u32::from(byte.to_ascii_lowercase()));
    let mut state = lowered().fold(1, |state, byte| step(state, byte >> 5));
    state = step(state, 0);
    state = lowered().fold(state, |state, byte| step(state, byte & 31));
    for byte in data {
        let Some(value) = DIGITS
            .iter()
            .position(|digit| *digit == byte.to_ascii_lowercase())
        else {
            return false;
        };
        state = step(state, u32::try_from(value).unwrap_or_default());
    }
    // Bech32 of BIP 173, and Bech32m of BIP 350.
    matches!(state, 1 | 0x2bc8_30a3)
}

/// `0x` and 40 hex digits that are not all alike (EIP-55 tells the case of letters; all lower and
/// all upper are as good).
fn is_ethereum(body: &[u8]) -> bool {
    let Some(hex) = body.strip_prefix(b"0x") else {
        return false;
    };
    let zeros = hex
        .iter()
        .filter(|byte| matches!(byte, b'0' | b'f' | b'F'))
        .count();
    hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit) && zeros < 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_bitcoin_are_checked() {
        // From the documentation of Bitcoin, and the first one ever.
        for text in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
        ] {
            assert!(is_base58check(text.as_bytes()), "{text}");
        }
        for text in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN0",
            "1A1zP1",
            "",
        ] {
            assert!(!is_base58check(text.as_bytes()), "{text}");
        }
        for text in [
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ] {
            assert!(is_bech32(text.as_bytes()), "{text}");
        }
        for text in [
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1",
            "1qqqqqq",
            "Bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ] {
            assert!(!is_bech32(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn addresses_of_ethereum_are_not_constants() {
        assert!(is_ethereum(b"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"));
        assert!(!is_ethereum(b"0x0000000000000000000000000000000000000001"));
        assert!(!is_ethereum(b"0xffffffffffffffffffffffffffffffffffffffff"));
    }
}
