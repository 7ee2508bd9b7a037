//! The server behind the gate, and how the gate signs in there.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use md5::{Digest, Md5};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tollbook_exchange::{Code, Refusal};
use tollbook_wire_postgres::{
    Authentication, Backend, CancelKey, Field, Frame, Frames, Status, Version, cancel_request,
    startup, tls_request,
};
use zeroize::Zeroizing;

use super::{
    Fault, Wire,
    link::{Begun, Link},
    scram::{self, PLAIN, PLUS, Scram},
};

/// The server behind the gate, and who the gate is there.
///
/// A cheap handle.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Parts>);

/// What an [`Upstream`] is put together from.
#[derive(Debug)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role that sessions have there.
    pub user: String,
    /// The database.
    pub database: String,
    /// How TLS is spoken with it; `None` for an upstream without.
    pub tls: Option<UpstreamTls>,
    /// What opens it, if anything but a certificate has to.
    pub password: Option<Arc<dyn ProvidePassword>>,
    /// How long it may take until a session can begin.
    pub patience: Duration,
}

#[derive(Debug)]
struct Parts {
    server: Server,
    name: Option<ServerName<'static>>,
}

/// How TLS is spoken with an upstream: always with its certificate and name verified.
#[derive(Clone)]
pub struct UpstreamTls(Arc<ClientConfig>);

/// Gives the password of an upstream.
pub trait ProvidePassword: fmt::Debug + Send + Sync + 'static {
    /// The password to sign in with now.
    ///
    /// # Errors
    ///
    /// When there is none.
    fn current(&self) -> PasswordFuture<'_>;

    /// Takes note that the upstream refused it. Answers whether [`current`](Self::current) may bring
    /// another.
    fn refused(&self) -> bool {
        false
    }
}

/// What [`ProvidePassword::current`] returns; boxed, because the provider is chosen at run time.
pub type PasswordFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Zeroizing<String>, NoPassword>> + Send + 'a>>;

/// There is no password at the moment.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection has no credential at the moment")]
pub struct NoPassword;

/// A password that stays as it is. Wiped on drop; `Debug` prints nothing.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// An upstream cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The host is no name and no address.
    #[error("the host is no name and no address")]
    Host,
    /// The authorities are no PEM.
    #[error("the authorities are no certificates in PEM")]
    Authorities,
    /// The certificate and its key cannot be used.
    #[error("the client certificate and its key cannot be used")]
    Certificate(#[source] rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A session at the server that has begun.
pub(super) struct Connected {
    pub(super) wire: Wire<Link<TcpStream>>,
    pub(super) address: SocketAddr,
    pub(super) parameters: BTreeMap<String, String>,
    /// The server's key; a server may have none.
    pub(super) key: Option<CancelKey>,
    pub(super) status: Status,
}

/// Why no session could begin at the server. None of it holds what the server says.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamFault {
    #[error("the server cannot be reached")]
    Unreachable(#[source] io::Error),
    #[error("the server does not answer in time")]
    Timeout,
    #[error("the server speaks no TLS")]
    NoTls,
    #[error("TLS with the server failed")]
    Tls(#[source] io::Error),
    #[error("the server does not speak as it is written")]
    Invalid(#[source] Fault),
    #[error("the server asks for a way to sign in that is not allowed here")]
    Method,
    #[error("the server could not prove that it knows the password")]
    Proof,
    #[error(transparent)]
    NoPassword(#[from] NoPassword),
    #[error("the system has no random numbers")]
    Random,
    /// With the server's SQLSTATE.
    #[error("the server refuses the session ({0})")]
    Refused(String),
}

impl Upstream {
    /// This server.
    ///
    /// # Errors
    ///
    /// When its name cannot be one.
    pub fn new(server: Server) -> Result<Self, BuildError> {
        let name = match server.tls {
            None => None,
            Some(_) => {
                let name = ServerName::try_from(server.host.clone());
                Some(name.map_err(|_| BuildError::Host)?)
            }
        };
        Ok(Self(Arc::new(Parts { server, name })))
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.0.server.database
    }

    /// Whether the gate reaches it over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.name.is_some()
    }

    /// Begins a session with these settings beside its own.
    pub(super) async fn connect(
        &self,
        application: &str,
        settings: &[(String, String)],
        max_message: usize,
    ) -> Result<Connected, UpstreamFault> {
        let patience = self.0.server.patience;
        let begun = timeout(patience, self.begin(application, settings, max_message)).await;
        let begun = begun.map_err(|_| UpstreamFault::Timeout)?;
        let again = match &begun {
            Err(UpstreamFault::Refused(state)) if state.starts_with("28") => {
                (self.0.server.password.as_ref()).is_some_and(|password| password.refused())
            }
            _ => false,
        };
        if !again {
            return begun;
        }
        timeout(patience, self.begin(application, settings, max_message))
            .await
            .map_err(|_| UpstreamFault::Timeout)?
    }

    /// Asks the server at this address to cancel what the session with this key does.
    pub(super) async fn cancel(
        &self,
        address: SocketAddr,
        key: &CancelKey,
    ) -> Result<(), UpstreamFault> {
        let request = cancel_request(key).map_err(|error| invalid(error.into()))?;
        let asked = async {
            let mut link = self.link(address).await?;
            link.write_all(&request).await.map_err(unreachable)?;
            link.flush().await.map_err(unreachable)?;
            // The server closes when it has passed the signal on.
            drop(link.read(&mut [0]).await);
            Ok(())
        };
        (timeout(CANCEL, asked).await).map_err(|_| UpstreamFault::Timeout)?
    }

    /// A connection to it, before anything is said.
    pub(super) async fn reach(&self) -> Result<Link<TcpStream>, UpstreamFault> {
        let Server { host, port, .. } = &self.0.server;
        let stream = TcpStream::connect((&**host, *port)).await;
        self.encrypt(stream.map_err(unreachable)?).await
    }

    async fn begin(
        &self,
        application: &str,
        settings: &[(String, String)],
        max_message: usize,
    ) -> Result<Connected, UpstreamFault> {
        let server = &self.0.server;
        let stream = TcpStream::connect((&*server.host, server.port)).await;
        let stream = stream.map_err(unreachable)?;
        let address = stream.peer_addr().map_err(unreachable)?;
        let link = self.encrypt(stream).await?;
        let own = [
            ("user", &*server.user),
            ("database", &*server.database),
            ("application_name", application),
            ("client_encoding", "UTF8"),
        ];
        let theirs = (settings.iter()).map(|(name, value)| (&**name, &**value));
        // What 3.2 adds is a longer key, which leaves the gate on its way to the server only.
        let opening = startup(Version::V3_0, own.into_iter().chain(theirs));
        let opening = opening.map_err(|error| invalid(error.into()))?;
        let mut talk = Talk {
            link,
            buffer: BytesMut::new(),
            frames: Frames::of_servers(max_message),
        };
        talk.say(&opening).await?;
        self.sign_in(&mut talk, address.ip()).await?;
        let (mut parameters, mut key) = (BTreeMap::new(), None);
        let status = loop {
            let frame = talk.next().await?;
            match read(&frame)? {
                Backend::ParameterStatus { name, value } => {
                    parameters.insert(name.to_owned(), value.to_owned());
                }
                Backend::KeyData(told) => key = Some(told),
                Backend::Ready(status) => break status,
                Backend::Error(fields) => return Err(refused(fields.field(Field::CODE))),
                Backend::Notice(_) => {}
                _ => return Err(unexpected(&frame)),
            }
        };
        Ok(Connected {
            wire: Wire::new(talk.link, talk.buffer, talk.frames),
            address,
            parameters,
            key,
            status,
        })
    }

    /// Answers what the server asks until it is content.
    async fn sign_in(&self, talk: &mut Talk, at: IpAddr) -> Result<(), UpstreamFault> {
        let (mut scram, mut is_proven) = (None::<Scram>, true);
        loop {
            let frame = talk.next().await?;
            let step = match read(&frame)? {
                Backend::Authentication(step) => step,
                Backend::Error(fields) => return Err(refused(fields.field(Field::CODE))),
                Backend::Notice(_) | Backend::Negotiate { .. } => continue,
                _ => return Err(unexpected(&frame)),
            };
            match step {
                Authentication::Ok if is_proven => return Ok(()),
                Authentication::Cleartext if talk.link.tls().is_some() || at.is_loopback() => {
                    let password = self.password().await?;
                    talk.secret(password.as_bytes(), true).await?;
                }
                Authentication::Md5 { salt } => {
                    let password = self.password().await?;
                    let answer = md5_answer(&self.0.server.user, &password, salt);
                    talk.secret(answer.as_bytes(), true).await?;
                }
                Authentication::Sasl { mechanisms } if scram.is_none() => {
                    let certificate = talk.link.certificate();
                    let binding = certificate
                        .and_then(|certificate| scram::end_point(certificate))
                        .filter(|_| mechanisms.contains(&PLUS));
                    if binding.is_none() && !mechanisms.contains(&PLAIN) {
                        return Err(UpstreamFault::Method);
                    }
                    let begun = Scram::new(binding).map_err(|_| UpstreamFault::Random)?;
                    let first = begun.first();
                    let length = i32::try_from(first.len()).unwrap_or(i32::MAX);
                    let mechanism = begun.mechanism().as_bytes();
                    let said = [mechanism, b"\0", &length.to_be_bytes(), &first].concat();
                    talk.secret(&said, false).await?;
                    (scram, is_proven) = (Some(begun), false);
                }
                Authentication::SaslContinue(first) => {
                    let (begun, password) = (scram.take(), self.password().await?);
                    let mut begun = begun.ok_or_else(|| unexpected(&frame))?;
                    let first = first.to_vec();
                    // Made to take a while.
                    let answered = tokio::task::spawn_blocking(move || {
                        let answer = begun.answer(&first, &password);
                        answer.map(|answer| (begun, answer))
                    });
                    let answered = answered.await.map_err(|_| UpstreamFault::Proof)?;
                    let (begun, answer) = answered.map_err(|_| UpstreamFault::Proof)?;
                    talk.secret(&answer, false).await?;
                    scram = Some(begun);
                }
                Authentication::SaslFinal(last) => {
                    let begun = scram.as_ref().ok_or_else(|| unexpected(&frame))?;
                    begun.verify(last).map_err(|_| UpstreamFault::Proof)?;
                    is_proven = true;
                }
                // Also one that is content before it has proved itself.
                _ => return Err(UpstreamFault::Method),
            }
        }
    }

    async fn password(&self) -> Result<Zeroizing<String>, UpstreamFault> {
        let password = self.0.server.password.as_ref().ok_or(NoPassword)?;
        Ok(password.current().await?)
    }

    async fn link(&self, address: SocketAddr) -> Result<Link<TcpStream>, UpstreamFault> {
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        self.encrypt(stream).await
    }

    async fn encrypt(&self, mut stream: TcpStream) -> Result<Link<TcpStream>, UpstreamFault> {
        // Otherwise each small message waits for the acknowledgement of the last.
        stream.set_nodelay(true).map_err(unreachable)?;
        let (Some(tls), Some(name)) = (&self.0.server.tls, &self.0.name) else {
            return Ok(Link::Plain(Begun::new(BytesMut::new(), stream)));
        };
        stream
            .write_all(&tls_request())
            .await
            .map_err(unreachable)?;
        // One byte and no more: what somebody put behind it is not taken for what comes in TLS.
        match stream.read_u8().await.map_err(unreachable)? {
            b'S' => {}
            _ => return Err(UpstreamFault::NoTls),
        }
        let connector = TlsConnector::from(Arc::clone(&tls.0));
        let begun = Begun::new(BytesMut::new(), stream);
        let stream = connector.connect(name.clone(), begun).await;
        let stream = stream.map_err(UpstreamFault::Tls)?;
        Ok(Link::Tls(Box::new(stream.into())))
    }
}

impl UpstreamTls {
    /// The server's certificate is verified against the operating system's authorities and those in
    /// `authorities`, PEM; `certificate` and its key, PEM as well, are shown to it.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used.
    pub fn verified(
        authorities: Option<&[u8]>,
        certificate: Option<(&[u8], &[u8])>,
    ) -> Result<Self, BuildError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(BuildError::Tls)?;
        // Those that are named are the only ones, as for libpq.
        let builder = match authorities {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(pem).ok_or(BuildError::Authorities)? {
                    roots.add(authority).map_err(|_| BuildError::Authorities)?;
                }
                builder.with_root_certificates(roots)
            }
            None => {
                let verifier = Verifier::new(provider).map_err(BuildError::Tls)?;
                builder
                    // Not dangerous: it is the operating system's own verification.
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let unusable = || BuildError::Certificate(rustls::Error::General("no PEM".into()));
                let chain = certificates(chain).ok_or_else(unusable)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unusable())?;
                (builder.with_client_auth_cert(chain, key)).map_err(BuildError::Certificate)?
            }
        };
        config.alpn_protocols = vec![super::ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl Password {
    /// This password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }
}

impl ProvidePassword for Password {
    fn current(&self) -> PasswordFuture<'_> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

impl UpstreamFault {
    /// What the caller is told, and the record: that there is no server to be had, and why in a word.
    pub(super) fn refusal(&self) -> Refusal {
        let (code, why) = match self {
            Self::Unreachable(_) => (Code::UpstreamUnreachable, "upstream_unreachable"),
            Self::Timeout => (Code::UpstreamTimeout, "upstream_timeout"),
            Self::NoTls | Self::Tls(_) => (Code::UpstreamUnreachable, "upstream_tls"),
            Self::Invalid(_) => (Code::UpstreamInvalid, "upstream_protocol"),
            Self::Method => (Code::UpstreamInvalid, "upstream_sign_in_method"),
            Self::Proof => (Code::UpstreamInvalid, "upstream_not_proven"),
            Self::NoPassword(_) | Self::Random => (Code::UpstreamUnreachable, "no_credential"),
            Self::Refused(state) if state.starts_with("28") => {
                (Code::UpstreamInvalid, "upstream_credential_refused")
            }
            Self::Refused(_) => (Code::UpstreamInvalid, "upstream_refused"),
        };
        let message = match self {
            Self::Timeout => "the database does not answer in time",
            Self::Refused(_) | Self::Method | Self::Proof | Self::NoPassword(_) | Self::Random => {
                "the gate cannot sign in to the database"
            }
            _ => "the database cannot be reached",
        };
        Refusal::new(code, message).because(why)
    }

    /// The server's SQLSTATE, if it said one.
    pub(super) fn state(&self) -> Option<&str> {
        match self {
            Self::Refused(state) => Some(state),
            _ => None,
        }
    }
}

/// A server while the gate signs in.
struct Talk {
    link: Link<TcpStream>,
    buffer: BytesMut,
    frames: Frames,
}

impl Talk {
    async fn next(&mut self) -> Result<Frame, UpstreamFault> {
        loop {
            let frame = self.frames.next(&mut self.buffer);
            if let Some(frame) = frame.map_err(|error| invalid(error.into()))? {
                return Ok(frame);
            }
            self.buffer.reserve(READ);
            if (self.link.read_buf(&mut self.buffer).await).map_err(unreachable)? == 0 {
                return Err(unreachable(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), UpstreamFault> {
        self.link.write_all(bytes).await.map_err(unreachable)?;
        self.link.flush().await.map_err(unreachable)
    }

    /// Says a password or a step of SASL, in a buffer of its own that is wiped. A text has an end.
    async fn secret(&mut self, secret: &[u8], is_text: bool) -> Result<(), UpstreamFault> {
        let end: &[u8] = if is_text { b"\0" } else { b"" };
        let length = i32::try_from(4 + secret.len() + end.len()).unwrap_or(i32::MAX);
        let said = [b"p", &length.to_be_bytes()[..], secret, end].concat();
        self.say(&Zeroizing::new(said)).await
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTls(..)")
    }
}

/// Whether an upstream of this name is on this machine, so that plain text reaches nobody else.
pub fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || (host.parse()).is_ok_and(|address: IpAddr| address.is_loopback())
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    all.ok().filter(|all| !all.is_empty())
}

/// The answer to a salt: `md5` and the digest of the digest of password and role.
fn md5_answer(user: &str, password: &str, salt: [u8; 4]) -> Zeroizing<String> {
    let inner = Zeroizing::new(hexadecimal(&Md5::digest(
        Zeroizing::new([password, user].concat()).as_bytes(),
    )));
    let outer = Md5::digest([inner.as_bytes(), &salt].concat());
    Zeroizing::new(format!("md5{}", hexadecimal(&outer)))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(frame: &Frame) -> Result<Backend<'_>, UpstreamFault> {
    Backend::read(frame).map_err(|error| invalid(error.into()))
}

fn unexpected(frame: &Frame) -> UpstreamFault {
    invalid(tollbook_wire_postgres::Error::Unexpected(frame.tag).into())
}

const fn invalid(fault: Fault) -> UpstreamFault {
    UpstreamFault::Invalid(fault)
}

const fn unreachable(error: io::Error) -> UpstreamFault {
    UpstreamFault::Unreachable(error)
}

/// A code is five letters or digits; anything else is none.
fn refused(state: Option<&str>) -> UpstreamFault {
    let is_code =
        |state: &&str| state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_alphanumeric());
    UpstreamFault::Refused(state.filter(is_code).unwrap_or("XX000").to_owned())
}

/// What is read at once while the gate signs in.
const READ: usize = 4 << 10;
/// How long a cancel may take.
const CANCEL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_salt_is_that_of_postgresql() {
        // The case that the postgres-protocol crate is held against.
        let answer = md5_answer("md5_user", "password", [0x2a, 0x3d, 0x8f, 0xe0]);
        assert_eq!(&**answer, "md562af4dd09bbb41884907a838a3233294");
    }

    #[test]
    fn a_loopback_address_is_local() {
        for (host, local) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("db.internal", false),
            ("10.0.0.1", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_local(host), local, "{host}");
        }
    }
}
