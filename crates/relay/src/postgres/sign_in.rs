//! How a client says who it is.
//!
//! What it shows is a token of the gate or of an issuer: in the place of a password, or as
//! `OAUTHBEARER` (RFC 7628; PostgreSQL 18) where the connection asks for that. Challenge and response
//! is not offered: the gate keeps hashes of its tokens, which are no verifiers for SCRAM.

use std::io;

use bytes::BytesMut;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tollbook_identity::Credentials;
use tollbook_wire_postgres::{Error, Frame, cleartext_password, sasl, sasl_continue};
use zeroize::Zeroizing;

use super::Fault;

/// How clients say who they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum SignIn {
    /// By a token in the place of a password.
    #[default]
    Password,
    /// By a bearer token of SASL.
    OAuth {
        /// The issuer that clients without a token are sent to: an address that begins with `https`.
        issuer: String,
        /// What they have to ask it for.
        scope: String,
    },
}

/// What a client showed.
pub(super) enum Shown {
    /// A credential.
    Token(Credentials),
    /// Nothing that could be one.
    Nothing,
}

/// Asks the client who it is. Bound in time by its caller.
///
/// # Errors
///
/// When it does not answer what was asked, or ends.
pub(super) async fn ask<S>(client: &mut S, how: &SignIn) -> Result<Shown, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match how {
        SignIn::Password => {
            say(client, &cleartext_password()).await?;
            let secret = answer(client).await?;
            let (end, token) = secret.split_last().ok_or(Error::Text)?;
            match (end, std::str::from_utf8(token)) {
                (0, Ok("")) => Ok(Shown::Nothing),
                (0, Ok(token)) if !token.contains('\0') => Ok(shown(token)),
                _ => Err(Error::Text.into()),
            }
        }
        SignIn::OAuth { issuer, scope } => {
            say(client, &sasl([OAUTHBEARER])?).await?;
            let first = answer(client).await?;
            if let Some(token) = bearer(initial(&first)?)? {
                return Ok(shown(token));
            }
            // A client without a token is told where to get one, and comes again with it.
            let issuer = issuer.trim_end_matches('/');
            let found = json!({
                "status": "invalid_token",
                "openid-configuration": format!("{issuer}/.well-known/openid-configuration"),
                "scope": scope,
            });
            say(client, &sasl_continue(found.to_string().as_bytes())).await?;
            drop(answer(client).await?);
            Ok(Shown::Nothing)
        }
    }
}

fn shown(token: &str) -> Shown {
    Shown::Token(Credentials::new(token))
}

/// The client's response in its first step: the mechanism, and a length before the rest.
fn initial(said: &[u8]) -> Result<&[u8], Fault> {
    let rest = said.strip_prefix(OAUTHBEARER.as_bytes());
    let rest = rest.and_then(|rest| rest.strip_prefix(b"\0"));
    let (length, response) = rest
        .and_then(|rest| rest.split_first_chunk::<4>())
        .ok_or(Error::Code)?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if length == response.len() => Ok(response),
        _ => Err(Error::Length.into()),
    }
}

/// The token in a response (RFC 7628 §3.1): a header without a binding, then pairs between bytes of
/// value 1. None where the client says that it has none.
fn bearer(response: &[u8]) -> Result<Option<&str>, Fault> {
    let response = std::str::from_utf8(response).map_err(|_| Error::Text)?;
    let (header, pairs) = response.split_once('\x01').ok_or(Error::Text)?;
    // A binding cannot be had with bearer tokens, and an authorization identity is not looked at.
    if !(header.starts_with("n,") || header.starts_with("y,")) || !header.ends_with(',') {
        return Err(Error::Code.into());
    }
    let mut values = (pairs.split('\x01')).filter_map(|pair| pair.strip_prefix("auth="));
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Error::Code.into());
    };
    if value.is_empty() {
        return Ok(None);
    }
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim_start_matches(' ')).filter(|token| !token.is_empty()))
        }
        _ => Err(Error::Code.into()),
    }
}

async fn say<S: AsyncWrite + Unpin>(client: &mut S, frame: &Frame) -> Result<(), Fault> {
    let mut out = BytesMut::new();
    frame.write(&mut out);
    client.write_all(&out).await?;
    Ok(client.flush().await?)
}

/// The body of the message that answers, in a buffer of its own that is wiped.
async fn answer<S: AsyncRead + Unpin>(client: &mut S) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let tag = client.read_u8().await?;
    if tag == b'X' {
        // It has nothing to show and leaves, as psql does before it asks a person.
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if tag != b'p' {
        return Err(Error::Unexpected(tag).into());
    }
    let length = usize::try_from(client.read_u32().await?).map_err(|_| Error::Length)?;
    let length = length.checked_sub(4).ok_or(Error::Length)?;
    if length > LONGEST {
        return Err(Error::TooLong {
            bytes: length as u64,
            limit: LONGEST as u64,
        }
        .into());
    }
    let mut body = Zeroizing::new(vec![0; length]);
    client.read_exact(&mut body).await?;
    Ok(body)
}

/// The mechanism of bearer tokens.
pub(super) const OAUTHBEARER: &str = "OAUTHBEARER";
/// Two tokens of the longest kind.
const LONGEST: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn asked(how: &SignIn, said: &[u8]) -> Result<Shown, Fault> {
        let (mut client, mut server) = tokio::io::duplex(1 << 16);
        client.write_all(said).await.unwrap();
        client.shutdown().await.unwrap();
        ask(&mut server, how).await
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        Frame::new(b'p', body.to_vec()).write(&mut out);
        out.to_vec()
    }

    fn initial_of(mechanism: &str, response: &str) -> Vec<u8> {
        let length = u32::try_from(response.len()).unwrap();
        let body = [
            mechanism.as_bytes(),
            b"\0",
            &length.to_be_bytes(),
            response.as_bytes(),
        ];
        message(&body.concat())
    }

    fn oauth() -> SignIn {
        SignIn::OAuth {
            issuer: "https://issuer.example/".to_owned(),
            scope: "openid".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_password_is_a_token() {
        let shown = asked(&SignIn::Password, &message(b"tok\0")).await;
        let Ok(Shown::Token(token)) = shown else {
            panic!("no token");
        };
        assert_eq!(token.expose(), "tok");
        let shown = asked(&SignIn::Password, &message(b"\0")).await;
        assert!(matches!(shown, Ok(Shown::Nothing)));
        for said in [
            message(b"tok"),
            message(b"t\0k\0"),
            message(b""),
            message(b"\xff\0"),
            b"Q\0\0\0\x05\0".to_vec(),
            b"p\x7f\xff\xff\xff".to_vec(),
            b"p\0\0\0\x03".to_vec(),
            b"X\0\0\0\x04".to_vec(),
        ] {
            assert!(asked(&SignIn::Password, &said).await.is_err(), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_bearer_token_of_sasl_is_a_token() {
        let said = initial_of("OAUTHBEARER", "n,,\x01auth=Bearer tok\x01\x01");
        let Ok(Shown::Token(token)) = asked(&oauth(), &said).await else {
            panic!("no token");
        };
        assert_eq!(token.expose(), "tok");
        for response in [
            "n,,\x01auth=Basic tok\x01\x01",
            "n,,\x01auth=tok\x01\x01",
            "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            "p=tls-unique,,\x01auth=Bearer tok\x01\x01",
            "n,,\x01host=x\x01\x01",
            "",
        ] {
            let said = initial_of("OAUTHBEARER", response);
            assert!(asked(&oauth(), &said).await.is_err(), "{response:?}");
        }
        let said = initial_of("SCRAM-SHA-256", "n,,\x01auth=Bearer tok\x01\x01");
        assert!(asked(&oauth(), &said).await.is_err());
    }

    #[tokio::test]
    async fn who_has_no_token_is_told_where_to_get_one() {
        let (mut client, mut server) = tokio::io::duplex(1 << 16);
        let said = [
            initial_of("OAUTHBEARER", "n,,\x01auth=\x01\x01"),
            message(b"\x01"),
        ];
        client.write_all(&said.concat()).await.unwrap();
        let shown = ask(&mut server, &oauth()).await;
        assert!(matches!(shown, Ok(Shown::Nothing)));
        drop(server);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        let told = String::from_utf8_lossy(&told);
        let address = "https://issuer.example/.well-known/openid-configuration";
        assert!(told.contains(address), "{told}");
    }

    proptest! {
        #[test]
        fn whatever_a_client_says_is_an_answer_or_none(said in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for how in [SignIn::Password, oauth()] {
                for said in [said.clone(), message(&said)] {
                    drop(runtime.block_on(asked(&how, &said)));
                }
            }
        }
    }
}
