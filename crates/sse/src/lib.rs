//! Byte-preserving framing of server-sent events.
//!
//! [`Splitter`] cuts a stream of bytes into [`Frame`]s at blank lines and loses nothing: the
//! frames, and what [`Splitter::finish`] returns, put together are the bytes that went in. That is
//! what a gate needs that must relay and record exactly what came, including comments, unknown
//! fields and whatever line ending the upstream likes (WHATWG HTML, "Server-sent events":
//! LF, CR or CR LF).
//!
//! ```
//! use tollbook_sse::Splitter;
//!
//! let mut splitter = Splitter::new(1024);
//! splitter.push(b"event: ping\ndata: {}\n");
//! assert!(splitter.next_frame()?.is_none());
//! splitter.push(b"\nevent: next");
//! let frame = splitter.next_frame()?.unwrap();
//! assert_eq!(frame.event(), Some("ping"));
//! assert_eq!(frame.data().as_ref(), b"{}");
//! assert_eq!(frame.as_bytes().as_ref(), b"event: ping\ndata: {}\n\n");
//! assert_eq!(splitter.finish().as_ref(), b"event: next");
//! # Ok::<(), tollbook_sse::FrameTooLong>(())
//! ```

mod frame;
mod splitter;

pub use frame::Frame;
pub use splitter::{FrameTooLong, Splitter};
