//! MySQL's and MariaDB's client/server protocol on the wire, as since MySQL 5.5, without any I/O.
//!
//! A gate between a client and a server relays what both say and understands enough of it to judge,
//! to record and to mask. So this crate cuts a stream into [`Packet`]s, whose payloads can be passed
//! on as they came, and reads one only where somebody asks:
//!
//! 1. [`Packets`]: messages of a bounded size, or pieces of one that need not be held. [`Sequence`]:
//!    what a gate sends, numbered for each side.
//! 2. [`Opened`], [`Reply`], [`Authentication`]: how a session is signed in; [`Capabilities`]: what
//!    both sides agree on; [`Plugin`]: what proves a password.
//! 3. [`Command`]: what a client asks, and [`Execute`]: with which parameters.
//! 4. [`Answer`]: what a server's packets are, one after the other.
//! 5. [`Column`], [`Cells`] and [`RowWriter`]: where a cell comes from, the cells of a row, and the
//!    same row with others in their place.
//! 6. [`text_of`]: a value as text, from either format, for a record.
//! 7. [`Done`] and [`Failure`]: how it ends, to read and to write.
//!
//! The threat this answers is a client or a server that lies about lengths and counts: every number
//! is checked against what is there before anything is allocated for it, nothing recurses, and what
//! this crate does not know is an error and not a guess. What a gate could not look into, such as
//! compression, is not offered ([`Capabilities::OFFERED`]). No error holds a byte of a message, and no
//! `Debug` output does but for what a server says of itself: its version, SQLSTATEs, names of plugins.
//!
//! A client and a server of one session may have agreed on different things. Commands, columns and
//! rows are the same under all that is offered; ends are not, so they are read by what holds with
//! the server and written by what holds with the client ([`Done`]).
//!
//! Sources are "MySQL Client/Server Protocol" of MySQL's source documentation (version 9.4) and
//! "Client/Server Protocol" of MariaDB's documentation.
//!
//! ```
//! use bytes::BytesMut;
//! use tollbook_wire_mysql::{Answer, Asked, Capabilities, Code, Command, Failure, Packets, Said};
//! use tollbook_wire_mysql::{Sequence, query};
//!
//! let mut wire = BytesMut::new();
//! Sequence::new().write(&query(b"DROP TABLE orders"), &mut wire);
//!
//! let mut packets = Packets::of_clients(1 << 20);
//! let packet = packets.next(&mut wire)?.unwrap();
//! let command = Command::read(&packet)?;
//! assert_eq!(command, Command::Query { text: b"DROP TABLE orders" });
//!
//! // It is refused in the place of the server, and the session can go on.
//! let mut refused = BytesMut::new();
//! let failure = Failure::new(Code::DENIED, "denied by rule no-ddl");
//! packet.next().write(&failure.write(), &mut refused);
//!
//! let mut packets = Packets::of_servers(1 << 20);
//! let packet = packets.next(&mut refused)?.unwrap();
//! let mut answer = Answer::to(Asked::by(&command).unwrap(), Capabilities::OFFERED);
//! assert_eq!(answer.read(&packet)?, Said::Failed(failure));
//! assert!(answer.is_over());
//! # Ok::<(), tollbook_wire_mysql::Error>(())
//! ```

mod answer;
mod authentication;
mod capabilities;
mod column;
mod command;
mod cursor;
mod done;
mod error;
mod execute;
mod failure;
mod greeting;
mod packet;
mod plugin;
mod row;
mod sign_in;
mod value;

pub use answer::{Answer, Asked, Prepared, Said};
pub use authentication::{Authentication, more, switch};
pub use capabilities::Capabilities;
pub use column::{Column, Kind, Shape};
pub use command::{
    Command, close, kill, ping, prepare, query, quit, reset_connection, use_database,
};
pub use done::{Change, Done, Status};
pub use error::Error;
pub use execute::{Execute, Parameter, Parameters};
pub use failure::{Code, Failure};
pub use greeting::{Greeting, Opened, Scramble};
pub use packet::{Head, MAX_PACKET, Packet, Packets, Piece, Sequence};
pub use plugin::{Plugin, Proof};
pub use row::{Cells, Format, Row, RowWriter};
pub use sign_in::{Reply, SignIn};
pub use value::text_of;

/// The collation `utf8mb4_general_ci`, by its number: what a gate signs in with.
pub const UTF8MB4: u8 = 45;
/// The number that a column of bytes has in the place of a collation.
pub const BINARY: u16 = 63;
