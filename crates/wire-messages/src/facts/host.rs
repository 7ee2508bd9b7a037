//! The host that a URL names, if every reader of URLs agrees on it.

/// The host of an `http` or `https` URL in lower case, without port and trailing dot.
///
/// `None` for everything that parsers are known to read in different ways: user names before an
/// `@`, backslashes, escapes, anything outside ASCII, an empty host.
pub(super) fn of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&authority[..address.len() + 2], port)
        }
        None => {
            let colon = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(colon);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (Some(host).filter(|host| host.bytes().all(plain))?, port)
        }
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(digits) {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let odd = host.is_empty() || host.starts_with('.') || host.contains("..");
    (!odd
        && url
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\'))
    .then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_host_is_found_or_refused() {
        for (url, host) in [
            ("https://mcp.example.com/sse", Some("mcp.example.com")),
            ("HTTPS://MCP.Example.COM.:8443?x=1", Some("mcp.example.com")),
            ("http://127.0.0.1:9000", Some("127.0.0.1")),
            ("https://[::1]:8443/x", Some("[::1]")),
            ("https://a_b-c.d#f", Some("a_b-c.d")),
            ("https://good.example@evil.example/", None),
            ("https://good.example\\@evil.example/", None),
            ("https://evil.example\\.good.example/", None),
            ("https://good.example%2eevil.example/", None),
            ("https://b\u{fc}cher.example/", None),
            ("https://good.example/\u{202e}", None),
            ("https://good.example/ x", None),
            (" https://good.example/", None),
            ("https:///x", None),
            ("https://.", None),
            ("https://a..b", None),
            ("https:good.example", None),
            ("https:/good.example", None),
            ("//good.example", None),
            ("https://good.example:80a/", None),
            ("https://[::1/", None),
            ("https://[::1]x/", None),
            ("https://[good.example]/", None),
            ("file:///etc/passwd", None),
            ("wss://good.example", None),
            ("", None),
        ] {
            assert_eq!(of(url).as_deref(), host, "{url:?}");
        }
    }
}
