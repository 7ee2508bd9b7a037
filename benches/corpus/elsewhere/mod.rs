//! Documents as other people's generators make them: files, requests, logs and talk with several
//! values in each, which stand under the names and in the quotes of their trade.
//!
//! The places of [`labelled`](super::labelled) are single lines made by one hand; here whole documents
//! are written out, of kinds that the engine's rules were not written at. What is labelled is what
//! must not be seen; everything else must stay.

mod code;
mod config;
mod data;
mod talk;

use super::{
    form::fill,
    kind::{Class, Kind, Need},
    random::Random,
};

/// A document with values that must not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it is, such as `terraform`.
    pub name: &'static str,
    /// The text.
    pub text: String,
    /// Where values begin and end, and of which kind and class they are.
    pub spans: Vec<(usize, usize, &'static str, Class)>,
}

/// Every document, `each` times with other values.
pub fn elsewhere(seed: u64, each: usize) -> Vec<Page> {
    let mut random = Random::new(seed);
    let kinds = [Kind::secrets(), Kind::personal()].concat();
    let forms: Vec<&(&str, &str)> = [code::FORMS, config::FORMS, data::FORMS, talk::FORMS]
        .into_iter()
        .flatten()
        .collect();
    let mut pages = Vec::new();
    for _ in 0..each {
        for (name, form) in &forms {
            pages.push(page(name, form, &kinds, &mut random));
        }
    }
    pages
}

/// Fills in a form. `‹kind›` is a value that must not be seen, `‹kind%›` the same as an address writes
/// it, `‹kind\›` as JSON within JSON does, `‹kind&›` as XML does; `~{…}` is filled in and may be seen.
fn page(name: &'static str, form: &str, kinds: &[Kind], random: &mut Random) -> Page {
    let (mut text, mut spans) = (String::new(), Vec::new());
    let mut rest = form;
    while let Some((before, behind)) = rest.split_once('‹') {
        text.push_str(&super::clean::braces(before, random));
        let (slot, behind) = behind.split_once('›').unwrap_or((behind, ""));
        rest = behind;
        let (slot, escape): (&str, fn(&str) -> String) = match slot.strip_suffix(['%', '\\', '&']) {
            None => (slot, str::to_owned),
            Some(bare) if slot.ends_with('%') => (bare, percent),
            Some(bare) if slot.ends_with('&') => (bare, entities),
            Some(bare) => (bare, backslashes),
        };
        let (kind, class, value, secret) = value(slot, kinds, random);
        text.push_str(&escape(&value[..secret.0]));
        let start = text.len();
        text.push_str(&escape(&value[secret.0..secret.1]));
        spans.push((start, text.len(), kind, class));
        text.push_str(&escape(&value[secret.1..]));
    }
    text.push_str(&super::clean::braces(rest, random));
    Page { name, text, spans }
}

type Made = (&'static str, Class, String, (usize, usize));

fn value(slot: &str, kinds: &[Kind], random: &mut Random) -> Made {
    let whole = |name: &'static str, class, text: String| {
        let length = text.len();
        (name, class, text, (0, length))
    };
    match slot {
        // Any secret that is known by its form and stands in a line.
        "token" => loop {
            let kind = kinds[random.below(kinds.len())];
            let value = kind.value(random);
            let odd = |byte: u8| matches!(byte, b'"' | b'\'' | b'\n' | b'\\' | b' ' | b'<' | b'&');
            if kind.class == Class::Structured
                && kind.need == Need::Nothing
                && value.secret == (0, value.text.len())
                && !value.text.bytes().any(odd)
            {
                return (kind.name, kind.class, value.text, value.secret);
            }
        },
        "password" => whole("password", Class::Generic, password(random)),
        "key" => {
            let form = random.pick(&[
                "{a32}", "{h40}", "{h64}", "{s43}", "{b43}=", "{L36}", "{U24}", "{uuid}",
            ]);
            whole("key", Class::Generic, fill(form, random))
        }
        "basic" | "docker-auth" => {
            let pair = format!("ci:{}", password(random));
            whole(
                "basic-credentials",
                Class::Generic,
                super::secrets::base64(pair.as_bytes()),
            )
        }
        "name" => {
            let name = format!("{} {}", random.pick(FIRST), random.pick(LAST));
            whole("name", Class::Personal, name)
        }
        "first" => whole("name", Class::Personal, random.pick(FIRST).to_owned()),
        "last" => whole("name", Class::Personal, random.pick(LAST).to_owned()),
        "mail" => {
            // Addresses are ASCII but for few.
            let plain = |name: &str| name.replace(|letter: char| !letter.is_ascii_alphabetic(), "");
            let first = plain(random.pick(FIRST)).to_lowercase();
            let last = plain(random.pick(LAST)).to_lowercase();
            let host = random.pick(&[
                "gmail.com",
                "outlook.de",
                "corp.acme-pay.io",
                "uni-bonn.de",
                "mail.example-bank.co.uk",
            ]);
            let between = random.pick(&[".", "_", "", "-", "+"]);
            whole(
                "email",
                Class::Personal,
                format!("{first}{between}{last}{}@{host}", random.within(1, 99)),
            )
        }
        "phone" => {
            let form = random.pick(&[
                "+1 (415) 5{d2}-{d4}",
                "+1-212-5{d2}-{d4}",
                "(312) 5{d2}-{d4}",
                "+44 7{d3} {d6}",
                "+49 30 {d8}",
                "+4917{d1}{d7}",
                "+33 6 {d2} {d2} {d2} {d2}",
                "+91 98{d3} {d5}",
                "+55 11 9{d4}-{d4}",
                "+81-90-{d4}-{d4}",
            ]);
            whole("phone", Class::Personal, fill(form, random))
        }
        "birthday" => {
            let form = random.pick(&[
                "19{5|6|7|8|9}{d1}-0{1|3|5|7|9}-1{d1}",
                "0{1|3|5|7|9}/1{d1}/19{5|6|7|8|9}{d1}",
                "1{d1}.0{1|3|5|7|9}.19{5|6|7|8|9}{d1}",
            ]);
            whole("date-of-birth", Class::Personal, fill(form, random))
        }
        name => {
            let kind = kinds.iter().find(|kind| kind.name == name);
            let kind = kind.unwrap_or_else(|| unreachable!("`{name}` is no kind"));
            let value = kind.value(random);
            (kind.name, kind.class, value.text, value.secret)
        }
    }
}

/// What people and their managers choose, and what generators make.
fn password(random: &mut Random) -> String {
    let form = random.pick(&[
        "{Summer|Winter|Spring|Autumn}20{1|2}{d1}{!|!!|#|$}",
        "{Welcome|Changed|Secret|Monday}{d3}{!|@|#}",
        "{p12}",
        "{p16}",
        "{p20}",
        "{a16}",
        "{a24}",
        "{l5}-{l6}-{l4}-{d2}",
        "{tr0ub4dor|p4ssw0rd|dr4gon|m0nkey}{&|_|.}{d3}",
        "{L6}-{L6}-{L6}",
        "{h32}",
    ]);
    let text = fill(form, random);
    // Quotes, and what ends a word where there are none, are another document's affair.
    text.replace(
        [
            '"', '\'', '\\', '<', '>', '`', ' ', ',', ';', '@', '&', '}', ')',
        ],
        "x",
    )
}

fn percent(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|byte| match byte {
            byte if keep(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn backslashes(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('/', "\\/")
        .replace('\n', "\\n")
}

fn entities(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const FIRST: &[&str] = &[
    "James", "Maria", "Wei", "Fatima", "Oliver", "Priya", "Hans", "Chloé", "Mateo", "Aiko",
    "Kwame", "Ingrid", "Dmitri", "Sofia", "Noah", "Zanele", "Lucas", "Emma", "Ahmed", "Björn",
    "Siobhan", "Raj", "Yuki", "Carlos", "Anna", "Liam", "Leila", "Tomasz",
];
const LAST: &[&str] = &[
    "Smith",
    "García",
    "Chen",
    "Hassan",
    "Müller",
    "Patel",
    "O'Brien",
    "Dubois",
    "Rossi",
    "Tanaka",
    "Mensah",
    "Larsen",
    "Ivanov",
    "Nguyen",
    "Johnson",
    "Kowalski",
    "Silva",
    "van-Dyk",
    "Andersson",
    "Kim",
    "Fernández",
    "Okafor",
    "Schneider",
    "Walker",
    "Novak",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_can_be_filled_in_and_its_labels_are_within_it() {
        let pages = elsewhere(3, 2);
        assert!(pages.len() >= 80, "{}", pages.len());
        for page in &pages {
            assert!(!page.text.contains(['‹', '›']), "{}", page.name);
            for (start, end, kind, _) in &page.spans {
                assert!(
                    start < end && page.text.get(*start..*end).is_some(),
                    "{kind} in {}",
                    page.name
                );
            }
        }
        assert_eq!(pages, elsewhere(3, 2));
    }
}
