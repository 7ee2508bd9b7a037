//! A stand-in for the Claude API.
//!
//! [`ClaudeUpstream`] answers on loopback as the API does: the same paths, headers, errors and
//! order of events, from memory and without a model. Its answer **echoes the last text of the last
//! user message**, so that a secret in a prompt comes back in the answer, cut into small deltas at
//! arbitrary places.
//!
//! # Steering by prompt
//!
//! Real clients cannot set headers at will, but they can be given a prompt. These words in the text
//! of the last user message steer the answer, and are left out of the echo:
//!
//! | word | effect |
//! |---|---|
//! | `[[tool:NAME {json}]]` | a `tool_use` block, if the request lists a tool of this name. Several make several blocks. The request that brings the tool's result gets a text with that result |
//! | `[[thinking]]` | a signed `thinking` block before the text |
//! | `[[refusal]]` | stop reason `refusal` |
//! | `[[long:N]]` | N KiB of text |
//! | `[[429]]`, `[[529]]`, any 400 to 599 | that error |
//! | `[[error]]` | an `error` event in the middle of the text; 529 where nothing is streamed |
//! | `[[cut]]` | the connection closes in the middle of the answer |
//! | `[[slow]]` | a pause before each event, and pings between |
//! | `[[gzip]]` | a gzip answer, asked for or not |
//!
//! Blocks of `<system-reminder>` are neither echoed nor looked at. [`Faults`] reach what no prompt
//! can.
//!
//! # Tokens
//!
//! `POST /v1/oauth/token` gives a token for any assertion in the shape of a JWT, if the call is that
//! of the official SDKs; [`Tokens`] tells what was asked and steers what is given. The token is taken
//! as a bearer token, with `oauth-2025-04-20` in `anthropic-beta`, until it ends.
//!
//! # What it does not do
//!
//! It does not count tokens as a model does (four bytes are one), stop at `max_tokens`, or page its
//! lists. Batches end when they are first looked at. It keeps little and forgets the oldest.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tollbook_testkit::upstream::{ClaudeUpstream, UpstreamConfig};
//!
//! let upstream = ClaudeUpstream::start(UpstreamConfig::default()).await?;
//! assert!(upstream.url().starts_with("http://127.0.0.1:"));
//! upstream.faults().change(|plan| plan.status = Some(529));
//! assert_eq!(upstream.count(), 0);
//! upstream.shutdown().await;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

mod answer;
mod api;
mod batches;
mod body;
mod faults;
mod files;
mod multipart;
mod prompt;
mod random;
mod received;
mod reply;
mod server;
mod tokens;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use api::Api;
pub use faults::{Faults, Garbage, Plan};
pub use received::Received;
pub use tokens::{Exchanged, Tokens};

/// The API key that the stand-in takes unless told otherwise.
pub const STANDIN_API_KEY: &str = "sk-ant-standin-0123456789abcdefghijklmnopqrstuvwxyz";

/// How a stand-in is to be.
#[derive(Clone)]
pub struct UpstreamConfig {
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The only key that is accepted, in `x-api-key` or as a bearer token. A request that brings
    /// another credential beside it is refused too, so that a test sees a gate that leaks one.
    /// Bearer tokens that were exchanged are accepted in its place.
    pub api_key: String,
    /// What decides where texts are cut and which ids are given.
    pub seed: u64,
    /// How many requests [`ClaudeUpstream::received`] keeps, within 64 MiB of bodies.
    pub keep: usize,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: STANDIN_API_KEY.to_owned(),
            seed: 1,
            keep: 256,
        }
    }
}

impl fmt::Debug for UpstreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamConfig")
            .field("listen", &self.listen)
            .field("seed", &self.seed)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// A running stand-in. Dropping it closes its connections; [`shutdown`](Self::shutdown) also waits
/// until they are closed.
pub struct ClaudeUpstream {
    api: Arc<Api>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl ClaudeUpstream {
    /// Starts a stand-in on the current runtime.
    ///
    /// # Errors
    ///
    /// When it cannot listen at `config.listen`.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn start(config: UpstreamConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let api = Arc::new(Api::new(config, format!("http://{address}")));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server::run(listener, Arc::clone(&api), stopped));
        Ok(Self {
            api,
            address,
            stop: Some(stop),
            task: Some(task),
        })
    }

    /// Closes every connection and waits until all is closed.
    pub async fn shutdown(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // The task ends by itself; had it panicked there would be nothing left to close.
            task.await.ok();
        }
    }

    /// The base URL, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        self.api.url()
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last requests, oldest first, as they came: probes and refused ones too.
    pub fn received(&self) -> Vec<Received> {
        self.api.inbox().received()
    }

    /// How many requests have come in all.
    pub fn count(&self) -> u64 {
        self.api.inbox().count()
    }

    /// The tokens that it gave, and how it gives more.
    pub fn tokens(&self) -> &Tokens {
        self.api.tokens()
    }

    /// The switches that make it fail.
    pub fn faults(&self) -> &Faults {
        self.api.faults()
    }
}

impl Drop for ClaudeUpstream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for ClaudeUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaudeUpstream")
            .field("url", &self.url())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
