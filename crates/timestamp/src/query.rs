//! What is asked.

use sha2::{Digest, Sha256};

/// A request for a time stamp (RFC 3161 §2.4.1, "TimeStampReq"): a SHA-256 hash, a nonce, and that the
/// certificate shall be in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(crate) imprint: [u8; 32],
    pub(crate) nonce: [u8; 8],
}

impl Query {
    /// A request about these bytes. `random` is what no other request has.
    pub fn new(data: &[u8], random: u64) -> Self {
        let mut nonce = random.to_be_bytes();
        // A positive number of eight bytes, whatever is drawn.
        nonce[0] = nonce[0] & 0x3f | 0x40;
        Self {
            imprint: Sha256::digest(data).into(),
            nonce,
        }
    }

    /// The request, as `application/timestamp-query` carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let version = [0x02, 0x01, 0x01];
        let imprint = [&IMPRINT[..], &self.imprint].concat();
        let nonce = [&[0x02, 0x08][..], &self.nonce].concat();
        let certificate = [0x01, 0x01, 0xff];
        let parts = [&version[..], &imprint, &nonce, &certificate].concat();
        // 67 bytes, so that one says how many.
        [&[0x30, 67][..], &parts].concat()
    }
}

/// The beginning of a "MessageImprint" of SHA-256.
const IMPRINT: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says_whatever_is_drawn() {
        for random in [0, 1, u64::MAX, 1 << 63] {
            let bytes = Query::new(b"data", random).to_bytes();
            assert_eq!((bytes.len(), bytes[1]), (69, 67));
            assert_eq!(bytes[58] & 0xc0, 0x40);
        }
    }
}
