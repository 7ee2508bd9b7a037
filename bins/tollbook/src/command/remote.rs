//! The admin API of a running gateway, for commands.

use std::{env, path::PathBuf, time::Duration};

use clap::Args;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::{command::Configuration, exit::Failure};

/// The variable that holds the token.
const TOKEN: &str = "TOLLBOOK_TOKEN";
/// The largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// Which gateway, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// The admin address of the gateway, such as `http://127.0.0.1:8081`; else the configuration
    /// says.
    #[arg(
        long = "gateway",
        value_name = "URL",
        env = "TOLLBOOK_ADMIN_URL",
        hide_env_values = true
    )]
    url: Option<String>,
    #[command(flatten)]
    token: Token,
    #[command(flatten)]
    configuration: Configuration,
}

/// Where the caller's token is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Token {
    /// A file with your token, read anew each time; else the token is in $TOLLBOOK_TOKEN. With a gateway
    /// token you may look, operate and use what is behind the gate, but not decide: that takes your own
    /// OIDC token.
    #[arg(
        long,
        value_name = "FILE",
        env = "TOLLBOOK_TOKEN_FILE",
        hide_env_values = true
    )]
    token_file: Option<PathBuf>,
}

impl Remote {
    /// Asks, and gives the answer's body.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut url = self.address(path)?;
        url.query_pairs_mut().extend_pairs(query);
        self.send(Method::GET, url, None).await
    }

    /// Tells, and gives the answer's body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = self.address(path)?;
        self.send(Method::POST, url, Some(body)).await
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Value, Failure> {
        let token = self.token.read()?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| Failure::unknown("cannot make an HTTP client", error))?;
        let mut request = client
            .request(method, url.clone())
            .bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| {
            Failure::unknown(&format!("{url} is not reachable"), error.without_url())
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            text.extend_from_slice(&piece);
            if text.len() > MAX_ANSWER {
                return Err(Failure::Unknown(format!("the answer of {url} has no end")));
            }
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        Err(failure(status, &answer))
    }

    fn address(&self, path: &str) -> Result<Url, Failure> {
        let base = match &self.url {
            Some(url) => url.clone(),
            None => {
                let (_, config) = self.configuration.read().map_err(|failure| {
                    Failure::usage(format!(
                        "which gateway? name its admin address with --gateway, or its --config: {}",
                        failure.message()
                    ))
                })?;
                format!("http://{}", config.gateway.admin)
            }
        };
        let wrong = || Failure::usage(format!("`{base}` is no address of a gateway"));
        let mut url = Url::parse(&base).map_err(|_| wrong())?;
        let joined = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&joined);
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        match url.scheme() {
            "https" => Ok(url),
            "http" if loopback => Ok(url),
            "http" => Err(Failure::usage(format!(
                "{base} is not encrypted, and your token would be read on its way; use https, or a \
                 tunnel to the gateway's own machine"
            ))),
            _ => Err(wrong()),
        }
    }
}

impl Token {
    /// The token, as it is now.
    pub(crate) fn read(&self) -> Result<String, Failure> {
        let text = match &self.token_file {
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", file.display()))
            })?,
            None => env::var(TOKEN).map_err(|_| {
                Failure::usage(format!(
                    "who are you? show a token of yours with --token-file, or in ${TOKEN}"
                ))
            })?,
        };
        match text.trim() {
            "" => Err(Failure::usage("the token is empty")),
            token => Ok(token.to_owned()),
        }
    }
}

/// What the gateway's error means for a script: 1 for its "no", 2 for a wrong request, 3 else.
fn failure(status: StatusCode, answer: &Value) -> Failure {
    let said = answer["message"].as_str().unwrap_or_default();
    let code = answer["code"].as_str().unwrap_or_default();
    let mut message = match (said, code) {
        ("", _) => format!("the gateway answered {status}"),
        (said, "") => said.to_owned(),
        (said, code) => format!("{said} ({code})"),
    };
    for mistake in answer["mistakes"].as_array().into_iter().flatten() {
        message.push_str("\n  ");
        message.push_str(mistake.as_str().unwrap_or_default());
    }
    match status.as_u16() {
        400 => Failure::Usage(message),
        401 | 403 | 404 | 409 | 422 => Failure::No(message),
        _ => Failure::Unknown(message),
    }
}
