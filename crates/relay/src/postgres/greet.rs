//! What a connection begins with, until it is known what it wants.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tollbook_wire_postgres::{CancelKey, Error, Opening, Startup, is_direct_tls, opening};

use super::{
    Fault,
    link::{Begun, Link},
};

/// The protocol's name in TLS, which a client that begins with TLS has to ask for: otherwise it could
/// be one of another protocol that somebody sent here (RFC 7301; PostgreSQL 17).
pub const ALPN: &[u8] = b"postgresql";

/// A client whose first word was heard.
pub(super) struct Greeted<S> {
    /// Its stream; what it has sent behind the opening is read first.
    pub(super) client: Begun<Link<S>>,
    /// What it wants.
    pub(super) wants: Wants,
}

/// What a client wants.
pub(super) enum Wants {
    /// A session.
    Session(Startup),
    /// To end what a session is doing.
    Cancel(CancelKey),
}

/// Listens until the client says what it wants, and begins TLS where it asks for that and there is
/// an `acceptor`.
///
/// Never holds more than an opening and what one read brings. Bound in time by its caller.
///
/// # Errors
///
/// When it is no client of this protocol, or ends.
pub(super) async fn greet<S>(
    mut stream: S,
    acceptor: Option<&TlsAcceptor>,
) -> Result<Greeted<S>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::new();
    read(&mut stream, &mut buffer).await?;
    if is_direct_tls(&buffer) {
        let acceptor = acceptor.ok_or(Error::Opening)?;
        let stream = acceptor.accept(Begun::new(buffer, stream)).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(Error::Opening.into());
        }
        return encrypted(Link::Tls(Box::new(stream.into()))).await;
    }
    // A client asks once for each kind of encryption, in any order.
    for _ in 0..3 {
        match next(&mut stream, &mut buffer).await? {
            Opening::Gss => answer(&mut stream, b'N').await?,
            Opening::Tls => match acceptor {
                None => answer(&mut stream, b'N').await?,
                Some(acceptor) => {
                    answer(&mut stream, b'S').await?;
                    let stream = acceptor.accept(Begun::new(BytesMut::new(), stream)).await?;
                    return encrypted(Link::Tls(Box::new(stream.into()))).await;
                }
            },
            opening => {
                let link = Link::Plain(Begun::new(BytesMut::new(), stream));
                return greeted(link, buffer, opening);
            }
        }
    }
    Err(Error::Opening.into())
}

/// Listens inside TLS, where there is nothing more to ask for than a session, or a cancel.
async fn encrypted<S>(mut link: Link<S>) -> Result<Greeted<S>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::new();
    let opening = next(&mut link, &mut buffer).await?;
    greeted(link, buffer, opening)
}

fn greeted<S>(link: Link<S>, rest: BytesMut, opening: Opening) -> Result<Greeted<S>, Fault> {
    let wants = match opening {
        Opening::Startup(startup) => Wants::Session(startup),
        Opening::Cancel(key) => Wants::Cancel(key),
        _ => return Err(Error::Opening.into()),
    };
    Ok(Greeted {
        client: Begun::new(rest, link),
        wants,
    })
}

async fn next<S>(stream: &mut S, buffer: &mut BytesMut) -> Result<Opening, Fault>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(opening) = opening(buffer)? {
            return Ok(opening);
        }
        read(stream, buffer).await?;
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<(), Fault> {
    buffer.reserve(READ);
    match stream.read_buf(buffer).await? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        _ => Ok(()),
    }
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, byte: u8) -> Result<(), Fault> {
    stream.write_all(&[byte]).await?;
    Ok(stream.flush().await?)
}

/// What is read at once; a session begins with less than this.
const READ: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, OnceLock},
        time::Duration,
    };

    use proptest::prelude::*;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use rustls_pki_types::{PrivateKeyDer, ServerName};
    use tokio::{
        io::{DuplexStream, duplex},
        time::timeout,
    };
    use tokio_rustls::TlsConnector;
    use tollbook_wire_postgres::{Version, cancel_request, startup, tls_request};

    use super::*;

    /// Both ends of TLS for `localhost`; the server speaks PostgreSQL alone.
    fn ends() -> (TlsAcceptor, ClientConfig) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .unwrap();
        server.alpn_protocols = vec![ALPN.to_vec()];
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (TlsAcceptor::from(Arc::new(server)), client)
    }

    fn session() -> BytesMut {
        startup(Version::V3_0, [("user", "ann")]).unwrap()
    }

    fn gss_request() -> [u8; 8] {
        *b"\0\0\0\x08\x04\xd2\x16\x30"
    }

    /// What becomes of a client that says this and no more, and what it is answered.
    async fn said(said: &[u8], acceptor: Option<&TlsAcceptor>) -> (Result<Wants, Fault>, Vec<u8>) {
        let (mut client, server) = duplex(1 << 16);
        client.write_all(said).await.unwrap();
        client.shutdown().await.unwrap();
        let greeted = greet(server, acceptor).await;
        let wants = greeted.map(|greeted| greeted.wants);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        (wants, told)
    }

    #[tokio::test]
    async fn a_client_without_encryption_says_what_it_wants() {
        let (wants, told) = said(&session(), None).await;
        assert!(matches!(wants, Ok(Wants::Session(_))) && told.is_empty());
        let key = CancelKey {
            process: 7,
            secret: vec![1; 32].into(),
        };
        let (wants, _) = said(&cancel_request(&key).unwrap(), None).await;
        assert!(matches!(wants, Ok(Wants::Cancel(found)) if found == key));
    }

    #[tokio::test]
    async fn what_is_not_spoken_is_declined_and_the_client_goes_on() {
        let (mut client, server) = duplex(1 << 10);
        let greeted = tokio::spawn(async move { greet(server, None).await.map(|it| it.wants) });
        for request in [&gss_request()[..], &tls_request()] {
            client.write_all(request).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'N');
        }
        client.write_all(&session()).await.unwrap();
        assert!(matches!(greeted.await.unwrap(), Ok(Wants::Session(_))));
    }

    #[tokio::test]
    async fn what_stands_behind_a_request_for_tls_ends_the_connection() {
        let (acceptor, _) = ends();
        for request in [&gss_request()[..], &tls_request()] {
            let all = [request, &session()].concat();
            let (wants, told) = said(&all, Some(&acceptor)).await;
            assert!(wants.is_err() && told.is_empty(), "{told:?}");
        }
        // Nor does a client ask for ever.
        let all = gss_request();
        let (mut client, server) = duplex(1 << 10);
        let greeted = tokio::spawn(async move { greet(server, None).await.is_err() });
        for _ in 0..3 {
            client.write_all(&all).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'N');
        }
        assert!(
            timeout(Duration::from_secs(5), greeted)
                .await
                .unwrap()
                .unwrap()
        );
    }

    async fn encrypted(
        client: DuplexStream,
        config: &ClientConfig,
        protocols: &[&[u8]],
        wants: &[u8],
    ) -> io::Result<()> {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, client).await?;
        stream.write_all(wants).await?;
        stream.flush().await?;
        drop(stream.read(&mut [0]).await);
        Ok(())
    }

    #[tokio::test]
    async fn tls_begins_when_it_is_asked_for_or_at_once() {
        let (acceptor, config) = ends();
        for (asks, protocols, is_let_in) in [
            (true, &[][..], true),
            (true, &[ALPN][..], true),
            (false, &[ALPN][..], true),
            // Without its name it could be a client of another protocol that was sent here.
            (false, &[][..], false),
            (false, &[&b"http/1.1"[..]][..], false),
        ] {
            let (mut client, server) = duplex(1 << 16);
            let acceptor = acceptor.clone();
            let greeted = tokio::spawn(async move {
                let greeted = greet(server, Some(&acceptor)).await;
                greeted.map(|greeted| {
                    let encrypted = greeted.client.inner().tls().is_some();
                    (encrypted, matches!(greeted.wants, Wants::Session(_)))
                })
            });
            if asks {
                client.write_all(&tls_request()).await.unwrap();
                assert_eq!(client.read_u8().await.unwrap(), b'S');
            }
            drop(encrypted(client, &config, protocols, &session()).await);
            let greeted = greeted.await.unwrap();
            assert_eq!(greeted.is_ok(), is_let_in, "{asks} {protocols:?}");
            if let Ok(found) = greeted {
                assert_eq!(found, (true, true));
            }
        }
    }

    proptest! {
        /// Whatever comes before anybody has signed in: it is an opening or an end, and what is read
        /// of it is bounded.
        #[test]
        fn whatever_comes_first_is_an_opening_or_an_end(
            begin in prop_oneof![
                Just(Vec::new()),
                Just(tls_request().to_vec()),
                Just(gss_request().to_vec()),
                Just(session().to_vec()),
                Just(b"\x16\x03\x01\x02\0\x01".to_vec()),
                Just(b"\0\0\x27\x10\0\x03\0\0user\0".to_vec()),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..12_000),
            with_tls in any::<bool>(),
        ) {
            static ACCEPTOR: OnceLock<TlsAcceptor> = OnceLock::new();
            let acceptor = with_tls.then(|| ACCEPTOR.get_or_init(|| ends().0));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            drop(runtime.block_on(said(&[begin, rest].concat(), acceptor)));
        }
    }
}
