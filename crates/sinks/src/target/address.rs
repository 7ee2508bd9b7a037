//! Addresses that records may be sent to.

use std::{fmt, fs, net::IpAddr, path::PathBuf};

use reqwest::Url;

use crate::{Error, ErrorKind};

/// Whom to trust on the way to an address.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// A file of certificate authorities to trust, as PEM: besides those of the operating system, or
    /// for NATS instead of them.
    pub ca_file: Option<PathBuf>,
    /// Whether records may be sent without TLS to another machine.
    pub plain: bool,
}

impl Trust {
    pub(super) fn pem(&self) -> Result<Option<Vec<u8>>, Error> {
        let why = ErrorKind::Target("the file of CA certificates cannot be read");
        let read = self.ca_file.as_ref().map(fs::read).transpose();
        read.map_err(|error| Error::because(why, error))
    }
}

/// An address that records may be sent to: with TLS, but on this machine or where somebody said so.
///
/// The operator's own network is where collectors and stores are, so any host will do; but no
/// redirect is followed to another one. Its `Debug` prints the host only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(Url);

impl Address {
    /// Reads an address with one of these schemes: the one that says TLS, and the one that does not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Target`]. The error does not quote the address.
    pub(crate) fn parse(text: &str, schemes: [&str; 2], trust: &Trust) -> Result<Self, Error> {
        let wrong = |why| Error::from(ErrorKind::Target(why));
        let url = Url::parse(text).map_err(|_| wrong("the address is no absolute URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "the address holds a user name, a password or a fragment; credentials have keys of \
                 their own",
            ));
        }
        let [secure, plain] = schemes;
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(wrong("the address has no host"));
        };
        match url.scheme() {
            scheme if scheme == secure => Ok(Self(url)),
            scheme if scheme == plain && (trust.plain || is_here(host)) => Ok(Self(url)),
            scheme if scheme == plain => Err(wrong(
                "the address is on another machine and has no TLS; `plain = true` sends records \
                 in the clear",
            )),
            _ => Err(wrong(
                "the address has another scheme than this kind of sink takes",
            )),
        }
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// Whether records go over the wire in the clear, when this is the scheme that says TLS.
    pub(crate) fn is_plain(&self, secure: &str) -> bool {
        self.0.scheme() != secure
    }
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // It never leaves the machine (RFC 6761 §6.3).
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of some addresses is a secret.
        write!(f, "Address({:?})", self.0.host_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_leave_the_machine_with_tls_unless_somebody_says_otherwise() {
        let parse = |text: &str, plain: bool| {
            let trust = Trust {
                plain,
                ..Trust::default()
            };
            Address::parse(text, ["https", "http"], &trust)
        };
        for here in [
            "https://collector.example/v1",
            "http://localhost:4318",
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
        ] {
            assert!(parse(here, false).is_ok(), "{here}");
        }
        for there in ["http://collector.example/", "http://10.0.0.1:9000/"] {
            assert!(parse(there, false).is_err(), "{there}");
            assert!(parse(there, true).is_ok(), "{there}");
        }
        for never in [
            "",
            "collector.example",
            "ftp://localhost/",
            "https://me@collector.example/",
            "https://me:canary@collector.example/",
            "https://collector.example/#a",
        ] {
            let error = parse(never, true).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
        let shown = format!("{:?}", parse("https://hooks.example/canary", true).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
