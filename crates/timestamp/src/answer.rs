//! What an authority answers.

use std::time::Duration;

use der::Tag;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use tollbook_ledger::evidence::time_from_text;
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    Error, Query, Roots,
    algorithms::{self, Hash},
    asn1::{Element, Walk, context},
};

/// The answer of an authority, taken apart: nothing of it is checked by that.
#[derive(Clone, Debug)]
pub struct Answer {
    stamp: Stamp,
    imprint: Vec<u8>,
    imprint_hash: Hash,
    nonce: Option<Vec<u8>>,
    /// The token's content, which the attributes have a hash of.
    content: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
    signer: Signer,
}

/// What a time stamp says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stamp {
    /// When: microseconds since 1970, by the clock of the authority.
    pub time: i64,
    /// The number of the time stamp, in hexadecimal.
    pub serial: String,
}

#[derive(Clone, Debug)]
struct Signer {
    hash: Hash,
    /// The attributes that are signed, as a set.
    attributes: Vec<u8>,
    /// The hash of the content among them.
    digest: Vec<u8>,
    /// The SHA-256 of the certificate among them, if there is one.
    certificate: Option<Vec<u8>>,
    signature: Vec<u8>,
}

impl Answer {
    /// Reads what `application/timestamp-reply` carries (RFC 3161 §2.4.2, "TimeStampResp").
    ///
    /// # Errors
    ///
    /// [`Error::Form`] for other bytes, [`Error::Refused`] when the authority gave no time stamp.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::Form);
        }
        let mut response = Walk::into_one(bytes)?;
        let status = response.inside(Tag::Sequence)?.take(Tag::Integer)?;
        // Granted, or granted with modifications.
        if !matches!(status.value, [0] | [1]) {
            return Err(Error::Refused);
        }
        let mut token = response.inside(Tag::Sequence)?;
        response.end()?;
        expect(token.take(Tag::ObjectIdentifier)?, SIGNED_DATA)?;
        let mut data = token.inside(context(0))?.inside(Tag::Sequence)?;
        token.end()?;
        data.take(Tag::Integer)?;
        data.take(Tag::Set)?;
        let mut content = data.inside(Tag::Sequence)?;
        expect(content.take(Tag::ObjectIdentifier)?, TST_INFO)?;
        let info = content.inside(context(0))?.take(Tag::OctetString)?.value;
        content.end()?;

        let mut certificates = Vec::new();
        let mut next = data.any()?.ok_or(Error::Form)?;
        if next.tag == context(0) {
            let mut all = Walk::new(next.value)?;
            while let Some(certificate) = all.any()? {
                certificates.push(CertificateDer::from(certificate.whole.to_vec()));
            }
            next = data.any()?.ok_or(Error::Form)?;
        }
        if next.tag == context(1) {
            next = data.any()?.ok_or(Error::Form)?;
        }
        data.end()?;
        if next.tag != Tag::Set {
            return Err(Error::Form);
        }
        let mut signers = Walk::new(next.value)?;
        let signer = Signer::read(&mut signers.inside(Tag::Sequence)?)?;
        // A token has one signature (RFC 3161 §2.4.2).
        signers.end()?;
        Self::info(info, certificates, signer)
    }

    /// Reads "TSTInfo".
    fn info(
        content: &[u8],
        certificates: Vec<CertificateDer<'static>>,
        signer: Signer,
    ) -> Result<Self, Error> {
        let mut info = Walk::into_one(content)?;
        expect(info.take(Tag::Integer)?, &[1])?;
        info.take(Tag::ObjectIdentifier)?;
        let mut imprint = info.inside(Tag::Sequence)?;
        let hash = imprint.inside(Tag::Sequence)?.take(Tag::ObjectIdentifier)?;
        let imprint_hash = Hash::of(hash.value).ok_or(Error::Form)?;
        let hashed = imprint.take(Tag::OctetString)?.value.to_vec();
        imprint.end()?;
        let serial = info.take(Tag::Integer)?.value;
        let time = time(info.take(Tag::GeneralizedTime)?.value).ok_or(Error::Form)?;
        let mut nonce = None;
        while let Some(element) = info.any()? {
            match element.tag {
                Tag::Integer => nonce = Some(element.value.to_vec()),
                // Accuracy, ordering, the name of the authority, and extensions.
                Tag::Sequence | Tag::Boolean | Tag::ContextSpecific { .. } => {}
                _ => return Err(Error::Form),
            }
        }
        Ok(Self {
            stamp: Stamp {
                time,
                serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
            imprint: hashed,
            imprint_hash,
            nonce,
            content: content.to_vec(),
            certificates,
            signer,
        })
    }

    /// What it says, if it is a time stamp of these bytes, given by one of these authorities. With no
    /// roots it is shown that some certificate in it signed it, and not whose that is.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, data: &[u8], roots: Option<&Roots>) -> Result<Stamp, Error> {
        if self.imprint != self.imprint_hash.digest(data) {
            return Err(Error::Imprint);
        }
        if self.signer.digest != self.signer.hash.digest(&self.content) {
            return Err(Error::Signature);
        }
        let mut found = Err(Error::Signature);
        for certificate in &self.certificates {
            if !self.signer.is_of(certificate) {
                continue;
            }
            let Some(roots) = roots else {
                return Ok(self.stamp.clone());
            };
            found = self.leads_to(certificate, roots);
            if found.is_ok() {
                break;
            }
        }
        found.map(|()| self.stamp.clone())
    }

    /// As [`check`](Self::check), and that it is the answer to this request.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check_query(&self, query: &Query, data: &[u8], roots: &Roots) -> Result<Stamp, Error> {
        if self.nonce.as_deref() != Some(&query.nonce) {
            return Err(Error::Nonce);
        }
        if self.imprint != query.imprint {
            return Err(Error::Imprint);
        }
        self.check(data, Some(roots))
    }

    /// Whether the certificate is one for time stamps that was valid then, of a trusted authority.
    fn leads_to(&self, certificate: &CertificateDer<'_>, roots: &Roots) -> Result<(), Error> {
        let seconds = u64::try_from(self.stamp.time / 1_000_000).map_err(|_| Error::Untrusted)?;
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| Error::Untrusted)?;
        certificate
            .verify_for_usage(
                algorithms::ALL,
                &roots.0,
                &self.certificates,
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                KeyUsage::required(TIME_STAMPING),
                None,
                None,
            )
            .map(|_| ())
            .map_err(|_| Error::Untrusted)
    }
}

impl Signer {
    /// Reads "SignerInfo" (RFC 5652 §5.3).
    fn read(info: &mut Walk<'_>) -> Result<Self, Error> {
        info.take(Tag::Integer)?;
        // Who it says it is: which certificate it is shows by the signature.
        info.any()?.ok_or(Error::Form)?;
        let hash = info.inside(Tag::Sequence)?.take(Tag::ObjectIdentifier)?;
        let hash = Hash::of(hash.value).ok_or(Error::Form)?;
        let attributes = info.take(context(0))?;
        info.take(Tag::Sequence)?;
        let signature = info.take(Tag::OctetString)?.value.to_vec();
        let (mut kind, mut digest, mut certificate) = (false, None, None);
        let mut all = Walk::new(attributes.value)?;
        while let Some(attribute) = all.any()? {
            let mut attribute = Walk::into_one(attribute.whole)?;
            let oid = attribute.take(Tag::ObjectIdentifier)?.value;
            let mut values = attribute.inside(Tag::Set)?;
            match oid {
                CONTENT_TYPE => {
                    expect(values.take(Tag::ObjectIdentifier)?, TST_INFO)?;
                    kind = true;
                }
                MESSAGE_DIGEST if digest.is_none() => {
                    digest = Some(values.take(Tag::OctetString)?.value.to_vec());
                }
                MESSAGE_DIGEST => return Err(Error::Form),
                SIGNING_CERTIFICATE_V2 => certificate = certificate_v2(&mut values)?,
                _ => {}
            }
        }
        // What is signed is the set, and not the part of the message it stands in (RFC 5652 §5.4).
        let mut signed = attributes.whole.to_vec();
        *signed.first_mut().ok_or(Error::Form)? = 0x31;
        Ok(Self {
            hash,
            attributes: signed,
            digest: digest.filter(|_| kind).ok_or(Error::Form)?,
            certificate,
            signature,
        })
    }

    /// Whether it signed with the key of this certificate, and means this one.
    fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        let meant = self.certificate.as_ref();
        if meant.is_some_and(|meant| *meant != Sha256::digest(certificate).as_slice()) {
            return false;
        }
        EndEntityCert::try_from(certificate).is_ok_and(|certificate| {
            let ways = algorithms::over(self.hash);
            ways.into_iter().any(|way| {
                let verified = certificate.verify_signature(way, &self.attributes, &self.signature);
                verified.is_ok()
            })
        })
    }
}

/// The SHA-256 of the certificate in an attribute of RFC 5035 §3. One under another hash is left to
/// the signature, which only one key makes.
fn certificate_v2(values: &mut Walk<'_>) -> Result<Option<Vec<u8>>, Error> {
    let mut signing = values.inside(Tag::Sequence)?;
    let mut id = signing.inside(Tag::Sequence)?.inside(Tag::Sequence)?;
    let first = id.any()?.ok_or(Error::Form)?;
    let hash = match first.tag {
        Tag::Sequence => {
            let oid = Walk::new(first.value)?.take(Tag::ObjectIdentifier)?.value;
            if Hash::of(oid) != Some(Hash::Sha256) {
                return Ok(None);
            }
            id.take(Tag::OctetString)?
        }
        // SHA-256 is what goes without saying.
        Tag::OctetString => first,
        _ => return Err(Error::Form),
    };
    Ok(Some(hash.value.to_vec()))
}

fn expect(element: Element<'_>, value: &[u8]) -> Result<(), Error> {
    if element.value == value {
        Ok(())
    } else {
        Err(Error::Form)
    }
}

/// `YYYYMMDDHHMMSS`, a fraction that may be there, and `Z` (RFC 3161 §2.4.2, "genTime").
fn time(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to);
    let (date, clock) = (
        format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?),
        format!("{}:{}:{}", part(8, 10)?, part(10, 12)?, part(12, 14)?),
    );
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    time_from_text(&format!("{date}T{clock}.{micros}Z"))
}

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.16.1.4
const TST_INFO: &[u8] = &[
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04,
];
/// 1.2.840.113549.1.9.3
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
/// 1.2.840.113549.1.9.4
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// 1.2.840.113549.1.9.16.2.47
const SIGNING_CERTIFICATE_V2: &[u8] = &[
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f,
];
/// 1.3.6.1.5.5.7.3.8
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
/// A token and a chain of certificates.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_fractions_are_read() {
        assert_eq!(time(b"19700101000001Z"), Some(1_000_000));
        assert_eq!(time(b"19700101000001.5Z"), Some(1_500_000));
        assert_eq!(time(b"19700101000001.1234567Z"), Some(1_123_456));
        for wrong in [
            &b"19700101000001"[..],
            b"197001010000Z",
            b"19701301000000Z",
            b"19700101000001.Z",
            b"+9700101000001Z",
        ] {
            assert_eq!(time(wrong), None);
        }
    }
}
