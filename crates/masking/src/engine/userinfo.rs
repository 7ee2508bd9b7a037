//! Passwords in addresses: `scheme://user:password@host` (RFC 3986 §3.2.1).

use crate::engine::{
    class::USERINFO,
    rule::{CAP, Rule},
    verdict::{Match, Verdict},
    window::{Ahead, Window},
};

/// The longest user name.
const MAX_USER: usize = 48;

/// Looks for a password behind the colon at `at`.
pub(crate) fn userinfo((index, rule): (usize, &Rule), window: &Window<'_>, at: usize) -> Verdict {
    if matches!(window.ahead(at + 1), Ahead::Byte(next) if !USERINFO.has(next)) {
        return Verdict::No;
    }
    if !is_behind_user(window, at) {
        return Verdict::No;
    }
    let start = at + 1;
    let rest = &window.bytes[start..];
    let run = USERINFO.run(&rest[..rest.len().min(CAP)]);
    match window.ahead(start + run) {
        Ahead::NotYet if run < CAP => Verdict::NotYet,
        Ahead::NotYet => Verdict::No,
        Ahead::Byte(b'@') if run >= rule.min && rule.judges(&rest[..run]) => {
            Verdict::Match(Match {
                start,
                end: start + run,
                rule: index,
                swallow: None,
            })
        }
        _ => Verdict::No,
    }
}

fn is_behind_user(window: &Window<'_>, at: usize) -> bool {
    for back in 1..=MAX_USER {
        match window.before(at, back) {
            Some(b'/') => {
                return window.before(at, back + 1) == Some(b'/')
                    && window.before(at, back + 2) == Some(b':')
                    && window
                        .before(at, back + 3)
                        .is_some_and(|byte| byte.is_ascii_alphanumeric());
            }
            Some(b':') => return false,
            Some(byte) if USERINFO.has(byte) => {}
            _ => return false,
        }
    }
    false
}
