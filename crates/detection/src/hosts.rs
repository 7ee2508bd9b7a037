//! Names of hosts.

use std::{collections::BTreeSet, ops::Range};

use crate::engine::Candidate;

/// No host's name is longer (RFC 1035, 2.3.4), in bytes.
const MAX_NAME: usize = 253;

/// The hosts that an operator knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(BTreeSet<String>);

impl Known {
    pub(crate) fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().map(|host| normal(&host)).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether the host is in the list, or ends with an entry that begins with a dot.
    pub(crate) fn has(&self, host: &str) -> bool {
        let host = normal(host);
        self.0.contains(&host)
            || host
                .match_indices('.')
                .any(|(at, _)| at > 0 && self.0.contains(&host[at..]))
    }
}

/// The whole name, where a literal is the end of one.
pub(crate) fn span(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let Range { start, end } = candidate.literal;
    let text = candidate.text;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let goes_on = match text.get(end..).unwrap_or_default() {
        [b'.', next, ..] => is_part(next),
        [next, ..] => is_part(next),
        [] => false,
    };
    let before = &text[start.saturating_sub(MAX_NAME)..start];
    let name = before
        .iter()
        .rev()
        .take_while(|byte| is_part(byte) || **byte == b'.')
        .count();
    let is_suffix = if text.get(start) == Some(&b'.') {
        before.last().is_some_and(is_part)
    } else {
        before.last().is_none_or(|last| !is_part(last))
    };
    (is_suffix && !goes_on).then(|| start - name..end)
}

/// A host without port, brackets, the last dot and the case of its letters.
fn normal(host: &str) -> String {
    let host = host.trim();
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((inner, _)) => inner,
        None => match host.rsplit_once(':') {
            Some((name, port))
                if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                name
            }
            _ => host,
        },
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_are_known_however_they_are_written() {
        let known = Known::new(["mcp.example.com".to_owned(), ".acme.internal".to_owned()]);
        for host in [
            "mcp.example.com",
            "MCP.example.com.",
            "mcp.example.com:8443",
            "a.acme.internal",
            "a.b.acme.internal:80",
        ] {
            assert!(known.has(host), "{host}");
        }
        for host in [
            "example.com",
            "evil-mcp.example.com",
            "mcp.example.com.evil.org",
            "acme.internal",
            "xacme.internal",
            "",
            "[::1]:80",
        ] {
            assert!(!known.has(host), "{host}");
        }
        assert!(Known::new(["::1".to_owned()]).has("[::1]:80"));
    }
}
