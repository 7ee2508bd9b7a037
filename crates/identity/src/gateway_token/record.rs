//! What is kept of a gateway token.

use serde::{Deserialize, Serialize};
use tollbook_exchange::Principal;

use crate::{AssertionHash, PeerCertificate, SigningKey, TokenHash, TokenId};

/// All that a store keeps of a gateway token. The token itself is not in it and cannot be had
/// from it. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The hash of the token, by which it is found.
    pub hash: TokenHash,
    /// The federation rule that let it be issued.
    pub rule: String,
    /// Names the wording of that rule. A token does not outlive a change of its rule.
    pub rule_digest: String,
    /// Who the bearer is, as it was when the token was issued.
    pub principal: Principal,
    /// When it was issued.
    pub issued: i64,
    /// When it ends. It is not good in this second any more.
    pub expires: i64,
    /// Names the issuer's token that it was exchanged for.
    pub assertion: AssertionHash,
    /// When the issuer made that token; with a token for somebody else beside it, the older one.
    pub assertion_issued: i64,
    /// The keys that signed the issuers' tokens behind it. A token does not outlive one of them.
    #[serde(default)]
    pub signed_by: Vec<SigningKey>,
    /// The certificate without which the token is worth nothing, where it is bound to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<PeerCertificate>,
    /// When and why it was revoked, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<Revoked>,
}

/// When a token was revoked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Why, in the operator's words.
    pub why: String,
}

impl TokenRecord {
    /// The token's name in records, logs and commands.
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.hash)
    }

    /// The configured name of the issuer behind it.
    pub fn issuer(&self) -> &str {
        &self.principal.issuer
    }

    /// The issuer's name for the bearer.
    pub fn subject(&self) -> &str {
        &self.principal.subject
    }

    /// Whether the token has ended at `now`, in seconds since 1970.
    pub const fn has_expired(&self, now: i64) -> bool {
        now >= self.expires
    }
}
