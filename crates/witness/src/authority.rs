//! Asking a time-stamping authority.

use std::fmt;

use reqwest::{StatusCode, Url, header::CONTENT_TYPE};
use tollbook_timestamp::{Answer, Query, Roots, Stamp};

use crate::{Failure, client};

/// Asks a time-stamping authority (RFC 3161 §3.4, over HTTP).
pub struct Authority {
    address: Url,
    roots: Roots,
    http: reqwest::Client,
}

impl Authority {
    /// Sets up a client of the authority at this address, whose certificates lead to these roots.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] for an address that is none of HTTP, or when the system's
    /// certificate authorities cannot be had.
    pub fn new(url: &str, roots: Roots) -> Result<Self, Failure> {
        let address = Url::parse(url).map_err(client::unreachable)?;
        Ok(Self {
            http: client::http(&address)?,
            address,
            roots,
        })
    }

    /// The roots that are trusted.
    pub const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Asks for a time stamp of these bytes. Returns the answer as it came, and what it says.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn ask(&self, data: &[u8]) -> Result<(Vec<u8>, Stamp), Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| client::unreachable("no random bytes"))?;
        let query = Query::new(data, u64::from_be_bytes(random));
        let request = self.http.post(self.address.clone());
        let request = request.header(CONTENT_TYPE, "application/timestamp-query");
        let answer = request.body(query.to_bytes()).send().await;
        let answer = answer.map_err(|error| client::unreachable(error.without_url()))?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Refused(answer.status().as_u16()));
        }
        let token = client::bytes(answer, MAX_ANSWER).await?;
        let read = Answer::read(&token).map_err(Failure::Stamp)?;
        let stamp = read.check_query(&query, data, &self.roots);
        Ok((token, stamp.map_err(Failure::Stamp)?))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("host", &self.address.host_str())
            .finish_non_exhaustive()
    }
}

/// A token and a chain of certificates.
const MAX_ANSWER: usize = 1 << 20;
