//! PostgreSQL's frontend/backend protocol on the wire, versions 3.0 and 3.2, without any I/O.
//!
//! A gate between a client and a server relays what both say, byte for byte, and understands enough
//! of it to judge, to record and to mask. So this crate cuts a stream into [`Frame`]s, which can be
//! passed on as they came, and reads one only where somebody asks:
//!
//! 1. [`Opening`]: what a connection begins with, before anything has a tag: a request for TLS, for
//!    GSS encryption, to cancel, or to start a session.
//! 2. [`Frames`]: frames behind that, of a bounded size.
//! 3. [`Frontend`]: what a client's frame says; [`Backend`]: what a server's does. Both borrow from
//!    the frame.
//! 4. [`Cells`] and [`RowWriter`]: the cells of a row, and the same row with others in their place.
//! 5. [`text_of`]: a value as text, from either format, for a record.
//! 6. [`Fields`]: an error or notice, to read and to write.
//!
//! The threat this answers is a client or a server that lies about lengths and counts: every number
//! is checked against what is there before anything is allocated for it, nothing recurses, and what
//! this crate does not know is an error and not a guess. No error and no `Debug` output holds a byte
//! of a message.
//!
//! Sources are the chapters "Message Formats" and "Message Flow" of PostgreSQL's documentation
//! (protocol.html, version 18).
//!
//! ```
//! use bytes::BytesMut;
//! use tollbook_wire_postgres::{Frames, Frontend, Target, query};
//!
//! let mut wire = BytesMut::new();
//! query("SELECT 1").unwrap().write(&mut wire);
//! wire.extend_from_slice(b"D\0\0\0\x08"); // the head of a frame whose body has not come
//!
//! let frames = Frames::of_clients(1 << 20);
//! let first = frames.next(&mut wire)?.unwrap();
//! assert_eq!(Frontend::read(&first)?, Frontend::Query { text: "SELECT 1" });
//! assert!(frames.next(&mut wire)?.is_none());
//!
//! wire.extend_from_slice(b"Sq1\0");
//! let second = frames.next(&mut wire)?.unwrap();
//! let asked = Frontend::Describe(Target::Statement("q1"));
//! assert_eq!(Frontend::read(&second)?, asked);
//! # Ok::<(), tollbook_wire_postgres::Error>(())
//! ```

mod backend;
mod cursor;
mod error;
mod fields;
mod frame;
mod frontend;
mod numeric;
mod opening;
mod row;
mod value;
mod write;

pub use backend::{Authentication, Backend, Column, Columns, CopyFormat, Status};
pub use error::Error;
pub use fields::{Field, Fields};
pub use frame::{Frame, Frames};
pub use frontend::{Bind, Call, Cells, Format, Formats, Frontend, Target, Types};
pub use opening::{CancelKey, MAX_OPENING, Opening, Startup, Version, is_direct_tls, opening};
pub use row::RowWriter;
pub use value::text_of;
pub use write::{
    authentication_ok, backend_key, cancel_request, cleartext_password, command_complete, error,
    negotiate, notice, parameter_status, parse, query, ready, sasl, sasl_continue, sasl_final,
    startup, terminate, tls_request,
};
