//! Values from ranges that nobody has, so that programs that read them go on.

use super::{MaskKey, token};

/// What a surrogate stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surrogate {
    /// An address at `example.com` (RFC 2606 §3).
    Email,
    /// An address of a network for documentation (RFC 5737).
    Ipv4,
    /// An address of the network for documentation (RFC 3849).
    Ipv6,
    /// A hardware address for documentation (RFC 7042 §2.1.2).
    Mac,
    /// A number of the range that the North American plan keeps for fiction, 555-0100 to 555-0199.
    Phone,
    /// A number of the issuer 00000, which is kept for tests (ISO/IEC 7812-1:2015, 4.2.2), with its
    /// check digit. No network has it.
    Card,
    /// An account of a German bank with the code 0000 0000, which none has, with its check digits
    /// (ISO 13616-1).
    Iban,
}

/// What tells a surrogate address from one that somebody wrote.
const LOCAL: &str = "SURROGATE";
const DOMAIN: &[u8] = b"@example.com";
/// Digits of a surrogate that are made of the value.
const DIGITS: u64 = 10_000_000_000;
const ISSUER: &[u8] = b"00000";
const CARD: usize = 16;
const BANK: &[u8] = b"00000000";
const IBAN: usize = 22;

impl Surrogate {
    /// The surrogate for what a rule finds, by the rule's id.
    pub(crate) fn of(rule: &str) -> Option<Self> {
        let starts = |name: &str| {
            token::subject(rule)
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        };
        let all = [
            (Self::Email, &["email"][..]),
            (Self::Ipv4, &["ipv4", "ip-v4"]),
            (Self::Ipv6, &["ipv6", "ip-v6"]),
            (Self::Mac, &["mac"]),
            (Self::Phone, &["phone", "us-phone"]),
            (Self::Card, &["payment-card"]),
            (Self::Iban, &["iban"]),
        ];
        // What else begins so is another number of the card.
        if token::subject(rule) == "card" {
            return Some(Self::Card);
        }
        all.into_iter()
            .find(|(_, names)| names.iter().any(|name| starts(name)))
            .map(|(kind, _)| kind)
    }

    pub(crate) const ALL: [Self; 7] = [
        Self::Email,
        Self::Ipv4,
        Self::Ipv6,
        Self::Mac,
        Self::Phone,
        Self::Card,
        Self::Iban,
    ];

    /// Whether `value` is from the range already.
    pub(crate) fn holds(self, value: &[u8]) -> bool {
        match self {
            Self::Email => value
                .strip_suffix(DOMAIN)
                .is_some_and(|local| token::is_token(LOCAL, &local.to_ascii_uppercase())),
            Self::Ipv4 => value.starts_with(b"203.0.113."),
            Self::Ipv6 => value
                .get(..10)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"2001:db8::")),
            Self::Mac => value
                .get(..14)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"00:00:5e:00:53")),
            Self::Phone => value.starts_with(b"+1-202-555-01"),
            Self::Card => {
                value.len() == CARD
                    && value.starts_with(ISSUER)
                    && number(&value[ISSUER.len()..CARD - 1])
                        .is_some_and(|number| value == card(number).as_bytes())
            }
            Self::Iban => {
                value.len() == IBAN
                    && value[4..].starts_with(BANK)
                    && number(&value[4 + BANK.len()..])
                        .is_some_and(|number| value == iban(number).as_bytes())
            }
        }
    }
}

/// Writes the surrogate of a value: the same one for the same value and key.
pub(crate) fn surrogate(kind: Surrogate, key: &MaskKey, value: &[u8], out: &mut Vec<u8>) {
    let digest = key.digest(&[b"surrogate", value]);
    let text = match kind {
        Surrogate::Email => {
            let local = token::mint(key, LOCAL, value).to_ascii_lowercase();
            out.extend_from_slice(local.as_bytes());
            out.extend_from_slice(DOMAIN);
            return;
        }
        Surrogate::Ipv4 => format!("203.0.113.{}", digest[0]),
        Surrogate::Ipv6 => {
            let group = |at: usize| u16::from_be_bytes([digest[at] | 0x10, digest[at + 1]]);
            format!("2001:db8::{:x}:{:x}", group(0), group(2))
        }
        Surrogate::Mac => format!("00:00:5e:00:53:{:02x}", digest[0]),
        Surrogate::Phone => format!("+1-202-555-01{:02}", digest[0] % 100),
        Surrogate::Card => card(digits(&digest)),
        Surrogate::Iban => iban(digits(&digest)),
    };
    out.extend_from_slice(text.as_bytes());
}

/// A number of ten digits.
fn digits(digest: &[u8; 32]) -> u64 {
    let first = digest.iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte)) % DIGITS
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

/// The check digit is that of Luhn (ISO/IEC 7812-1, annex B).
fn card(number: u64) -> String {
    let (mut sum, mut rest, mut doubled) = (0, number, true);
    while rest > 0 {
        let digit = rest % 10 * if doubled { 2 } else { 1 };
        sum += digit / 10 + digit % 10;
        (rest, doubled) = (rest / 10, !doubled);
    }
    format!("00000{number:010}{}", (10 - sum % 10) % 10)
}

/// The check digits are those of ISO/IEC 7064 MOD 97-10, over the account with `DE00` behind it.
fn iban(number: u64) -> String {
    format!(
        "DE{:02}00000000{number:010}",
        98 - (number * 1_000_000 + 131_400) % 97
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surrogate_is_from_its_range_and_the_same_every_time() {
        let key = MaskKey::new([3; 32]);
        for kind in Surrogate::ALL {
            let write = |value: &[u8]| {
                let mut out = Vec::new();
                surrogate(kind, &key, value, &mut out);
                out
            };
            assert_eq!(write(b"one"), write(b"one"));
            assert_ne!(write(b"one"), write(b"two"));
            assert!(kind.holds(&write(b"one")));
            assert!(!kind.holds(b"ada@example.com") && !kind.holds(b"10.0.0.1"));
        }
    }

    #[test]
    fn rules_are_known_by_their_ids() {
        assert_eq!(Surrogate::of("email"), Some(Surrogate::Email));
        assert_eq!(Surrogate::of("phone-e164"), Some(Surrogate::Phone));
        assert_eq!(Surrogate::of("email2"), None);
        assert_eq!(Surrogate::of("machine"), None);
        assert_eq!(Surrogate::of("payment-card-19"), Some(Surrogate::Card));
        assert_eq!(Surrogate::of("json-card"), Some(Surrogate::Card));
        assert_eq!(Surrogate::of("json-card-verification"), None);
        assert_eq!(Surrogate::of("card-verification-value"), None);
        assert_eq!(Surrogate::of("iban"), Some(Surrogate::Iban));
    }

    /// The digits are right, and the number is still nobody's.
    #[test]
    fn numbers_have_their_check_digits() {
        use crate::engine::validate::Validator;

        let is = |what, text: &str| Validator::parse(what).unwrap().accepts(text.as_bytes());
        for number in [0, 1, 123, 4_242_424_242, 9_999_999_999] {
            let (card, iban) = (card(number), iban(number));
            assert!(is("luhn", &card) && !is("card", &card), "{card}");
            let turned = format!("{}{}", &iban[4..], &iban[..4]);
            assert!(is("mod97-10", &turned) && !is("iban", &iban), "{iban}");
        }
        assert_eq!(card(4_242_424_242), "0000042424242420");
        assert_eq!(iban(123), "DE13000000000000000123");
        for value in [
            "0000042424242424",
            "4242424242424242",
            "000004242424242",
            "00000424242x2420",
        ] {
            assert!(!Surrogate::Card.holds(value.as_bytes()), "{value}");
        }
        for value in ["DE41000000000000000123", "DE89370400440532013000", ""] {
            assert!(!Surrogate::Iban.holds(value.as_bytes()), "{value}");
        }
    }
}
