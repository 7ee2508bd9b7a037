//! Addresses that messages may be sent to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::error::Fault;

/// How far a channel reaches beyond the public network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    /// To this machine, without TLS if need be.
    pub(super) loopback: bool,
    /// To private networks.
    pub(super) private: bool,
}

/// Where an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Public,
    Private,
    Loopback,
    /// The local link and its metadata services, groups, and what is nowhere.
    Never,
}

impl Reach {
    /// The address, if a message may be sent there as far as can be told before names are resolved.
    pub(super) fn judge(self, address: &str) -> Result<Url, Fault> {
        let url = Url::parse(address).map_err(|_| Fault::Address)?;
        let literal = literal(&url);
        let home = match literal {
            Some(address) => place(address) == Place::Loopback,
            None => url.host_str().is_some_and(is_localhost),
        };
        match url.scheme() {
            "https" => {}
            "http" if home && self.loopback => {}
            _ => return Err(Fault::Address),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(Fault::AddressParts);
        }
        if home && !self.loopback || literal.is_some_and(|address| !self.admits(address, home)) {
            return Err(Fault::Forbidden);
        }
        Ok(url)
    }

    /// Whether `address` may be connected to, found under a name of this machine (`home`) or of
    /// another.
    fn admits(self, address: IpAddr, home: bool) -> bool {
        match place(address) {
            // A name of the network that leads here is somebody's trick.
            Place::Loopback => home && self.loopback,
            Place::Public => !home,
            Place::Private => !home && self.private,
            Place::Never => false,
        }
    }

    fn admitted(self, name: &str, found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let home = is_localhost(name);
        found
            .filter(|address| self.admits(address.ip(), home))
            .collect()
    }
}

/// The system's resolver, with forbidden addresses left out of its answers. The client connects to
/// what this returns, so a name cannot change its mind after it was judged.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted = reach.admitted(name.as_str(), found);
            if admitted.is_empty() {
                return Err(Fault::Forbidden.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// `localhost` and what is below it never leave the machine (RFC 6761 §6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.parse().ok()
}

fn place(address: IpAddr) -> Place {
    match address.to_canonical() {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

/// After the registry of special-purpose addresses (RFC 6890 and IANA).
fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (127, ..) => Place::Loopback,
        // Metadata services outside the local link: Azure, Alibaba, Oracle.
        (168, 63, 129, 16) | (100, 100, 100, 200) | (192, 0, 0, 192) => Place::Never,
        (0, ..) | (169, 254, ..) | (224..=255, ..) => Place::Never,
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) | (100, 64..=127, ..) => Place::Private,
        // Benchmarks, protocol assignments, documentation: nobody's.
        (198, 18..=19, ..) | (192, 0, 0 | 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => {
            Place::Private
        }
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        // What is reached through a translator is no more ours than when it is reached at home.
        match place_v4(Ipv4Addr::new(a, b, c, d)) {
            Place::Loopback => Place::Never,
            place => place,
        }
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Loopback,
        // Unspecified, and IPv4 addresses in a form that is long gone.
        [0, 0, 0, 0, 0, 0, ..] => Place::Never,
        // The metadata service of AWS.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Place::Never,
        // NAT64 (RFC 6052), 6to4 (RFC 3056): an IPv4 address in disguise.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // NAT64 for local use (RFC 8215), Teredo, ORCHID, documentation, discard.
        [0x64, 0xff9b, 1, ..]
        | [0x2001, 0..=0x1ff, ..]
        | [0x2001, 0xdb8, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x3fff, 0..=0xfff, ..] => Place::Never,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Place::Private,
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Place::Never,
        _ => Place::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Reach = Reach {
        loopback: false,
        private: false,
    };
    const ALL: Reach = Reach {
        loopback: true,
        private: true,
    };

    #[test]
    fn public_addresses_may_be_sent_to() {
        for url in [
            "https://hooks.example/a?b=c",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://hooks.example:8443/",
        ] {
            assert!(NONE.judge(url).is_ok(), "{url}");
        }
        for url in [
            "https://10.1.2.3/",
            "https://[fd12::1]/",
            "https://172.31.0.1/",
        ] {
            assert!(NONE.judge(url).is_err(), "{url}");
            assert!(ALL.judge(url).is_ok(), "{url}");
        }
        for url in [
            "http://127.0.0.1:8/",
            "https://localhost/",
            "http://[::1]/",
            "http://a.localhost/",
        ] {
            assert!(NONE.judge(url).is_err(), "{url}");
            assert!(ALL.judge(url).is_ok(), "{url}");
        }
    }

    /// However they are spelt.
    #[test]
    fn other_addresses_may_not_whatever_is_allowed() {
        for url in [
            "",
            "hooks.example",
            "//hooks.example/",
            "http://hooks.example/",
            "http://10.1.2.3/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "https://user@hooks.example/",
            "https://user:word@hooks.example/",
            "https://hooks.example/#a",
            "https://169.254.169.254/latest/meta-data/",
            "https://0xa9fea9fe/",
            "https://0xa9.0xfe.0xa9.0xfe/",
            "https://0251.0376.0251.0376/",
            "https://2852039166/",
            "https://169.254.43518/",
            "https://①⑥⑨.254.169.254/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[::169.254.169.254]/",
            "https://[64:ff9b::169.254.169.254]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[64:ff9b:1::1]/",
            "https://[2002:a9fe:a9fe::1]/",
            "https://[2002:7f00:1::1]/",
            "https://[2001::1]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://[ff02::1]/",
            "https://[::]/",
            "https://0/",
            "https://0.0.0.0/",
            "https://0.1.2.3/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://240.0.0.1/",
            "https://168.63.129.16/",
            "https://100.100.100.200/",
            "https://192.0.0.192/",
        ] {
            assert!(ALL.judge(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_name_is_judged_by_what_it_leads_to() {
        let found = |reach: Reach, name: &str, addresses: &[&str]| -> Vec<String> {
            let found = addresses
                .iter()
                .map(|address| (address.parse::<IpAddr>().unwrap(), 0).into());
            let admitted = reach.admitted(name, found);
            admitted
                .iter()
                .map(|address| address.ip().to_string())
                .collect()
        };
        let mixed = [
            "8.8.8.8",
            "127.0.0.1",
            "169.254.169.254",
            "10.0.0.1",
            "::1",
            "::ffff:10.0.0.1",
        ];
        assert_eq!(found(NONE, "a.example", &mixed), ["8.8.8.8"]);
        assert_eq!(
            found(ALL, "a.example", &mixed),
            ["8.8.8.8", "10.0.0.1", "::ffff:10.0.0.1"]
        );
        assert_eq!(found(ALL, "LocalHost.", &mixed), ["127.0.0.1", "::1"]);
        assert_eq!(found(NONE, "localhost", &mixed), [""; 0]);
    }

    #[tokio::test]
    async fn nothing_is_resolved_to_what_is_forbidden() {
        for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "10.0.0.1"] {
            let error = NONE.resolve(address.parse().unwrap()).await.err().unwrap();
            assert_eq!(error.to_string(), Fault::Forbidden.to_string());
        }
        assert!(NONE.resolve("8.8.8.8".parse().unwrap()).await.is_ok());
        let mut home = ALL.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(home.all(|address| address.ip().is_loopback()));
    }
}
