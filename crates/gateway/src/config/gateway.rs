//! `[gateway]`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{document::Section, mistake::Located};

/// Where the gateway listens and keeps its book.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The data plane: connections are mounted at `/<connection name>/`.
    pub listen: SocketAddr,
    /// Health of the gateway, and the admin API.
    pub admin: SocketAddr,
    /// The folder of the book.
    pub data: PathBuf,
    /// The name of the book's log: a host name and path without a scheme, unique in the world.
    pub name: String,
    /// How long open exchanges may go on after the gateway was told to stop.
    pub drain: Duration,
    /// The certificate of the data plane; without one it speaks plain HTTP.
    pub tls: Option<TlsConfig>,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The chain, the server's own certificate first.
    pub cert: Located<PathBuf>,
    /// The private key.
    pub key: Located<PathBuf>,
    /// The authorities that sign the certificates of clients, PEM; without them clients show none.
    pub client_ca: Option<Located<PathBuf>>,
    /// Whether every client must show a certificate.
    pub client_required: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            data: PathBuf::from("tollbook-data"),
            name: "localhost/tollbook".to_owned(),
            drain: Duration::from_secs(30),
            tls: None,
        }
    }
}

impl GatewayConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path) -> Self {
        let mut config = Self::default();
        if let Some(listen) = address(&section, "listen") {
            config.listen = listen;
        }
        if let Some(admin) = address(&section, "admin") {
            config.admin = admin;
        }
        if config.listen == config.admin && config.listen.port() != 0 {
            section.wrong("`listen` and `admin` are the same address; they must differ");
        }
        let data = section
            .text("data")
            .map_or(config.data, |data| data.value.into());
        config.data = folder.join(data);
        if let Some(name) = section.text("name") {
            // C2SP signed-note: a key name holds no white space and no plus sign.
            if name.value.is_empty() || name.value.contains(|c: char| c.is_whitespace() || c == '+')
            {
                name.wrong(
                    section.notes(),
                    "`name` must not be empty or hold white space or `+`",
                );
            }
            config.name = name.value;
        }
        if let Some(drain) = section.duration("drain") {
            config.drain = drain;
        }
        if section.has("tls") {
            let tls = section.table("tls");
            let client_ca = tls.text("client_ca");
            let client_required =
                tls.word("client_certificates", &["optional", "required"]) == Some("required");
            if client_ca.is_none() && tls.has("client_certificates") {
                tls.wrong("`client_certificates` needs the authorities in `client_ca`");
            }
            if let (Some(cert), Some(key)) = (tls.required("cert"), tls.required("key")) {
                config.tls = Some(TlsConfig {
                    cert: cert.located(section.notes(), |cert| folder.join(cert)),
                    key: key.located(section.notes(), |key| folder.join(key)),
                    client_ca: client_ca
                        .map(|file| file.located(section.notes(), |file| folder.join(file))),
                    client_required,
                });
            }
            tls.finish();
        } else {
            section.table("tls");
        }
        section.finish();
        config
    }
}

pub(super) fn address(section: &Section<'_>, key: &'static str) -> Option<SocketAddr> {
    let text = section.text(key)?;
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        text.wrong(
            section.notes(),
            format!("`{key}` is no address; write `\"127.0.0.1:8080\"`"),
        );
    }
    parsed
}
