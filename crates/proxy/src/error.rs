//! Why a forwarder cannot be built.

/// The upstream, its certificates or its credential cannot be used as they are given.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BuildError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the upstream is not an absolute http or https address")]
    Upstream,
    #[error("the upstream's address holds a user name or password")]
    UserInfo,
    #[error("the upstream's address holds a query or fragment")]
    Query,
    #[error("the credential's header is not a header name")]
    CredentialHeader,
    #[error("the credential's header is one that the gate sets itself")]
    ReservedHeader,
    #[error("the credential is empty")]
    EmptyCredential,
    #[error("the credential holds characters that no header may hold")]
    CredentialValue,
    #[error("the CA certificates are not PEM")]
    CaPem(#[source] rustls_pki_types::pem::Error),
    #[error("there is no certificate among the CA certificates")]
    NoCa,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("the command is empty")]
    EmptyCommand,
    #[error("the name of the environment variable is none")]
    VariableName,
    #[error("the token exchange lacks its rule or its organization")]
    EmptyFederation,
    #[error("tokens are exchanged over https, or over http on this machine")]
    Insecure,
    #[error("the client for the token exchange cannot be made")]
    Client(#[source] reqwest::Error),
}
