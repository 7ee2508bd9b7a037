//! A recorded answer, given again.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tollbook_wire_messages::error;

use crate::{Pace, RecordedExchange};

/// The header that tells of which exchange an answer is the recording.
const REPLAYED: HeaderName = HeaderName::from_static("x-tollbook-replayed");

/// Long enough for what was sent before to be written out.
const BEFORE_CUT: Duration = Duration::from_millis(5);

/// The body of an answer, whose parts come at the pace of the sandbox.
#[derive(Debug)]
pub struct AnswerBody {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// The recorded answer broke off here, and so does this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recorded answer broke off here")]
pub struct BrokenOff;

#[derive(Debug)]
enum Step {
    Wait(Duration),
    Send(Bytes),
    Cut,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(time)) => self.waiting = Some(Box::pin(sleep(time))),
                Some(Step::Cut) => return Poll::Ready(Some(Err(BrokenOff))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let mut length = 0;
        for step in &self.steps {
            match step {
                Step::Send(bytes) => length += bytes.len() as u64,
                Step::Wait(_) => {}
                // Who knew the length would call a connection that closes an error of ours.
                Step::Cut => return SizeHint::default(),
            }
        }
        SizeHint::with_exact(length)
    }
}

/// A whole answer that comes at once.
pub(super) fn whole(
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody {
        steps: [Step::Send(body)].into(),
        waiting: None,
    });
    *answer.status_mut() = status;
    if let Some(content_type) = content_type {
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
    }
    answer
}

/// What was answered then, at this pace.
pub(super) fn recorded(recorded: &RecordedExchange, pace: Pace) -> Response<AnswerBody> {
    let status = recorded
        .status()
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = Response::new(AnswerBody {
        steps: steps(recorded, pace),
        waiting: None,
    });
    *answer.status_mut() = status;
    let headers = recorded.record()["response"]["headers"].as_object();
    for (name, value) in headers.into_iter().flatten() {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            continue;
        };
        let all = value
            .as_array()
            .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for value in all.iter().filter_map(|value| value.as_str()) {
            if let Ok(value) = HeaderValue::from_str(value)
                && is_kept(&name, &value)
            {
                answer.headers_mut().append(name.clone(), value);
            }
        }
    }
    if let Ok(id) = HeaderValue::from_str(recorded.id()) {
        answer.headers_mut().insert(REPLAYED, id);
    }
    if recorded.parts().is_empty() && !recorded.record()["refusal"].is_null() {
        // A refusal of the gate is written behind the record.
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    answer
}

fn steps(recorded: &RecordedExchange, pace: Pace) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let mut before = Duration::ZERO;
    for (at, bytes) in recorded.parts() {
        let pause = pace.pause(at.saturating_sub(before));
        before = *at;
        if !pause.is_zero() {
            steps.push_back(Step::Wait(pause));
        }
        steps.push_back(Step::Send(bytes.clone()));
    }
    if let Some(message) = recorded.text("/refusal/message") {
        let status = recorded.status().unwrap_or(500);
        let id = recorded.id();
        if steps.is_empty() {
            steps.push_back(Step::Send(error::body(status, message, id).into()));
        } else if recorded.is_stream() {
            // The gate's last word in a stream that it ended.
            let status = if status < 400 { 403 } else { status };
            steps.push_back(Step::Send(error::event(status, message, id).into()));
        }
    } else if broke_off(recorded) {
        steps.extend([Step::Wait(BEFORE_CUT), Step::Cut]);
    }
    steps
}

/// Whether less was recorded than a client needs to have an answer.
fn broke_off(recorded: &RecordedExchange) -> bool {
    let outcome = recorded.outcome().unwrap_or_default();
    if !matches!(
        outcome,
        "upstream_reset" | "client_gone" | "indeterminate" | "policy_cut"
    ) {
        return false;
    }
    let last = recorded.parts().last().map(|(_, part)| part);
    let is_end = |part: &Bytes| {
        let mark = b"event: message_stop";
        part.windows(mark.len()).any(|window| window == mark)
    };
    // A client that leaves when it has all of it left nothing out.
    !(recorded.is_stream() && last.is_some_and(is_end))
}

/// Whether a recorded header goes out again: not those of the connection of then, none that lets
/// pages of other origins read, and none whose value was left out of the record.
fn is_kept(name: &HeaderName, value: &HeaderValue) -> bool {
    let of_connection = [
        "alt-svc",
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-tollbook-exchange",
    ];
    // A page of whatever origin the upstream let in then has no business with the record.
    !name.as_str().starts_with("access-control-")
        && !of_connection.contains(&name.as_str())
        && !matches!(value.as_bytes(), b"[credential]" | b"[withheld]")
}
