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
}

/// What tells a surrogate address from one that somebody wrote.
const LOCAL: &str = "SURROGATE";
const DOMAIN: &[u8] = b"@example.com";

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
        ];
        all.into_iter()
            .find(|(_, names)| names.iter().any(|name| starts(name)))
            .map(|(kind, _)| kind)
    }

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
    };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surrogate_is_from_its_range_and_the_same_every_time() {
        let key = MaskKey::new([3; 32]);
        for kind in [
            Surrogate::Email,
            Surrogate::Ipv4,
            Surrogate::Ipv6,
            Surrogate::Mac,
            Surrogate::Phone,
        ] {
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
    }
}
