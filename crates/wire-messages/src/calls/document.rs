//! The calls in a whole answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Call, CallsError, Ran, is_for_api, is_for_client};
use crate::{Endpoint, json};

/// The calls in a whole answer of `endpoint`, in order, and the tools that have been called
/// already.
///
/// The answer of `messages.create` is one message, that of `batches.results` has one on each line.
/// Other answers hold no calls.
///
/// # Errors
///
/// When the answer is not strict JSON, when its content is none that the API writes, or when the
/// input of a call is longer than 4 MiB.
pub fn calls(endpoint: Endpoint, body: &[u8]) -> Result<(Vec<Call>, Vec<Ran>), CallsError> {
    let (mut calls, mut ran) = (Vec::new(), Vec::new());
    match endpoint {
        Endpoint::MessagesCreate => message(body, &mut calls, &mut ran)?,
        Endpoint::BatchResults => {
            for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
                if !line.trim_ascii().is_empty() {
                    json::check(line).map_err(|_| CallsError::Unreadable)?;
                    let Line { result } = object(line)?;
                    if let Some(Outcome {
                        message: Some(answer),
                    }) = result
                    {
                        message(answer.get().as_bytes(), &mut calls, &mut ran)?;
                    }
                }
            }
        }
        _ => {}
    }
    Ok((calls, ran))
}

/// Adds the calls of one message.
fn message(body: &[u8], calls: &mut Vec<Call>, ran: &mut Vec<Ran>) -> Result<(), CallsError> {
    json::check(body).map_err(|_| CallsError::Unreadable)?;
    let Message { content } = object(body)?;
    let blocks: Vec<&RawValue> = match content.map(RawValue::get) {
        None | Some("null") => return Ok(()),
        Some(text) if text.starts_with('"') => return Ok(()),
        Some(list) => serde_json::from_str(list).map_err(|_| CallsError::Unreadable)?,
    };
    for block in blocks {
        let Block {
            kind,
            id,
            name,
            input,
        } = object(block.get().as_bytes())?;
        if is_for_api(&kind) {
            ran.push(Ran {
                kind: kind.into_owned(),
                id: id.unwrap_or_default(),
                name: name.unwrap_or_default(),
            });
        } else if is_for_client(&kind) {
            let (Some(id), Some(name)) = (id, name) else {
                return Err(CallsError::Unreadable);
            };
            let input = input.map_or("{}", RawValue::get).to_owned();
            calls.push(Call::new(id, name, input)?);
        }
    }
    Ok(())
}

/// Reads an object that has been checked. Never a list, which derived readers take for one.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, CallsError> {
    if json.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(json).map_err(|_| CallsError::Unreadable)
    } else {
        Err(CallsError::Unreadable)
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    result: Option<Outcome<'a>>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// A block, as far as it may be a call.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}
