//! The gateway's end of the socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tollbook_exchange::Principal;
use tollbook_masking::Masker;
use tollbook_recording::{Recorder, Recording, Retention};

use super::{
    Answer, MAX_LINE, Request, SOCKET, Unreadable, account, at_socket, heard, line, order,
    view::{begin, ended},
};

/// What the socket can reach.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) recorder: Recorder,
    pub(crate) masker: Masker,
    pub(crate) retention: Arc<Retention>,
}

/// So many commands at once.
const CONNECTIONS: usize = 64;
/// How long a command may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket of a folder, which is removed when this is dropped.
pub(crate) struct Listening {
    listener: UnixListener,
    path: PathBuf,
}

impl Listening {
    /// Begins to listen in the folder, which nobody else may serve at the same time: the caller
    /// holds the lock of the book. What another gateway has left behind is removed.
    pub(crate) fn at(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = at_socket(folder, |path| UnixListener::bind(path))?;
        // Until then others may connect, and are told apart by who they are.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Answers commands for as long as it is not aborted. What is under way then is cut off, and stands
/// in the book so.
pub(crate) async fn serve(listening: Listening, control: Control) {
    let control = Arc::new(control);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut commands = JoinSet::new();
    loop {
        let stream = match listening.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as too many open files, which pass.
                tracing::warn!(%error, "no command can be answered");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        while commands.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            commands.spawn(async move {
                let answer = Answer::refused("busy", "too many commands ask at once");
                drop(timeout(PATIENCE, Session::new(stream).answer(&answer)).await);
            });
            continue;
        };
        let control = Arc::clone(&control);
        commands.spawn(async move {
            if let Err(error) = control.talk(stream).await {
                tracing::debug!(%error, "a command went away");
            }
            drop(place);
        });
    }
}

impl Control {
    async fn talk(&self, stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        let (own, _) = account::own();
        if peer.uid() != own && peer.uid() != 0 {
            tracing::warn!(uid = peer.uid(), "a stranger asked at the control socket");
            return Ok(());
        }
        let process = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        let who = account::principal(peer.uid(), process);
        let mut session = Session::new(stream);
        while let Some(request) = session.request().await? {
            let answer = match request {
                Ok(request) => self.answer(&mut session, &who, request).await,
                Err(answer) => answer,
            };
            session.answer(&answer).await?;
        }
        Ok(())
    }

    async fn answer(&self, session: &mut Session, who: &Principal, request: Request) -> Answer {
        match request {
            Request::View(view) => {
                // A view that was not told to have come to its end did not.
                session.view = None;
                match begin(&self.recorder, &self.masker, who, &view).await {
                    Ok((exchange, recording)) => {
                        if view.open {
                            session.view = Some(recording);
                        } else {
                            ended(recording, None);
                        }
                        Answer::Noted { exchange }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a view of the book could not be recorded");
                        Answer::refused("not_recordable", error.to_string())
                    }
                }
            }
            Request::Shown { count } => match session.view.take() {
                Some(recording) => {
                    ended(recording, Some(count));
                    Answer::Done
                }
                None => Answer::refused("not_open", "no view is open on this connection"),
            },
            Request::Order(order) => {
                let (recorder, masker) = (&self.recorder, &self.masker);
                order::answer(recorder, masker, &self.retention, who, order).await
            }
        }
    }
}

/// One command at the other end.
struct Session {
    stream: BufReader<UnixStream>,
    /// The view that goes on.
    view: Option<Recording>,
}

impl Session {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream: BufReader::new(stream),
            view: None,
        }
    }

    /// The next request, or what is answered to what is none; nothing at the end. Whoever looks at
    /// something may take their time with it.
    async fn request(&mut self) -> io::Result<Option<Result<Request, Answer>>> {
        let waits = self.view.is_some();
        let mut line = Vec::new();
        let limit = MAX_LINE as u64;
        let mut limited = (&mut self.stream).take(limit);
        let read = limited.read_until(b'\n', &mut line);
        let length = if waits {
            read.await?
        } else {
            timeout(PATIENCE, read).await.map_err(io::Error::from)??
        };
        if length == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            // Too long, or broken off: what comes next could be anything.
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(heard(&line).map_err(|wrong| match wrong {
            Unreadable::Version => Answer::refused(
                "unknown_version",
                "the gateway speaks another version: use the program of the same release",
            ),
            Unreadable::Malformed => Answer::refused(
                "malformed_request",
                "the gateway knows no such request: use the program of the same release",
            ),
        })))
    }

    async fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        self.stream.get_mut().write_all(&line(answer)?).await
    }
}
