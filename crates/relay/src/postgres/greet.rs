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
