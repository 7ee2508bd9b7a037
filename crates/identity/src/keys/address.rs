//! Addresses that may be asked for keys.

use std::net::IpAddr;

use reqwest::Url;

/// The address, if it may be fetched: `https`, or `http` to this machine.
pub(crate) fn fetchable(url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(url).map_err(|_| "is not a URL")?;
    let secure = match url.scheme() {
        "https" => true,
        "http" => is_loopback(&url),
        _ => false,
    };
    if !secure {
        return Err("must be https, or http on a loopback address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a credential");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment");
    }
    if literal(&url).is_some_and(|address| !is_loopback(&url) && is_forbidden(address)) {
        return Err("is an address that no issuer has");
    }
    Ok(url)
}

/// Whether the address says of itself that it is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    literal(url).map_or_else(
        || url.host_str().is_some_and(is_localhost),
        |address| address.is_loopback(),
    )
}

/// `localhost` and what is below it never leave the machine (RFC 6761 §6.3).
pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

/// Addresses that a name on the network has no business to resolve to: this machine, and the local
/// link with its instance-metadata services. Private networks are allowed; issuers live there.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.octets()[0] == 0
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                // The metadata service of AWS on IPv6.
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_at_home_may_be_fetched() {
        for url in [
            "https://issuer.example/a/b",
            "https://10.1.2.3/",
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:1",
            "http://issuer.localhost/x",
            "http://0x7f.1/",
        ] {
            assert!(fetchable(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn other_addresses_may_not() {
        for url in [
            "issuer.example",
            "http://issuer.example",
            "http://10.1.2.3/",
            "http://localhost.example/",
            "http://notlocalhost/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "https://user:word@issuer.example",
            "https://issuer.example/#keys",
            "https://169.254.169.254/",
            "https://0xa9fea9fe/",
            "https://2852039166/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://0.1.2.3/",
            "https://[::]/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
        ] {
            assert!(fetchable(url).is_err(), "{url}");
        }
    }
}
