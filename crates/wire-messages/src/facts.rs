//! What a request asks for.

mod asked;
mod content;
mod host;
mod list;
mod request;
mod strings;

use tollbook_exchange::Action;

use crate::{
    BodyKind, Endpoint, Place,
    json::{self, JsonError},
};
use asked::{Asked, Names};
use request::{Batch, Message};

/// How many different names a fact may hold. Real requests hold a few dozen.
const MAX_NAMES: usize = 4096;

/// How long a name may be in bytes. The API allows 128 for tools and 256 for models.
const MAX_NAME: usize = 256;

/// The facts about a request, by the names that policies use.
///
/// `betas` are the values of the request's `anthropic-beta` headers, each a list with commas.
/// `body` is the whole body, decoded from any content encoding. Where the operation takes JSON it is
/// checked with [`json::check`] first, so that no caller has to.
///
/// | fact | type | present | meaning |
/// |---|---|---|---|
/// | `betas` | set | always | the beta capabilities asked for |
/// | `body_bytes` | long | always | length of `body` |
/// | `body_scanned` | bool | always | `false`: whoever scans the body says so |
/// | `model` | text | one message | the model asked for |
/// | `models` | set | messages | every model that may run: `model`, `fallbacks[].model` and the models that tools consult, over all requests of a batch |
/// | `messages` | long | messages | turns of the conversation; in a batch, of all together |
/// | `max_tokens` | long | where given | the most that any one answer may have |
/// | `stream` `thinking` `system` `container` | bool | messages | whether any request has it on |
/// | `tools` | set | messages | each tool's name, and its type where it has one other than `custom`: the name forbids a server tool in every version, the type in one |
/// | `tool_choice` | text | one message, where given | `auto`, `any`, `tool` or `none` |
/// | `mcp_servers` | set | messages | hosts that the API itself would call; `unknown` for a URL that cannot be read in one way |
/// | `repeated_tool_calls` | long | messages | how often the conversation's last tool call was made in a row, with the same name and the same input; in a batch, the most of any request |
/// | `unknown` | set | messages, uploads | parts that nobody here can read: `images`, `documents`, `files` and `binary` |
/// | `requests` | long | batches | requests in the batch |
///
/// "Messages" are `messages.create`, `messages.count_tokens` and `batches.create`; "one message"
/// are the first two. Fields that are not in this table are ignored, as the API adds some often;
/// their texts are not, see [`read`].
///
/// # Errors
///
/// When the body is not strict JSON, when one of the fields above is not of its published type,
/// when `model` or `messages` is missing, when a name is too long or there are too many, or when
/// an operation that takes no body has one. What cannot be judged must not pass.
pub fn facts<'h>(
    endpoint: Endpoint,
    betas: impl IntoIterator<Item = &'h str>,
    body: &[u8],
) -> Result<Action, FactsError> {
    read(endpoint, betas, body, &mut |_, _| {})
}

/// The [`facts()`] about a request, and in the same pass its texts, as [`texts`](crate::texts) has
/// them, for `out`.
///
/// # Errors
///
/// As [`facts()`]. What was handed out by then is no whole request.
pub fn read<'h>(
    endpoint: Endpoint,
    betas: impl IntoIterator<Item = &'h str>,
    body: &[u8],
    out: &mut dyn FnMut(Place<'_>, &str),
) -> Result<Action, FactsError> {
    let mut names = Names::default();
    for beta in betas.into_iter().flat_map(|value| value.split(',')) {
        if !names.insert(beta.trim_matches([' ', '\t'])) {
            return Err(FactsError::TooMany("anthropic-beta"));
        }
    }
    let action = Action::new(endpoint.action())
        .with("betas", names.into_set())
        .with("body_bytes", body.len())
        .with("body_scanned", false);
    let mut asked = Asked::new(out);
    match endpoint.body() {
        BodyKind::None if body.is_empty() => Ok(action),
        BodyKind::None => Err(FactsError::UnexpectedBody),
        BodyKind::Multipart => {
            match std::str::from_utf8(body) {
                Ok(text) => asked.text(Place::Document, text),
                Err(_) => asked.unknown("files"),
            }
            Ok(action.with("unknown", asked.unknown_parts()))
        }
        BodyKind::Json => {
            json::check(body).map_err(FactsError::Json)?;
            if endpoint == Endpoint::BatchCreate {
                of_batch(action, body, asked)
            } else {
                of_message(action, body, asked)
            }
        }
    }
}

/// The texts of a call of `tool`, for `out`. An `input` that is not `parsed` is one text.
pub(crate) fn call_texts(
    tool: &str,
    input: &str,
    parsed: bool,
    out: &mut dyn FnMut(Place<'_>, &str),
) {
    let mut asked = Asked::new(out);
    asked.name(Place::Other, tool);
    if parsed {
        content::input(&mut asked, tool, input);
    } else {
        asked.text(Place::ToolUse(tool), input);
    }
}

fn of_message(action: Action, body: &[u8], mut asked: Asked<'_>) -> Result<Action, FactsError> {
    deserialize(body, Message::new(&mut asked)).map_err(|_| FactsError::WrongType(asked.at))?;
    let model = asked.model.take().ok_or(FactsError::Missing("model"))?;
    let choice = asked.tool_choice.take();
    let action = common(action, asked)?.with("model", model);
    Ok(match choice {
        Some(choice) => action.with("tool_choice", choice),
        None => action,
    })
}

fn of_batch(action: Action, body: &[u8], mut asked: Asked<'_>) -> Result<Action, FactsError> {
    let requests = deserialize(body, Batch::new(&mut asked));
    let requests = requests.map_err(|_| FactsError::WrongType(asked.at))?;
    let requests = requests.ok_or(FactsError::Missing("requests"))?;
    if asked.without_model {
        return Err(FactsError::Missing("model"));
    }
    Ok(common(action, asked)?.with("requests", requests))
}

/// The facts that one message and a batch share.
fn common(action: Action, asked: Asked<'_>) -> Result<Action, FactsError> {
    if let Some(field) = asked.too_many {
        return Err(FactsError::TooMany(field));
    }
    if asked.without_messages {
        return Err(FactsError::Missing("messages"));
    }
    let action = action
        .with("unknown", asked.unknown_parts())
        .with("repeated_tool_calls", asked.calls.most())
        .with("models", asked.models.into_set())
        .with("messages", asked.messages)
        .with("stream", asked.stream)
        .with("thinking", asked.thinking)
        .with("system", asked.system)
        .with("container", asked.container)
        .with("tools", asked.tools.into_set())
        .with("mcp_servers", asked.mcp_servers.into_set());
    Ok(match asked.max_tokens {
        Some(tokens) => action.with("max_tokens", tokens),
        None => action,
    })
}

/// Reads `body` with `seed`. `serde_json` quotes the body in its errors, so they go no further.
fn deserialize<'de, T: serde::de::DeserializeSeed<'de>>(
    body: &'de [u8],
    seed: T,
) -> Result<T::Value, serde_json::Error> {
    seed.deserialize(&mut serde_json::Deserializer::from_slice(body))
}

/// Why a request cannot be judged. Names fields, never what stands in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// The body is not JSON, or not JSON that every reader reads alike.
    #[error("body is not strict JSON")]
    Json(#[source] JsonError),
    /// A field is missing without which the request cannot be judged.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field is not of its published type.
    #[error("`{0}` is not of its published type")]
    WrongType(&'static str),
    /// A name is too long, or there are too many.
    #[error("`{0}` holds more or longer names than the gate judges")]
    TooMany(&'static str),
    /// The operation takes no body, yet there is one.
    #[error("operation takes no body")]
    UnexpectedBody,
}

impl FactsError {
    /// A stable word for records.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Json(error) => error.reason(),
            Self::Missing(_) => "missing_field",
            Self::WrongType(_) => "wrong_type",
            Self::TooMany(_) => "too_many_names",
            Self::UnexpectedBody => "unexpected_body",
        }
    }
}

#[cfg(test)]
mod tests;
