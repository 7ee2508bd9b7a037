//! Values that somebody made up to be read, apart from those that were drawn at random.
//!
//! Under `token = …` and `"secret": …` stand names of variables, types, members, files and settings
//! far more often than secrets. Names are made of words, and words are made of few pairs of letters.

/// Pairs of letters that words are made of: for each first letter a bit for each second one. The 200
/// most frequent pairs in 22,000 different words of documentation and of identifiers; they are nine
/// in ten of all pairs in words, and three in ten of all pairs in random letters.
static PAIRS: [u32; 26] = [
    0x1e_b94e, 0x10_4911, 0x1a_4d91, 0x16_4119, 0xae_b87d, 0x12_4931, 0x6_2110, 0x4111, 0x22e_f87f,
    0x0, 0x110, 0x11c_4919, 0x14_d111, 0x1c_617d, 0x7e_f86e, 0xe_c911, 0x10_0000, 0x11e_715d,
    0x1c_c995, 0x11e_4995, 0xe_b912, 0x111, 0x111, 0x8_0000, 0x8000, 0x10,
];

/// What a value is made of.
#[derive(Debug, Default)]
struct Makeup {
    letters: usize,
    /// Runs of letters without a change of case within, but for a first capital.
    words: usize,
    /// Pairs of letters within words, and how many of them words are made of.
    pairs: usize,
    usual: usize,
    /// Runs of digits.
    numbers: usize,
    /// Bytes that join the words of a name or path.
    joints: usize,
    spaces: usize,
    /// Any other bytes.
    marks: usize,
    lower: usize,
}

/// Whether a value is made of words, as names, paths and sentences are.
pub(super) fn is_name(value: &[u8]) -> bool {
    Makeup::of(value).is_name() || is_template(value) || is_label(value)
}

/// Whether a value is a name with a date behind it, as versions of interfaces have, or an id that the
/// maker of an interface gives in the open.
fn is_label(value: &[u8]) -> bool {
    /// Ids of model providers: messages, calls of tools, requests, files.
    const IDS: &[&[u8]] = &[
        b"toolu_",
        b"srvtoolu_",
        b"mcptoolu_",
        b"msg_",
        b"req_",
        b"msgbatch_",
        b"file_",
        b"container_",
        b"call_",
        b"chatcmpl-",
        b"resp_",
    ];

    let is_id = IDS.iter().any(|id| value.starts_with(id));
    // `-2025-04-20`
    let date = |date: &[u8; 11]| {
        date.iter().enumerate().all(|(at, byte)| match at {
            0 | 5 | 8 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    let is_dated = value.split_last_chunk::<11>().is_some_and(|(name, end)| {
        date(end)
            && name
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || *byte == b'-')
    });
    is_id || is_dated
}

/// Whether a value in quotes may be a password: random, or words with a digit or a mark among them
/// as people choose them, but no path and no sentence.
pub(super) fn is_password(value: &[u8]) -> bool {
    let makeup = Makeup::of(value);
    if is_path(value) || is_template(value) {
        return false;
    }
    !makeup.is_name() || (makeup.spaces == 0 && (makeup.numbers > 0 || makeup.marks > 0))
}

/// The same for a value without quotes, which in source code is an expression more often than not.
pub(super) fn is_bare_password(value: &[u8]) -> bool {
    let any_digit = value
        .iter()
        .fold(false, |any, byte| any | byte.is_ascii_digit());
    if !any_digit || is_path(value) || !value.first().is_some_and(u8::is_ascii_alphanumeric) {
        return is_bare_secret(value);
    }
    let makeup = Makeup::of(value);
    is_bare_secret_of(value, &makeup)
        || (makeup.numbers > 0 && makeup.joints == 0 && makeup.lower > 0 && makeup.spaces == 0)
        || is_drawn_phrase(value, &makeup)
}

/// Whether a value is made of groups of letters that are no words, as generators of passwords make
/// them: `bmout-gwclqs-tweb-07`.
fn is_drawn_phrase(value: &[u8], makeup: &Makeup) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    makeup.numbers > 0
        && makeup.letters >= 8
        && value.iter().all(plain)
        && !makeup.is_name()
        && !is_slug(value)
}

/// Whether a value without quotes is random and no expression.
pub(super) fn is_bare_secret(value: &[u8]) -> bool {
    // Asked first, for it needs a look at the name alone.
    !is_field(value) && is_bare_secret_of(value, &Makeup::of(value))
}

fn is_bare_secret_of(value: &[u8], makeup: &Makeup) -> bool {
    /// Constants are not longer.
    const MAX_CONSTANT: usize = 32;

    // Types and constants in capitals, and members of something.
    if makeup.lower == 0 && (makeup.numbers == 0 || makeup.joints > 0) && value.len() < MAX_CONSTANT
        || makeup.joints > 0 && makeup.numbers == 0
    {
        return false;
    }
    let plain = makeup.joints == 0 || makeup.numbers >= 2;
    plain
        && !is_path(value)
        && !is_template(value)
        && !makeup.is_name()
        && !is_field(value)
        && !is_slug(value)
}

/// Whether a value is a field of its own, such as `request_id=…` behind `token:`.
fn is_field(value: &[u8]) -> bool {
    let Some(sign) = value.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    let (name, rest) = (&value[..sign], &value[sign + 1..]);
    rest.first().is_some_and(|byte| *byte != b'=') && Makeup::of(name).is_name()
}

/// Whether a value is a name with a short mark at its end, such as `driver-client-AX0p1Q`.
fn is_slug(value: &[u8]) -> bool {
    const MAX_MARK: usize = 8;

    let joint = value
        .iter()
        .rposition(|byte| matches!(byte, b'-' | b'_' | b'.' | b'/'));
    joint.is_some_and(|joint| {
        let name = Makeup::of(&value[..joint]);
        value.len() - joint <= MAX_MARK + 1
            && name.letters >= 6
            && name.letters >= 3 * name.words
            && name.usual * 2 >= name.pairs
            && name.numbers == 0
    })
}

/// Letters of both cases and digits.
pub(super) fn has_three_kinds(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_lowercase)
        && value.iter().any(u8::is_ascii_uppercase)
        && value.iter().any(u8::is_ascii_digit)
}

/// Whether a value says where something is, on this machine or another.
fn is_path(value: &[u8]) -> bool {
    let starts = |text: &[u8]| value.starts_with(text);
    (starts(b"/") && Makeup::of(value).is_name())
        || starts(b"./")
        || starts(b"../")
        || starts(b"~/")
        || memchr::memchr_iter(b':', value).any(|at| value[at..].starts_with(b"://"))
        || starts(b"file:")
        || (value.len() > 3 && &value[1..3] == b":\\")
}

/// Whether a value is to be filled in, or is a pattern for others.
fn is_template(value: &[u8]) -> bool {
    /// What is written where something is to be filled in.
    const WORDS: &[&[u8]] = &[
        b"_PLACEHOLDER",
        b"EXAMPLE_",
        b"YOUR_",
        b"your-",
        b"your_",
        b"<your",
    ];

    // What stands in formats, shells, regular expressions and escaped bytes.
    let is_sign = |at: usize| match &value[at..] {
        [b'$', b'{' | b'(', ..]
        | [b'#', b'{', ..]
        | [b'{', b'{' | b'}', ..]
        | [b'%', b's' | b'(', ..]
        | [b'(', b'?', ..]
        | [b'[', b'^', ..]
        | [b'\\', b'w' | b'd' | b'x' | b'"', ..]
        | [b']', b'+' | b'*', ..] => true,
        rest @ [b'_' | b'E' | b'Y' | b'y' | b'<', ..] => {
            WORDS.iter().any(|word| rest.starts_with(word))
        }
        _ => false,
    };
    let within = |open: u8, close: u8| value.first() == Some(&open) && value.last() == Some(&close);
    let is_variable = value.first() == Some(&b'$') && {
        let makeup = Makeup::of(&value[1..]);
        makeup.is_name() && makeup.numbers == 0 && makeup.marks == 0
    };
    is_variable
        || within(b'{', b'}')
        || within(b'[', b']')
        || within(b'<', b'>')
        || (0..value.len()).any(is_sign)
}

impl Makeup {
    fn of(value: &[u8]) -> Self {
        let mut makeup = Self::default();
        let mut last = b' ';
        for (at, byte) in value.iter().enumerate() {
            let byte = *byte;
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => {
                    makeup.letters += 1;
                    makeup.lower += usize::from(byte.is_ascii_lowercase());
                    // `HTTPServer` is `HTTP` and `Server`.
                    let begins = !last.is_ascii_alphabetic()
                        || (last.is_ascii_lowercase() && byte.is_ascii_uppercase())
                        || (last.is_ascii_uppercase()
                            && byte.is_ascii_uppercase()
                            && value.get(at + 1).is_some_and(u8::is_ascii_lowercase));
                    if begins {
                        makeup.words += 1;
                    } else {
                        makeup.pairs += 1;
                        makeup.usual += usize::from(is_usual(last, byte));
                    }
                }
                b'0'..=b'9' => makeup.numbers += usize::from(!last.is_ascii_digit()),
                b'_' | b'-' | b'.' | b'/' | b':' | b'\\' => makeup.joints += 1,
                b' ' | b'\t' => makeup.spaces += 1,
                0x80.. => {
                    // Letters of other alphabets are those of words.
                    makeup.letters += 1;
                    makeup.lower += 1;
                    makeup.words += usize::from(last < 0x80 && !last.is_ascii_alphabetic());
                    makeup.pairs += 1;
                    makeup.usual += 1;
                }
                _ => makeup.marks += 1,
            }
            last = byte;
        }
        makeup
    }

    fn is_name(&self) -> bool {
        self.letters >= 4
            && self.letters >= 3 * self.words
            && self.usual * 10 >= self.pairs * 6
            && self.numbers <= 1 + self.words / 2
            && self.marks <= 1 + self.words
    }
}

fn is_usual(first: u8, second: u8) -> bool {
    let letter = |byte: u8| byte.to_ascii_lowercase() - b'a';
    PAIRS[usize::from(letter(first))] & (1 << letter(second)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_words() {
        for value in [
            "next_token",
            "aws_secret_access_key",
            "TEST_ENCRYPTION_KEY1",
            "self._private_key_pkcs8_pem",
            "node.or2_token",
            "ed25519.Ed25519PrivateKey",
            "oauth2-client-secret",
            "_bindgen_ty_7",
            "crate::__u32",
            "use-credentials",
            "PKCS7PrivateKeyTypes",
            "projects/my-project/secrets/my-secret/versions/2",
            "Enter your password, please",
            "#ff0000 bold underline",
            "{new_password}",
            "(?:[^a-z]|R7kPq2mXw9z)",
        ] {
            assert!(is_name(value.as_bytes()), "{value}");
        }
        for value in [
            "tR7kPq2mXw9z",
            "a8f3k2m9",
            "QmF0dGVyeTEyMw==",
            "2YotnFZFEjr1zCsicMWpAA",
            "f3b1c09a7d",
            "xkqjwzpv",
            "P4ssw0rd!",
        ] {
            assert!(!is_name(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn passwords_of_people_have_a_digit_or_a_mark() {
        for value in ["hunter2hunter2", "Winter2024!", "open$esame", "zqxjkvbw"] {
            assert!(is_password(value.as_bytes()), "{value}");
        }
        for value in [
            "user.password",
            "At least 8 characters",
            "/home/user1/project",
            "password_confirmation",
            "$artifactRegistryMavenSecret",
        ] {
            assert!(!is_password(value.as_bytes()), "{value}");
        }
        for value in ["hunter2hunter2", "Winter2024", "tR7kPq2mXw9z"] {
            assert!(is_bare_password(value.as_bytes()), "{value}");
        }
        for value in [
            "user.password2",
            "PASSWORD1",
            "has_pkcs8",
            "$password",
            "LPCWSTR",
            "args.mysql_password",
        ] {
            assert!(!is_bare_password(value.as_bytes()), "{value}");
        }
    }
}
