//! Workload identity federation towards the Claude API: a token of the gate's own platform for one
//! of the API, so that there is no key to keep.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderName, header};
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
    redirect::Policy,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Credential, CredentialError, CredentialFuture, IdentityToken, ProvideCredential,
    renewed::{Fresh, Renewed, Source},
    secret::{self, TOKEN_LIMIT},
};
use crate::{
    error::{BuildError, Fault},
    forward::Base,
};

/// A credential for the Claude API that the gate exchanges for its own identity token (RFC 7523,
/// at `/v1/oauth/token` of the upstream).
///
/// The call is that of the official SDKs, and so are the times: within 120 seconds of a token's
/// end another is asked for in the background, and within 30 seconds of it nobody is served with
/// it any more. Tokens that live for less than eight minutes are renewed after three quarters of
/// their time. There is one exchange at a time; pauses between failing ones grow from one second
/// to a minute. When the upstream answers 401 another token is asked for at once.
///
/// The exchange follows no redirect, uses no proxy of the environment, takes at most 10 seconds
/// and reads at most 64 KiB.
#[derive(Debug)]
pub struct Federation {
    renewed: Renewed<Exchange>,
}

impl Federation {
    /// Sets up an exchange at `upstream`, the base address that requests are forwarded to:
    /// `rule` and `organization` are the upstream's ids (`fdrl_…` and a UUID).
    pub fn builder(
        upstream: &str,
        rule: &str,
        organization: &str,
        token: IdentityToken,
    ) -> FederationBuilder {
        FederationBuilder {
            upstream: upstream.to_owned(),
            rule: rule.to_owned(),
            organization: organization.to_owned(),
            service_account: None,
            workspace: None,
            token,
            ca_pem: None,
        }
    }
}

impl ProvideCredential for Federation {
    fn header(&self) -> &HeaderName {
        &header::AUTHORIZATION
    }

    fn current(&self) -> CredentialFuture<'_> {
        Box::pin(self.renewed.current())
    }

    fn refused(&self, credential: &Credential) -> bool {
        self.renewed.refused(credential)
    }
}

/// Sets up a [`Federation`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FederationBuilder {
    upstream: String,
    rule: String,
    organization: String,
    service_account: Option<String>,
    workspace: Option<String>,
    token: IdentityToken,
    ca_pem: Option<Vec<u8>>,
}

impl FederationBuilder {
    /// The service account to become, where the rule leaves a choice.
    pub fn service_account(mut self, id: impl Into<String>) -> Self {
        self.service_account = Some(id.into());
        self
    }

    /// The workspace that the token is for, where the rule leaves a choice.
    pub fn workspace(mut self, id: impl Into<String>) -> Self {
        self.workspace = Some(id.into());
        self
    }

    /// Certificate authorities to trust besides those of the operating system, as PEM.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// The provider. It exchanges when there is something to forward.
    ///
    /// # Errors
    ///
    /// When the upstream is no address to forward to, or one that is neither `https` nor on this
    /// machine, when rule or organization is empty, and when TLS cannot be set up.
    pub fn build(self) -> Result<Federation, BuildError> {
        if self.rule.trim().is_empty() || self.organization.trim().is_empty() {
            return Err(Fault::EmptyFederation.into());
        }
        let url = endpoint(&self.upstream)?;
        let mut client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(Duration::from_secs(5))
            .timeout(LIMIT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("tollbook/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // Needs no roots, so that it works where the system has none.
            client = client.tls_certs_only([]);
        } else if let Some(pem) = &self.ca_pem {
            let authorities = Certificate::from_pem_bundle(pem).map_err(Fault::Client)?;
            if authorities.is_empty() {
                return Err(Fault::NoCa.into());
            }
            client = client.tls_certs_merge(authorities);
        }
        Ok(Federation {
            renewed: Renewed::new(Exchange {
                url,
                rule: self.rule,
                organization: self.organization,
                service_account: self.service_account,
                workspace: self.workspace,
                token: self.token,
                client: client.build().map_err(Fault::Client)?,
            }),
        })
    }
}

const LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: usize = 64 << 10;
/// From when before its end a token is renewed, and from when it is not sent any more.
const RENEW_BEFORE: Duration = Duration::from_secs(120);
const STOP_BEFORE: Duration = Duration::from_secs(30);

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The second word belongs to this call alone.
const BETAS: &str = "oauth-2025-04-20,oidc-federation-2026-04-01";

/// The address of the exchange, behind the path of the upstream as that of every request.
fn endpoint(upstream: &str) -> Result<Url, Fault> {
    Base::parse(upstream)?;
    let url = format!("{}/v1/oauth/token", upstream.trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|_| Fault::Upstream)?;
    if url.scheme() == "https" || is_loopback(&url) {
        Ok(url)
    } else {
        Err(Fault::Insecure)
    }
}

/// `localhost` and what is below it never leave the machine (RFC 6761 §6.3).
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[derive(Debug)]
struct Exchange {
    url: Url,
    rule: String,
    organization: String,
    service_account: Option<String>,
    workspace: Option<String>,
    token: IdentityToken,
    client: Client,
}

#[derive(Serialize)]
struct Request<'a> {
    grant_type: &'a str,
    assertion: &'a str,
    federation_rule_id: &'a str,
    organization_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<&'a str>,
}

/// Borrowed, so that no copy of the token is left behind.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow, default)]
    token_type: Option<Cow<'a, str>>,
    expires_in: u64,
}

impl Source for Exchange {
    async fn fetch(&self) -> Result<Fresh, CredentialError> {
        let token = self.token.read().await?;
        let request = self.request(secret::word(&token)?)?;
        drop(token);
        let answer = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("accept", "application/json")
            .header("anthropic-beta", BETAS)
            .body(request)
            .send()
            .await
            .map_err(|error| {
                CredentialError::new("the token exchange has no answer")
                    .with_source(error.without_url())
            })?;
        if answer.status() != StatusCode::OK {
            tracing::warn!(
                status = answer.status().as_u16(),
                request_id = request_id(answer.headers()),
                "the token exchange was refused"
            );
            return Err(CredentialError::new("the token exchange was refused")
                .with_status(answer.status().as_u16()));
        }
        if answer.headers().contains_key(CONTENT_ENCODING) {
            return Err(UNREADABLE);
        }
        fresh(&body(answer).await?)
    }
}

impl Exchange {
    fn request(&self, assertion: &str) -> Result<Bytes, CredentialError> {
        let request = Request {
            grant_type: GRANT_TYPE,
            assertion,
            federation_rule_id: &self.rule,
            organization_id: &self.organization,
            service_account_id: self.service_account.as_deref(),
            workspace_id: self.workspace.as_deref(),
        };
        // Room for everything: what a growing buffer leaves behind is not wiped.
        let mut body = Zeroizing::new(Vec::with_capacity(2 * TOKEN_LIMIT + 4096));
        serde_json::to_writer(&mut *body, &request).map_err(|error| {
            CredentialError::new("the token exchange cannot be written").with_source(error)
        })?;
        Ok(Bytes::from_owner(body))
    }
}

const UNREADABLE: CredentialError =
    CredentialError::new("the answer of the token exchange cannot be read");

async fn body(mut answer: Response) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_LIMIT));
    while let Some(chunk) = answer.chunk().await.map_err(|error| {
        CredentialError::new("the answer of the token exchange broke off")
            .with_source(error.without_url())
    })? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(UNREADABLE);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn fresh(body: &[u8]) -> Result<Fresh, CredentialError> {
    // The error of the parser would quote what it found.
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| UNREADABLE)?;
    let is_bearer = |kind: &str| kind.eq_ignore_ascii_case("bearer");
    if !answer.token_type.as_deref().is_none_or(is_bearer) || answer.expires_in == 0 {
        return Err(UNREADABLE);
    }
    let token = secret::word(answer.access_token.as_bytes())?;
    let life = Duration::from_secs(answer.expires_in);
    Ok(Fresh {
        credential: Credential::oauth(token).map_err(|_| UNREADABLE)?,
        // A share of what lives too shortly for the margins.
        renew_after: life - RENEW_BEFORE.min(life / 4),
        use_for: life - STOP_BEFORE.min(life / 8),
    })
}

/// The upstream's name for the exchange, by which its operators find the reason of a refusal.
fn request_id(headers: &HeaderMap) -> &str {
    let id = headers.get("request-id").and_then(|id| id.to_str().ok());
    id.filter(|id| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        id.len() <= 64 && id.bytes().all(plain)
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(upstream: &str) -> Result<Federation, BuildError> {
        let token = IdentityToken::file("/run/token");
        Federation::builder(upstream, "fdrl_1", "org", token).build()
    }

    #[test]
    fn tokens_are_exchanged_over_https_or_at_home() {
        for (upstream, expected) in [
            (
                "https://api.example.com",
                "https://api.example.com/v1/oauth/token",
            ),
            (
                "https://api.example.com/base/",
                "https://api.example.com/base/v1/oauth/token",
            ),
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080/v1/oauth/token",
            ),
            ("http://[::1]:1/", "http://[::1]:1/v1/oauth/token"),
            (
                "http://api.localhost",
                "http://api.localhost/v1/oauth/token",
            ),
        ] {
            assert_eq!(endpoint(upstream).unwrap().as_str(), expected);
        }
        for upstream in [
            "",
            "http://api.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://localhost",
            "https://user:word@api.example.com",
            "https://api.example.com?x",
        ] {
            assert!(built(upstream).is_err(), "{upstream:?}");
        }
        let token = IdentityToken::file("/run/token");
        for (rule, organization) in [("", "org"), ("fdrl_1", " ")] {
            let builder =
                Federation::builder("https://a", rule, organization, token.clone()).build();
            assert!(builder.is_err());
        }
        assert!(IdentityToken::variable("A=B").is_err());
        assert!(IdentityToken::variable("").is_err());
    }

    #[test]
    fn a_token_stops_before_its_end_and_is_renewed_before_it_stops() {
        for (life, renew, stop) in [
            (3600, 3480, 3570),
            (600, 480, 570),
            (480, 360, 450),
            (240, 180, 210),
            (60, 45, 52),
            (1, 0, 0),
        ] {
            let answer = format!("{{\"access_token\":\"t\",\"expires_in\":{life}}}");
            let fresh = fresh(answer.as_bytes()).unwrap();
            let times = (fresh.renew_after.as_secs(), fresh.use_for.as_secs());
            assert_eq!(times, (renew, stop), "{life}");
        }
    }

    #[test]
    fn answers_that_cannot_be_used_are_refused_without_being_quoted() {
        for body in [
            "",
            "canary",
            "[]",
            r#"{"access_token":"canary"}"#,
            r#"{"expires_in":60}"#,
            r#"{"access_token":"canary","expires_in":"60"}"#,
            r#"{"access_token":"canary","expires_in":0}"#,
            r#"{"access_token":"canary","expires_in":-1}"#,
            r#"{"access_token":"canary","expires_in":60.5}"#,
            r#"{"access_token":"canary bird","expires_in":60}"#,
            r#"{"access_token":"","expires_in":60}"#,
            r#"{"access_token":"canary\nbird","expires_in":60}"#,
            r#"{"access_token":7,"expires_in":60}"#,
            r#"{"access_token":"canary","token_type":"mac","expires_in":60}"#,
            r#"{"access_token":"canary","access_token":"canary","expires_in":60}"#,
        ] {
            let error = fresh(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{body}");
        }
        let taken = r#"{"access_token":"sk-ant-oat01-1","token_type":"bearer","expires_in":600,"scope":"a","new":{}}"#;
        assert_eq!(
            fresh(taken.as_bytes()).unwrap().credential.header(),
            "authorization"
        );
    }
}
