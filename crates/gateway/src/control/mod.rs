//! Between the gateway and the commands that work on its folder: a socket in it.
//!
//! Whoever may read the folder of the book can read the book; what this adds is that it is known
//! who did. A command that shows something of the book has it noted first ([`note`]): as an
//! exchange on the connection `(book)`, asked for by the account that runs the command. The account
//! is what the kernel says of the other end of the socket, and nothing that the command says.
//!
//! The book has one writer. Where a gateway runs, that is asked over `control.sock`; where none
//! does, the command opens the book itself for as long as the note takes. A copy cannot be asked for
//! the truth about the book, and is none: what is read there is noted nowhere, and whoever reads is
//! told so.
//!
//! # The protocol
//!
//! One JSON object a line, of at most 64 KiB, an answer for each request, in order:
//! `{"v": 1, "say": {…}}`, with the version of the protocol. What is said names what it asks for in
//! `ask`, and an answer what came of it in `is`. The socket is its owner's alone, and of those who
//! connect only the owner and root are answered.

mod account;
mod client;
mod order;
mod place;
mod serve;
mod view;

use std::{io, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tollbook_exchange::ExchangeId;

pub(crate) use self::serve::{Control, Listening, serve};
pub use self::{
    client::{Client, Noted, Unnoted, note, note_if_running},
    order::{Of, Order, Ordered, order},
    view::{CONNECTION, View, ViewAction},
};

/// What a command asks of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// That somebody looks at the book be noted. Answered with [`Answer::Noted`] when it is durable.
    View(View),
    /// What the view before, which was kept open on this connection, came to. Without this it counts
    /// as broken off. Answered with [`Answer::Done`].
    Shown {
        /// How many exchanges were shown.
        count: u64,
    },
    /// That something be erased or held, or what is old destroyed. Answered with
    /// [`Answer::Ordered`] when it is done.
    Order(Order),
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// It is in the book, as this exchange.
    Noted {
        /// The exchange.
        exchange: ExchangeId,
    },
    /// It is done.
    Done,
    /// The order was carried out.
    Ordered {
        /// What was done.
        told: serde_json::Value,
    },
    /// It was not done.
    Refused {
        /// Why, as a stable word: `not_recordable`, `malformed_request`, `unknown_version`,
        /// `not_open`, `busy`, `held`,
        /// `kept`, `unknown_hold`, `failed`.
        code: String,
        /// Why, for a person.
        message: String,
    },
}

impl Answer {
    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::Refused {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// The version of the protocol.
const VERSION: u32 = 1;
/// The longest line.
const MAX_LINE: usize = 64 << 10;
/// The name of the socket in the folder of the book.
const SOCKET: &str = "control.sock";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spoken<T> {
    v: u32,
    say: T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Why a line cannot be read.
#[derive(Debug)]
enum Unreadable {
    Version,
    Malformed,
}

fn line(say: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Spoken { v: VERSION, say })?;
    if line.len() >= MAX_LINE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    line.push(b'\n');
    Ok(line)
}

fn heard<T: DeserializeOwned>(line: &[u8]) -> Result<T, Unreadable> {
    let version: Version = serde_json::from_slice(line).map_err(|_| Unreadable::Malformed)?;
    if version.v != VERSION {
        return Err(Unreadable::Version);
    }
    let spoken: Spoken<T> = serde_json::from_slice(line).map_err(|_| Unreadable::Malformed)?;
    Ok(spoken.say)
}

/// Calls `with` a path to the socket of this folder that is short enough for the address of one: 108
/// bytes, of which folders can be longer.
fn at_socket<T>(folder: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    /// What a path of the system has room for, with a zero behind it.
    const MOST: usize = 100;

    let path = folder.join(SOCKET);
    if path.as_os_str().len() <= MOST || !cfg!(target_os = "linux") {
        return with(&path);
    }
    use std::os::fd::AsRawFd;
    let folder = std::fs::File::open(folder)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    with(Path::new(&short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_other_versions_are_not() {
        let view = View::new(ViewAction::Search).query("tool:Bash").count(3);
        for said in [Request::View(view), Request::Shown { count: 7 }] {
            let line = line(&said).unwrap();
            assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'));
            assert_eq!(heard::<Request>(&line).unwrap(), said);
        }
        let other = br#"{"v":2,"say":{"ask":"shown","count":1}}"#;
        assert!(matches!(heard::<Request>(other), Err(Unreadable::Version)));
        for wrong in [
            &br#"{"v":1,"say":{"ask":"format_disk"}}"#[..],
            br#"{"v":1,"say":{"ask":"view","action":"search","querry":"a"}}"#,
            br#"{"v":1,"say":{"ask":"shown","count":1},"more":1}"#,
            br#"{"say":{"ask":"shown","count":1}}"#,
            b"shown",
            b"",
        ] {
            let heard = heard::<Request>(wrong);
            assert!(matches!(heard, Err(Unreadable::Malformed)), "{heard:?}");
        }
    }
}
