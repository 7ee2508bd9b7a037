//! Tokens in exchange for assertions.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::{
    random::Random,
    reply::{Refused, Reply},
};

/// The tokens of a stand-in: what was exchanged for them, and how long they last. Clones share
/// them.
#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<State>>);

struct State {
    life: Duration,
    status: Option<u16>,
    /// Each valid token, and when it ends.
    valid: HashMap<String, Instant>,
    exchanges: VecDeque<Exchanged>,
    count: u64,
}

/// A call of the token exchange that was answered with a token. `Debug` shows neither token nor
/// assertion.
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchanged {
    /// What was shown. Nobody verified it.
    pub assertion: String,
    /// The federation rule that was named.
    pub rule: String,
    /// The organization that was named.
    pub organization: String,
    /// The service account, if one was named.
    pub service_account: Option<String>,
    /// The workspace, if one was named.
    pub workspace: Option<String>,
    /// The token that was given.
    pub token: String,
}

/// How many exchanges are kept.
const KEEP: usize = 256;
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What a bearer token is taken with.
const OAUTH: &str = "oauth-2025-04-20";
const FEDERATION: &str = "oidc-federation-2026-04-01";

impl Default for State {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(3600),
            status: None,
            valid: HashMap::new(),
            exchanges: VecDeque::new(),
            count: 0,
        }
    }
}

impl Tokens {
    /// Lets tokens live for `life` from now on, in whole seconds. An hour unless told.
    pub fn live_for(&self, life: Duration) {
        self.lock().life = life;
    }

    /// Answers exchanges with this error status from now on, or with tokens again.
    pub fn fail_with(&self, status: Option<u16>) {
        self.lock().status = status;
    }

    /// Ends every token.
    pub fn revoke_all(&self) {
        self.lock().valid.clear();
    }

    /// The last exchanges that gave a token, oldest first.
    pub fn exchanged(&self) -> Vec<Exchanged> {
        self.lock().exchanges.iter().cloned().collect()
    }

    /// How many exchanges were asked for in all, refused ones too.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Answers one exchange. The shape is checked, and nothing is verified.
    pub(super) fn exchange(
        &self,
        headers: &HeaderMap,
        request: &Value,
        ids: &mut Random,
    ) -> Result<Reply, Refused> {
        let mut state = self.lock();
        state.count += 1;
        if let Some(status) = state.status {
            return Err(Refused::new(status, "failing on purpose"));
        }
        for name in ["x-api-key", "authorization"] {
            if headers.contains_key(name) {
                return Err(Refused::new(400, format!("{name}: Extra credential")));
            }
        }
        let json = headers.get(header::CONTENT_TYPE);
        if json.is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
            return Err(Refused::new(400, "content-type: must be application/json"));
        }
        if !has_beta(headers, OAUTH) || !has_beta(headers, FEDERATION) {
            return Err(Refused::new(400, "anthropic-beta: header is required"));
        }
        if request["grant_type"] != GRANT_TYPE {
            return Err(Refused::new(400, "grant_type: unsupported"));
        }
        let assertion = text(request, "assertion")?;
        if assertion.split('.').count() != 3 || assertion.split('.').any(str::is_empty) {
            return Err(Refused::new(401, "Invalid assertion"));
        }
        let token = format!("sk-ant-oat01-{}", ids.letters(32));
        let life = Duration::from_secs(state.life.as_secs());
        let exchanged = Exchanged {
            assertion,
            rule: text(request, "federation_rule_id")?,
            organization: text(request, "organization_id")?,
            service_account: optional(request, "service_account_id")?,
            workspace: optional(request, "workspace_id")?,
            token: token.clone(),
        };
        let now = Instant::now();
        state.valid.retain(|_, end| now < *end);
        state.valid.insert(token.clone(), now + life);
        if state.exchanges.len() == KEEP {
            state.exchanges.pop_front();
        }
        state.exchanges.push_back(exchanged);
        Ok(Reply::json(&json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": life.as_secs(),
            "scope": "user:inference",
        })))
    }

    /// Whether `token` is one of these and has not ended. It is taken with the word that stands
    /// beside bearer tokens, as the API does.
    pub(super) fn admit(&self, token: &[u8], headers: &HeaderMap) -> Result<bool, Refused> {
        let state = self.lock();
        let Some(end) = std::str::from_utf8(token)
            .ok()
            .and_then(|token| state.valid.get(token))
        else {
            return Ok(false);
        };
        if !has_beta(headers, OAUTH) {
            return Err(Refused::new(
                401,
                "OAuth authentication is currently not supported.",
            ));
        }
        Ok(Instant::now() < *end)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a line of `anthropic-beta` names `word`.
pub(super) fn has_beta(headers: &HeaderMap, word: &str) -> bool {
    let values = headers.get_all("anthropic-beta").iter();
    values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|found| found.trim_ascii() == word.as_bytes())
}

fn text(request: &Value, name: &str) -> Result<String, Refused> {
    optional(request, name)?.ok_or_else(|| Refused::new(400, format!("{name}: Field required")))
}

fn optional(request: &Value, name: &str) -> Result<Option<String>, Refused> {
    match &request[name] {
        Value::Null => Ok(None),
        Value::String(text) if !text.is_empty() => Ok(Some(text.clone())),
        _ => Err(Refused::new(
            400,
            format!("{name}: Input should be a string"),
        )),
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanged")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}
