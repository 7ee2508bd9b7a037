//! What a caller shows.

use std::fmt;

use zeroize::Zeroizing;

/// One credential, as the caller presented it. Wiped from memory on drop; `Debug` prints nothing.
#[derive(Clone)]
pub struct Credentials(Zeroizing<String>);

impl Credentials {
    /// The credential in `token`, without the word that names its scheme.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Zeroizing::new(token.into()))
    }

    /// The secret itself. Keep it out of everything that is written or shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(feature = "tower")]
mod headers {
    use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

    use super::Credentials;
    use crate::{Reason, Rejection};

    /// Where some clients of the Claude API put their key.
    pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

    impl Credentials {
        /// The one credential in `Authorization: Bearer` or `x-api-key`.
        ///
        /// Some clients fill both with the same value, which is fine.
        ///
        /// # Errors
        ///
        /// [`MissingCredential`](Reason::MissingCredential) when there is none,
        /// [`UnsupportedScheme`](Reason::UnsupportedScheme) or
        /// [`MalformedCredential`](Reason::MalformedCredential) when it cannot be read, and
        /// [`AmbiguousCredential`](Reason::AmbiguousCredential) when there are two that differ:
        /// whichever were judged, another hop might use the other.
        pub fn from_headers(headers: &HeaderMap) -> Result<Self, Rejection> {
            let bearers = headers.get_all(AUTHORIZATION).iter().map(bearer);
            let keys = headers.get_all(X_API_KEY).iter().map(text);
            let mut found: Option<&str> = None;
            let mut fault = None;
            for presented in bearers.chain(keys) {
                match (presented, found) {
                    (Ok(token), Some(other)) if token != other => {
                        return Err(Reason::AmbiguousCredential.into());
                    }
                    (Ok(token), _) => found = Some(token),
                    (Err(reason), _) => fault = Some(reason),
                }
            }
            match (found, fault) {
                // One readable and one unreadable credential differ as well.
                (Some(_), Some(_)) => Err(Reason::AmbiguousCredential.into()),
                (None, Some(reason)) => Err(reason.into()),
                (None | Some(""), None) => Err(Reason::MissingCredential.into()),
                (Some(token), None) => Ok(Self::new(token)),
            }
        }
    }

    fn bearer(value: &HeaderValue) -> Result<&str, Reason> {
        let text = text(value)?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            Ok(token.trim_matches(' '))
        } else {
            Err(Reason::UnsupportedScheme)
        }
    }

    fn text(value: &HeaderValue) -> Result<&str, Reason> {
        value.to_str().map_err(|_| Reason::MalformedCredential)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn read(headers: &[(&str, &[u8])]) -> Result<String, &'static str> {
            let headers = headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.parse::<HeaderName>().unwrap(),
                        HeaderValue::from_bytes(value).unwrap(),
                    )
                })
                .collect();
            Credentials::from_headers(&headers)
                .map(|credentials| credentials.expose().to_owned())
                .map_err(|rejection| rejection.reason())
        }

        #[test]
        fn a_credential_is_found_in_either_header_or_in_both() {
            let token = Ok("a.b.c".to_owned());
            assert_eq!(read(&[("authorization", b"Bearer a.b.c")]), token);
            assert_eq!(read(&[("authorization", b"bEARER   a.b.c ")]), token);
            assert_eq!(read(&[("x-api-key", b"a.b.c")]), token);
            assert_eq!(
                read(&[("authorization", b"Bearer a.b.c"), ("x-api-key", b"a.b.c")]),
                token
            );
        }

        #[test]
        fn two_different_credentials_are_none() {
            let ambiguous = Err("ambiguous_credential");
            let two: [&[(&str, &[u8])]; 5] = [
                &[("authorization", b"Bearer a"), ("x-api-key", b"b")],
                &[
                    ("authorization", b"Bearer a"),
                    ("authorization", b"Bearer b"),
                ],
                &[("x-api-key", b"a"), ("x-api-key", b"b")],
                &[("authorization", b"Basic YTpi"), ("x-api-key", b"a")],
                &[("authorization", b"Bearer a"), ("x-api-key", b"\xff")],
            ];
            for headers in two {
                assert_eq!(read(headers), ambiguous);
            }
        }

        #[test]
        fn what_cannot_be_read_is_told_apart_from_nothing() {
            assert_eq!(read(&[]), Err("missing_credential"));
            assert_eq!(
                read(&[("authorization", b"Bearer")]),
                Err("missing_credential")
            );
            assert_eq!(
                read(&[("authorization", b"Bearer ")]),
                Err("missing_credential")
            );
            assert_eq!(read(&[("x-api-key", b"")]), Err("missing_credential"));
            assert_eq!(
                read(&[("authorization", b"Basic YTpi")]),
                Err("unsupported_scheme")
            );
            assert_eq!(
                read(&[("authorization", b"Bearer \xc3\xa4")]),
                Err("malformed_credential")
            );
        }
    }
}

#[cfg(feature = "tower")]
pub(crate) use headers::X_API_KEY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_secret() {
        assert_eq!(
            format!("{:?}", Credentials::new("s3cret")),
            "Credentials(..)"
        );
    }
}
