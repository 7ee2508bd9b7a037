//! A model's answer, whole or as events.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{body::Step, prompt::Prompt, random::Random, reply};

/// The pause before each event of a slow answer.
const SLOW: Duration = Duration::from_millis(50);

/// An answer to a prompt.
pub(super) struct Answer<'p> {
    prompt: &'p Prompt,
    cuts: Random,
    id: String,
    model: String,
    blocks: Vec<Block<'p>>,
    stop_reason: &'static str,
    usage: Map<String, Value>,
}

enum Block<'p> {
    Thinking {
        text: String,
        signature: String,
    },
    Text(&'p str),
    Call {
        id: String,
        name: &'p str,
        input: &'p str,
    },
}

impl<'p> Answer<'p> {
    /// The answer to `prompt`, which was read from `request`, with ids from `ids` and cut as `seed`
    /// and the text have it.
    pub(super) fn new(prompt: &'p Prompt, request: &Value, ids: &mut Random, seed: u64) -> Self {
        let mut blocks = Vec::new();
        if prompt.thinking {
            let head = &prompt.echo[..prompt.echo.floor_char_boundary(200)];
            let signature: Vec<u8> = (0..32).flat_map(|_| ids.next().to_le_bytes()).collect();
            blocks.push(Block::Thinking {
                text: format!("The user says: {head}"),
                signature: STANDARD.encode(signature),
            });
        }
        if !prompt.echo.is_empty() {
            blocks.push(Block::Text(&prompt.echo));
        }
        for (name, input) in &prompt.calls {
            let id = format!("toolu_01{}", ids.letters(22));
            blocks.push(Block::Call { id, name, input });
        }
        let stop_reason = if prompt.refusal {
            "refusal"
        } else if prompt.calls.is_empty() {
            "end_turn"
        } else {
            "tool_use"
        };
        let output: usize = blocks.iter().map(|block| tokens(block.bytes())).sum();
        Self {
            prompt,
            id: format!("msg_01{}", ids.letters(22)),
            model: request["model"].as_str().unwrap_or_default().to_owned(),
            blocks,
            stop_reason,
            usage: usage(request, output),
            cuts: Random::of(seed, prompt.echo.as_bytes()),
        }
    }

    /// The answer as one message.
    pub(super) fn message(&self) -> Value {
        let content: Vec<Value> = self.blocks.iter().map(Block::whole).collect();
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": self.stop_reason,
            "stop_sequence": null,
            "usage": self.usage,
        })
    }

    /// The answer as events, in the published order.
    pub(super) fn events(mut self, request_id: &str) -> Vec<Step> {
        let mut events = Events {
            steps: Vec::new(),
            slow: self.prompt.slow,
        };
        let mut so_far = self.usage.clone();
        so_far.insert("output_tokens".to_owned(), 1.into());
        events.push(&json!({"type":"message_start","message":{
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": so_far}}));
        // In the text, or else in the last call: what came before it is complete.
        let text = |block: &Block<'_>| matches!(block, Block::Text(_));
        let breaks_at = self.blocks.iter().position(text);
        let breaks_at = breaks_at.unwrap_or(self.blocks.len().saturating_sub(1));
        for (index, block) in self.blocks.iter().enumerate() {
            events.push(&json!({"type":"content_block_start","index":index,
                "content_block":block.start()}));
            if index == 0 {
                events.ping();
            }
            let deltas = block.deltas(&mut self.cuts);
            let breaks = index == breaks_at && (self.prompt.error || self.prompt.cut);
            let sent = if breaks {
                deltas.len().div_ceil(2)
            } else {
                deltas.len()
            };
            for (n, delta) in deltas[..sent].iter().enumerate() {
                if self.prompt.slow && n % 4 == 3 {
                    events.ping();
                }
                events.push(&json!({"type":"content_block_delta","index":index,"delta":delta}));
            }
            if breaks {
                if self.prompt.error {
                    events.push(&reply::error(529, "Overloaded", request_id));
                }
                return events.steps;
            }
            events.push(&json!({"type":"content_block_stop","index":index}));
        }
        events.push(&json!({"type":"message_delta",
            "delta":{"stop_reason":self.stop_reason,"stop_sequence":null},"usage":self.usage}));
        events.push(&json!({"type":"message_stop"}));
        events.steps
    }
}

impl Block<'_> {
    /// The block as a whole answer has it.
    fn whole(&self) -> Value {
        match self {
            Self::Thinking { text, signature } => {
                json!({"type":"thinking","thinking":text,"signature":signature})
            }
            Self::Text(text) => json!({"type":"text","text":text}),
            Self::Call { id, name, input } => {
                // It was read as JSON when it was found in the prompt.
                let input: Value = serde_json::from_str(input).unwrap_or_default();
                json!({"type":"tool_use","id":id,"name":name,"input":input})
            }
        }
    }

    /// The block as a stream begins it.
    fn start(&self) -> Value {
        match self {
            Self::Thinking { .. } => json!({"type":"thinking","thinking":"","signature":""}),
            Self::Text(_) => json!({"type":"text","text":""}),
            Self::Call { id, name, .. } => {
                json!({"type":"tool_use","id":id,"name":name,"input":{}})
            }
        }
    }

    /// What a stream adds to it, cut at arbitrary places.
    fn deltas(&self, random: &mut Random) -> Vec<Value> {
        match self {
            Self::Thinking { text, signature } => {
                let pieces = random.cut(text, 12);
                let mut deltas: Vec<Value> = pieces
                    .iter()
                    .map(|piece| json!({"type":"thinking_delta","thinking":piece}))
                    .collect();
                deltas.push(json!({"type":"signature_delta","signature":signature}));
                deltas
            }
            Self::Text(text) => {
                // Long texts come in longer pieces, or the frame would outweigh the text by far.
                let most = if text.len() > 4096 { 400 } else { 8 };
                let pieces = random.cut(text, most);
                let deltas = pieces.iter();
                deltas
                    .map(|piece| json!({"type":"text_delta","text":piece}))
                    .collect()
            }
            Self::Call { input, .. } => {
                // The API begins with an empty piece.
                let pieces = [vec![""], random.cut(input, 8)].concat();
                let deltas = pieces.iter();
                deltas
                    .map(|piece| json!({"type":"input_json_delta","partial_json":piece}))
                    .collect()
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Thinking { text, .. } => text.len(),
            Self::Text(text) => text.len(),
            Self::Call { input, .. } => input.len(),
        }
    }
}

/// Events of a stream.
struct Events {
    steps: Vec<Step>,
    slow: bool,
}

impl Events {
    fn push(&mut self, event: &Value) {
        let name = event["type"].as_str().unwrap_or_default();
        if self.slow {
            self.steps.push(Step::Wait(SLOW));
        }
        let text = format!("event: {name}\ndata: {event}\n\n");
        self.steps.push(Step::Send(text.into()));
    }

    fn ping(&mut self) {
        self.push(&json!({"type":"ping"}));
    }
}

/// The tokens of so many bytes.
pub(super) fn tokens(bytes: usize) -> usize {
    bytes / 4 + 1
}

/// The tokens of a request.
pub(super) fn input_tokens(request: &Value) -> usize {
    let parts = ["system", "messages", "tools"];
    parts
        .iter()
        .map(|part| tokens(request[*part].to_string().len()))
        .sum()
}

/// What an answer used. Half of a request that asks for the prompt cache comes from it.
fn usage(request: &Value, output: usize) -> Map<String, Value> {
    let input = input_tokens(request);
    let cached = request["system"].to_string().contains("\"cache_control\"");
    let read = if cached { input / 2 } else { 0 };
    let usage = [
        ("input_tokens", json!(input - read)),
        ("cache_creation_input_tokens", json!(0)),
        ("cache_read_input_tokens", json!(read)),
        (
            "cache_creation",
            json!({"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}),
        ),
        ("output_tokens", json!(output)),
        ("service_tier", json!("standard")),
    ];
    usage
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}
