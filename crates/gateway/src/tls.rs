//! The certificate of the data plane.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ServerConfig, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::config::{Located, Mistake, TlsConfig};

/// A certificate chain that was loaded together with its key.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    /// Loads both files; every fault stands at the line that names the file.
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
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(tls))))
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
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
