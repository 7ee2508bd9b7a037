//! What connections of databases need.

use std::{fs, sync::Arc};

use tollbook_proxy::{CommandCredential, Program};
use tollbook_relay::postgres::{
    ALPN, Door, Password, ProvidePassword, Server, SignIn, Upstream, UpstreamTls,
};
use zeroize::Zeroizing;

use super::build::Builder;
use crate::{
    config::{ClientTls, Config, ConnectionConfig, PostgresConfig, ProtocolConfig, SecretSource},
    sessions::{PostgresPlan, PrintedPassword},
    tls::Tls,
};

impl Builder<'_> {
    /// Each listener has an address of its own.
    pub(super) fn check_listeners(&mut self, config: &Config) {
        let mut taken = vec![config.gateway.listen, config.gateway.admin];
        for connection in &config.connections {
            let ProtocolConfig::Postgres(own) = &connection.protocol else {
                continue;
            };
            let Some(listen) = own.listen.filter(|address| address.port() != 0) else {
                continue;
            };
            if taken.contains(&listen) {
                let message = format!("connection `{}`: {listen} is taken", connection.name);
                self.wrong(Some(connection.line), message);
            }
            taken.push(listen);
        }
    }

    /// What a connection of PostgreSQL needs; `tls` is the gateway's own, if it
    /// has one that could be loaded.
    pub(super) fn postgres(
        &mut self,
        connection: &ConnectionConfig,
        config: &PostgresConfig,
        has_tls: bool,
        tls: Option<&Tls>,
    ) -> Option<PostgresPlan> {
        let mut faults = Vec::new();
        let door = door(config, has_tls, tls).map_err(|why| faults.push(why));
        let password = self.password(config).map_err(|why| faults.push(why));
        let upstream_tls = self.upstream_tls(connection, config);
        let upstream_tls = upstream_tls.map_err(|why| faults.push(why));
        // What is wrong with the address was told.
        let built = match (door, password, upstream_tls) {
            (Ok(door), Ok(password), Ok(tls)) if !config.host.is_empty() => {
                let server = Server {
                    host: config.host.clone(),
                    port: config.port,
                    user: config.user.clone(),
                    database: config.database.clone(),
                    tls,
                    password,
                    patience: config.connect_timeout,
                };
                let upstream = Upstream::new(server).map_err(|why| faults.push(why.to_string()));
                upstream.ok().map(|upstream| PostgresPlan {
                    config: config.clone(),
                    upstream,
                    door,
                })
            }
            _ => None,
        };
        for fault in &faults {
            let message = format!("connection `{}`: {fault}", connection.name);
            self.wrong(Some(connection.line), message);
        }
        built.filter(|plan| faults.is_empty() && plan.config.listen.is_some())
    }

    fn password(
        &mut self,
        config: &PostgresConfig,
    ) -> Result<Option<Arc<dyn ProvidePassword>>, String> {
        let told = |error: tollbook_proxy::BuildError| error.to_string();
        match &config.credential {
            None => Ok(None),
            Some(SecretSource::Command(command)) => {
                let program = Program::new(command).map_err(told)?;
                let ttl = config.credential_ttl.unwrap_or(CommandCredential::TTL);
                // It never goes into a header; a password of one word can.
                let source = CommandCredential::new("authorization", "", program, ttl);
                Ok(Some(Arc::new(PrintedPassword::new(source.map_err(told)?))))
            }
            Some(source) => {
                let password = self.secret(source)?;
                Ok(Some(Arc::new(Password::new(&**password))))
            }
        }
    }

    fn upstream_tls(
        &mut self,
        connection: &ConnectionConfig,
        config: &PostgresConfig,
    ) -> Result<Option<UpstreamTls>, String> {
        if !config.upstream_tls {
            return match connection.ca_file {
                Some(_) => Err("`ca_file` is for an upstream with TLS: \
                                `upstream` needs `sslmode=verify-full`"
                    .to_owned()),
                None => Ok(None),
            };
        }
        let read = |key: &str, path: &std::path::Path| {
            let read = fs::read(path).map(Zeroizing::new);
            read.map_err(|error| format!("{key} {} cannot be read: {error}", path.display()))
        };
        let authorities = (connection.ca_file.as_deref()).map(|path| read("ca_file", path));
        let authorities = authorities.transpose()?;
        let certificate = match &config.certificate {
            Some((cert, key)) => Some((read("cert", &cert.value)?, read("key", &key.value)?)),
            None => None,
        };
        let certificate = certificate.as_ref().map(|(cert, key)| (&***cert, &***key));
        let tls = UpstreamTls::verified(authorities.as_deref().map(|pem| &**pem), certificate);
        tls.map(Some).map_err(|error| error.to_string())
    }
}

/// How clients come in. Where `tls` is told and could not be loaded, that is the mistake.
fn door(config: &PostgresConfig, is_told: bool, tls: Option<&Tls>) -> Result<Door, String> {
    let wanted = config.tls.unwrap_or(match config.is_local() {
        true => ClientTls::Optional,
        false => ClientTls::Required,
    });
    if wanted == ClientTls::Required && !is_told {
        return Err(
            "TLS needs the certificate of [gateway.tls]; without it say `tls = \"off\"`".to_owned(),
        );
    }
    let sign_in = match &config.oauth {
        Some(oauth) => SignIn::OAuth {
            issuer: oauth.issuer.clone(),
            scope: oauth.scope.clone(),
        },
        None => SignIn::Password,
    };
    let tls = tls.filter(|_| wanted != ClientTls::Off);
    Ok(Door {
        tls: tls.map(|tls| tls.speaking(ALPN)),
        plain: wanted != ClientTls::Required,
        sign_in,
    })
}
