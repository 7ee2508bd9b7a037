//! A gateway token that was handed out.

use tollbook_exchange::Principal;
use zeroize::Zeroizing;

use crate::{GatewayToken, TokenId, TokenRecord};

/// A gateway token, on its way to its bearer. `Debug` does not show it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// The token.
    pub access_token: GatewayToken,
    /// Its name in records.
    pub id: TokenId,
    /// Who the bearer is.
    pub principal: Principal,
    /// The rule it was issued under.
    pub rule: String,
    /// How long it lives, in seconds.
    pub expires_in: i64,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// How often the issuer's token was exchanged, this time included.
    pub exchanges: u32,
}

/// What kind of token it is, in the words of RFC 8693 §3.
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Issued {
    pub(super) fn new(token: GatewayToken, record: &TokenRecord, exchanges: u32) -> Self {
        Self {
            access_token: token,
            id: record.id(),
            principal: record.principal.clone(),
            rule: record.rule.clone(),
            expires_in: record.expires - record.issued,
            expires: record.expires,
            exchanges,
        }
    }

    /// The answer of RFC 6749 §5.1, with `issued_token_type` as RFC 8693 §2.2.1 wants it when
    /// `typed`. The scope is the rule.
    pub fn to_json(&self, typed: bool) -> Zeroizing<String> {
        let kind = if typed {
            format!(r#""issued_token_type":"{ACCESS_TOKEN}","#)
        } else {
            String::new()
        };
        // By hand, so that no other buffer ever holds the token. Nothing here needs escaping: the
        // token is base64url, and a rule's id letters, digits, `-`, `_` and `.`.
        let token = self.access_token.expose();
        let mut json = Zeroizing::new(String::with_capacity(token.len() + kind.len() + 256));
        for part in [
            r#"{"access_token":""#,
            token,
            r#"","#,
            &kind,
            r#""token_type":"Bearer","expires_in":"#,
            &self.expires_in.to_string(),
            r#","scope":""#,
            &self.rule,
            r#""}"#,
        ] {
            json.push_str(part);
        }
        json
    }
}
