//! The Claude Messages API.

use http::request::Parts;
use serde_json::{Map, Value};
use tollbook_exchange::{Action, Outcome};
use tollbook_sse::Frame;
use tollbook_wire_messages::{Assembler, BodyKind, Endpoint, FactsError, StreamEnd};

use crate::{Accepts, Answers, Malformed, Protocol, ReadAnswer};

/// The Claude Messages API, for [`InspectLayer`](crate::InspectLayer).
#[derive(Clone, Copy, Debug, Default)]
pub struct Claude;

impl Protocol for Claude {
    type Operation = Endpoint;

    fn operation(&self, head: &Parts) -> Option<Endpoint> {
        Endpoint::of(head.method.as_str(), head.uri.path())
    }

    fn accepts(&self, endpoint: Endpoint) -> Accepts {
        match endpoint.body() {
            BodyKind::None => Accepts::Nothing,
            BodyKind::Json => Accepts::Json,
            BodyKind::Multipart => Accepts::Multipart,
        }
    }

    fn answers(&self, endpoint: Endpoint) -> Answers {
        match endpoint {
            Endpoint::BatchResults | Endpoint::FileContent => Answers::Anything,
            _ => Answers::Json,
        }
    }

    fn facts(&self, endpoint: Endpoint, head: &Parts, body: &[u8]) -> Result<Action, Malformed> {
        let betas = head.headers.get_all("anthropic-beta").iter();
        let betas: Result<Vec<&str>, _> = betas.map(|value| value.to_str()).collect();
        // The upstream might read what could not be judged here.
        let betas = betas.map_err(|_| Malformed {
            message: "`anthropic-beta` holds bytes that are no text".to_owned(),
            reason: "beta_unreadable",
        })?;
        tollbook_wire_messages::facts(endpoint, betas, body).map_err(|error| Malformed {
            message: match &error {
                FactsError::Json(cause) => format!("{error}: {cause}"),
                _ => error.to_string(),
            },
            reason: error.reason(),
        })
    }

    fn reader(&self, endpoint: Endpoint, action: &Action) -> Box<dyn ReadAnswer> {
        Box::new(Reader {
            assembler: Assembler::new(endpoint),
            requested: action.text("model").map(str::to_owned),
            streamed: false,
        })
    }

    fn session_label<'a>(&self, head: &'a Parts) -> Option<&'a str> {
        head.headers.get("x-claude-code-session-id")?.to_str().ok()
    }
}

struct Reader {
    assembler: Assembler,
    requested: Option<String>,
    streamed: bool,
}

impl ReadAnswer for Reader {
    fn event(&mut self, frame: &Frame) {
        self.streamed = true;
        self.assembler.event(frame);
    }

    fn document(&mut self, body: &[u8]) {
        self.assembler.document(body);
    }

    fn finish(self: Box<Self>) -> (Map<String, Value>, Option<Outcome>) {
        let outcome = match self.assembler.end() {
            _ if !self.streamed => None,
            StreamEnd::Complete => Some(Outcome::Complete),
            StreamEnd::ErrorEvent => Some(Outcome::ErrorEvent),
            StreamEnd::Broken => Some(Outcome::UpstreamReset),
        };
        (
            self.assembler
                .finish()
                .into_result(self.requested.as_deref()),
            outcome,
        )
    }
}
