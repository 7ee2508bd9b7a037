//! Who judges a tool call, and what is asked.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollbook_detection::{Detectors, Place};
use tollbook_exchange::{
    Action, Code, Exchange, Finding, Masked, Outcome, Principal, Redact, Refusal,
};
use tollbook_masking::Masker;

use crate::{
    HoldCalls,
    detect::{self, Look},
    protocol::{Call, CallsError, Ran},
    reading::INLINE,
};

/// Says whether a tool call in an answer may reach the client.
///
/// It may take its time, minutes even: the answer is kept alive meanwhile, and nothing more of it is
/// read. When the caller leaves, the future is dropped.
pub trait JudgeToolCall: Send + Sync + 'static {
    /// Whether the calls in the answer to a request that comes now are to be judged: always, unless an
    /// implementation says otherwise.
    fn is_asked(&self) -> bool {
        true
    }

    /// The judgement of one call.
    fn judge(&self, call: ToolCall) -> Judging;
}

/// A judgement under way.
pub type Judging = Pin<Box<dyn Future<Output = Judged> + Send>>;

/// A tool call that the model has written and the client has not seen. `Debug` shows no text.
#[derive(Clone)]
#[non_exhaustive]
pub struct ToolCall {
    /// The exchange in whose answer it stands; `None` without a record layer.
    pub exchange: Option<Exchange>,
    /// Who asked the model.
    pub principal: Principal,
    /// The call as an action of its own, `tool.call`, with the facts `tool`, `input_bytes`,
    /// `input_parsed`, `body_scanned`, `labels`; where known, `model` (the one asked for) and
    /// `mcp_server` (of a tool called `mcp__SERVER__TOOL`); with detectors, `risk`.
    pub action: Action,
    /// The same for the record.
    pub masked_action: Masked<Action>,
    /// The call's id, as the upstream gave it.
    pub id: String,
    /// The input: strict JSON without white space between its tokens, or where the fact
    /// `input_parsed` is `false`, whatever the model wrote.
    pub input: Bytes,
    /// `{"tool":…,"input":…}` with everything masked that must not be kept, for a person to read.
    pub view: Masked<Bytes>,
    /// What masking and detectors found in the call.
    pub findings: Vec<Finding>,
}

/// What came of a judgement.
#[derive(Clone, Debug)]
#[must_use]
pub struct Judged {
    /// Whether the call may pass.
    pub verdict: Result<(), Refusal>,
    /// What the record shall say about it, such as `rules` or `approval`. It is masked before it
    /// gets there.
    pub note: Map<String, Value>,
}

impl Judged {
    /// The call may pass.
    pub fn allow() -> Self {
        Self {
            verdict: Ok(()),
            note: Map::new(),
        }
    }

    /// The call may not pass, and the answer ends before it.
    pub fn refuse(refusal: Refusal) -> Self {
        Self {
            verdict: Err(refusal),
            note: Map::new(),
        }
    }

    /// The same judgement with one more word for the record.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.note.insert(name.to_owned(), value.into());
        self
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall")
            .field("exchange", &self.exchange)
            .field("input", &self.input.len())
            .finish_non_exhaustive()
    }
}

/// Puts the calls of one answer to whoever judges them, and notes what came of it.
pub(crate) struct Asker {
    pub(crate) judge: Arc<dyn JudgeToolCall>,
    pub(crate) hold: Box<dyn HoldCalls>,
    pub(crate) exchange: Option<Exchange>,
    pub(crate) principal: Principal,
    /// The model that was asked for.
    pub(crate) model: Option<String>,
    pub(crate) masker: Masker,
    pub(crate) detectors: Option<Detectors>,
    /// How long a stream may be silent.
    pub(crate) quiet: Duration,
}

impl Asker {
    /// Asks about one call.
    pub(crate) fn ask(&self, call: &Call) -> Judging {
        let mut texts = Vec::new();
        if self.detectors.is_some() {
            let mut keep = |place: Place, text: &str| texts.push((place, text.to_owned()));
            self.hold.texts(call, &mut keep);
        }
        let question = Question {
            call: call.clone(),
            texts,
            exchange: self.exchange.clone(),
            principal: self.principal.clone(),
            model: self.model.clone(),
            masker: self.masker.clone(),
            detectors: self.detectors.clone(),
        };
        let judge = Arc::clone(&self.judge);
        Box::pin(async move {
            let put = if question.call.input.len() <= INLINE {
                Some(question.put())
            } else {
                tokio::task::spawn_blocking(move || question.put())
                    .await
                    .ok()
            };
            match put {
                Some(call) => judge.judge(call).await,
                // What could not be looked at cannot be judged.
                None => {
                    let message = "the gateway has met a fault of its own";
                    let refusal = Refusal::new(Code::Misassembled, message);
                    Judged::refuse(refusal.because("scan_failed"))
                }
            }
        })
    }

    /// Notes what came of the question about `call`.
    pub(crate) fn decided(&self, call: &Call, judged: Judged) -> Result<(), Refusal> {
        let Judged { verdict, note } = judged;
        let mut decision = Map::new();
        decision.insert("tool".to_owned(), call.name.clone().into());
        decision.insert("id".to_owned(), call.id.clone().into());
        let (word, code) = match &verdict {
            Ok(()) => ("allow", None),
            Err(refusal) => ("deny", Some(refusal.code.as_str())),
        };
        decision.insert("verdict".to_owned(), word.into());
        decision.extend(code.map(|code| ("code".to_owned(), code.into())));
        decision.extend(note);
        self.note(DECISIONS, decision.into());
        verdict
    }

    /// Notes tools that were called without asking, because the API itself called them.
    pub(crate) fn ran(&self, ran: Vec<Ran>) {
        for Ran { kind, id, name, .. } in ran {
            let call = json!({ "tool": name, "id": id, "verdict": "not_asked", "kind": kind });
            self.note(DECISIONS, call);
        }
    }

    /// Notes which calls did not reach the client. None takes the note back.
    pub(crate) fn withheld(&self, ids: Vec<String>) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
        let ids = (!ids.is_empty()).then(|| masked(&self.masker, ids.into()));
        result(exchange, |result| match ids {
            Some(ids) => {
                result.insert(WITHHELD.to_owned(), ids);
            }
            None => {
                result.shift_remove(WITHHELD);
            }
        });
    }

    /// Asks about every call of an answer that is no stream.
    pub(crate) async fn document(&self, body: &[u8]) -> Result<(), Refusal> {
        let conclude = |outcome| {
            if let Some(exchange) = &self.exchange {
                exchange.conclude(outcome);
            }
        };
        let (calls, ran) = self.hold.document(body).map_err(|error| {
            conclude(Outcome::UpstreamError);
            unreadable(error)
        })?;
        self.ran(ran);
        if calls.is_empty() {
            return Ok(());
        }
        // Said before anybody is asked: the caller may leave while they think.
        self.withheld(calls.iter().map(|call| call.id.clone()).collect());
        for call in &calls {
            let judged = self.ask(call).await;
            if let Err(refusal) = self.decided(call, judged) {
                conclude(Outcome::PolicyCut);
                return Err(refusal);
            }
        }
        self.withheld(Vec::new());
        Ok(())
    }

    fn note(&self, key: &str, value: Value) {
        if let Some(exchange) = &self.exchange {
            let value = masked(&self.masker, value);
            result(exchange, |result| {
                let all = result.entry(key).or_insert_with(|| json!([]));
                if let Value::Array(all) = all {
                    all.push(value);
                }
            });
        }
    }
}

/// The keys of an exchange's JSON form.
const DECISIONS: &str = "tool_decisions";
const WITHHELD: &str = "withheld";

/// What to tell a caller whose answer cannot be searched for calls.
pub(crate) fn unreadable(error: CallsError) -> Refusal {
    match error {
        CallsError::TooLarge => {
            let message = "a tool call in the answer is larger than the gateway judges";
            Refusal::new(Code::UpstreamInvalid, message).because("tool_call_too_large")
        }
        _ => Refusal::new(
            Code::UpstreamInvalid,
            "the gateway cannot read the upstream's answer and ends it here",
        ),
    }
}

/// A call and all that is needed to put it to somebody.
struct Question {
    call: Call,
    texts: Vec<(Place, String)>,
    exchange: Option<Exchange>,
    principal: Principal,
    model: Option<String>,
    masker: Masker,
    detectors: Option<Detectors>,
}

impl Question {
    fn put(self) -> ToolCall {
        let Call {
            id,
            name,
            input,
            parsed,
            ..
        } = self.call;
        let mut look = Look::new(self.detectors.as_ref());
        for (place, text) in &self.texts {
            look.text(place.clone(), text);
        }
        let detected = look.finish();
        // What is no JSON is shown as the text it is.
        let shown = if parsed {
            input.clone()
        } else {
            Value::from(&*input).to_string()
        };
        let view = format!(r#"{{"tool":{},"input":{shown}}}"#, Value::from(&*name));
        let scan = self.masker.json(view.as_bytes(), PLACE);

        let mut action = Action::new("tool.call")
            .with("input_bytes", input.len())
            .with("input_parsed", parsed)
            .with("body_scanned", scan.coverage.uninspected == 0);
        if let Some(model) = self.model {
            action = action.with("model", model);
        }
        // As Claude Code names the tools of MCP servers.
        if let Some((server, _)) = name
            .strip_prefix("mcp__")
            .and_then(|name| name.split_once("__"))
        {
            action = action.with("mcp_server", server);
        }
        let action = detect::with_facts(
            action.with("tool", name),
            self.masker.has_secret(&scan.found),
            detected.as_ref(),
        );
        let mut findings = scan.found;
        if let Some(detected) = detected {
            let detected = detected.findings(PLACE);
            // What masking found is found in the answer as it passes; this is known here only.
            if let Some(exchange) = &self.exchange {
                exchange.found(detected.iter().cloned());
            }
            Finding::merge(&mut findings, detected);
        }
        ToolCall {
            exchange: self.exchange,
            principal: self.principal,
            masked_action: self.masker.action(&action),
            action,
            id,
            input: input.into(),
            view: scan.masked,
            findings,
        }
    }
}

/// How a call is called in findings.
const PLACE: &str = "response.tool_call";

/// The value with every text in it masked.
fn masked(masker: &Masker, value: Value) -> Value {
    match value {
        Value::String(text) => masker.redact("result", &text).0.into_inner().into(),
        Value::Array(list) => (list.into_iter())
            .map(|value| masked(masker, value))
            .collect::<Vec<_>>()
            .into(),
        Value::Object(members) => (members.into_iter())
            .map(|(name, value)| (name, masked(masker, value)))
            .collect::<Map<_, _>>()
            .into(),
        value => value,
    }
}

/// Changes what the record says about the answer. `with` adds what is masked and nothing else.
pub(crate) fn result(exchange: &Exchange, with: impl FnOnce(&mut Map<String, Value>)) {
    exchange.draft(|draft| {
        let mut result = std::mem::take(&mut draft.result).into_inner();
        with(&mut result);
        #[expect(clippy::disallowed_methods, reason = "masked before, and added masked")]
        let result = Masked::assume_masked(result);
        draft.result = result;
    });
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker")
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}
