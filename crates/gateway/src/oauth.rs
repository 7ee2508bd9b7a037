//! The token exchange: a job's own token for one of the gate.
//!
//! Stock clients of the Claude API ask for it at `/v1/oauth/token` under their base address, all
//! others at `/oauth/token`. A token leaves the gate only when the exchange is in the book.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tollbook_exchange::{
    Action, Code, Exchange, Fact, Outcome, Refusal, Retry,
    http::{Refusable, refuse},
};
use tollbook_identity::{
    ExchangeAnswer, ExchangeRecord, PeerCertificate, TokenExchange, TokenRequest,
};
use tollbook_masking::Masker;
use tollbook_proxy::{ClaudeRefusals, RefusalLayer};
use tollbook_recording::{RecordLayer, Recorder};
use tower::{ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use crate::stack::{ConnectionStack, boxed, panicked};

/// How long a caller may take to send its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name of the action in the book.
const ACTION: &str = "token.exchange";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where callers of `connection` exchange their tokens.
pub(crate) fn stack<B>(
    tokens: TokenExchange,
    recorder: Recorder,
    masker: Masker,
    connection: &str,
) -> ConnectionStack<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let desk = Arc::new(Desk {
        tokens,
        recorder: recorder.clone(),
        masker: masker.clone(),
    });
    let record = RecordLayer::new(recorder, connection, "oauth").redact(Arc::new(masker));
    let stack = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RefusalLayer::new(ClaudeRefusals))
        .layer(record)
        .service(service_fn(move |request: Request<B>| {
            let desk = Arc::clone(&desk);
            async move { Ok::<_, Infallible>(desk.serve(request).await) }
        }));
    boxed(stack)
}

struct Desk {
    tokens: TokenExchange,
    recorder: Recorder,
    masker: Masker,
}

impl Desk {
    async fn serve<B>(&self, request: Request<B>) -> Response<Refusable<Full<Bytes>>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let exchange = request.extensions().get::<Exchange>().cloned();
        let certificate = request.extensions().get::<PeerCertificate>().copied();
        let (head, body) = request.into_parts();
        let body = match read(body).await {
            Ok(body) => body,
            Err(refusal) => return refuse(refusal),
        };
        let content_type = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let answer = self.tokens.respond(content_type, &body, certificate).await;
        if let Some(exchange) = exchange {
            self.note(&exchange, &answer);
            if answer.record.reason.is_none()
                && let Err(error) = self.recorder.commit(&exchange).await
            {
                tracing::warn!(%error, "a token was withheld: its exchange cannot be recorded");
                let message = "the exchange cannot be recorded, so no token is handed out";
                let refusal = Refusal::new(Code::NotRecordable, message);
                return refuse(refusal.retry(Retry::After(5)));
            }
        }
        rendered(&answer)
    }

    /// What the record may know.
    fn note(&self, exchange: &Exchange, answer: &ExchangeAnswer) {
        let ExchangeRecord {
            reason,
            principal,
            rule,
            token,
            expires,
            exchanges,
            ..
        } = &answer.record;
        if let Some(principal) = principal {
            exchange.identified(principal);
        }
        let facts = [
            ("rule", rule.clone().map(Fact::from)),
            ("token", token.map(|token| Fact::from(token.to_string()))),
            ("expires", expires.map(Fact::from)),
            (
                "exchanges",
                exchanges.map(|count| Fact::from(i64::from(count))),
            ),
        ];
        let action = facts
            .into_iter()
            .filter_map(|(name, fact)| Some((name, fact?)))
            .fold(Action::new(ACTION), |action, (name, fact)| {
                action.with(name, fact)
            });
        let action = self.masker.action(&action);
        exchange.draft(|draft| draft.action = Some(action));
        match reason {
            None => exchange.conclude(Outcome::Complete),
            Some(reason) => {
                let code = match answer.status {
                    401 => Code::AuthenticationFailed,
                    503 => Code::NotRecordable,
                    _ => Code::MalformedRequest,
                };
                let refusal = Refusal::new(code, "no token is handed out");
                exchange.refused(&refusal.because(reason));
            }
        }
    }
}

/// The body, if it is of a size that a request for a token has.
async fn read<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let collected = Limited::new(body, TokenRequest::LIMIT).collect();
    match tokio::time::timeout(PATIENCE, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::new(
            Code::BodyTooLarge,
            "a request for a token is smaller than this",
        )),
        Ok(Err(_)) => Err(Refusal::new(
            Code::MalformedBody,
            "the request broke off before its end",
        )),
        Err(_) => Err(Refusal::new(
            Code::RequestTimeout,
            "the request took too long to come",
        )),
    }
}

fn rendered(answer: &ExchangeAnswer) -> Response<Refusable<Full<Bytes>>> {
    // A copy that goes to the caller: whatever sends it has copies of its own.
    let body = Bytes::copy_from_slice(answer.body.as_bytes());
    let mut response = Response::new(Refusable::own(body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        response
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    response
}
