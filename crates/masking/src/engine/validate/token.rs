//! What tokens of known kinds look like inside.

use crate::engine::rule::CAP;

/// What base64 text stands for, of as much as a validator may look at.
struct Decoded {
    bytes: [u8; CAP],
    length: usize,
}

/// Whether what follows `eyJ` goes on like the base64url form of a JOSE header (RFC 7515 §4).
pub(super) fn is_jwt_header(body: &[u8]) -> bool {
    /// `eyJhbGciOiJub25lIn0` and the like; nothing shorter names an algorithm.
    const MIN_HEADER: usize = 12;

    let header = memchr::memchr(b'.', body);
    if header.is_some_and(|dot| dot < MIN_HEADER) {
        return false;
    }
    /// So many letters mostly tell that it is no header.
    const FEW: usize = 24;

    let header_letters = &body[..header.unwrap_or(body.len())];
    let coded = |most: usize| b"eyJ".iter().chain(header_letters.iter().take(most));
    if !begins_member(Decoded::of(coded(FEW)).bytes()) {
        return false;
    }
    let plain = Decoded::of(coded(CAP));
    let plain = plain.bytes();
    let is_named = |at: usize| {
        [&b"\"alg\""[..], b"\"typ\"", b"\"enc\"", b"\"kid\""]
            .iter()
            .any(|name| plain[at..].starts_with(name))
    };
    let signed = header.is_some_and(|dot| body.len() > dot + 4);
    (signed || header.is_none()) && memchr::memchr_iter(b'"', plain).any(is_named)
}

/// Whether what begins with `{"` goes on like the first member of an object, as far as it goes.
fn begins_member(plain: &[u8]) -> bool {
    let Some(name) = plain.get(2..) else {
        return true;
    };
    match memchr::memchr(b'"', name) {
        None => true,
        Some(end) => {
            let behind = name[end + 1..].trim_ascii_start();
            behind.first().is_none_or(|byte| *byte == b':')
        }
    }
}

/// Whether it is the base64 form of `user:password` (RFC 7617 §2).
pub(super) fn is_basic_credentials(body: &[u8]) -> bool {
    let plain = Decoded::of(body);
    let plain = plain.bytes();
    plain.len() >= 5
        && plain[1..].contains(&b':')
        && plain.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether the last six characters are the CRC-32 of those before, in base 62 with leading zeros.
/// GitHub's tokens end so, and npm's
/// (<https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>).
pub(super) fn has_crc32_base62(body: &[u8]) -> bool {
    let Some((text, check)) = body.split_last_chunk::<6>() else {
        return false;
    };
    !text.is_empty() && *check == base62(crc32fast::hash(text))
}

fn base62(mut number: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    let mut text = [b'0'; 6];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    text
}

impl Decoded {
    /// Reads base64 and base64url, as far as the text is whole.
    fn of<'a>(text: impl IntoIterator<Item = &'a u8>) -> Self {
        let mut plain = Self {
            bytes: [0; CAP],
            length: 0,
        };
        let (mut bits, mut held) = (0u32, 0u32);
        for byte in text {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => break,
            };
            bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
            held += 6;
            if held >= 8 && plain.length < CAP {
                held -= 8;
                plain.bytes[plain.length] = (bits >> held).to_le_bytes()[0];
                plain.length += 1;
            }
        }
        plain
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_both_alphabets_is_decoded_up_to_its_end() {
        assert_eq!(Decoded::of(b"dXNlcjpwYXNz").bytes(), b"user:pass");
        assert_eq!(Decoded::of(b"dXNlcjpwYQ==").bytes(), b"user:pa");
        assert_eq!(Decoded::of(b"-_-_").bytes(), Decoded::of(b"+/+/").bytes());
        assert_eq!(Decoded::of(&[b'A'; 200]).length, CAP);
    }

    #[test]
    fn a_jwt_header_names_its_algorithm() {
        // {"alg":"none"}
        assert!(is_jwt_header(b"hbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"));
        // {"page":"1234567890"}: base64 of JSON, but no token.
        assert!(!is_jwt_header(b"wYWdlIjoiMTIzNDU2Nzg5MCJ9"));
    }

    #[test]
    fn a_token_ends_in_the_checksum_of_its_beginning() {
        // CRC-32 of `123456789` is 0xCBF43926, the check value of the algorithm.
        assert_eq!(base62(0xCBF4_3926), *b"3jZRME");
        assert!(has_crc32_base62(b"1234567893jZRME"));
        assert!(!has_crc32_base62(b"1234567803jZRME") && !has_crc32_base62(b"3jZRME"));
    }
}
