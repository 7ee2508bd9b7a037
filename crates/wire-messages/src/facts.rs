//! What a request asks for.

mod host;
mod request;

use std::cell::Cell;

use tollbook_exchange::Action;

use crate::{
    BodyKind, Endpoint,
    json::{self, JsonError},
};
use request::{Asked, Batch, Message};

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
/// | `requests` | long | batches | requests in the batch |
///
/// "Messages" are `messages.create`, `messages.count_tokens` and `batches.create`; "one message"
/// are the first two. Fields that are not in this table are ignored, as the API adds some often.
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
    let mut names = request::Names::default();
    for beta in betas.into_iter().flat_map(|value| value.split(',')) {
        if !names.insert(beta.trim_matches([' ', '\t'])) {
            return Err(FactsError::TooMany("anthropic-beta"));
        }
    }
    let action = Action::new(endpoint.action())
        .with("betas", names.into_set())
        .with("body_bytes", body.len())
        .with("body_scanned", false);
    match endpoint.body() {
        BodyKind::None if body.is_empty() => Ok(action),
        BodyKind::None => Err(FactsError::UnexpectedBody),
        BodyKind::Multipart => Ok(action),
        BodyKind::Json => {
            json::check(body).map_err(FactsError::Json)?;
            if endpoint == Endpoint::BatchCreate {
                of_batch(action, body)
            } else {
                of_message(action, body)
            }
        }
    }
}

fn of_message(action: Action, body: &[u8]) -> Result<Action, FactsError> {
    let mut asked = Asked::default();
    let place = Cell::new("body");
    read(body, &place, Message::new(&mut asked, &place))?;
    let model = asked.model.take().ok_or(FactsError::Missing("model"))?;
    let choice = asked.tool_choice.take();
    let action = common(action, asked)?.with("model", model);
    Ok(match choice {
        Some(choice) => action.with("tool_choice", choice),
        None => action,
    })
}

fn of_batch(action: Action, body: &[u8]) -> Result<Action, FactsError> {
    let mut asked = Asked::default();
    let place = Cell::new("body");
    let requests = read(body, &place, Batch::new(&mut asked, &place))?;
    let requests = requests.ok_or(FactsError::Missing("requests"))?;
    if asked.without_model {
        return Err(FactsError::Missing("model"));
    }
    Ok(common(action, asked)?.with("requests", requests))
}

/// The facts that one message and a batch share.
fn common(action: Action, asked: Asked) -> Result<Action, FactsError> {
    if let Some(field) = asked.too_many {
        return Err(FactsError::TooMany(field));
    }
    if asked.without_messages {
        return Err(FactsError::Missing("messages"));
    }
    let action = action
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

/// Reads `body` with `seed`. `serde_json` quotes the body in its errors, so only the place counts.
fn read<'de, T: serde::de::DeserializeSeed<'de>>(
    body: &'de [u8],
    place: &Cell<&'static str>,
    seed: T,
) -> Result<T::Value, FactsError> {
    seed.deserialize(&mut serde_json::Deserializer::from_slice(body))
        .map_err(|_| FactsError::WrongType(place.get()))
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
