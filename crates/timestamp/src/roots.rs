//! The authorities that are trusted.

use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};

use crate::Error;

/// Roots of the certificates of time-stamping authorities.
#[derive(Clone, Debug)]
pub struct Roots(pub(crate) Vec<TrustAnchor<'static>>);

impl Roots {
    /// Reads certificates in PEM, one or more.
    ///
    /// # Errors
    ///
    /// [`Error::Roots`] when there is none, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| Error::Roots)?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate);
            roots.push(anchor.map_err(|_| Error::Roots)?.to_owned());
        }
        if roots.is_empty() {
            return Err(Error::Roots);
        }
        Ok(Self(roots))
    }
}
