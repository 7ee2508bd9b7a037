//! The caller's end: a port of their own machine, behind which a native client has their identity.
//!
//! A native client knows no tokens and would keep one in its history. It gets a password that is worth
//! something on this machine and for as long as the tunnel lives, and the tunnel shows the token to
//! the gate. What passes afterwards it passes on as it is.

use std::{fmt, io, sync::Arc, time::Duration};

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
    time::timeout,
};
use tollbook_exchange::{Code, Refusal};
use tollbook_wire_postgres::{
    Authentication, Backend, Error, Frames, Startup, cancel_request, startup,
};
use zeroize::Zeroizing;

use super::{
    Fault, ProvidePassword,
    fatal::fatal,
    greet::{Greeted, Wants, greet},
    link::{Begun, Link},
    settings::SESSION,
    sign_in::{OAUTHBEARER, Shown, SignIn, ask},
    upstream::Upstream,
};

/// The way from a port of the caller's machine to a connection of a gate.
///
/// A cheap handle. Whoever accepts connections hands each to [`serve`](Self::serve).
#[derive(Clone)]
pub struct Tunnel(Arc<Parts>);

struct Parts {
    gate: Upstream,
    token: Arc<dyn ProvidePassword>,
    session: Option<String>,
    password: Zeroizing<String>,
}

/// A session did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The client did not say what it wants, or ended.
    #[error("the client ended before its session began")]
    Client(#[source] Fault),
    /// It showed another password.
    #[error("a client showed another password than the tunnel's")]
    Password,
    /// The gate cannot be reached, or is not who it should be.
    #[error("the gate cannot be reached")]
    Gate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no token to show.
    #[error("there is no token to show to the gate")]
    Token,
}

impl Tunnel {
    /// A tunnel to `gate`, of which only where it is and how TLS is spoken with it counts. It shows
    /// `token`. The sessions are the caller's of the name `session`, if there is one.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers for a password.
    pub fn new(
        gate: Upstream,
        token: Arc<dyn ProvidePassword>,
        session: Option<String>,
    ) -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 18]);
        getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
        Ok(Self(Arc::new(Parts {
            gate,
            token,
            session,
            password: Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())),
        })))
    }

    /// What clients have to show: whoever else is on this machine must not have the caller's identity.
    pub fn password(&self) -> &str {
        &self.0.password
    }

    /// Serves one client until it or the gate ends.
    ///
    /// # Errors
    ///
    /// When no session came about.
    pub async fn serve(&self, stream: TcpStream) -> Result<(), TunnelError> {
        stream.set_nodelay(true).map_err(client)?;
        let greeted = timeout(PATIENCE, greet(stream, None)).await;
        let greeted = greeted.map_err(|_| client(io::ErrorKind::TimedOut.into()))?;
        let Greeted { client, wants } = greeted.map_err(TunnelError::Client)?;
        match wants {
            Wants::Session(startup) => self.session(client, &startup).await,
            Wants::Cancel(key) => {
                let request = cancel_request(&key).map_err(gate)?;
                let mut link = self.0.gate.reach().await.map_err(gate)?;
                link.write_all(&request).await.map_err(gate)?;
                link.flush().await.map_err(gate)?;
                // The gate closes when it has passed the cancel on.
                drop(timeout(PATIENCE, link.read(&mut [0])).await);
                Ok(())
            }
        }
    }

    async fn session(
        &self,
        mut native: Begun<Link<TcpStream>>,
        asked: &Startup,
    ) -> Result<(), TunnelError> {
        let shown = timeout(PERSON, ask(&mut native, &SignIn::Password)).await;
        let shown = shown.map_err(|_| client(io::ErrorKind::TimedOut.into()))?;
        let password = self.0.password.as_bytes();
        let is_let_in = match shown.map_err(TunnelError::Client)? {
            Shown::Token(shown) => {
                let shown = shown.expose().as_bytes();
                constant_time::verify_slices_are_equal(shown, password).is_ok()
            }
            Shown::Nothing => false,
        };
        if !is_let_in {
            let message = "the tunnel's password is another: see what `tollbook connect` printed";
            refuse(&mut native, Code::AuthenticationFailed, message).await;
            return Err(TunnelError::Password);
        }
        let begun = timeout(PATIENCE, self.begin(asked)).await;
        let begun = begun.unwrap_or_else(|_| Err(gate(io::Error::from(io::ErrorKind::TimedOut))));
        let (mut link, first) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                refuse(&mut native, Code::UpstreamUnreachable, &error.to_string()).await;
                return Err(error);
            }
        };
        native.write_all(&first).await.map_err(client)?;
        native.flush().await.map_err(client)?;
        // How it ends is told by both sides to each other.
        drop(copy_bidirectional(&mut native, &mut link).await);
        Ok(())
    }

    /// Begins the session at the gate; what of it is the client's to hear.
    async fn begin(&self, asked: &Startup) -> Result<(Link<TcpStream>, BytesMut), TunnelError> {
        let mut link = self.0.gate.reach().await.map_err(gate)?;
        let own = (self.0.session.as_deref()).map(|session| (SESSION, session));
        let theirs = asked.parameters.iter();
        let theirs = theirs.map(|(name, value)| (&**name, &**value));
        let opening = startup(asked.version, own.into_iter().chain(theirs)).map_err(gate)?;
        link.write_all(&opening).await.map_err(gate)?;
        link.flush().await.map_err(gate)?;
        let frames = Frames::of_servers(Frames::SMALL);
        let (mut buffer, mut told) = (BytesMut::new(), BytesMut::new());
        loop {
            let frame = loop {
                if let Some(frame) = frames.next(&mut buffer).map_err(gate)? {
                    break frame;
                }
                if link.read_buf(&mut buffer).await.map_err(gate)? == 0 {
                    // The gate's last word is for the client.
                    return Ok((link, told));
                }
            };
            match Backend::read(&frame).map_err(gate)? {
                Backend::Authentication(Authentication::Cleartext) => {
                    let token = self.token().await?;
                    let said = Zeroizing::new([token.as_bytes(), b"\0"].concat());
                    say(&mut link, &said).await?;
                }
                Backend::Authentication(Authentication::Sasl { mechanisms })
                    if mechanisms.contains(&OAUTHBEARER) =>
                {
                    let token = self.token().await?;
                    let response =
                        Zeroizing::new(format!("n,,\x01auth=Bearer {}\x01\x01", &*token));
                    let length = u32::try_from(response.len())
                        .unwrap_or(u32::MAX)
                        .to_be_bytes();
                    let parts = [OAUTHBEARER.as_bytes(), b"\0", &length, response.as_bytes()];
                    say(&mut link, &Zeroizing::new(parts.concat())).await?;
                }
                Backend::Authentication(Authentication::Ok) => {
                    frame.write(&mut told);
                    told.extend_from_slice(&buffer);
                    return Ok((link, told));
                }
                Backend::Negotiate { .. } | Backend::Error(_) | Backend::Notice(_) => {
                    frame.write(&mut told);
                }
                _ => return Err(gate(Error::Unexpected(frame.tag))),
            }
        }
    }

    async fn token(&self) -> Result<Zeroizing<String>, TunnelError> {
        let token = self.0.token.current().await;
        token.map_err(|_| TunnelError::Token)
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("session", &self.0.session)
            .finish_non_exhaustive()
    }
}

/// Tells the client why it is not served, if it still listens.
async fn refuse(native: &mut Begun<Link<TcpStream>>, code: Code, message: &str) {
    let word = fatal(&Refusal::new(code, message), None, None);
    let told = async {
        native.write_all(&word).await?;
        native.shutdown().await
    };
    if let Err(error) = told.await {
        tracing::debug!(%error, "a client was gone before it was told");
    }
}

async fn say(link: &mut Link<TcpStream>, secret: &[u8]) -> Result<(), TunnelError> {
    let length = u32::try_from(secret.len() + 4).unwrap_or(u32::MAX);
    let said = Zeroizing::new([b"p", &length.to_be_bytes()[..], secret].concat());
    link.write_all(&said).await.map_err(gate)?;
    link.flush().await.map_err(gate)
}

fn client(error: io::Error) -> TunnelError {
    TunnelError::Client(error.into())
}

fn gate(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TunnelError {
    TunnelError::Gate(error.into())
}

/// How long the gate may take until a session has begun, which may wait for the database; and the
/// client until it says what it wants.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a person may take to type a password.
const PERSON: Duration = Duration::from_secs(60);
