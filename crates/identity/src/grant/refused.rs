//! A token that was not handed out.

use std::fmt;

use serde_json::json;
use tollbook_exchange::Principal;

use crate::Reason;

/// Why there is no gateway token.
///
/// A request of the wrong shape is told what is wrong with it. Whatever is wrong with the tokens it
/// shows is told in one and the same words; the [`reason`](Self::reason) is for the record.
#[derive(Clone, Debug)]
#[must_use]
pub struct ExchangeRefused {
    kind: Kind,
    reason: &'static str,
    /// Boxed: it is large, and a refusal is mostly passed on.
    principal: Option<Box<Principal>>,
    rule: Option<String>,
}

/// What the caller may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The request itself.
    Shape(&'static str),
    /// It asks for another kind of grant.
    GrantType,
    /// It asks for a token for somebody else (RFC 8693 §2.2.2).
    Target,
    /// Anything about the tokens it shows.
    Assertion,
    /// The gate cannot hand out any.
    Closed,
}

/// The one answer to all that is wrong with a token.
const OPAQUE: &str = "The token that was shown is not accepted here.";
const CLOSED: &str = "No tokens can be handed out at the moment.";
const GRANT_TYPE: &str = "This grant_type is not supported here.";
const TARGET: &str = "No token can be had here for this audience or resource.";

impl ExchangeRefused {
    pub(super) const fn shape(fault: &'static str) -> Self {
        Self::new(Kind::Shape(fault), "invalid_request")
    }

    pub(super) const fn grant_type() -> Self {
        Self::new(Kind::GrantType, "unsupported_grant_type")
    }

    pub(super) const fn target() -> Self {
        Self::new(Kind::Target, "invalid_target")
    }

    pub(super) const fn assertion(reason: Reason) -> Self {
        Self::new(Kind::Assertion, reason.as_str())
    }

    pub(super) const fn closed() -> Self {
        Self::new(Kind::Closed, Reason::StoreUnavailable.as_str())
    }

    const fn new(kind: Kind, reason: &'static str) -> Self {
        Self {
            kind,
            reason,
            principal: None,
            rule: None,
        }
    }

    /// The same refusal of somebody who is known.
    pub(super) fn of(mut self, principal: Principal) -> Self {
        self.principal = Some(Box::new(principal));
        self
    }

    /// The same refusal under this rule.
    pub(super) fn under(mut self, rule: &str) -> Self {
        self.rule = Some(rule.to_owned());
        self
    }

    /// The stable word for the record.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Who was refused, if that was proved before.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_deref()
    }

    /// The rule under which it was refused, if one was found before.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Status and body in the form of Anthropic's errors.
    #[must_use]
    pub fn to_anthropic(&self) -> (u16, String) {
        let (status, kind) = match self.kind {
            Kind::Shape(_) | Kind::GrantType | Kind::Target => (400, "invalid_request_error"),
            Kind::Assertion => (401, "authentication_error"),
            Kind::Closed => (503, "api_error"),
        };
        let error = json!({"type": kind, "message": self.told()});
        (status, json!({"type": "error", "error": error}).to_string())
    }

    /// Status and body in the form of RFC 6749 §5.2.
    #[must_use]
    pub fn to_oauth(&self) -> (u16, String) {
        let (status, error) = match self.kind {
            Kind::Shape(_) => (400, "invalid_request"),
            Kind::GrantType => (400, "unsupported_grant_type"),
            Kind::Target => (400, "invalid_target"),
            Kind::Assertion => (400, "invalid_grant"),
            // Not in the RFC's table for this place; the word is that of its §4.1.2.1.
            Kind::Closed => (503, "temporarily_unavailable"),
        };
        let body = json!({"error": error, "error_description": self.told()});
        (status, body.to_string())
    }

    /// What the caller is told.
    const fn told(&self) -> &'static str {
        match self.kind {
            Kind::Shape(fault) => fault,
            Kind::GrantType => GRANT_TYPE,
            Kind::Target => TARGET,
            Kind::Assertion => OPAQUE,
            Kind::Closed => CLOSED,
        }
    }
}

impl fmt::Display for ExchangeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told())
    }
}

impl std::error::Error for ExchangeRefused {}
