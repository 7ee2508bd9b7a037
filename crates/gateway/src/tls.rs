//! The certificate of the data plane, and those of its clients.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tollbook_identity::PeerCertificate;
use tower_service::Service;
use zeroize::Zeroizing;

use crate::config::{Located, Mistake, TlsConfig};

/// A certificate chain that was loaded together with its key.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    /// Loads the files; every fault stands at the line that names the file.
    ///
    /// Where there are authorities for clients, a certificate that none of them signed ends the
    /// handshake, whether certificates are required or not. Lists of revoked ones are not looked
    /// at: what a client may do is bound to tokens, which can be revoked.
    pub(crate) fn load(config: &TlsConfig) -> Result<Self, Vec<Mistake>> {
        let (chain, key) = match (chain(&config.cert.value), key(&config.key.value)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                let faults = [
                    chain.err().map(|why| fault("cert", &config.cert, &why)),
                    key.err().map(|why| fault("key", &config.key, &why)),
                ];
                return Err(faults.into_iter().flatten().collect());
            }
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // The key first, and alone: what is wrong after that is wrong with the certificate, or
        // with the two of them together.
        let signing = provider
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|error| {
                vec![fault(
                    "key",
                    &config.key,
                    &format!("cannot be used: {error}"),
                )]
            })?;
        // Not every key can be compared; where it cannot, rustls decides below.
        let pair = CertifiedKey::new(chain.clone(), signing);
        if let Err(rustls::Error::InconsistentKeys(_)) = pair.keys_match() {
            let why = "is not the key of the certificate";
            return Err(vec![fault("key", &config.key, why)]);
        }
        let unusable = |error: rustls::Error| {
            vec![fault(
                "cert",
                &config.cert,
                &format!("cannot be used: {error}"),
            )]
        };
        let clients = match &config.client_ca {
            Some(file) => clients(&file.value, config.client_required, &provider)
                .map(Some)
                .map_err(|why| vec![fault("client_ca", file, &why)])?,
            None => None,
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match clients.clone() {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut tls = builder.with_single_cert(chain, key).map_err(unusable)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if clients.is_some() {
            // A session that is resumed brings its certificate along and nobody looks at it again,
            // although it may have ended in the meantime.
            tls.session_storage = Arc::new(NoServerSessionStorage {});
            tls.send_tls13_tickets = 0;
        }
        Ok(Self(TlsAcceptor::from(Arc::new(tls))))
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }

    /// The same for another protocol than HTTP.
    pub(crate) fn speaking(&self, protocol: &[u8]) -> TlsAcceptor {
        let mut config = ServerConfig::clone(self.0.config());
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The client's own certificate, the first of the chain it showed, once the handshake has proved
/// that it holds the key (RFC 8705 §3.1).
pub(crate) fn peer(connection: &ServerConnection) -> Option<PeerCertificate> {
    let leaf = connection.peer_certificates()?.first()?;
    Some(PeerCertificate(Sha256::digest(leaf).into()))
}

/// Puts the certificate of a connection's client into each request that comes over it.
#[derive(Clone, Debug)]
pub(crate) struct WithPeer<S> {
    pub(crate) service: S,
    pub(crate) peer: Option<PeerCertificate>,
}

impl<S, B> Service<Request<B>> for WithPeer<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        self.service.call(request)
    }
}

fn fault(key: &str, file: &Located<PathBuf>, why: &str) -> Mistake {
    Mistake {
        line: file.line,
        message: format!("`{key}`: file {} {why}", file.value.display()),
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(chain)
}

/// Takes certificates for clients that one of the authorities in the file signed.
fn clients(
    file: &Path,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut authorities = RootCertStore::empty();
    for authority in chain(file)? {
        authorities
            .add(authority)
            .map_err(|error| format!("holds a certificate that is no authority's: {error}"))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider));
    let verifier = match required {
        true => verifier,
        false => verifier.allow_unauthenticated(),
    };
    verifier
        .build()
        .map_err(|error| format!("cannot be used: {error}"))
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    // What was read goes with the buffer that held it.
    let pem = Zeroizing::new(pem);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| "holds no private key in PEM".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Both texts as files in `folder`, named at lines 3 and 4.
    pub(crate) fn written(folder: &Path, cert: &str, key: &str) -> TlsConfig {
        let file = |line, name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            Located {
                line: Some(line),
                value: path,
            }
        };
        TlsConfig {
            cert: file(3, "cert.pem", cert),
            key: file(4, "key.pem", key),
            client_ca: None,
            client_required: false,
        }
    }

    /// An authority, and a certificate with its key that it signed for a client.
    pub(crate) fn client_of_an_authority() -> (String, rcgen::Certificate, rcgen::KeyPair) {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_cert = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut client = rcgen::CertificateParams::new(Vec::new()).unwrap();
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let client = client.signed_by(&key, &issuer).unwrap();
        (authority_cert.pem(), client, key)
    }

    #[test]
    fn authorities_that_cannot_be_used_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut config = written(
            folder.path(),
            &own.cert.pem(),
            &own.signing_key.serialize_pem(),
        );
        let (authority, _, _) = client_of_an_authority();
        for (text, usable) in [
            (&*authority, true),
            ("", false),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                false,
            ),
        ] {
            let file = folder.path().join("ca.pem");
            fs::write(&file, text).unwrap();
            config.client_ca = Some(Located {
                line: Some(5),
                value: file,
            });
            match Tls::load(&config) {
                Ok(_) => assert!(usable, "{text}"),
                Err(faults) => {
                    assert!(!usable && faults.len() == 1, "{faults:?}");
                    let told = faults[0].to_string();
                    assert!(told.starts_with("line 5: `client_ca`: file "), "{told}");
                }
            }
        }
    }

    #[test]
    fn each_fault_stands_at_the_file_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (own, other) = (pair(), pair());
        let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let other = other.signing_key.serialize_pem();
        let faults = |cert: &str, key: &str| -> Vec<String> {
            match Tls::load(&written(folder.path(), cert, key)) {
                Ok(_) => Vec::new(),
                Err(all) => all.iter().map(Mistake::to_string).collect(),
            }
        };
        assert_eq!(faults(&cert, &key), [""; 0]);
        for (cert, key, expected) in [
            ("", &*key, &["line 3: `cert`: file "][..]),
            (&*key, &*key, &["line 3: "]),
            (&*cert, "", &["line 4: `key`: file "]),
            (&*cert, &*other, &["line 4: "]),
            ("", "", &["line 3: ", "line 4: "]),
        ] {
            let found = faults(cert, key);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}");
            }
        }
        let mut missing = written(folder.path(), &cert, &key);
        missing.cert.value = folder.path().join("none.pem");
        let all = Tls::load(&missing).unwrap_err();
        assert!(all[0].message.contains("cannot be read"), "{all:?}");
    }
}
