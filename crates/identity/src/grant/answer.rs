//! The exchange as a call over HTTP.

use tollbook_exchange::Principal;
use zeroize::Zeroizing;

use super::{ExchangeRefused, Issued, TokenExchange, TokenRequest};
use crate::{PeerCertificate, TokenId};

/// What to answer to a call, and what to write into the record. `Debug` does not show the body.
pub struct ExchangeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body. It may hold a token: it goes to the caller and nowhere else.
    pub body: Zeroizing<String>,
    /// What the record may know.
    pub record: ExchangeRecord,
}

/// What the record may know of an exchange. Holds no token.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ExchangeRecord {
    /// Why there was no token; nothing where there was one.
    pub reason: Option<&'static str>,
    /// Who asked, as far as that was proved.
    pub principal: Option<Principal>,
    /// The rule, where one was found.
    pub rule: Option<String>,
    /// The name of the token that was handed out.
    pub token: Option<TokenId>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<i64>,
    /// How often the issuer's token was exchanged, this time included.
    pub exchanges: Option<u32>,
}

/// In which words to answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Anthropic,
    OAuth,
}

impl TokenExchange {
    /// The answer to a `POST` with this content type and body, over a connection with
    /// `certificate`. JSON is Anthropic's call, a form that of OAuth.
    ///
    /// Read at most [`TokenRequest::LIMIT`] bytes of body. Everybody may call this; put nothing but
    /// limits before it.
    pub async fn respond(
        &self,
        content_type: Option<&str>,
        body: &[u8],
        certificate: Option<PeerCertificate>,
    ) -> ExchangeAnswer {
        let essence = content_type.unwrap_or_default().split(';').next();
        let is = |name: &str| essence.is_some_and(|text| text.trim().eq_ignore_ascii_case(name));
        let (manner, request) = if is("application/x-www-form-urlencoded") {
            (Manner::OAuth, TokenRequest::from_form(body))
        } else if is("application/json") {
            (Manner::Anthropic, TokenRequest::from_json(body))
        } else {
            (
                Manner::Anthropic,
                Err(ExchangeRefused::shape(
                    "The content type must be application/json or application/x-www-form-urlencoded.",
                )),
            )
        };
        let (issued, typed) = match request {
            Ok(request) => (
                self.exchange(&request, certificate).await,
                request.wants_type(),
            ),
            Err(refused) => (Err(refused), false),
        };
        match issued {
            Ok(issued) => handed_out(&issued, typed),
            Err(refused) => turned_away(&refused, manner),
        }
    }
}

#[cfg(feature = "tower")]
impl ExchangeAnswer {
    /// The answer as a response. Its body is wiped from memory when it has been sent.
    pub fn into_response<B: From<bytes::Bytes>>(self) -> http::Response<B> {
        let mut response = http::Response::new(bytes::Bytes::from_owner(self.body).into());
        // All of this module's statuses are such.
        *response.status_mut() = http::StatusCode::from_u16(self.status)
            .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            let value = http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// RFC 6749 §5.1: nobody may keep the answer.
const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("pragma", "no-cache"),
];

fn handed_out(issued: &Issued, typed: bool) -> ExchangeAnswer {
    ExchangeAnswer {
        status: 200,
        headers: HEADERS.into(),
        body: issued.to_json(typed),
        record: ExchangeRecord {
            reason: None,
            principal: Some(issued.principal.clone()),
            rule: Some(issued.rule.clone()),
            token: Some(issued.id),
            expires: Some(issued.expires),
            exchanges: Some(issued.exchanges),
        },
    }
}

fn turned_away(refused: &ExchangeRefused, manner: Manner) -> ExchangeAnswer {
    let (status, body) = match manner {
        Manner::Anthropic => refused.to_anthropic(),
        Manner::OAuth => refused.to_oauth(),
    };
    let mut headers = Vec::from(HEADERS);
    match status {
        // RFC 9110 §15.5.2: a 401 names the scheme.
        401 => headers.push(("www-authenticate", "Bearer")),
        503 => headers.push(("retry-after", "5")),
        _ => {}
    }
    ExchangeAnswer {
        status,
        headers,
        body: Zeroizing::new(body),
        record: ExchangeRecord {
            reason: Some(refused.reason()),
            principal: refused.principal().cloned(),
            rule: refused.rule().map(str::to_owned),
            ..ExchangeRecord::default()
        },
    }
}

impl std::fmt::Debug for ExchangeAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeAnswer")
            .field("status", &self.status)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}
