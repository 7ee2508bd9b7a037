//! Requests for a token, in both of their forms.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{ExchangeRefused, issued::ACCESS_TOKEN};
use crate::token::{JsonFault, object};

/// A request for a gateway token. Tokens in it are wiped on drop; `Debug` does not show them.
pub struct TokenRequest {
    /// The token of the one whom the gateway token is about or for.
    pub(super) subject: Zeroizing<String>,
    /// The token of the one who will use it, where that is somebody else.
    pub(super) actor: Option<Zeroizing<String>>,
    /// The id of the rule that is asked for.
    pub(super) rule: Option<String>,
    pub(super) organization: Option<OrganizationId>,
    pub(super) service_account: Option<String>,
    /// For whom the gateway token shall be good, in the caller's words.
    pub(super) targets: Vec<String>,
    /// Whether it came as a form.
    pub(super) is_form: bool,
    /// Whether it is a token exchange of RFC 8693.
    typed: bool,
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The kinds of tokens that can be shown (RFC 8693 §3). All of them must be signed tokens of a
/// configured issuer; the name makes no difference.
const SHOWN: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
    ACCESS_TOKEN,
];
/// The parameters that may come more than once (RFC 8693 §2.1).
const REPEATABLE: [&str; 2] = ["audience", "resource"];

impl TokenRequest {
    /// The most bytes that a request has.
    pub const LIMIT: usize = 64 * 1024;

    /// Reads Anthropic's call: a JSON object with `grant_type`, `assertion`, `federation_rule_id`,
    /// `organization_id`, `service_account_id` and `workspace_id`, of which the first two are
    /// needed. An empty text is as good as none. The workspace is not looked at, nor are members
    /// that are unknown.
    ///
    /// # Errors
    ///
    /// When it is not such an object, says something twice, or asks for another grant.
    pub fn from_json(body: &[u8]) -> Result<Self, ExchangeRefused> {
        let shape = ExchangeRefused::shape;
        if body.len() > Self::LIMIT {
            return Err(shape("The request is too large."));
        }
        let mut members = object(body).map_err(|fault| {
            shape(match fault {
                JsonFault::NotAnObject => "The body must be one JSON object.",
                JsonFault::DuplicateMember => "The body names a member twice.",
            })
        })?;
        let mut text = |name| member(&mut members, name);
        match text("grant_type")?.as_deref() {
            None => return Err(shape("grant_type is missing.")),
            Some(JWT_BEARER) => {}
            Some(_) => return Err(ExchangeRefused::grant_type()),
        }
        let subject = text("assertion")?.ok_or(shape("assertion is missing."))?;
        Ok(Self {
            subject: Zeroizing::new(subject),
            actor: None,
            rule: text("federation_rule_id")?,
            organization: organization(text("organization_id")?)?,
            service_account: text("service_account_id")?,
            targets: Vec::new(),
            is_form: false,
            typed: false,
        })
    }

    /// Reads a form: the token exchange of RFC 8693 §2.1, or the grant of RFC 7523 §2.1 with an
    /// `assertion`.
    ///
    /// `scope`, or `federation_rule_id`, is the id of a rule. `organization_id` and
    /// `service_account_id` mean what they mean in JSON. An empty parameter is as good as none
    /// (RFC 6749 §3.2), and what is unknown is not looked at.
    ///
    /// # Errors
    ///
    /// When something is missing, comes twice, or asks for another grant or kind of token.
    pub fn from_form(body: &[u8]) -> Result<Self, ExchangeRefused> {
        let shape = ExchangeRefused::shape;
        if body.len() > Self::LIMIT {
            return Err(shape("The request is too large."));
        }
        let (mut once, targets) = parameters(body)?;
        let mut take = |name: &str| once.remove(name);
        let (subject, actor, typed) = match take("grant_type").as_ref().map(|text| text.as_str()) {
            None => return Err(shape("grant_type is missing.")),
            Some(JWT_BEARER) => {
                let assertion = take("assertion").ok_or(shape("assertion is missing."))?;
                (assertion, None, false)
            }
            Some(TOKEN_EXCHANGE) => {
                let (subject, actor) = exchanged(&mut take)?;
                (subject, actor, true)
            }
            Some(_) => return Err(ExchangeRefused::grant_type()),
        };
        let mut plain = |name| take(name).map(|text| text.as_str().to_owned());
        let rule = match (plain("scope"), plain("federation_rule_id")) {
            (Some(scope), Some(id)) if scope != id => {
                return Err(shape("scope and federation_rule_id name two rules."));
            }
            (scope, id) => id.or(scope),
        };
        Ok(Self {
            subject,
            actor,
            rule,
            organization: organization(plain("organization_id"))?,
            service_account: plain("service_account_id"),
            targets,
            is_form: true,
            typed,
        })
    }

    /// Whether the answer must say what kind of token it brings.
    pub(super) const fn wants_type(&self) -> bool {
        self.typed
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("rule", &self.rule)
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

/// A member that is a text, if it is there and says something.
fn member(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, ExchangeRefused> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then_some(text)),
        Some(_) => Err(ExchangeRefused::shape("A member is not a text.")),
    }
}

fn organization(text: Option<String>) -> Result<Option<OrganizationId>, ExchangeRefused> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|_| ExchangeRefused::shape("organization_id must be a UUID."))
}

type Parameters = BTreeMap<String, Zeroizing<String>>;

/// The parameters that come once, and the names of targets. Empty ones are left out.
fn parameters(body: &[u8]) -> Result<(Parameters, Vec<String>), ExchangeRefused> {
    let (mut once, mut targets) = (Parameters::new(), Vec::new());
    for (name, value) in form_urlencoded::parse(body) {
        if value.is_empty() {
            continue;
        }
        if REPEATABLE.contains(&&*name) {
            targets.push(value.into_owned());
            continue;
        }
        let value = Zeroizing::new(value.into_owned());
        if once.insert(name.into_owned(), value).is_some() {
            return Err(ExchangeRefused::shape("A parameter comes twice."));
        }
    }
    Ok((once, targets))
}

/// The tokens of the subject and of the actor, if there is one.
type Shown = (Zeroizing<String>, Option<Zeroizing<String>>);

fn exchanged(
    take: &mut impl FnMut(&str) -> Option<Zeroizing<String>>,
) -> Result<Shown, ExchangeRefused> {
    let shape = ExchangeRefused::shape;
    let mut is_shown = |name: &str| take(name).map(|kind| SHOWN.contains(&kind.as_str()));
    match is_shown("subject_token_type") {
        None => return Err(shape("subject_token_type is missing.")),
        Some(false) => return Err(shape("This subject_token_type is not supported here.")),
        Some(true) => {}
    }
    let actor_type = is_shown("actor_token_type");
    if take("requested_token_type").is_some_and(|kind| kind.as_str() != ACCESS_TOKEN) {
        return Err(shape("This requested_token_type is not supported here."));
    }
    let subject = take("subject_token").ok_or(shape("subject_token is missing."))?;
    let actor = take("actor_token");
    match (&actor, actor_type) {
        (None, None) | (Some(_), Some(true)) => Ok((subject, actor)),
        (Some(_), Some(false)) => Err(shape("This actor_token_type is not supported here.")),
        (Some(_), None) => Err(shape("actor_token_type is missing.")),
        (None, Some(_)) => Err(shape("actor_token is missing.")),
    }
}

/// The id of an organisation, which is a UUID. Clients of the Claude API must name one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationId([u8; 16]);

/// A text that is no UUID in the form of RFC 9562 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an organisation id is a UUID: five groups of hexadecimal digits with `-` between them")]
pub struct NotAnOrganizationId;

impl FromStr for OrganizationId {
    type Err = NotAnOrganizationId;

    fn from_str(text: &str) -> Result<Self, NotAnOrganizationId> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        if lengths != [8, 4, 4, 4, 12] {
            return Err(NotAnOrganizationId);
        }
        let digits = groups.concat().to_ascii_lowercase();
        crate::digest::from_hex(&digits)
            .map(Self)
            .ok_or(NotAnOrganizationId)
    }
}

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = [(0, 4), (4, 6), (6, 8), (8, 10)].map(|(from, to)| &self.0[from..to]);
        for group in [a, b, c, d] {
            crate::digest::write_hex(f, group)?;
            f.write_str("-")?;
        }
        crate::digest::write_hex(f, &self.0[10..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

    fn told(request: Result<TokenRequest, ExchangeRefused>) -> String {
        request.unwrap_err().to_string()
    }

    fn form(pairs: &[(&str, &str)]) -> Result<TokenRequest, ExchangeRefused> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(pairs);
        TokenRequest::from_form(body.finish().as_bytes())
    }

    #[test]
    fn anthropics_call_is_read() {
        let body = format!(
            r#"{{"grant_type": "{JWT_BEARER}", "assertion": "a.b.c", "federation_rule_id": "r",
                 "organization_id": "0F8FAD5B-d9cb-469f-a165-70867728950e", "service_account_id": "",
                 "workspace_id": null, "something": {{"new": 1}}}}"#
        );
        let request = TokenRequest::from_json(body.as_bytes()).unwrap();
        assert_eq!(request.subject.as_str(), "a.b.c");
        assert_eq!(request.rule.as_deref(), Some("r"));
        assert_eq!(request.service_account, None);
        assert_eq!(
            request.organization.unwrap().to_string(),
            "0f8fad5b-d9cb-469f-a165-70867728950e"
        );
        assert!(!format!("{request:?}").contains("a.b.c"));
    }

    #[test]
    fn what_is_wrong_with_a_call_is_told() {
        let grant = format!(r#""grant_type":"{JWT_BEARER}""#);
        for (body, fault) in [
            ("".to_owned(), "The body must be one JSON object."),
            ("[]".to_owned(), "The body must be one JSON object."),
            ("{}".to_owned(), "grant_type is missing."),
            (
                r#"{"grant_type":"password"}"#.to_owned(),
                "This grant_type is not supported here.",
            ),
            (r#"{"grant_type":1}"#.to_owned(), "A member is not a text."),
            (format!("{{{grant}}}"), "assertion is missing."),
            (
                format!(r#"{{{grant},"assertion":""}}"#),
                "assertion is missing.",
            ),
            (
                format!("{{{grant},{grant}}}"),
                "The body names a member twice.",
            ),
            (
                format!(r#"{{{grant},"assertion":"a","assertion":"b"}}"#),
                "The body names a member twice.",
            ),
            (
                format!(r#"{{{grant},"assertion":"a","organization_id":"acme"}}"#),
                "organization_id must be a UUID.",
            ),
            (
                format!(
                    r#"{{{grant},"assertion":"{}"}}"#,
                    "a".repeat(TokenRequest::LIMIT)
                ),
                "The request is too large.",
            ),
        ] {
            assert_eq!(told(TokenRequest::from_json(body.as_bytes())), fault);
        }
    }

    #[test]
    fn a_token_exchange_is_read() {
        let request = form(&[
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", "s"),
            ("subject_token_type", JWT),
            ("actor_token", "a"),
            ("actor_token_type", SHOWN[1]),
            ("requested_token_type", ACCESS_TOKEN),
            ("audience", "one"),
            ("audience", "two"),
            ("resource", "three"),
            ("scope", "r"),
            ("federation_rule_id", "r"),
            ("client_id", ""),
            ("client_id", ""),
            ("something", "new"),
        ])
        .unwrap();
        assert_eq!(request.subject.as_str(), "s");
        assert_eq!(request.actor.as_ref().map(|text| text.as_str()), Some("a"));
        assert_eq!(request.rule.as_deref(), Some("r"));
        assert_eq!(request.targets, ["one", "two", "three"]);
        assert!(request.wants_type());

        let request = form(&[("grant_type", JWT_BEARER), ("assertion", "s")]).unwrap();
        assert_eq!((request.rule.clone(), request.wants_type()), (None, false));
    }

    #[test]
    fn what_is_wrong_with_a_form_is_told() {
        let exchange = ("grant_type", TOKEN_EXCHANGE);
        let (subject, kind) = (("subject_token", "s"), ("subject_token_type", JWT));
        let (actor, actor_kind) = (("actor_token", "a"), ("actor_token_type", JWT));
        for (pairs, fault) in [
            (&[][..], "grant_type is missing."),
            (&[("grant_type", "")], "grant_type is missing."),
            (
                &[("grant_type", "client_credentials")],
                "This grant_type is not supported here.",
            ),
            (&[("grant_type", JWT_BEARER)], "assertion is missing."),
            (&[exchange, exchange], "A parameter comes twice."),
            (&[exchange, subject], "subject_token_type is missing."),
            (&[exchange, kind], "subject_token is missing."),
            (
                &[
                    exchange,
                    subject,
                    (
                        "subject_token_type",
                        "urn:ietf:params:oauth:token-type:saml2",
                    ),
                ],
                "This subject_token_type is not supported here.",
            ),
            (
                &[exchange, subject, kind, ("requested_token_type", JWT)],
                "This requested_token_type is not supported here.",
            ),
            (
                &[exchange, subject, kind, actor],
                "actor_token_type is missing.",
            ),
            (
                &[exchange, subject, kind, actor_kind],
                "actor_token is missing.",
            ),
            (
                &[exchange, subject, kind, actor, ("actor_token_type", "x")],
                "This actor_token_type is not supported here.",
            ),
            (
                &[
                    exchange,
                    subject,
                    kind,
                    ("scope", "a"),
                    ("federation_rule_id", "b"),
                ],
                "scope and federation_rule_id name two rules.",
            ),
            (
                &[exchange, subject, kind, subject],
                "A parameter comes twice.",
            ),
        ] {
            assert_eq!(told(form(pairs)), fault, "{pairs:?}");
        }
    }

    #[test]
    fn an_organization_id_is_a_uuid() {
        for text in [
            "",
            "acme",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5b-d9cb-469f-a165-70867728950",
            "0f8fad5b-d9cb-469f-a165-70867728950g",
            "{0f8fad5b-d9cb-469f-a165-70867728950e}",
        ] {
            assert_eq!(text.parse::<OrganizationId>(), Err(NotAnOrganizationId));
        }
    }
}
