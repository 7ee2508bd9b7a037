//! What a caller shows.

use std::fmt;

use zeroize::Zeroizing;

use crate::PeerCertificate;

/// One credential, as the caller presented it, and the certificate of the connection it came over.
/// Wiped from memory on drop; `Debug` prints nothing.
#[derive(Clone)]
pub struct Credentials {
    token: Zeroizing<String>,
    certificate: Option<PeerCertificate>,
}

impl Credentials {
    /// The credential in `token`, without the word that names its scheme.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: Zeroizing::new(token.into()),
            certificate: None,
        }
    }

    /// The same credential over a connection whose client proved to hold `certificate`.
    #[must_use]
    pub fn with_certificate(mut self, certificate: PeerCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The secret itself. Keep it out of everything that is written or shown.
    pub fn expose(&self) -> &str {
        &self.token
    }

    /// The certificate that the client of the connection proved to hold, if any.
    pub const fn certificate(&self) -> Option<PeerCertificate> {
        self.certificate
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(feature = "tower")]
mod headers {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
    use zeroize::Zeroizing;

    use super::Credentials;
    use crate::{Reason, Rejection};

    /// Where some clients of the Claude API put their key.
    pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

    impl Credentials {
        /// The one credential in `Authorization: Bearer`, in the password of `Authorization: Basic`
        /// (RFC 7617), or in `x-api-key`.
        ///
        /// Some clients fill two of them with the same value, which is fine. The user name of
        /// `Basic` proves nothing and is not looked at.
        ///
        /// # Errors
        ///
        /// [`MissingCredential`](Reason::MissingCredential) when there is none,
        /// [`UnsupportedScheme`](Reason::UnsupportedScheme) or
        /// [`MalformedCredential`](Reason::MalformedCredential) when it cannot be read, and
        /// [`AmbiguousCredential`](Reason::AmbiguousCredential) when there are two that differ:
        /// whichever were judged, another hop might use the other.
        pub fn from_headers(headers: &HeaderMap) -> Result<Self, Rejection> {
            let authorizations = headers.get_all(AUTHORIZATION).iter().map(authorization);
            let keys = (headers.get_all(X_API_KEY).iter()).map(|key| text(key).map(Token::Text));
            let mut found: Option<Token<'_>> = None;
            let mut fault = None;
            for presented in authorizations.chain(keys) {
                match (presented, &found) {
                    (Ok(token), Some(other)) if token.as_str() != other.as_str() => {
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
                (None, None) => Err(Reason::MissingCredential.into()),
                (Some(token), None) if token.as_str().is_empty() => {
                    Err(Reason::MissingCredential.into())
                }
                (Some(token), None) => Ok(Self::new(token.as_str())),
            }
        }
    }

    /// A credential as a header has it.
    enum Token<'a> {
        Text(&'a str),
        Decoded(Zeroizing<String>),
    }

    impl Token<'_> {
        fn as_str(&self) -> &str {
            match self {
                Self::Text(text) => text,
                Self::Decoded(text) => text,
            }
        }
    }

    fn authorization(value: &HeaderValue) -> Result<Token<'_>, Reason> {
        let text = text(value)?;
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Token::Text(rest))
        } else if scheme.eq_ignore_ascii_case("basic") {
            password(rest).map(Token::Decoded)
        } else {
            Err(Reason::UnsupportedScheme)
        }
    }

    /// The password in the credentials of `Basic`. The user name ends at the first colon.
    fn password(encoded: &str) -> Result<Zeroizing<String>, Reason> {
        let malformed = |_| Reason::MalformedCredential;
        let decoded = Zeroizing::new(STANDARD.decode(encoded).map_err(malformed)?);
        let at = decoded.iter().position(|byte| *byte == b':');
        let password = &decoded[at.ok_or(Reason::MalformedCredential)? + 1..];
        let printable = |byte: &u8| (b' '..=b'~').contains(byte);
        if !password.iter().all(printable) {
            return Err(Reason::MalformedCredential);
        }
        Ok(Zeroizing::new(
            String::from_utf8_lossy(password).into_owned(),
        ))
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
        fn the_password_of_basic_is_a_credential_and_its_user_name_is_not() {
            for (encoded, password) in [
                (&b"Basic OmEuYi5j"[..], "a.b.c"),
                (b"basic  eC1hY2Nlc3MtdG9rZW46YS5iLmM=", "a.b.c"),
                // `u:a:b`
                (b"Basic dTphOmI=", "a:b"),
            ] {
                let headers: [(&str, &[u8]); 1] = [("authorization", encoded)];
                assert_eq!(read(&headers), Ok(password.to_owned()));
                let both = [headers[0], ("x-api-key", password.as_bytes())];
                assert_eq!(read(&both), Ok(password.to_owned()));
            }
            for encoded in [
                // No colon, no padding, another alphabet, a line break, bytes that are no text.
                &b"Basic YWI="[..],
                b"Basic dTphOmI",
                b"Basic Oj8_Pz8=",
                b"Basic OmEKYg==",
                b"Basic Ov8=",
            ] {
                assert_eq!(
                    read(&[("authorization", encoded)]),
                    Err("malformed_credential")
                );
            }
        }

        #[test]
        fn two_different_credentials_are_none() {
            let ambiguous = Err("ambiguous_credential");
            let two: [&[(&str, &[u8])]; 8] = [
                &[("authorization", b"Bearer a"), ("x-api-key", b"b")],
                &[
                    ("authorization", b"Bearer a"),
                    ("authorization", b"Bearer b"),
                ],
                &[("x-api-key", b"a"), ("x-api-key", b"b")],
                &[("authorization", b"Basic YTpi"), ("x-api-key", b"a")],
                &[
                    ("authorization", b"Basic YTpi"),
                    ("authorization", b"Bearer YTpi"),
                ],
                &[("authorization", b"Basic YWI="), ("x-api-key", b"a")],
                &[("authorization", b"Digest a"), ("x-api-key", b"a")],
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
                read(&[("authorization", b"Digest YTpi")]),
                Err("unsupported_scheme")
            );
            // `user:`
            assert_eq!(
                read(&[("authorization", b"Basic dXNlcjo=")]),
                Err("missing_credential")
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
