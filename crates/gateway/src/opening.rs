//! How a connection begins: with the preface of HTTP/2, or with anything else.
//!
//! hyper-util can tell the versions apart itself, but sets no timer while it does: a client that
//! sends nothing, or only the first half of the preface, would be waited for without end. Here it
//! is a future of its own, which the edge gives a deadline.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The bytes with which every HTTP/2 connection begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// A connection whose first bytes were read already; reading it gives them again.
#[derive(Debug)]
pub(crate) struct Opened<IO> {
    start: BytesMut,
    io: IO,
}

/// Reads until the bytes differ from the preface of HTTP/2 or are all of it.
pub(crate) async fn opening<IO>(mut io: IO) -> io::Result<(Version, Opened<IO>)>
where
    IO: AsyncRead + Unpin,
{
    let mut start = BytesMut::with_capacity(PREFACE.len());
    let version = loop {
        if io.read_buf(&mut start).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if start.starts_with(PREFACE) {
            break Version::Http2;
        }
        if !PREFACE.starts_with(&start) {
            break Version::Http1;
        }
    };
    Ok((version, Opened { start, io }))
}

impl<IO: AsyncRead + Unpin> AsyncRead for Opened<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.start.len().min(buf.remaining());
        buf.put_slice(self.start.get(..length).unwrap_or_default());
        self.start.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Opened<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn versions_are_told_apart_however_the_bytes_come_and_no_byte_is_lost() {
        let cases: [(&[u8], Option<Version>); 6] = [
            (b"GET / HTTP/1.1\r\n\r\n", Some(Version::Http1)),
            (b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n", Some(Version::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Version::Http2)),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
                Some(Version::Http2),
            ),
            (b"PRI * HTTP", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            for piece in [1, 3, 1024] {
                let (mut client, server) = tokio::io::duplex(1024);
                let read = tokio::spawn(opening(server));
                for part in bytes.chunks(piece) {
                    client.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
                let opened = read.await.unwrap();
                let Some(expected) = expected else {
                    assert!(opened.is_err(), "{bytes:?}");
                    continue;
                };
                let (version, mut io) = opened.unwrap();
                assert_eq!(version, expected, "{bytes:?}");
                let mut again = Vec::new();
                io.read_to_end(&mut again).await.unwrap();
                assert_eq!(again, bytes);
            }
        }
    }
}
