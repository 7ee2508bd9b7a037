//! Frames over a stream.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tollbook_wire_postgres::{Error, Frame, Frames};

/// One side of a session: frames that come, and frames that go.
#[derive(Debug)]
pub struct Wire<S> {
    /// What comes.
    pub incoming: Incoming<ReadHalf<S>>,
    /// What goes.
    pub outgoing: Outgoing<WriteHalf<S>>,
}

/// Frames that come.
#[derive(Debug)]
pub struct Incoming<R> {
    stream: R,
    buffer: BytesMut,
    frames: Frames,
}

/// Frames that go, gathered until they are flushed.
#[derive(Debug)]
pub struct Outgoing<W> {
    stream: W,
    buffer: BytesMut,
}

/// A side cannot be spoken with any more.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It ended in the middle of a message, or the connection broke.
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    /// What it says is no message.
    #[error(transparent)]
    Protocol(#[from] Error),
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    /// A side that has sent `begun` already.
    pub fn new(stream: S, begun: BytesMut, frames: Frames) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            incoming: Incoming {
                stream: read,
                buffer: begun,
                frames,
            },
            outgoing: Outgoing {
                stream: write,
                buffer: BytesMut::new(),
            },
        }
    }
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// The next frame; `None` when the side ended between two. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// When there is none any more.
    pub async fn next(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            if let Some(frame) = self.ready()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }

    /// The next frame, if it has come already.
    ///
    /// # Errors
    ///
    /// When what has come is no frame.
    pub fn ready(&mut self) -> Result<Option<Frame>, Fault> {
        Ok(self.frames.next(&mut self.buffer)?)
    }
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// Adds a frame to what goes with the next flush.
    pub fn put(&mut self, frame: &Frame) {
        frame.write(&mut self.buffer);
    }

    /// Whether so much waits that it should be flushed before more is added.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= WRITE
    }

    /// How many bytes wait for the next flush.
    pub fn waits(&self) -> usize {
        self.buffer.len()
    }

    /// Forgets what waits for the next flush. The last flush must have come to its end.
    pub fn discard(&mut self) {
        self.buffer.clear();
    }

    /// Sends what waits. Dropping the future loses nothing: the rest goes with the next flush.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        while self.buffer.has_remaining() {
            let written = self.stream.write_buf(&mut self.buffer).await?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
        }
        Ok(self.stream.flush().await?)
    }

    /// Sends what waits and says that no more comes.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub async fn close(&mut self) -> Result<(), Fault> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }
}

/// What is read at once.
const READ: usize = 32 << 10;
/// What waits until it is written.
const WRITE: usize = 64 << 10;
