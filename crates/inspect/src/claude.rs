//! The Claude Messages API.

use http::request::Parts;
use serde_json::{Map, Value};
use tollbook_detection::Place;
use tollbook_exchange::{Action, Outcome};
use tollbook_sse::Frame;
use tollbook_wire_messages::{
    self as wire, Assembler, BodyKind, Call, CallGate, CallsError, Endpoint, FactsError, Ran, Step,
    StreamEnd,
};

use crate::{Accepts, Answers, HoldCalls, Malformed, Protocol, ReadAnswer};

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

    fn facts(
        &self,
        endpoint: Endpoint,
        head: &Parts,
        body: &[u8],
        texts: &mut dyn FnMut(Place, &str),
    ) -> Result<Action, Malformed> {
        let betas = head.headers.get_all("anthropic-beta").iter();
        let betas: Result<Vec<&str>, _> = betas.map(|value| value.to_str()).collect();
        // The upstream might read what could not be judged here.
        let betas = betas.map_err(|_| Malformed {
            message: "`anthropic-beta` holds bytes that are no text".to_owned(),
            reason: "beta_unreadable",
        })?;
        let mut texts = |at: wire::Place<'_>, text: &str| texts(place(at), text);
        wire::read(endpoint, betas, body, &mut texts).map_err(|error| Malformed {
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

    fn calls(&self, endpoint: Endpoint) -> Option<Box<dyn HoldCalls>> {
        let held = matches!(endpoint, Endpoint::MessagesCreate | Endpoint::BatchResults);
        held.then(|| {
            let gate = CallGate::new();
            Box::new(Calls { endpoint, gate }) as Box<dyn HoldCalls>
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

struct Calls {
    endpoint: Endpoint,
    gate: CallGate,
}

impl HoldCalls for Calls {
    fn push(&mut self, bytes: &[u8]) {
        self.gate.push(bytes);
    }

    fn step(&mut self) -> Result<Step, CallsError> {
        self.gate.step()
    }

    fn release(&mut self) {
        self.gate.release();
    }

    fn finish(&mut self) {
        self.gate.finish();
    }

    fn is_holding(&self) -> bool {
        self.gate.is_holding()
    }

    fn withheld(&self) -> Vec<String> {
        let calls = self.gate.withheld().into_iter();
        calls.map(|(id, _)| id.to_owned()).collect()
    }

    fn take_ran(&mut self) -> Vec<Ran> {
        self.gate.take_ran()
    }

    fn document(&self, body: &[u8]) -> Result<(Vec<Call>, Vec<Ran>), CallsError> {
        wire::calls(self.endpoint, body)
    }

    fn texts(&self, call: &Call, texts: &mut dyn FnMut(Place, &str)) {
        call.texts(&mut |at, text| texts(place(at), text));
    }

    fn ping(&self) -> &'static [u8] {
        wire::ping()
    }
}

/// A place in a conversation, as detectors know it.
fn place(place: wire::Place<'_>) -> Place {
    match place {
        wire::Place::System => Place::System,
        wire::Place::UserText => Place::UserText,
        wire::Place::AssistantText => Place::AssistantText,
        wire::Place::Thinking => Place::Thinking,
        wire::Place::ToolDefinition => Place::ToolDefinition,
        wire::Place::ToolUse(tool) => Place::tool_use(tool),
        wire::Place::ToolResult => Place::ToolResult,
        wire::Place::Document => Place::Document,
        wire::Place::McpServer => Place::McpServer,
        // Every detector looks here.
        _ => Place::Other,
    }
}
