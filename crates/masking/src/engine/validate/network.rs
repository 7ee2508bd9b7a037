//! Addresses of machines and numbers of telephones.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::engine::validate::{
    Accepts,
    checksum::luhn,
    digits::{digits, up_to},
};

/// Validators for what a network knows somebody by.
pub(super) static NAMED: &[(&str, Accepts)] = &[
    ("ipv4", |body| ipv4(body).is_some_and(is_public_v4)),
    ("ipv4-unlike-version", |body| {
        ipv4(body).is_some_and(|address| is_public_v4(address) && is_unlike_version(address))
    }),
    ("ipv4-private", |body| ipv4(body).is_some_and(is_private_v4)),
    ("ipv6", |body| ipv6(body).is_some_and(is_public_v6)),
    ("mac", is_mac),
    ("imei", is_imei),
    ("phone-e164", is_e164),
    ("phone-in-address", is_in_address),
    ("phone-nanp", is_nanp),
    ("phone-national", is_national),
];

fn ipv4(body: &[u8]) -> Option<Ipv4Addr> {
    let body = body.split(|byte| *byte == b'/').next()?;
    std::str::from_utf8(body).ok()?.parse().ok()
}

/// An address on the Internet (RFC 6890), and none that everybody knows or that stands in examples.
fn is_public_v4(address: Ipv4Addr) -> bool {
    /// Resolvers that are open to all.
    const RESOLVERS: [[u8; 4]; 11] = [
        [8, 8, 8, 8],
        [8, 8, 4, 4],
        [1, 1, 1, 1],
        [1, 0, 0, 1],
        [9, 9, 9, 9],
        [149, 112, 112, 112],
        [208, 67, 222, 222],
        [208, 67, 220, 220],
        [4, 2, 2, 1],
        [4, 2, 2, 2],
        [4, 4, 4, 4],
    ];
    let octets = address.octets();
    !(is_private_v4(address)
        || address.is_documentation()
        || address.is_multicast()
        || octets[0] == 0
        || octets[0] >= 240
        || (octets[0] == octets[1] && octets[1] == octets[2])
        || RESOLVERS.contains(&octets))
}

/// An address within a house (RFC 1918, RFC 6598), of the machine itself, or of one link.
fn is_private_v4(address: Ipv4Addr) -> bool {
    let octets = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (octets[0] == 100 && octets[1] & 0xc0 == 64)
}

/// Versions have small numbers; of four octets at random, two are seldom below 32. Object
/// identifiers begin with 0, 1 or 2 and another small number.
fn is_unlike_version(address: Ipv4Addr) -> bool {
    let octets = address.octets();
    let identifier = octets[0] <= 2 && octets[1] < 40;
    !identifier && octets.iter().filter(|octet| **octet > 31).count() >= 2
}

fn ipv6(body: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(body).ok()?.parse().ok()
}

/// An address on the Internet (RFC 4291 §2.4) or one that only looks so, in all its eight groups,
/// and none of the examples (RFC 3849, RFC 9637).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let documentation = (segments[0] == 0x2001 && segments[1] == 0xdb8) || segments[0] == 0x3fff;
    // What protocols have set aside (RFC 2928), but for Teredo.
    let set_aside = segments[0] == 0x2001 && (1..0x200).contains(&segments[1]);
    // Unicast addresses begin with the bits 001; unique local ones tell a house too.
    let unicast = segments[0] >> 13 == 1;
    let house = segments[0] >> 9 == 0x7e;
    let zeros = segments.iter().filter(|segment| **segment == 0).count();
    let long = segments.iter().filter(|segment| **segment > 0xff).count() >= 7;
    let different = (0..8).all(|at| !segments[..at].contains(&segments[at]));
    !documentation
        && !set_aside
        && ((unicast && zeros <= 6) || (house && zeros <= 4) || (long && different))
}

/// An address of a network interface (IEEE 802), unless it is reserved, as for examples
/// (RFC 7042 §2.1.1), or all alike.
fn is_mac(body: &[u8]) -> bool {
    let mut plain = [0; 6];
    let separator = body.get(2).copied().unwrap_or_default();
    let mut fields = body.split(|byte| *byte == separator);
    for place in &mut plain {
        let Some(field) = fields.next().filter(|field| field.len() == 2) else {
            return false;
        };
        let Some(value) = std::str::from_utf8(field)
            .ok()
            .and_then(|text| u8::from_str_radix(text, 16).ok())
        else {
            return false;
        };
        *place = value;
    }
    let lower = body.iter().any(u8::is_ascii_lowercase);
    let upper = body.iter().any(u8::is_ascii_uppercase);
    // Days and times look like pairs of digits; an address without any letter is rare.
    matches!(separator, b':' | b'-')
        && fields.next().is_none()
        && !(lower && upper)
        && !plain.starts_with(&[0, 0, 0x5e, 0, 0x53])
        && !plain.starts_with(&[0, 0, 0, 0])
        && plain.iter().any(|byte| *byte != plain[0])
        && !is_counter(&plain)
}

/// `00:11:22:33:44:55`, `01:02:03:04:05:06` and the like.
fn is_counter(bytes: &[u8; 6]) -> bool {
    let step = bytes[1].wrapping_sub(bytes[0]);
    bytes
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) == step)
}

/// The number of a mobile device (3GPP TS 23.003 §6.2): 15 digits with a check digit.
fn is_imei(body: &[u8]) -> bool {
    digits::<15>(body).is_some_and(|found| luhn(&found) && found[..6] != [0; 6])
}

/// The same behind `%2B`, with percent signs where an address needs them (RFC 3986 §2.1).
fn is_in_address(body: &[u8]) -> bool {
    let mut plain = [b' '; 112];
    plain[0] = b'+';
    let mut rest = body;
    for place in &mut plain[1..] {
        let Some((first, behind)) = rest.split_first() else {
            break;
        };
        rest = if *first == b'%' {
            behind.get(2..).unwrap_or_default()
        } else {
            *place = *first;
            behind
        };
    }
    rest.is_empty() && is_e164(&plain)
}

/// How many digits follow a country code: the code, the fewest, the most. Others have 6 to 12.
const PLANS: &[(u64, usize, usize)] = &[
    (7, 10, 10),
    (20, 8, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 8, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 7, 13),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 6, 12),
    (51, 8, 9),
    (52, 10, 11),
    (53, 8, 8),
    (54, 10, 11),
    (55, 10, 11),
    (56, 9, 9),
    (57, 8, 10),
    (58, 10, 10),
    (60, 7, 10),
    (61, 9, 9),
    (62, 8, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 10),
    (84, 9, 10),
    (86, 10, 11),
    (90, 10, 10),
    (91, 10, 10),
    (92, 9, 10),
    (93, 9, 9),
    (94, 9, 9),
    (95, 7, 10),
    (98, 10, 10),
    (351, 9, 9),
    (352, 6, 9),
    (353, 7, 9),
    (354, 7, 7),
    (355, 8, 9),
    (358, 6, 11),
    (359, 7, 9),
    (370, 8, 8),
    (371, 8, 8),
    (372, 7, 8),
    (380, 9, 9),
    (381, 8, 9),
    (385, 8, 9),
    (386, 8, 8),
    (420, 9, 9),
    (421, 9, 9),
    (852, 8, 8),
    (886, 8, 9),
    (880, 8, 10),
    (966, 8, 9),
    (971, 8, 9),
    (972, 8, 9),
    (974, 8, 8),
    (212, 9, 9),
    (213, 8, 9),
    (216, 8, 8),
    (233, 9, 9),
    (234, 8, 10),
    (254, 9, 10),
];

/// A telephone number with its country (ITU-T E.164): `+`, a country code that is assigned, and as
/// many digits as the country has.
fn is_e164(body: &[u8]) -> bool {
    let Some((found, length)) = body.strip_prefix(b"+").and_then(up_to_15) else {
        return false;
    };
    // A trunk prefix in parentheses, as in `+44 (0)20`, is written and not dialled.
    let trunk = memchr::memmem::find(body, b"(0)").is_some();
    let mut found = &found[..length];
    let code = found
        .iter()
        .take(3)
        .fold(0, |code, digit| code * 10 + u64::from(*digit));
    if found.first() == Some(&1) {
        return found.len() == 11 && nanp(&found[1..]);
    }
    let known = PLANS
        .iter()
        .find(|(known, ..)| *known == code || *known == code / 10 || *known == code / 100);
    let (width, fewest, most) = match known {
        Some((7, fewest, most)) => (1, *fewest, *most),
        Some((known, fewest, most)) if *known < 100 => (2, *fewest, *most),
        Some((_, fewest, most)) => (3, *fewest, *most),
        None => (3, 6, 12),
    };
    found = &found[width.min(found.len())..];
    let length = found.len() - usize::from(trunk && !found.is_empty());
    // Codes from 210 on are assigned but for a few, 999 and 0 among them.
    let assigned = known.is_some()
        || matches!(code, 211..=299 | 350..=389 | 420..=423 | 500..=599 | 670..=692 | 800 | 850..=886 | 960..=996);
    assigned && (fewest..=most).contains(&length) && found.iter().any(|digit| *digit != found[0])
}

/// A number of the North American Numbering Plan (<https://nationalnanpa.com>), perhaps with its 1.
fn is_nanp(body: &[u8]) -> bool {
    let plain = body.strip_prefix(b"+").unwrap_or(body);
    // An extension, as in `x12` or `ext. 12`.
    let end = plain.iter().position(|byte| matches!(byte, b'x' | b'e'));
    let plain = &plain[..end.unwrap_or(plain.len())];
    match up_to_15(plain.strip_prefix(b"00").unwrap_or(plain)) {
        Some((found, 10)) => nanp(&found[..10]),
        Some((found, 11)) => found[0] == 1 && nanp(&found[1..11]),
        _ => false,
    }
}

/// An area begins with 2 to 9; an exchange should too, but people who make up numbers do not know
/// that. Areas with a 9 in their middle are kept for a longer plan, and lines 555-01xx for fiction:
/// numbers that are both stand in for real ones.
fn nanp(found: &[u8]) -> bool {
    let stand_in = found[1] == 9 && found[3..8] == [5, 5, 5, 0, 1];
    !stand_in && found[0] >= 2 && found[3..].iter().any(|digit| *digit != found[3])
}

/// A telephone number as it is dialled within a country. There is not much to tell it by.
fn is_national(body: &[u8]) -> bool {
    let plain = body.strip_prefix(b"+").unwrap_or(body);
    up_to_15(plain).is_some_and(|(found, length)| {
        let found = &found[..length];
        (7..=15).contains(&length) && found.iter().any(|digit| *digit != found[0])
    })
}

fn up_to_15(body: &[u8]) -> Option<([u8; 15], usize)> {
    up_to::<15>(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(name: &str, text: &str) -> bool {
        let (_, accepts) = NAMED.iter().find(|(known, _)| *known == name).unwrap();
        accepts(text.as_bytes())
    }

    #[test]
    fn public_addresses_are_told_from_examples_and_versions() {
        for text in ["52.95.110.1", "185.199.108.153", "93.184.216.34"] {
            assert!(accepted("ipv4-unlike-version", text), "{text}");
        }
        for text in [
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "10.0.0.1",
            "127.0.0.1",
            "8.8.8.8",
            "1.2.3.4",
            "4.19.0.12",
            "1.3.101.112",
            "300.1.1.1",
            "1.2.3",
            "240.0.0.1",
            "0.0.0.0",
            "255.255.255.0",
            "01.2.3.4",
        ] {
            assert!(!accepted("ipv4-unlike-version", text), "{text}");
        }
        assert!(accepted("ipv4-private", "10.1.2.3") && accepted("ipv4-private", "100.64.0.1"));
        assert!(
            accepted("ipv6", "2a00:1450:4001:82a::200e") && accepted("ipv6", "fd12:3456:789a::1")
        );
        for text in [
            "::1",
            "::",
            "fe80::1",
            "2001:db8::1",
            "2001:1::1",
            "fd00::1",
            "12:30:45",
            "a::b",
            "std::io",
            "ff02::1",
        ] {
            assert!(!accepted("ipv6", text), "{text}");
        }
    }

    #[test]
    fn interfaces_are_told_from_counters() {
        for text in ["3c:22:fb:9a:01:7e", "3C-22-FB-9A-01-7E"] {
            assert!(accepted("mac", text), "{text}");
        }
        for text in [
            "00:00:5e:00:53:01",
            "ff:ff:ff:ff:ff:ff",
            "00:11:22:33:44:55",
            "01:02:03:04:05:06",
            "3c:22:fb:9a:01",
            "3c:22:fb:9a:01:7e:00",
            "3C:22:fb:9a:01:7e",
        ] {
            assert!(!accepted("mac", text), "{text}");
        }
        assert!(accepted("imei", "49-015420-323751-8") && !accepted("imei", "490154203237519"));
    }

    #[test]
    fn telephone_numbers_stand_in_addresses() {
        assert!(accepted("phone-in-address", "442079460958"));
        assert!(accepted("phone-in-address", "1%20212%20886%203679"));
        assert!(!accepted("phone-in-address", "20240101120000"));
        assert!(!accepted("phone-in-address", "12"));
    }

    #[test]
    fn telephone_numbers_follow_the_plans() {
        for text in [
            "+14155552671",
            "+1 (415) 555-2671",
            "+44 20 7946 0958",
            "+44 (0)20 7946 0958",
            "+49 30 901820",
            "+33 1 42 68 53 00",
            "+81-3-1234-5678",
            "+91 98765 43210",
            "+351 912 345 678",
        ] {
            assert!(accepted("phone-e164", text), "{text}");
        }
        for text in [
            "+20240101120000",
            "+0100",
            "+1234",
            "+999123456789",
            "+1 299 555 0100",
            "+1 011 555 0123",
            "14155552671",
        ] {
            assert!(!accepted("phone-e164", text), "{text}");
        }
        for text in [
            "(415) 555-2671",
            "415-555-2671",
            "1-800-356-9377",
            "415.555.2671",
        ] {
            assert!(accepted("phone-nanp", text), "{text}");
        }
        for text in ["123-456-7890", "290-555-0123", "222-222-2222"] {
            assert!(!accepted("phone-nanp", text), "{text}");
        }
    }
}
