//! Addresses of electronic mail (RFC 5322 §3.4.1), as people write them.
//!
//! A local part in quotes and one beyond ASCII are not known. What has the form but is something
//! else is left alone: `git@host:path`, a password before a host, a version of a package, a file
//! whose name has an `@`, a unit of systemd.
//!
//! Of the names that are reserved for documentation (RFC 2606, RFC 6761), those under `invalid` and
//! `localhost` are nobody's: what takes an address's place may lie there. An address at
//! `example.com` and the like is left alone only if it is a stock one, such as `user@example.com`,
//! for others stand for people in tests and in what people make up.

use crate::engine::{
    class::{Class, USERINFO, WORD},
    rule::Rule,
    verdict::{Match, Verdict},
    window::{Ahead, LOOK_BACK, Window},
};

/// The longest local part (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// The longest domain, so that both and what is behind them wait no longer than anything else.
const MAX_DOMAIN: usize = 88;
/// The longest top-level domain in use.
const MAX_TOP: usize = 24;

/// What local parts are made of, without what more often joins an address to something else.
pub(crate) const LOCAL: Class = WORD.with(b".+-%");
/// What domains are made of (RFC 1123 §2.1).
const DOMAIN: Class = Class::EMPTY
    .range(b'a', b'z')
    .range(b'A', b'Z')
    .range(b'0', b'9')
    .with(b".-");

/// Looks for an address whose local part begins at `at`.
pub(crate) fn email((index, rule): (usize, &Rule), window: &Window<'_>, at: usize) -> Verdict {
    if !is_start(window, at) {
        return Verdict::No;
    }
    let rest = &window.bytes[at..];
    let local = LOCAL.run(&rest[..rest.len().min(MAX_LOCAL + 1)]);
    match window.ahead(at + local) {
        _ if local > MAX_LOCAL => return Verdict::No,
        Ahead::NotYet => return Verdict::NotYet,
        Ahead::Byte(b'@') => {}
        _ => return Verdict::No,
    }
    let (local, rest) = (&rest[..local], &rest[local + 1..]);
    if local.ends_with(b".") || local.windows(2).any(|pair| pair == b"..") {
        return Verdict::No;
    }
    let from = at + local.len() + 1;
    let run = DOMAIN.run(&rest[..rest.len().min(MAX_DOMAIN + 1)]);
    if run > MAX_DOMAIN {
        return Verdict::No;
    }
    let next = window.ahead(from + run);
    if next == Ahead::NotYet {
        return Verdict::NotYet;
    }
    let Some(length) = domain(&rest[..run], next) else {
        return Verdict::No;
    };
    let (domain, end) = (&rest[..length], from + length);
    // As in `git@host:path` and `host:/path`.
    if window.ahead(end) == Ahead::Byte(b':') {
        match window.ahead(end + 1) {
            Ahead::NotYet => return Verdict::NotYet,
            Ahead::Byte(b'/' | b'~') => return Verdict::No,
            Ahead::Byte(byte) if is_service(local) && WORD.has(byte) => return Verdict::No,
            _ => {}
        }
    }
    if is_nobody(local, domain)
        || is_in_authority(window, at)
        || !rule.validates(&window.bytes[at..end])
    {
        return Verdict::No;
    }
    Verdict::Match(Match {
        start: at,
        end,
        rule: index,
        swallow: None,
    })
}

/// Whether a local part begins here and not before.
pub(crate) fn is_start(window: &Window<'_>, at: usize) -> bool {
    if !matches!(window.ahead(at), Ahead::Byte(byte) if WORD.has(byte)) || !window.is_boundary(at) {
        return false;
    }
    for back in 1..=LOOK_BACK {
        match window.before(at, back) {
            // Two dots end what comes before.
            Some(b'.') if window.before(at, back + 1) == Some(b'.') => return true,
            Some(byte) if WORD.has(byte) => return window.is_boundary(at - back + 1),
            Some(byte) if LOCAL.has(byte) => {}
            _ => return true,
        }
    }
    true
}

/// How much of a run is a domain: at least two labels, of which the last is a top-level domain.
fn domain(run: &[u8], next: Ahead) -> Option<usize> {
    let mut best = None;
    let mut start = 0;
    for label in run.split(|byte| *byte == b'.') {
        if label.is_empty() || label[0] == b'-' {
            break;
        }
        let letters = label.iter().take_while(|byte| byte.is_ascii_alphabetic());
        let letters = letters.count();
        let end = start + letters;
        let goes_on = match run.get(end) {
            Some(byte) => byte.is_ascii_alphanumeric(),
            None => matches!(next, Ahead::Byte(next) if WORD.has(next)),
        };
        let punycode = label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--");
        if start > 0 && punycode {
            best = Some(start + label.len());
        } else if start > 0 && !goes_on && (2..=MAX_TOP).contains(&letters) {
            best = Some(end);
        }
        start += label.len() + 1;
    }
    best.filter(|end| !is_version(&run[..*end]))
}

/// As in `package@1.2.3-beta.rc` and `action@v4.1.x`.
fn is_version(domain: &[u8]) -> bool {
    let number = |label: Option<&[u8]>| {
        label.is_some_and(|label| label.first().is_some_and(u8::is_ascii_digit))
    };
    let mut labels = domain.split(|byte| *byte == b'.');
    let first = labels.next().map(|label| {
        label
            .strip_prefix(b"v")
            .filter(|rest| !rest.is_empty())
            .unwrap_or(label)
    });
    first.is_some_and(|first| first.iter().all(u8::is_ascii_digit)) && number(labels.next())
}

/// Whether this is an account that a service is called by, and not somebody's.
fn is_service(local: &[u8]) -> bool {
    [&b"git"[..], b"hg", b"svn"].contains(&local)
}

/// Whether nobody can be reached there.
fn is_nobody(local: &[u8], domain: &[u8]) -> bool {
    /// What is no top-level domain: reserved names, and the ends of names of files and of units.
    const NO_TOP: &[&str] = &[
        "avif",
        "bak",
        "bmp",
        "cfg",
        "class",
        "conf",
        "cpp",
        "css",
        "csv",
        "deb",
        "device",
        "dll",
        "docx",
        "exe",
        "gif",
        "git",
        "htm",
        "html",
        "ico",
        "internal",
        "invalid",
        "jar",
        "java",
        "jpeg",
        "jpg",
        "js",
        "json",
        "jsx",
        "kt",
        "less",
        "local",
        "localdomain",
        "localhost",
        "lock",
        "log",
        "mjs",
        "mount",
        "mp4",
        "patch",
        "pdf",
        "pid",
        "png",
        "proto",
        "rpm",
        "scope",
        "scss",
        "service",
        "slice",
        "sock",
        "socket",
        "sql",
        "svg",
        "swp",
        "tar",
        "target",
        "tgz",
        "timer",
        "tmp",
        "toml",
        "ts",
        "tsx",
        "txt",
        "vue",
        "wasm",
        "webp",
        "whl",
        "xml",
        "yaml",
        "yml",
    ];
    /// What documentation writes before the `@`.
    const STOCK: &[&str] = &[
        "address",
        "bar",
        "baz",
        "demo",
        "email",
        "example",
        "foo",
        "mail",
        "me",
        "myname",
        "name",
        "sample",
        "someone",
        "test",
        "user",
        "username",
        "you",
        "your",
        "your.email",
        "your.name",
        "your-email",
        "youremail",
        "yourname",
    ];
    let is = |text: &[u8], words: &[&str]| {
        words
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let (top, second) = (
        labels.next().unwrap_or_default(),
        labels.next().unwrap_or_default(),
    );
    let reserved = is(top, &["example", "test"])
        || is(second, &["example"]) && is(top, &["com", "net", "org"]);
    is(top, NO_TOP) || (reserved && is(local, STOCK))
}

/// Whether the place is within the authority of an address, as in `scheme://user:password@host`.
fn is_in_authority(window: &Window<'_>, at: usize) -> bool {
    for back in 1..LOOK_BACK - 1 {
        match window.before(at, back) {
            Some(b'/') => {
                return window.before(at, back + 1) == Some(b'/')
                    && window.before(at, back + 2) == Some(b':');
            }
            // What comes behind these is no authority.
            Some(b'?' | b'#' | b'&') | None => return false,
            Some(byte) if USERINFO.has(byte) => {}
            Some(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found first in a text, at whichever place, and the same for each beginning of it.
    fn found(text: &str) -> Option<&str> {
        let rule = rule();
        let look = |bytes: &[u8], end, at| {
            let window = Window {
                bytes,
                floor: 0,
                after_match: false,
                end,
            };
            if window.is_escaped(at) {
                return Verdict::No; // As the engine does.
            }
            email((0, &rule), &window, at)
        };
        let all = text.as_bytes();
        (0..text.len()).find_map(|at| {
            let whole = look(all, true, at);
            for cut in at + 1..text.len() {
                match (look(&all[..cut], false, at), whole) {
                    (Verdict::NotYet, _) | (Verdict::No, Verdict::No) => {}
                    (Verdict::Match(part), Verdict::Match(whole)) if part.end == whole.end => {}
                    _ => panic!("{text} at {at} cut at {cut}"),
                }
            }
            match whole {
                Verdict::Match(found) => Some(&text[found.start..found.end]),
                _ => None,
            }
        })
    }

    fn rule() -> Rule {
        crate::rules::one(
            "[[rule]]\nid = \"email\"\ndescription = \"d\"\nsource = \"s\"\nshape = \"email\"\n\
             positive = [\"x\"]\nnegative = [\"x\"]",
        )
    }

    #[test]
    fn addresses_are_found_as_people_write_them() {
        for (text, expected) in [
            ("Mail jane.doe@acme.io.", "jane.doe@acme.io"),
            ("<jane_d+x@mail.acme.co.uk>", "jane_d+x@mail.acme.co.uk"),
            ("mailto:j@acme.com?subject=x", "j@acme.com"),
            (r"\njane@acme.de\n", "jane@acme.de"),
            ("a, jane@acme.com-x", "jane@acme.com"),
            ("...jane@acme.com...", "jane@acme.com"),
            ("see..jane@acme.com", "jane@acme.com"),
            ("https://acme.com?mail=jane@acme.com", "jane@acme.com"),
            ("jane.doe@example.com", "jane.doe@example.com"),
            ("1234567@163.com", "1234567@163.com"),
            ("jane@xn--bcher-kva.xn--p1ai", "jane@xn--bcher-kva.xn--p1ai"),
            ("邮箱jane@acme.cn。", "jane@acme.cn"),
            ("jane@acme.com: hello", "jane@acme.com"),
            ("x='jane@acme.com'", "jane@acme.com"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_only_has_an_at_sign_is_no_address() {
        for text in [
            "git@github.com:org/repo.git",
            "deploy@host.acme.com:/srv",
            "postgres://user:secret@db.acme.com/x",
            "https://jane@acme.com/x",
            "pkg@1.2.3-beta.rc",
            "action@v4.1.x",
            "icon@2x.png",
            "getty@tty1.service",
            "user@host",
            "@app.route",
            "user@example.com",
            "you@corp.example",
            "x1@mail.invalid",
            "jane.@acme.com",
            "jane@-acme.com",
            "jane@acme.c",
            "jane@acme.com2",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        let long = format!("{}@acme.com", "a.".repeat(40) + "b");
        assert_eq!(found(&long), None);
    }
}
