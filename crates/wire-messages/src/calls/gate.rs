//! A stream in which each call waits for its verdict.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    fmt,
};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tollbook_sse::{Frame, Splitter};

use super::{
    Call, CallsError, MAX_INPUT, Ran,
    document::{Block, object},
    is_for_api, is_for_client,
};
use crate::json;

/// The longest event, in bytes.
const MAX_EVENT: usize = 16 << 20;

/// How many bytes of events are held. A call comes in deltas of a few letters each, so its events
/// are many times as long as its input.
const MAX_HELD: usize = 64 << 20;

/// How many blocks one answer may have.
const MAX_BLOCKS: usize = 4096;

/// How many calls of the API itself are noted.
const MAX_RAN: usize = 256;

/// Lets the events of an answer pass, except that those of a call for the client wait until
/// somebody has judged the call.
///
/// Bytes go in by [`push`](Self::push), and [`step`](Self::step) says what is to be done next. What
/// passes is what came, byte for byte and in its order: behind a call that waits everything waits,
/// since clients build an answer in the order of its events. The API sends one block after the
/// other, so in fact nothing waits but the call and what comes after it. Where bytes were cut does
/// not matter, and only whole events pass.
///
/// Server and MCP tools have been called by the API itself when it tells of them; they pass, and
/// [`take_ran`](Self::take_ran) lists them.
///
/// A stream that two clients could read in two ways is an error: an event whose name is not its
/// type, a block that begins twice or never, a message that begins with content. Events and blocks
/// of unknown types pass, as clients pass over them; but a block whose type ends in `tool_use` is a
/// call.
///
/// ```
/// use tollbook_wire_messages::{CallGate, Step};
///
/// let start = b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
///     \"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"Bash\",\"input\":{}}}\n\n";
/// let stop = b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
///
/// let mut gate = CallGate::new();
/// gate.push(b": hello\n\n");
/// gate.push(start);
/// assert_eq!(gate.step()?, Step::Pass(b": hello\n\n"[..].into()));
/// assert_eq!(gate.step()?, Step::More);
/// assert!(gate.is_holding());
/// gate.push(stop);
/// let Step::Judge(call) = gate.step()? else { panic!("the call is complete") };
/// assert_eq!((&*call.name, &*call.input), ("Bash", "{}"));
/// gate.release();
/// assert_eq!(gate.step()?, Step::Pass([&start[..], stop].concat().into()));
/// # Ok::<(), tollbook_wire_messages::CallsError>(())
/// ```
pub struct CallGate {
    splitter: Splitter,
    /// Every block that has begun, by its index.
    blocks: BTreeMap<u64, State>,
    /// Events that have not passed, oldest first.
    queue: VecDeque<Held>,
    held: usize,
    started: bool,
    next: Next,
    ran: Vec<Ran>,
    /// Calls that were given up because the upstream did.
    dropped: Vec<(String, String)>,
}

/// What is to be done with an answer next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These bytes may go to the client.
    Pass(Bytes),
    /// Somebody has to judge this call. When it may pass, [`CallGate::release`] says so; when it
    /// may not, nothing of the answer passes from here on. Until then there is no next step.
    Judge(Call),
    /// More bytes have to come; at the end of the stream, there is nothing more to do.
    More,
}

/// A block of the answer.
enum State {
    /// It passes as it comes.
    Open,
    /// A call that is not complete.
    Building(Building),
    /// A call that waits for its verdict.
    Judging { id: String, name: String },
    /// A call that may pass, behind something that may not yet.
    Released { id: String, name: String },
    /// It is over, and has passed.
    Closed,
}

struct Building {
    id: String,
    name: String,
    /// The input that the block began with, if it is not empty.
    start: Option<String>,
    pieces: String,
}

/// An event that waits.
struct Held {
    bytes: Bytes,
    /// The call it belongs to, by its index.
    call: Option<u64>,
    /// Whether it ends the call.
    last: bool,
}

/// Where the gate stands.
enum Next {
    /// Read on.
    Read,
    /// Somebody is to judge the call of this index.
    Ask(u64, Call),
    /// Somebody is judging the call of this index.
    Wait(u64),
    /// The answer cannot be read any further.
    Fail(CallsError),
}

impl CallGate {
    /// A gate for one answer.
    pub fn new() -> Self {
        Self {
            splitter: Splitter::new(MAX_EVENT),
            blocks: BTreeMap::new(),
            queue: VecDeque::new(),
            held: 0,
            started: false,
            next: Next::Read,
            ran: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Takes the next bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.splitter.push(bytes);
    }

    /// Ends the stream. An event that has not ended is none, unless it can be read: some clients
    /// read it. Calls that have not ended do not pass.
    pub fn finish(&mut self) {
        let rest = Frame::from_bytes(self.splitter.finish());
        // A stream may end in the carriage return that would have ended its last event.
        let ended = matches!(**rest.as_bytes(), [.., b'\r' | b'\n', b'\r']);
        let readable = rest.data().is_empty() || json::check(&rest.data()).is_ok();
        if (ended || readable) && !rest.as_bytes().is_empty() && matches!(self.next, Next::Read) {
            self.next = self.take(rest).unwrap_or_else(Next::Fail);
        }
    }

    /// What is to be done next. All that can pass has passed before an error shows.
    ///
    /// # Errors
    ///
    /// When the answer cannot be read on. What waits has to be given up then.
    pub fn step(&mut self) -> Result<Step, CallsError> {
        while matches!(self.next, Next::Read) {
            self.next = match self.splitter.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => self.take(frame).unwrap_or_else(Next::Fail),
                Err(_) => Next::Fail(CallsError::TooLarge),
            };
        }
        if let Some(bytes) = self.pass() {
            return Ok(Step::Pass(bytes));
        }
        match std::mem::replace(&mut self.next, Next::Read) {
            Next::Read => Ok(Step::More),
            Next::Ask(index, call) => {
                self.next = Next::Wait(index);
                Ok(Step::Judge(call))
            }
            Next::Wait(index) => {
                self.next = Next::Wait(index);
                Ok(Step::More)
            }
            Next::Fail(error) => {
                self.next = Next::Fail(error);
                Err(error)
            }
        }
    }

    /// The call that was to be judged may pass.
    pub fn release(&mut self) {
        if let Next::Wait(index) = self.next {
            self.next = Next::Read;
            if let Some(state) = self.blocks.get_mut(&index)
                && let State::Judging { id, name } = state
            {
                let (id, name) = (std::mem::take(id), std::mem::take(name));
                *state = State::Released { id, name };
            }
        }
    }

    /// The tools that the API has called since this was last asked, at most 256 at a time.
    pub fn take_ran(&mut self) -> Vec<Ran> {
        std::mem::take(&mut self.ran)
    }

    /// Whether something waits.
    pub fn is_holding(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The calls that have begun and have not passed: their ids and names.
    pub fn withheld(&self) -> Vec<(&str, &str)> {
        let waiting = self.blocks.values().filter_map(|state| match state {
            State::Building(Building { id, name, .. })
            | State::Judging { id, name }
            | State::Released { id, name } => Some((&**id, &**name)),
            State::Open | State::Closed => None,
        });
        let dropped = self.dropped.iter().map(|(id, name)| (&**id, &**name));
        dropped.chain(waiting).collect()
    }

    /// Takes everything from the front of the queue that may pass.
    fn pass(&mut self) -> Option<Bytes> {
        let mut passed = Vec::new();
        while let Some(front) = self.queue.front() {
            let state = front.call.and_then(|index| self.blocks.get_mut(&index));
            match state {
                None | Some(State::Open | State::Closed) => {}
                Some(state @ State::Released { .. }) => {
                    if front.last {
                        *state = State::Closed;
                    }
                }
                Some(State::Building(_) | State::Judging { .. }) => break,
            }
            self.held -= front.bytes.len();
            passed.extend(self.queue.pop_front().map(|front| front.bytes));
        }
        match &mut passed[..] {
            [] => None,
            [one] => Some(std::mem::take(one)),
            many => {
                let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|bytes| all.extend_from_slice(bytes));
                Some(all.freeze())
            }
        }
    }

    /// Takes one event.
    fn take(&mut self, frame: Frame) -> Result<Next, CallsError> {
        let mut next = Next::Read;
        let (mut call, mut last) = (None, false);
        let data = frame.data();
        if !data.is_empty() {
            json::check(&data).map_err(|_| CallsError::Unreadable)?;
            let event: Event<'_> = object(&data)?;
            if frame.event().is_some_and(|name| name != event.kind) {
                return Err(CallsError::Unreadable);
            }
            match &*event.kind {
                "message_start" => self.message_start(event.message)?,
                "content_block_start" => call = self.block_start(&event)?,
                "content_block_delta" => call = self.block_delta(&event)?,
                "content_block_stop" => {
                    if let Some((index, complete)) = self.block_stop(&event)? {
                        call = Some(index);
                        last = true;
                        next = Next::Ask(index, complete);
                    }
                }
                "message_stop" if self.is_building() => return Err(CallsError::Unreadable),
                "error" => self.give_up(),
                _ => {}
            }
        }
        self.held += frame.as_bytes().len();
        if self.held > MAX_HELD {
            return Err(CallsError::TooLarge);
        }
        let bytes = frame.into_bytes();
        self.queue.push_back(Held { bytes, call, last });
        Ok(next)
    }

    /// A message begins: once, and empty. Clients take what it begins with for a part of it.
    fn message_start(&mut self, message: Option<&RawValue>) -> Result<(), CallsError> {
        let begun = std::mem::replace(&mut self.started, true);
        let message: Start = object(message.map_or("", RawValue::get).as_bytes())?;
        if begun || message.content.is_some_and(|content| !content.is_empty()) {
            return Err(CallsError::Unreadable);
        }
        Ok(())
    }

    /// A block begins. Its index, if it is a call.
    fn block_start(&mut self, event: &Event<'_>) -> Result<Option<u64>, CallsError> {
        let (Some(index), Some(block)) = (event.index, event.content_block) else {
            return Err(CallsError::Unreadable);
        };
        let block: Block<'_> = object(block.get().as_bytes())?;
        if self.blocks.contains_key(&index) || self.blocks.len() == MAX_BLOCKS {
            return Err(CallsError::Unreadable);
        }
        let for_client = is_for_client(&block.kind);
        let state = match (block.id, block.name) {
            (Some(id), Some(name)) if for_client => {
                let start = block.input.map(RawValue::get);
                let start = start.filter(|start| json::compact(start) != "{}");
                State::Building(Building {
                    id,
                    name,
                    start: start.map(str::to_owned),
                    pieces: String::new(),
                })
            }
            _ if for_client => return Err(CallsError::Unreadable),
            (id, name) => {
                if is_for_api(&block.kind) && self.ran.len() < MAX_RAN {
                    self.ran.push(Ran {
                        kind: block.kind.into_owned(),
                        id: id.unwrap_or_default(),
                        name: name.unwrap_or_default(),
                    });
                }
                State::Open
            }
        };
        self.blocks.insert(index, state);
        Ok(for_client.then_some(index))
    }

    /// A block goes on. Its index, if it is a call.
    fn block_delta(&mut self, event: &Event<'_>) -> Result<Option<u64>, CallsError> {
        let index = event.index.ok_or(CallsError::Unreadable)?;
        match self.blocks.get_mut(&index) {
            Some(State::Open) => Ok(None),
            Some(State::Building(building)) => {
                let delta = event.delta.map_or("", RawValue::get);
                let delta: Delta<'_> = object(delta.as_bytes())?;
                let piece = delta.partial_json.ok_or(CallsError::Unreadable)?;
                if delta.kind != "input_json_delta" {
                    return Err(CallsError::Unreadable);
                }
                if building.pieces.len() + piece.len() > MAX_INPUT {
                    return Err(CallsError::TooLarge);
                }
                building.pieces += &piece;
                Ok(Some(index))
            }
            _ => Err(CallsError::Unreadable),
        }
    }

    /// A block ends. If it is a call, its index, and the call.
    fn block_stop(&mut self, event: &Event<'_>) -> Result<Option<(u64, Call)>, CallsError> {
        let index = event.index.ok_or(CallsError::Unreadable)?;
        let state = self.blocks.get_mut(&index).ok_or(CallsError::Unreadable)?;
        match std::mem::replace(state, State::Closed) {
            State::Open => Ok(None),
            State::Building(building) => {
                let Building {
                    id, name, start, ..
                } = building;
                *state = State::Judging {
                    id: id.clone(),
                    name: name.clone(),
                };
                let input = match (start, building.pieces) {
                    (None, pieces) if pieces.is_empty() => "{}".to_owned(),
                    (None, pieces) => pieces,
                    (Some(start), pieces) if pieces.is_empty() => start,
                    // Clients take the one or the other.
                    (Some(_), _) => return Err(CallsError::Unreadable),
                };
                Ok(Some((index, Call::new(id, name, input)?)))
            }
            other => {
                *state = other;
                Err(CallsError::Unreadable)
            }
        }
    }

    /// The upstream gives the answer up: what has not ended never will.
    fn give_up(&mut self) {
        for state in self.blocks.values_mut() {
            if let State::Building(Building { id, name, .. }) = state {
                let (id, name) = (std::mem::take(id), std::mem::take(name));
                self.dropped.push((id, name));
                // No index comes again, so nothing can be added to it.
                *state = State::Closed;
            }
        }
        let blocks = &self.blocks;
        let (held, mut kept) = (std::mem::take(&mut self.queue), VecDeque::new());
        for event in held {
            let state = event.call.and_then(|index| blocks.get(&index));
            if matches!(state, Some(State::Closed)) {
                self.held -= event.bytes.len();
            } else {
                kept.push_back(event);
            }
        }
        self.queue = kept;
    }

    fn is_building(&self) -> bool {
        let mut states = self.blocks.values();
        states.any(|state| matches!(state, State::Building(_)))
    }
}

impl Default for CallGate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CallGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallGate")
            .field("blocks", &self.blocks.len())
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// An event, as far as it decides what passes.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Start {
    content: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    partial_json: Option<Cow<'a, str>>,
}
