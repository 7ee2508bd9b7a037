//! Having a view noted, from a command.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tollbook_exchange::ExchangeId;
use tollbook_masking::Masker;
use tollbook_recording::{ErrorKind, Recorder};

use super::{
    Answer, MAX_LINE, Request, View, account, at_socket, heard, line,
    place::Place,
    view::{begin, ended},
};

/// A connection to the gateway that runs on a folder.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

/// A view that was noted, or that cannot be. One that is kept open counts as broken off when this is
/// dropped before it is [`shown`](Self::shown).
#[derive(Debug)]
pub struct Noted(Where);

#[derive(Debug)]
enum Where {
    /// In the book, by the gateway that runs; the view is open for as long as the connection is.
    Gateway {
        client: Client,
        exchange: ExchangeId,
        open: bool,
    },
    /// In the book, by this process; it was closed at once.
    Here {
        exchange: ExchangeId,
    },
    Nowhere {
        why: &'static str,
    },
}

/// A view could not be noted, and so nothing may be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unnoted {
    /// The gateway did not note it.
    #[error("the gateway did not note the view: {message}")]
    Refused {
        /// A stable word.
        code: String,
        /// Why.
        message: String,
    },
    /// The gateway that runs on this folder cannot be asked.
    #[error("a gateway has this book open and cannot be asked to note the view")]
    Unreachable(#[source] io::Error),
    /// No gateway runs, and the book cannot be written.
    #[error("the view cannot be noted in the book")]
    Book(#[source] tollbook_recording::Error),
    /// No gateway runs, and how long records must be kept is not known.
    #[error("how long records must be kept is not known here")]
    Terms,
    /// The folder is a copy, in which nothing can be changed that counts.
    #[error("this is a copy of the book: {0}")]
    Copy(&'static str),
    /// The system does not let it be done.
    #[error("the view cannot be noted")]
    System(#[source] io::Error),
}

/// How long the gateway may take to answer; its own deadline for a write is well below.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to carry out an order.
const LONG: Duration = Duration::from_secs(15 * 60);
/// How long a gateway that starts or ends, or another command, may have the book.
const BUSY: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// Has a view of the book in this folder noted, and returns when it is durable: by the gateway that
/// runs on the folder, and where none does in the book itself, unless it is a copy.
///
/// `config` is how the book is written, where that is known: a book with an anchor cannot be written
/// without. `masker` gives what the query is masked with where no gateway does it. Blocks; not to be
/// called from async code.
///
/// # Errors
///
/// When it is not noted. Then nothing may be shown, but of a book in which nothing can be noted
/// because it is damaged.
pub fn note(
    folder: &Path,
    config: Option<tollbook_recording::Config>,
    masker: impl FnOnce() -> Masker,
    view: &View,
) -> Result<Noted, Unnoted> {
    match writing(folder, config)? {
        Writing::Gateway(mut client) => {
            let exchange = client.view(view)?;
            let open = view.open;
            Ok(Noted(Where::Gateway {
                client,
                exchange,
                open,
            }))
        }
        Writing::Here(recorder) => {
            let exchange = here(&recorder, &masker(), view);
            recorder.close();
            Ok(Noted(Where::Here {
                exchange: exchange?,
            }))
        }
        Writing::Copy(why) => Ok(Noted(Where::Nowhere { why })),
    }
}

/// Who can write into the book of a folder.
pub(super) enum Writing {
    /// The gateway that runs on it.
    Gateway(Client),
    /// This process.
    Here(Recorder),
    /// Nobody: it is a copy, for this reason.
    Copy(&'static str),
}

/// Who can write into the book of this folder. Waits for a gateway that starts or ends.
pub(super) fn writing(
    folder: &Path,
    config: Option<tollbook_recording::Config>,
) -> Result<Writing, Unnoted> {
    let begun = Instant::now();
    loop {
        match Client::connect(folder) {
            Ok(client) => return Ok(Writing::Gateway(client)),
            // A copy of the socket, or what a gateway has left behind, is not listened at.
            Err(error) if is_nobody(&error) => {}
            Err(error) => return Err(Unnoted::Unreachable(error)),
        }
        let config = match Place::of(folder, config.clone()) {
            Place::Book(config) => *config,
            Place::Copy(why) => return Ok(Writing::Copy(why)),
        };
        match Recorder::open(config) {
            Ok(recorder) => return Ok(Writing::Here(recorder)),
            Err(error) if *error.kind() == ErrorKind::InUse => {
                if begun.elapsed() > BUSY {
                    return Err(Unnoted::Unreachable(
                        io::ErrorKind::ConnectionRefused.into(),
                    ));
                }
                thread::sleep(AGAIN);
            }
            Err(error) => return Err(Unnoted::Book(error)),
        }
    }
}

/// As [`note`], where a gateway runs on the folder. Where none does, nothing is done: for what shows
/// nothing of the book and must not change it.
///
/// # Errors
///
/// When the gateway that runs does not note it.
pub fn note_if_running(folder: &Path, view: &View) -> Result<Option<Noted>, Unnoted> {
    match Client::connect(folder) {
        Ok(mut client) => {
            let exchange = client.view(view)?;
            let open = view.open;
            Ok(Some(Noted(Where::Gateway {
                client,
                exchange,
                open,
            })))
        }
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(Unnoted::Unreachable(error)),
    }
}

fn here(recorder: &Recorder, masker: &Masker, view: &View) -> Result<ExchangeId, Unnoted> {
    let (_, principal) = account::own();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Unnoted::System)?;
    // On a thread of its own, for commands that have a runtime already.
    let begun = thread::scope(|scope| {
        let begin = || runtime.block_on(begin(recorder, masker, &principal, view));
        scope.spawn(begin).join()
    });
    let begun = begun.map_err(|_| Unnoted::System(io::ErrorKind::Other.into()))?;
    let (exchange, recording) = begun.map_err(Unnoted::Book)?;
    ended(recording, None);
    Ok(exchange)
}

/// Nobody listens: at a copy of the socket, or at what a gateway has left behind.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(error.kind(), ConnectionRefused | NotFound)
}

impl Noted {
    /// The exchange that the view is in the book, if it is.
    pub const fn exchange(&self) -> Option<ExchangeId> {
        match &self.0 {
            Where::Gateway { exchange, .. } | Where::Here { exchange } => Some(*exchange),
            Where::Nowhere { .. } => None,
        }
    }

    /// Why it is noted nowhere, if it is not: the folder is a copy.
    pub const fn nowhere(&self) -> Option<&'static str> {
        match &self.0 {
            Where::Nowhere { why } => Some(why),
            _ => None,
        }
    }

    /// Whether what was kept open is still watched by the gateway. When it is not, nothing more of
    /// it may be shown.
    pub fn is_open(&self) -> bool {
        match &self.0 {
            Where::Gateway {
                client, open: true, ..
            } => client.is_there(),
            _ => true,
        }
    }

    /// Closes a view that was kept open, with how many exchanges were shown.
    ///
    /// # Errors
    ///
    /// When the gateway does not answer: then it stands in the book as broken off.
    pub fn shown(self, count: u64) -> Result<(), Unnoted> {
        match self.0 {
            Where::Gateway {
                mut client,
                open: true,
                ..
            } => client.ask(&Request::Shown { count }).map(drop),
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Connects to the gateway that runs on this folder.
    ///
    /// # Errors
    ///
    /// `NotFound` or `ConnectionRefused` when none does, and others when it cannot be asked.
    pub fn connect(folder: &Path) -> io::Result<Self> {
        let stream = at_socket(folder, |path| UnixStream::connect(path))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Waits for answers for as long as it takes to destroy a great deal.
    pub(super) fn is_patient(&self) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(LONG))
    }

    /// Asks, and waits for the answer, which is no refusal.
    ///
    /// # Errors
    ///
    /// When the gateway refuses or does not answer.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, Unnoted> {
        let answer = self.exchange(request).map_err(Unnoted::Unreachable)?;
        match answer {
            Answer::Refused { code, message } => Err(Unnoted::Refused { code, message }),
            answer => Ok(answer),
        }
    }

    fn view(&mut self, view: &View) -> Result<ExchangeId, Unnoted> {
        match self.ask(&Request::View(view.clone()))? {
            Answer::Noted { exchange } => Ok(exchange),
            _ => Err(Unnoted::Unreachable(io::ErrorKind::InvalidData.into())),
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        self.stream.get_mut().write_all(&line(request)?)?;
        let mut answer = Vec::new();
        let limit = MAX_LINE as u64;
        self.stream
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard(&answer).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Whether the other end is still there. It says nothing on its own.
    fn is_there(&self) -> bool {
        use rustix::net::{RecvFlags, recv};

        let mut byte = [0];
        let peeked = recv(
            self.stream.get_ref(),
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        matches!(
            peeked,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)
        )
    }
}
