//! A token in the making.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use super::key::SigningKey;

/// Makes one token.
#[must_use]
pub struct TokenBuilder {
    key: Arc<SigningKey>,
    kid: String,
    typ: String,
    issued: SystemTime,
    lifetime: Duration,
    claims: Map<String, Value>,
}

impl TokenBuilder {
    pub(super) fn new(key: Arc<SigningKey>, issuer: &str, subject: String) -> Self {
        let claims = Map::from_iter([
            ("iss".to_owned(), json!(issuer)),
            ("sub".to_owned(), json!(subject)),
            ("aud".to_owned(), json!("tollbook")),
        ]);
        Self {
            kid: key.kid().to_owned(),
            typ: "JWT".to_owned(),
            key,
            issued: SystemTime::now(),
            lifetime: Duration::from_secs(300),
            claims,
        }
    }

    /// For this audience.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// In these groups, in the claim `groups`.
    pub fn groups<S: Into<String>>(self, groups: impl IntoIterator<Item = S>) -> Self {
        let groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        self.claim("groups", groups)
    }

    /// With one more claim, or another value for one: whatever is claimed here counts.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// With all of these claims.
    pub fn all_claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims.extend(claims);
        self
    }

    /// Without this claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Of this type (`typ`) instead of `JWT`.
    pub fn typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = typ.into();
        self
    }

    /// Made at this time instead of now.
    pub fn issued(mut self, time: SystemTime) -> Self {
        self.issued = time;
        self
    }

    /// Good for this long after it was made.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Naming this key, whichever signs it.
    pub fn kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = kid.into();
        self
    }

    /// The signed token.
    ///
    /// # Errors
    ///
    /// When the cryptographic library refuses, or when the token was made before 1970.
    pub fn sign(self) -> io::Result<String> {
        let issued = self
            .issued
            .duration_since(UNIX_EPOCH)
            .map_err(io::Error::other)?;
        let mut claims = Map::from_iter([
            ("iat".to_owned(), json!(issued.as_secs())),
            ("exp".to_owned(), json!((issued + self.lifetime).as_secs())),
        ]);
        claims.extend(self.claims);
        let header = json!({"alg": self.key.algorithm(), "kid": self.kid, "typ": self.typ});
        self.key.token(&header, &Value::Object(claims))
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}
